"""Scores of insertions and deletions: windows of two haplotypes in the reference context.

What the network says of the reference's sites is held fixed, as for the LLR of a single base, and
the bases of the alternative haplotype are laid over them, once with what lies left of the change in
place and once with what lies right of it. Both haplotypes fill the same sites, so that their
lengths do not matter; a site whose base stays the same adds nothing. A change of several bases into
as many others gets the sum of its single-base LLRs, as it should.

docs/indels.md says why it is done so, and what else was tried: likelihoods of both haplotypes, each
in its own context, do well with a perfect predictor and badly with trained networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.bases import CODE_OF_BYTE
from phylotools.io.genome import ReferenceGenome
from phylotools.io.vcf.alleles import LONGEST_CHANGE, shared_prefix, trim
from phylotools.phylogeny.change_scores import SiteTerms
from phylotools.scoring.reference import reference_tokens
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import site_numbers

#: Sites compared beyond the change itself: chosen in examples/indel_validation.
FLANK = 5
#: Furthest that an indel is moved, in bases. Two spellings of one change in a perfect tandem repeat
#: longer than this may score differently.
LONGEST_SHIFT = 1 << 16
#: Changes worked on together, which bounds the memory.
_SLAB = 1024
#: Bases of a repeat looked at in one go: few at first, as most indels cannot move at all.
_FEWEST_READ, _MOST_READ = 16, 1 << 12
_N_BASES = 4
_CODES = CODE_OF_BYTE.tobytes()


@dataclass(frozen=True)
class Change:
    """Bases of a contig and what stands there instead.

    Attributes
    ----------
    contig : str
    start : int
        0-based.
    ref, alt : bytes
        Upper case A, C, G, T; either may be empty.
    """

    contig: str
    start: int
    ref: bytes
    alt: bytes


@dataclass(frozen=True)
class LaidChanges:
    """K changes as changes of single sites.

    Attributes
    ----------
    contigs : int64 array [K]
        Index into the contigs of the genome.
    starts : int64 array [K]
        First position, 0-based, of the left-aligned change.
    n_refs : int64 array [K]
        Bases of the reference that it replaces.
    owners : int64 array [M]
        Row of the change that a term belongs to; terms of one follow each other.
    positions : int64 array [M]
    refs, alts : uint8 array [M]
        Codes of the bases that differ there, 0 to 3.
    """

    contigs: NDArray[np.int64]
    starts: NDArray[np.int64]
    n_refs: NDArray[np.int64]
    owners: NDArray[np.int64]
    positions: NDArray[np.int64]
    refs: NDArray[np.uint8]
    alts: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.starts)

    def followed_by(self, others: LaidChanges) -> LaidChanges:
        """These changes, then others."""
        if not len(others):
            return self
        mine, theirs = vars(self), {**vars(others), "owners": others.owners + len(self)}
        return LaidChanges(**{key: np.append(mine[key], theirs[key]) for key in mine})

    def subset(self, chosen: NDArray[np.int64]) -> LaidChanges:
        """Some of the changes, by rising row."""
        number = np.full(len(self), -1, dtype=np.int64)
        number[chosen] = np.arange(len(chosen))
        terms = number[self.owners] >= 0
        return LaidChanges(
            self.contigs[chosen],
            self.starts[chosen],
            self.n_refs[chosen],
            number[self.owners[terms]],
            self.positions[terms],
            self.refs[terms],
            self.alts[terms],
        )

    def terms(self, first_site: int = 0) -> SiteTerms:
        """The changes as sums: the mean of the two ways to lay each haplotype.

        Parameters
        ----------
        first_site : int
            Row of the first of the terms' positions among the sites.
        """
        sites = first_site + np.arange(len(self.positions))
        return SiteTerms(self.owners, sites, self.refs, self.alts, len(self), weight=0.5)


_NONE, _NO_BASES = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
NO_CHANGES = LaidChanges(_NONE, _NONE, _NONE, _NONE, _NONE, _NO_BASES, _NO_BASES)


class HaplotypeLayout:
    """Lays changes of any length over the sites of a reference genome.

    Parameters
    ----------
    genome : ReferenceGenome
    flank : int
        Sites compared beyond the change itself, on either side; at least 1.

    Raises
    ------
    UsageError
        If `flank` is less than 1.
    """

    def __init__(self, genome: ReferenceGenome, flank: int = FLANK) -> None:
        if flank < 1:
            raise UsageError(f"an indel cannot be scored with {flank} sites beyond it")
        self.flank = flank
        self._genome = genome
        self._number_of = {name: number for number, name in enumerate(genome.contigs)}

    def lay(self, changes: Sequence[Change]) -> LaidChanges:
        """Changes of single sites that stand for changes of length.

        Parameters
        ----------
        changes : sequence of Change
            From `left_aligned`.
        """
        n_changes = len(changes)
        windows = [self._windows(change) for change in changes]
        flat = [window for pair in windows for window in pair]
        starts = np.array([start for start, _, _ in flat], dtype=np.int64)
        lengths = np.array([len(ref) for _, ref, _ in flat], dtype=np.int64)
        refs = np.frombuffer(b"".join(ref for _, ref, _ in flat), dtype=np.uint8)
        alts = np.frombuffer(b"".join(alt for _, _, alt in flat), dtype=np.uint8)
        firsts = np.cumsum(lengths) - lengths
        positions = np.arange(len(refs)) + np.repeat(starts - firsts, lengths)
        owners = np.repeat(np.repeat(np.arange(n_changes), 2), lengths)
        differs = (refs != alts) & (refs < _N_BASES) & (alts < _N_BASES)
        return LaidChanges(
            np.array([self._number_of[change.contig] for change in changes], dtype=np.int64),
            np.array([change.start for change in changes], dtype=np.int64),
            np.array([len(change.ref) for change in changes], dtype=np.int64),
            owners[differs],
            positions[differs],
            refs[differs],
            alts[differs],
        )

    def left_aligned(self, change: Change) -> Change:
        """The one spelling that stands for all of a change's: trimmed, and as far left as it goes.

        Raises
        ------
        UsageError
            If the change is too long or leaves its contig.
        """
        length = self._genome.contigs.get(change.contig, 0)
        if not 0 <= change.start <= change.start + len(change.ref) <= length:
            raise UsageError(
                f"a change at {change.contig}:{change.start + 1} leaves its contig "
                f"(length {length})"
            )
        offset, ref, alt = trim(change.ref, change.alt, n_kept=0)
        if max(len(ref), len(alt)) > LONGEST_CHANGE:
            raise UsageError(
                f"the change at {change.contig}:{change.start + 1} has more than "
                f"{LONGEST_CHANGE} bases"
            )
        trimmed = Change(change.contig, change.start + offset, ref, alt)
        return _moved(trimmed, -self._room(trimmed, to_the_left=True))

    def reach(self, change: Change) -> tuple[int, int]:
        """First base that a change may replace, wherever it is written, and the one behind all.

        Parameters
        ----------
        change : Change
            From `left_aligned`.
        """
        room = self._room(change, to_the_left=False)
        return change.start, change.start + len(change.ref) + room

    def _room(self, change: Change, *, to_the_left: bool) -> int:
        """Bases that an insertion or deletion can move without changing the haplotype."""
        if bool(change.ref) == bool(change.alt):
            return 0
        unit = (change.ref or change.alt).translate(_CODES)
        if to_the_left:
            border, limit = change.start, min(change.start, LONGEST_SHIFT)
        else:
            border = change.start + len(change.ref)
            limit = min(self._genome.contigs[change.contig] - border, LONGEST_SHIFT)
        room, n_read = 0, _FEWEST_READ
        while room < limit:
            n_read = min(n_read, limit - room)
            # The bases that have to stand beside it: its own, over and over.
            turn = room % len(unit)
            n_units = n_read // len(unit) + 2
            if to_the_left:
                beside = self._tokens(change.contig, border - room - n_read, border - room)[::-1]
                wanted = (unit[::-1] * n_units)[turn : turn + n_read]
            else:
                beside = self._tokens(change.contig, border + room, border + room + n_read)
                wanted = (unit * n_units)[turn : turn + n_read]
            if beside != wanted:
                return room + shared_prefix(beside, wanted)
            room += n_read
            n_read = min(n_read * 4, _MOST_READ)
        return room

    def _windows(self, change: Change) -> tuple[tuple[int, bytes, bytes], ...]:
        """First site, and the base codes of both haplotypes, of both ways to lay the alternative.

        In a repeat the change could stand in several places. Sites between the first and the last
        keep their bases either way.
        """
        n_ref, n_sites = len(change.ref), len(change.ref) + self.flank
        last = _moved(change, self._room(change, to_the_left=False))
        after, before = last.start + n_ref, change.start
        downstream = self._tokens(change.contig, after, after + n_sites)
        upstream = self._tokens(change.contig, before - n_sites, before)
        ref, alt, last_ref, last_alt = (
            allele.translate(_CODES) for allele in (change.ref, change.alt, last.ref, last.alt)
        )
        return (
            (last.start, (last_ref + downstream)[:n_sites], (last_alt + downstream)[:n_sites]),
            (
                before - self.flank,
                (upstream + ref)[len(ref) :],
                (upstream + alt)[len(alt) :],
            ),
        )

    def _tokens(self, contig: str, start: int, end: int) -> bytes:
        """`reference_tokens` as bytes."""
        return reference_tokens(self._genome, contig, start, end).tobytes()


class HaplotypeScorer:
    """Scores of changes of any length, on the reference genome of a scorer.

    A result depends on the sequence around the change and on the model: not on its spelling, nor
    on the other changes asked for.

    Parameters
    ----------
    scorer : Scorer
        Of a model and a genome.
    flank : int
        As for `HaplotypeLayout`.
    """

    def __init__(self, scorer: Scorer, flank: int = FLANK) -> None:
        self._scorer = scorer
        self._layout = HaplotypeLayout(scorer.genome, flank)
        self._contigs = tuple(scorer.genome.contigs)

    def left_aligned(self, change: Change) -> Change:
        """`HaplotypeLayout.left_aligned`."""
        return self._layout.left_aligned(change)

    def scores(self, changes: Sequence[Change], score: str) -> NDArray[np.float64]:
        """A score of every change; low: the alternative is less viable.

        Parameters
        ----------
        changes : sequence of Change
            At most `LONGEST_CHANGE` bases of either allele after trimming.
        score : str
            A name of `phylotools.phylogeny.score_meaning`; not ``calibrated``.

        Returns
        -------
        float64 array [K]
            In nats, in the given order.

        Raises
        ------
        UsageError
            If a change is too long or leaves its contig.
        InputError
            As for `TiledNetwork.values`.
        """
        aligned = [self.left_aligned(change) for change in changes]
        ordered = sorted(set(aligned), key=lambda change: (change.contig, change.start))
        found: dict[Change, float] = {}
        for first in range(0, len(ordered), _SLAB):
            slab = ordered[first : first + _SLAB]
            laid = self._layout.lay(slab)
            theta = np.empty((len(laid.positions), _N_BASES), dtype=np.float32)
            contigs = laid.contigs[laid.owners]
            for contig in np.unique(contigs).tolist():
                rows = np.flatnonzero(contigs == contig)
                theta[rows] = self._scorer.theta_at(self._contigs[contig], laid.positions[rows])
            sites = site_numbers(self._scorer.model.substitution, theta)
            process = self._scorer.model.mutation_process
            values = process.scores(score, sites.log_pi, sites.log_rate, sites.rate, laid.terms())
            found.update(zip(slab, values.tolist(), strict=True))
        return np.array([found[change] for change in aligned], dtype=np.float64)


def _moved(change: Change, shift: int) -> Change:
    """The same change spelled so many bases further right, where the sequence allows it."""
    if not shift:
        return change
    turn = shift % len(change.ref or change.alt)
    ref, alt = (allele[turn:] + allele[:turn] for allele in (change.ref, change.alt))
    return Change(change.contig, change.start + shift, ref, alt)
