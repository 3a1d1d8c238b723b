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

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.genome import CODE_OF_BYTE
from phylotools.predict.alleles import LONGEST_CHANGE, shared_prefix, trim
from phylotools.predict.scorer import Scorer

#: Sites compared beyond the change itself: chosen in examples/indel_validation.
FLANK = 5
#: Furthest that an indel is moved, in bases. Two spellings of one change in a perfect tandem repeat
#: longer than this may score differently.
LONGEST_SHIFT = 1 << 16
#: Changes worked on together, which bounds the memory.
_SLAB = 1024
#: Reference positions decoded at once, and those on either side that a change may need with them.
_BLOCK, _MARGIN = 1 << 14, 1 << 12
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


class HaplotypeScorer:
    """Log-likelihood ratios of changes of any length, on the reference genome of a scorer.

    A result depends on the sequence around the change and on the model: not on its spelling, nor
    on the other changes asked for.

    Parameters
    ----------
    scorer : Scorer
        Of a model and a genome.
    flank : int
        Sites compared beyond the change itself, on either side; at least 1.

    Raises
    ------
    UsageError
        If `flank` is less than 1.
    """

    def __init__(self, scorer: Scorer, flank: int = FLANK) -> None:
        if flank < 1:
            raise UsageError(f"an indel cannot be scored with {flank} sites beyond it")
        self._scorer = scorer
        self._substitution = scorer.model.substitution
        self._flank = flank
        self._block = functools.lru_cache(8)(self._read_block)

    def llr(self, changes: Sequence[Change], *, are_aligned: bool = False) -> NDArray[np.float64]:
        """Log-likelihood ratio of every change; negative: the alternative is less viable.

        Parameters
        ----------
        changes : sequence of Change
            At most `LONGEST_CHANGE` bases of either allele after trimming.
        are_aligned : bool
            They come from `left_aligned`.

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
        aligned = changes if are_aligned else [self.left_aligned(change) for change in changes]
        ordered = sorted(set(aligned), key=lambda change: (change.contig, change.start))
        found: dict[Change, float] = {}
        for first in range(0, len(ordered), _SLAB):
            slab = ordered[first : first + _SLAB]
            found.update(zip(slab, self._slab_llr(slab), strict=True))
        return np.array([found[change] for change in aligned], dtype=np.float64)

    def left_aligned(self, change: Change) -> Change:
        """The one spelling that stands for all of a change's: trimmed, and as far left as it goes.

        Raises
        ------
        UsageError
            If the change is too long or leaves its contig.
        """
        length = self._scorer.genome.contigs.get(change.contig, 0)
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

    def _room(self, change: Change, *, to_the_left: bool) -> int:
        """Bases that an insertion or deletion can move without changing the haplotype."""
        if bool(change.ref) == bool(change.alt):
            return 0
        unit = (change.ref or change.alt).translate(_CODES)
        if to_the_left:
            border, limit = change.start, min(change.start, LONGEST_SHIFT)
        else:
            border = change.start + len(change.ref)
            limit = min(self._scorer.genome.contigs[change.contig] - border, LONGEST_SHIFT)
        room, n_read = 0, 16
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
            n_read = min(n_read * 4, _MARGIN)
        return room

    def _slab_llr(self, changes: list[Change]) -> list[float]:
        """LLRs of left-aligned changes of one or more contigs."""
        llr = np.zeros(len(changes))
        indices_of: dict[str, list[int]] = {}
        for index, change in enumerate(changes):
            indices_of.setdefault(change.contig, []).append(index)
        for contig, indices in indices_of.items():
            windows = [self._windows(changes[index]) for index in indices]
            starts = np.array([window[0] for pair in windows for window in pair])
            reference = b"".join([window[1] for pair in windows for window in pair])
            alternative = b"".join([window[2] for pair in windows for window in pair])
            lengths = np.array([len(window[1]) for pair in windows for window in pair])
            ends = np.cumsum(lengths)
            offsets = np.arange(len(reference)) - np.repeat(ends - lengths, lengths)
            differences = self._differences(
                contig,
                np.repeat(starts, lengths) + offsets,
                np.frombuffer(reference, dtype=np.uint8),
                np.frombuffer(alternative, dtype=np.uint8),
            )
            # The mean of the two ways to lay the haplotype.
            llr[indices] = np.add.reduceat(differences, (ends - lengths)[::2]) / 2
        return llr.tolist()

    def _windows(self, change: Change) -> tuple[tuple[int, bytes, bytes], ...]:
        """First site, and the base codes of both haplotypes, of both ways to lay the alternative.

        In a repeat the change could stand in several places. Sites between the first and the last
        keep their bases either way.
        """
        n_ref, n_sites = len(change.ref), len(change.ref) + self._flank
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
                before - self._flank,
                (upstream + ref)[len(ref) :],
                (upstream + alt)[len(alt) :],
            ),
        )

    def _differences(
        self,
        contig: str,
        positions: NDArray[np.int64],
        reference: NDArray[np.uint8],
        alternative: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        """LLR of a base at each position, float64 [M]; 0 where a letter is no base."""
        differences = np.zeros(len(positions))
        is_base = (reference < _N_BASES) & (alternative < _N_BASES)
        changed = np.flatnonzero(is_base & (reference != alternative))
        sites, rows = np.unique(positions[changed], return_inverse=True)
        theta = torch.from_numpy(self._scorer.theta_at(contig, sites))
        with torch.inference_mode():
            scores = self._substitution.allele_scores(theta.double()).numpy()
        differences[changed] = scores[rows, alternative[changed]] - scores[rows, reference[changed]]
        return differences

    def _tokens(self, contig: str, start: int, end: int) -> bytes:
        """`TiledNetwork.tokens` as bytes."""
        index = start // _BLOCK
        if end - index * _BLOCK <= _BLOCK + _MARGIN:
            begin = index * _BLOCK
            return self._block(contig, index)[start - begin : end - begin]
        return self._scorer.tokens(contig, start, end).tobytes()

    def _read_block(self, contig: str, index: int) -> bytes:
        begin = index * _BLOCK
        return self._scorer.tokens(contig, begin, begin + _BLOCK + _MARGIN).tobytes()


def _moved(change: Change, shift: int) -> Change:
    """The same change spelled so many bases further right, where the sequence allows it."""
    if not shift:
        return change
    turn = shift % len(change.ref or change.alt)
    ref, alt = (allele[turn:] + allele[:turn] for allele in (change.ref, change.alt))
    return Change(change.contig, change.start + shift, ref, alt)
