"""Alleles of a file as marks in the sequence of a logo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from phylotools.io.bases import BASE_COLOURS, BASES, COMPLEMENT
from phylotools.io.contigs import contig_resolver
from phylotools.io.regions import Region
from phylotools.io.scored import Allele, open_scored
from phylotools.io.vcf.alleles import Status, Substitution, classify

#: Rows of marks; further alleles at a site are not drawn.
MOST_ROWS = 4


@dataclass(frozen=True, order=True)
class Mark:
    """An allele at places along the shown strand.

    Attributes
    ----------
    start, end : int
        Bases that it replaces, half-open, counted from the region's first one.
    base : str
        The base of a single-nucleotide variant; ``+`` for an insertion, ``-`` for anything else.
    """

    start: int
    end: int
    base: str


def marks_within(path: str, region: Region, contigs: Iterable[str]) -> list[Mark]:
    """Alleles of a VCF, BCF or table that overlap a region.

    Parameters
    ----------
    path : str
        Read as a stream; no index is needed.
    region : Region
        On one of `contigs`.
    contigs : iterable of str

    Returns
    -------
    list of Mark
        Sorted, each once, on the forward strand.

    Raises
    ------
    InputError
        If the file cannot be understood.
    """
    resolve = contig_resolver(contigs)
    found: set[Mark] = set()
    with open_scored(path) as file:
        for allele in file.alleles(()):
            start, end = allele.position, allele.position + len(allele.ref)
            if end <= region.start or start >= region.end:
                continue
            base = _mark_of(allele)
            if base is not None and resolve(allele.contig) == region.contig:
                found.add(Mark(start - region.start, end - region.start, base))
    return sorted(found)


def _mark_of(allele: Allele) -> str | None:
    """Letter or sign that marks an allele; None where nothing is changed."""
    change = classify(allele.ref.encode(), allele.alt.encode())
    if change in (Status.MISSING, Status.SPANNING_DELETION, Status.REF_EQUALS_ALT):
        return None
    if isinstance(change, Substitution):
        return BASES[change.alt]
    return "+" if allele.alt.isalpha() and len(allele.alt) > len(allele.ref) else "-"


def reversed_marks(marks: Sequence[Mark], n_bases: int) -> list[Mark]:
    """The same marks along the other strand of a region of so many bases."""
    return sorted(
        Mark(n_bases - mark.end, n_bases - mark.start, COMPLEMENT.get(mark.base, mark.base))
        for mark in marks
    )


def stacked(marks: Sequence[Mark]) -> list[tuple[int, Mark]]:
    """Marks with the row that each has to itself, at most `MOST_ROWS` rows."""
    placed = []
    reached = [-(1 << 62)] * MOST_ROWS
    for mark in marks:
        row = next((i for i, end in enumerate(reached) if end <= mark.start), None)
        if row is not None:
            reached[row] = mark.end
            placed.append((row, mark))
    return placed


def draw_marks(
    axes: Any, placed: Sequence[tuple[int, Mark]], n_rows: int, font_size: float | None
) -> None:
    """Draw marks from the top; letters, or ticks where there is no room for them.

    Parameters
    ----------
    axes : matplotlib Axes
        Its limits of x are already set.
    placed : sequence of (int, Mark)
    n_rows : int
    font_size : float or None
        Points; None for ticks.
    """
    axes.set_axis_off()
    axes.set_ylim(n_rows, 0)
    low, high = axes.get_xlim()
    for row, mark in placed:
        if mark.start >= high or mark.end - 1 < low:
            continue
        colour = BASE_COLOURS[BASES.index(mark.base)] if mark.base in COMPLEMENT else "#444444"
        if font_size is None:
            axes.plot([mark.start] * 2, [row + 0.1, row + 0.9], color=colour, linewidth=0.7)
        elif mark.base in COMPLEMENT or mark.base == "+":
            axes.text(
                mark.start,
                row + 0.5,
                mark.base,
                ha="center",
                va="center_baseline",
                fontsize=font_size,
                family="DejaVu Sans Mono",
                color=colour,
                clip_on=True,
            )
        else:
            left, right = max(mark.start - 0.42, low), min(mark.end - 0.58, high)
            axes.plot([left, right], [row + 0.5] * 2, color=colour, linewidth=1.6)
