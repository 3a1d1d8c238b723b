"""Starts with what may be changed of them, in groups that are computed together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.design.constraints import CodingFrame, Constraint
from phylotools.design.frames import coding_frames
from phylotools.design.starts import Start, template_mask
from phylotools.errors import InputError, UsageError, shown
from phylotools.io.bases import LETTER_OF_CODE
from phylotools.io.bed import read_bed
from phylotools.io.intervals import intersect_intervals
from phylotools.io.regions import Region, RegionSet, resolve_region


@dataclass(frozen=True)
class Limits:
    """What a user lets be changed.

    Attributes
    ----------
    fixed : sequence of str
        ``BEGIN-END`` of each sequence or ``contig:begin-end``, 1-based, or a BED file.
    template : str, optional
        IUPAC letters: bases that may stand at each position.
    keep_protein : str, optional
        As for `coding_frames`.
    genetic_code : int, optional
    most_edits : int, optional
    """

    fixed: Sequence[str] = ()
    template: str | None = None
    keep_protein: str | None = None
    genetic_code: int | None = None
    most_edits: int | None = None


@dataclass(frozen=True)
class Problem:
    """Sequences of one length with their surroundings, and what may be changed of them.

    Attributes
    ----------
    starts : sequence of Start
        B of them.
    constraint : Constraint
    """

    starts: Sequence[Start]
    constraint: Constraint

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The starts, [B, L]."""
        return self.constraint.start

    def single(self) -> list[Problem]:
        """One problem for each start."""
        return [Problem((start,), self.constraint.of(k)) for k, start in enumerate(self.starts)]

    def tokens(self, codes: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Sequences within the surroundings of their starts.

        Parameters
        ----------
        codes : uint8 array [K, L]
        rows : int64 array [K]
            The start of each.

        Returns
        -------
        uint8 array [K, L + 2 half_window]
        """
        left = np.stack([start.left for start in self.starts])[rows]
        right = np.stack([start.right for start in self.starts])[rows]
        return np.concatenate([left, codes, right], axis=1)


def make_problems(starts: Sequence[Start], limits: Limits) -> list[Problem]:
    """Starts in groups, in their order.

    Random starts, which share what may be changed, are one group; every other is its own.

    Raises
    ------
    InputError
        If a region is none, or starts do not fit the template.
    UsageError
        If nothing is left to change.
    """
    are_random = all(start.is_random for start in starts)
    groups = [list(starts)] if are_random else [[start] for start in starts]
    return [_problem(group, limits) for group in groups]


def _problem(group: Sequence[Start], limits: Limits) -> Problem:
    first = group[0]
    if first.is_random and (limits.fixed or limits.keep_protein is not None):
        option = "--fixed" if limits.fixed else "--keep-protein"
        raise UsageError(f"{option}: a random start has nothing to keep; give -r or --start")
    codes = np.stack([start.codes for start in group])
    mask = np.ones((len(first), 4), dtype=bool)
    if limits.template is not None:
        mask = template_mask(limits.template)
        _require_fit(first, mask, limits.template)
    fixed = fixed_positions(first, limits.fixed)
    frames: list[CodingFrame] = []
    if limits.keep_protein is not None:
        frames, torn = coding_frames(first, limits.keep_protein, limits.genetic_code)
        fixed[torn] = True
    own = np.arange(4) == codes[0][:, None]
    mask = np.where(fixed[:, None], own, mask)
    constraint = Constraint(codes, mask, tuple(frames), limits.most_edits)
    constraint.require_freedom()
    return Problem(tuple(group), constraint)


def _require_fit(start: Start, mask: NDArray[np.bool_], template: str) -> None:
    if len(mask) != len(start):
        raise UsageError(
            f"the template has {len(mask):,} letters, {shown(start.name)} has {len(start):,} bases"
        )
    wrong = np.flatnonzero(~mask[np.arange(len(start)), start.codes])
    if len(wrong):
        place = int(wrong[0])
        base = chr(LETTER_OF_CODE[start.codes[place]])
        raise InputError(
            f"{shown(start.name)}: base {place + 1} is {base}, which the template's "
            f"{template[place]} does not allow",
            remedy="change the template or the start there",
        )


def fixed_positions(start: Start, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Positions of a start that regions or BED files say to leave as they are, bool [L].

    Raises
    ------
    InputError
        If a text is no region, or a BED has no position of it.
    """
    fixed = np.zeros(len(start), dtype=bool)
    place = start.place
    for text in texts:
        for region in _regions(text, place):
            begin, end = max(region.start, place.start), min(region.end, place.end)
            fixed[max(begin - place.start, 0) : max(end - place.start, 0)] = True
    return fixed


def _regions(text: str, place: Region) -> list[Region]:
    if os.path.exists(text):
        found = read_bed(text).spelled_as([place.contig])
        inside = intersect_intervals(found.on(place.contig), RegionSet.of([place]).on(place.contig))
        return [Region(place.contig, *span) for span in inside.tolist()]
    begin, dash, end = text.partition("-")
    if dash and begin.isascii() and begin.isdigit() and end.isascii() and end.isdigit():
        # Of each sequence, counted from its first base.
        first, last = int(begin[:12]), int(end[:12])
        length = len(place)
        if not 1 <= first <= last <= length:
            raise InputError(
                f"--fixed {shown(text)} does not lie within 1-{length}",
                remedy="write BEGIN-END of the sequence or contig:begin-end, 1-based",
            )
        return [Region(place.contig, place.start + first - 1, place.start + last)]
    region = resolve_region(text, {place.contig: place.end})
    return [replace(region, contig=place.contig)]
