"""Scores of single-nucleotide variants out of bigWigs."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.annotate.lookup.checks import (
    WRONG_GENOME_REMEDY,
    Found,
    check_model,
    check_precision,
    reference_codes,
)
from phylotools.errors import InputError
from phylotools.io.bigwig.reader import BigWigReader
from phylotools.io.closing import Closing
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import resolve_contigs
from phylotools.io.track_folder import read_track_record
from phylotools.scoring.reference import ReferenceLetters

if TYPE_CHECKING:
    from phylotools.model.registry import Model

_LOG_PI = tuple(f"log_probability_{base}.bw" for base in "ACGT")
_FILES = (*_LOG_PI, "rate.bw", "llr_mean.bw")
#: Relative error of a track, which is rounded to 14 significant bits.
_ROUNDING = 2.0**-14
#: What the sum of four rounded probabilities may lack of 1, and rounding to float32 beside that.
_TOTAL_TOLERANCE = 1e-3
_TINY = 1e-6


class ScoreTracks(Closing):
    """The bigWigs of a folder that `phylotools tracks` wrote; use `open`.

    Under every substitution model the score of a base is the log of its equilibrium frequency
    less a number of the base alone, so that four tracks hold the LLRs of all changes. `llr_mean`
    tells which base they took for the reference.

    Parameters
    ----------
    folder : str
    model : Model
    genome : ReferenceGenome
    """

    def __init__(self, folder: str, model: Model, genome: ReferenceGenome) -> None:
        self.path = folder
        self._genome = genome
        self._letters = ReferenceLetters(genome)
        with torch.inference_mode():
            theta = torch.zeros(1, 4, dtype=torch.float64)
            substitution = model.substitution
            offsets = substitution.allele_scores(theta)
            offsets = offsets - substitution.log_equilibrium_frequencies(theta)
        self._offsets = offsets[0].numpy()
        with contextlib.ExitStack() as stack:
            self._readers = [
                stack.enter_context(BigWigReader(os.path.join(folder, name))) for name in _FILES
            ]
            self._names = self._resolve_contigs()
            self._files = stack.pop_all()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        model: Model,
        genome: ReferenceGenome,
        *,
        precision: str = "float32",
    ) -> ScoreTracks:
        """Open tracks made with a model.

        Parameters
        ----------
        path : str or PathLike
            The folder.
        model : Model
        genome : ReferenceGenome
        precision : str
            Arithmetic of the numbers that those of the tracks stand beside.

        Raises
        ------
        InputError
            If a track is missing, damaged, was made with another model or in another arithmetic,
            or is on other contigs.
        """
        folder = os.fspath(path)
        record = read_track_record(folder)
        check_model(record["model"]["name"], record["model"]["sha256"], model, folder)
        found = ",".join(sorted({facts["precision"] for facts in record["computed_on"]}))
        check_precision(found, precision, folder)
        missing = [name for name in _FILES if not os.path.exists(os.path.join(folder, name))]
        if missing:
            raise InputError(
                f"has neither the table of all variants nor {missing[0]} to look scores up in",
                path=folder,
                remedy="make it with the table, or with --tracks log_probability,rate,llr_mean",
            )
        return cls(folder, model, genome)

    def lookup(self, contig: str, positions: NDArray[np.int64], alts: NDArray[np.uint8]) -> Found:
        """See `PrecomputedScores`."""
        wanted, rows = np.unique(np.asarray(positions, dtype=np.int64), return_inverse=True)
        # The fifth column is that of letters that are no base.
        llr = np.full((len(wanted), 5), np.nan)
        rate, entropy = np.full(len(wanted), np.nan), np.full(len(wanted), np.nan)
        if contig in self._names:
            name = self._names[contig]
            found = np.stack([reader.values(name, wanted) for reader in self._readers])
            here = np.flatnonzero(np.isfinite(found).all(axis=0))
            log_pi, (rates, mean_llr) = np.split(found[:, here].astype(np.float64), [4])
            llr[here, :4] = self._llr(contig, wanted[here], log_pi, mean_llr)
            rate[here], entropy[here] = rates, -(np.exp(log_pi) * log_pi).sum(axis=0)
        return llr[rows, np.minimum(alts, 4)], rate[rows], entropy[rows]

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _llr(
        self,
        contig: str,
        positions: NDArray[np.int64],
        log_pi: NDArray[np.float64],
        mean_llr: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """LLRs [K, 4] of the bases against the reference, which is checked.

        Parameters
        ----------
        contig : str
        positions : int64 array [K]
        log_pi : float64 array [4, K]
        mean_llr : float64 array [K]
            As the tracks have it.
        """
        if (np.abs(np.exp(np.minimum(log_pi, 1)).sum(axis=0) - 1) > _TOTAL_TOLERANCE).any():
            raise InputError(
                "the probabilities of its bases do not add up to 1",
                path=self.path,
                remedy="make it anew with `phylotools tracks`",
            )
        codes = reference_codes(self._letters, contig, positions, self.path)
        is_base = codes < 4
        columns = np.arange(len(positions))
        scores = log_pi + self._offsets[:, None]
        own = np.where(is_base, codes, 0)
        llr = scores - scores[own, columns]
        wide = np.abs(log_pi).sum(axis=0) / 3 + np.abs(log_pi[own, columns]) * 4 / 3
        tolerance = _ROUNDING * (wide + np.abs(mean_llr)) + _TINY
        is_same = is_base & (np.abs(llr.sum(axis=0) / 3 - mean_llr) <= tolerance)
        if not is_same.all():
            position = int(positions[np.flatnonzero(~is_same)[0]])
            raise InputError(
                f"its reference base at {contig}:{position + 1} is not that of {self._genome.path}",
                path=self.path,
                remedy=WRONG_GENOME_REMEDY,
            )
        # As in the table, the reference base itself has no score.
        llr[own, columns] = np.nan
        return llr.T

    def _resolve_contigs(self) -> dict[str, str]:
        """Names of the genome's contigs in the tracks."""
        lengths = self._readers[0].contigs
        names = resolve_contigs(self._genome.contigs, lengths)
        wrong = [
            name for name, here in names.items() if lengths[here] != self._genome.contigs[name]
        ]
        if wrong or (lengths and not names):
            problem = (
                f"its contig {wrong[0]} is not as long as that of {self._genome.path}"
                if wrong
                else f"is on {', '.join(list(lengths)[:3])}, none of them a contig of "
                f"{self._genome.path}"
            )
            raise InputError(problem, path=self.path, remedy=WRONG_GENOME_REMEDY)
        for reader in self._readers[1:]:
            if reader.contigs != lengths:
                raise InputError(
                    "has other contigs than the tracks beside it",
                    path=reader.path,
                    remedy="make them anew with `phylotools tracks`",
                )
        return names
