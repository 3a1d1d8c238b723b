"""Numbers of sites looked up in bigWigs instead of computed."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bases import BASES, CODE_OF_BYTE
from phylotools.io.bigwig.reader import BigWigReader
from phylotools.io.closing import Closing
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.io.track_folder import read_track_record
from phylotools.phylogeny.change_scores import MutationProcess
from phylotools.scoring.reference import ReferenceLetters
from phylotools.scoring.site_numbers import SiteNumbers

if TYPE_CHECKING:
    from phylotools.model.registry import Model

_LOG_PI = tuple(f"log_probability_{base}.bw" for base in BASES)
_FILES = (*_LOG_PI, "rate.bw", "llr_mean.bw")
#: Relative error of a track, which is rounded to 14 significant bits.
_ROUNDING = 2.0**-14
#: What the sum of four rounded probabilities may lack of 1, and rounding to float32 beside that.
_TOTAL_TOLERANCE = 1e-3
_TINY = 1e-6
_WRONG_GENOME_REMEDY = "give the scores of this genome, or the genome of these scores"
_NEW_TRACKS_REMEDY = "make them anew with `phylotools tracks`"


class ScoreTracks(Closing):
    """The bigWigs of a folder that `phylotools tracks` wrote, for one thread at a time; use `open`.

    Frequencies and the expected rate of a site hold all that scores of its changes are made of:
    log R follows from them. `llr_mean` tells which base the tracks took for the reference.

    Parameters
    ----------
    folder : str
    process : MutationProcess
        Of the model that made them.
    genome : ReferenceGenome
    """

    def __init__(self, folder: str, process: MutationProcess, genome: ReferenceGenome) -> None:
        self.path = folder
        self._genome = genome
        self._letters = ReferenceLetters(genome)
        self._process = process
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
        if os.path.exists(folder) and not os.path.isdir(folder):
            raise InputError(
                "is no folder of tracks; scores are looked up in the bigWigs beside each other, "
                "not in the table or in one of them",
                path=folder,
                remedy="give the folder that `phylotools tracks` wrote",
            )
        record = read_track_record(folder)
        made_by = record["model"]
        if made_by["sha256"] != model.sha256:
            raise InputError(
                f"its numbers are of model {made_by['name']} (sha256 {made_by['sha256']}), not of "
                f"{model.name} (sha256 {model.sha256})",
                path=folder,
                remedy="give that model with --model, or make them with this one "
                "(`phylotools tracks`)",
            )
        if record.get("transcripts") is not None:
            raise InputError(
                f"its scores are the worst of transcripts ({record['transcripts']}), not those of "
                "the genome",
                path=folder,
                remedy="make others (`phylotools tracks --no-transcripts`), or leave out --scores",
            )
        if not isinstance(record.get("scores"), dict):
            raise InputError(
                "was made when an LLR meant something else under this substitution model",
                path=folder,
                remedy=_NEW_TRACKS_REMEDY,
            )
        found = ",".join(sorted({facts["precision"] for facts in record["computed_on"]}))
        if found != precision:
            raise InputError(
                f"its numbers were computed in {found}, the others would be in {precision}",
                path=folder,
                remedy=f"choose --precision {found.partition(',')[0]}, or make them anew",
            )
        missing = [name for name in _FILES if not os.path.exists(os.path.join(folder, name))]
        if missing:
            raise InputError(
                f"has no {missing[0]}, without which no score can be looked up",
                path=folder,
                remedy="make it with --tracks log_probability,rate,llr_mean",
            )
        return cls(folder, model.mutation_process, genome)

    def sites(self, contig: str, positions: NDArray[np.int64]) -> SiteNumbers:
        """Numbers of sites of one contig; NaN where the tracks have none.

        Parameters
        ----------
        contig : str
            As the genome names it.
        positions : int64 array [K]
            0-based, in any order.

        Raises
        ------
        InputError
            If a file is damaged there, or of another genome.
        """
        wanted, rows = np.unique(positions, return_inverse=True)
        numbers = SiteNumbers(
            np.full((len(wanted), 4), np.nan), *(np.full(len(wanted), np.nan) for _ in range(3))
        )
        if contig in self._names:
            name = self._names[contig]
            found = np.stack([reader.values(name, wanted) for reader in self._readers])
            here = np.flatnonzero(np.isfinite(found).all(axis=0))
            log_pi, (rate, mean_llr) = np.split(found[:, here].astype(np.float64), [4])
            self._check(contig, wanted[here], log_pi.T, mean_llr)
            log_rate = self._process.log_rate(log_pi.T, rate)
            entropy = -(np.exp(log_pi) * log_pi).sum(axis=0)
            numbers.put(here, SiteNumbers(log_pi.T, log_rate, rate, entropy))
        return numbers.of(rows)

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _check(
        self,
        contig: str,
        positions: NDArray[np.int64],
        log_pi: NDArray[np.float64],
        mean_llr: NDArray[np.float64],
    ) -> None:
        """Raise `InputError` unless numbers of rising positions agree with the genome's bases.

        Parameters
        ----------
        contig : str
        positions : int64 array [K]
        log_pi : float64 array [K, 4]
        mean_llr : float64 array [K]
            As the track has it.
        """
        if (np.abs(np.exp(np.minimum(log_pi, 1)).sum(axis=1) - 1) > _TOTAL_TOLERANCE).any():
            raise InputError(
                "the probabilities of its bases do not add up to 1",
                path=self.path,
                remedy=_NEW_TRACKS_REMEDY,
            )
        length = self._genome.contigs[contig]
        if len(positions) and positions[-1] >= length:
            raise InputError(
                f"holds {contig}:{positions[-1] + 1}, beyond the end of {contig} in "
                f"{self._genome.path}",
                path=self.path,
                remedy=_WRONG_GENOME_REMEDY,
            )
        codes = CODE_OF_BYTE[self._letters.at(contig, positions)]
        is_base = codes < 4
        own = np.where(is_base, codes, 0)
        places = np.arange(len(positions))
        mean_found = (log_pi.sum(axis=1) - 4 * log_pi[places, own]) / 3
        wide = np.abs(log_pi).sum(axis=1) / 3 + np.abs(log_pi[places, own]) * 4 / 3
        tolerance = _ROUNDING * (wide + np.abs(mean_llr)) + _TINY
        is_same = is_base & (np.abs(mean_found - mean_llr) <= tolerance)
        if not is_same.all():
            position = int(positions[np.flatnonzero(~is_same)[0]])
            raise InputError(
                f"its reference base at {contig}:{position + 1} is not that of {self._genome.path}",
                path=self.path,
                remedy=_WRONG_GENOME_REMEDY,
            )

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
            raise InputError(problem, path=self.path, remedy=_WRONG_GENOME_REMEDY)
        for reader in self._readers[1:]:
            if reader.contigs != lengths:
                raise InputError(
                    "has other contigs than the tracks beside it",
                    path=reader.path,
                    remedy=_NEW_TRACKS_REMEDY,
                )
        return names
