"""Where designs begin: regions of a genome in their place, sequences of a FASTA, or at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError, shown
from phylotools.io.bases import BASES, IUPAC
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, resolve_region
from phylotools.model.presets import PAD_TOKEN
from phylotools.scoring.reference import reference_tokens

#: Bases of a sequence that is designed: every one of them is computed again and again.
LONGEST = 20_000
MOST_STARTS = 10_000


@dataclass(frozen=True)
class Start:
    """A sequence that designs begin from, and what stands around it.

    Attributes
    ----------
    name : str
    codes : uint8 array [L]
        0 to 3.
    left, right : uint8 arrays [H]
        Tokens on either side, half a receptive field; they are never changed.
    region : Region or None
        Where it lies, if it is a region of a genome.
    is_random : bool
        Whether its bases were drawn.
    """

    name: str
    codes: NDArray[np.uint8]
    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    region: Region | None = None
    is_random: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def place(self) -> Region:
        """Its region; of a sequence without one, all of a contig of its name."""
        return self.region or Region(self.name, 0, len(self))


def region_starts(genome: ReferenceGenome, texts: Sequence[str], half_window: int) -> list[Start]:
    """Regions of a genome, with the bases around them.

    Parameters
    ----------
    genome : ReferenceGenome
    texts : sequence of str
        ``contig``, ``contig:begin`` or ``contig:begin-end``, 1-based.
    half_window : int

    Raises
    ------
    InputError
        If one is no region of the genome, is too long, or holds what is no base.
    """
    starts = []
    for text in texts:
        region = resolve_region(text, genome.contigs)
        _require_length(str(region), len(region), genome.path)
        codes = genome.bases(region)
        _require_bases(str(region), codes, genome.path, region)
        left, right = (
            reference_tokens(genome, region.contig, begin, begin + half_window)
            for begin in (region.start - half_window, region.end)
        )
        starts.append(Start(str(region), codes, left, right, region))
    return starts


def fasta_starts(path: str, half_window: int) -> list[Start]:
    """Every sequence of a FASTA, with nothing known around it.

    Raises
    ------
    InputError
        If it cannot be read, a sequence is too long or holds what is no base.
    """
    with ReferenceGenome.open(path) as genome:
        if len(genome.contigs) > MOST_STARTS:
            raise InputError(f"holds more than {MOST_STARTS:,} sequences", path=path)
        starts = []
        for name, length in genome.contigs.items():
            _require_length(name, length, path)
            region = Region(name, 0, length)
            codes = genome.bases(region)
            _require_bases(name, codes, path, region)
            starts.append(alone(name, codes, half_window))
    return starts


def random_starts(
    template: str, gc: float, number: int, half_window: int, seed: int
) -> list[Start]:
    """Random sequences of bases that a template allows.

    Parameters
    ----------
    template : str
        IUPAC letters.
    gc : float
        Share of G and C among the bases drawn, where the template leaves a choice.
    number, half_window, seed : int
    """
    weights = np.array([1 - gc, gc, gc, 1 - gc]) / 2
    allowed = template_mask(template) * np.where(weights > 0, weights, 1e-300)
    shares = np.cumsum(allowed / allowed.sum(axis=1, keepdims=True), axis=1)
    starts = []
    for k in range(number):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, k)))
        drawn = (rng.random(len(shares))[:, None] >= shares[:, :3]).sum(axis=1)
        # What rounding leaves beyond the last allowed base is that base.
        codes = np.minimum(drawn, 3 - (allowed[:, ::-1] > 0).argmax(axis=1)).astype(np.uint8)
        starts.append(replace(alone(f"random_{k + 1}", codes, half_window), is_random=True))
    return starts


def alone(name: str, codes: NDArray[np.uint8], half_window: int) -> Start:
    """A sequence around which nothing is known."""
    flank = np.full(half_window, PAD_TOKEN, dtype=np.uint8)
    return Start(name, codes, flank, flank)


def template_mask(template: str) -> NDArray[np.bool_]:
    """Bases that IUPAC letters allow, bool [L, 4].

    Raises
    ------
    UsageError
        If a letter is none, or there are too many.
    """
    if not 1 <= len(template) <= LONGEST:
        raise UsageError(f"a template has 1 to {LONGEST:,} letters, not {len(template):,}")
    rows = {letter: [base in bases for base in BASES] for letter, bases in IUPAC.items()}
    wrong = next((k for k, letter in enumerate(template.upper()) if letter not in rows), None)
    if wrong is not None:
        raise UsageError(
            f"letter {wrong + 1} of the template, {shown(template[wrong])!r}, is no IUPAC code of "
            "nucleotides"
        )
    return np.array([rows[letter] for letter in template.upper()])


def _require_length(name: str, length: int, path: str) -> None:
    if length > LONGEST:
        raise InputError(
            f"{shown(name)} has {length:,} bases; a design has {LONGEST:,} at most", path=path
        )


def _require_bases(name: str, codes: NDArray[np.uint8], path: str, region: Region) -> None:
    unknown = np.flatnonzero(codes >= len(BASES))
    if len(unknown):
        raise InputError(
            f"{shown(name)} holds {len(unknown):,} that are no A, C, G or T, the first at "
            f"{region.start + int(unknown[0]) + 1}",
            path=path,
            remedy="choose a region without them",
        )
