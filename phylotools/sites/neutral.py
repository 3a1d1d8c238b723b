"""Sites whose column looks neutral: what a model's scores can be calibrated on without a BED."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, shown
from phylotools.io.files import numbered_lines, open_input
from phylotools.io.intervals import merge_intervals
from phylotools.io.regions import MAX_COORDINATE, RegionSet
from phylotools.sites.fits import fit_columns
from phylotools.sites.preparation import FitSettings, prepare
from phylotools.store.columns import columns_in_order
from phylotools.store.read import open_store

#: -log10 p of the rate test, either way: p of 0.1.
MOST_CONSERVATION = 1.0
#: The fitted rate, in neutral substitutions.
LEAST_RATE, MOST_RATE = 0.5, 2.0
#: Of the largest number of species that any site has: with few, every rate is compatible.
LEAST_SPECIES = 0.5
RULE = (
    f"p of at least {10**-MOST_CONSERVATION:g} in the test of the rate, a rate between "
    f"{LEAST_RATE:g} and {MOST_RATE:g}, and at least half as many species as the deepest site"
)
_COLUMNS = ("n_species", "site_rate", "conservation")
_REMEDY = "give a table of `phylotools fit-sites`, or a column store"


@dataclass(frozen=True)
class NeutralByRate:
    """Sites that pass.

    Attributes
    ----------
    regions : RegionSet
    n_looked_at : int
        Sites with a fitted rate.
    """

    regions: RegionSet
    n_looked_at: int

    @property
    def n_sites(self) -> int:
        return self.regions.n_positions


@dataclass
class _Sites:
    """Sites whose rate passes, until it is known how many species the deepest has."""

    n_looked_at: int = 0
    deepest: int = 0
    positions: dict[str, array[int]] = field(default_factory=dict)
    depths: dict[str, array[int]] = field(default_factory=dict)

    def add(
        self,
        contig: str,
        position: NDArray[np.int64],
        n_species: NDArray[np.int64],
        rate: NDArray[np.float64],
        conservation: NDArray[np.float64],
    ) -> None:
        self.n_looked_at += len(position)
        self.deepest = max(self.deepest, int(n_species.max(initial=0)))
        passes = (np.abs(conservation) <= MOST_CONSERVATION) & (rate >= LEAST_RATE)
        passes &= rate <= MOST_RATE
        self.positions.setdefault(contig, array("q")).extend(position[passes].tolist())
        self.depths.setdefault(contig, array("q")).extend(n_species[passes].tolist())

    def neutral(self) -> NeutralByRate:
        regions = {}
        for contig, positions in self.positions.items():
            starts = np.frombuffer(positions, dtype=np.int64)
            depths = np.frombuffer(self.depths[contig], dtype=np.int64)
            starts = starts[depths >= LEAST_SPECIES * self.deepest]
            regions[contig] = merge_intervals(np.stack([starts, starts + 1], axis=1))
        return NeutralByRate(RegionSet(regions), self.n_looked_at)


def neutral_by_rate(
    path: str | os.PathLike[str], on_sites: Callable[[int], None] = lambda _: None
) -> NeutralByRate:
    """Sites whose fitted rate is compatible with neutrality, as `RULE` says.

    Parameters
    ----------
    path : str or PathLike
        Table of `phylotools fit-sites` (text, gzip or bgzip), or a column store, whose sites are
        fitted as fit-sites does by default.
    on_sites : callable
        Gets the number of sites of every finished part.

    Raises
    ------
    InputError
        If it is neither, or no site passes.
    """
    found = (_of_store if Path(path).is_dir() else _of_table)(path, on_sites)
    if not found.n_sites:
        raise InputError(
            f"none of {found.n_looked_at:,} sites looks neutral ({RULE})",
            path=path,
            remedy="look at the neutral scale of the tree (docs/fit-sites.md), or give a BED with "
            "--neutral-regions",
        )
    return found


def _of_store(path: str | os.PathLike[str], on_sites: Callable[[int], None]) -> NeutralByRate:
    store, sites = open_store(path), _Sites()
    prepared = prepare(store, FitSettings())
    for batch in columns_in_order(store):
        for fits in fit_columns(batch, prepared):
            sites.add(
                fits.contig,
                fits.position,
                fits.n_species.astype(np.int64),
                fits.site_rate,
                fits.conservation,
            )
            on_sites(len(fits))
    return sites.neutral()


def _of_table(path: str | os.PathLike[str], on_sites: Callable[[int], None]) -> NeutralByRate:
    name, sites = os.fspath(path), _Sites()
    columns: list[int] = []
    rows: list[tuple[int, int, float, float]] = []
    contig, last = "", -1

    def flush() -> None:
        if rows:
            position, n_species, rate, conservation = map(np.array, zip(*rows, strict=True))
            sites.add(contig, position, n_species, rate, conservation)
            on_sites(len(rows))
            rows.clear()

    with open_input(name) as handle:
        for number, raw in numbered_lines(handle, name):
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            if text.startswith("##") or not text:
                continue
            cells = text.split("\t")
            if not columns:
                columns = _columns(cells, name, number)
                continue
            row = _row(cells, columns)
            if row is None:
                raise InputError(
                    f"{shown(text)!r} is no site with its rate",
                    path=name, line=number, remedy=_REMEDY,
                )  # fmt: skip
            if cells[0] != contig or len(rows) == 1 << 16:
                flush()
            # Tables of alleles say of each site three times the same.
            if cells[0] != contig or row[0] != last:
                contig, last = cells[0], row[0]
                rows.append(row)
    flush()
    return sites.neutral()


def _columns(cells: list[str], path: str, line: int) -> list[int]:
    names = [cell.lstrip("#") for cell in cells]
    if names[:2] != ["contig", "pos"] or not set(_COLUMNS) <= set(names):
        raise InputError(
            "is no table of fitted sites: it has no columns contig, pos, n_species, site_rate and "
            "conservation",
            path=path,
            line=line,
            remedy=_REMEDY,
        )
    return [names.index(name) for name in _COLUMNS]


def _row(cells: list[str], columns: list[int]) -> tuple[int, int, float, float] | None:
    """0-based position, species, rate and conservation; None if the cells are none of these."""
    if len(cells) <= max(columns) or not cells[1].isdecimal() or not cells[0]:
        return None
    depth, rate, conservation = (cells[column] for column in columns)
    try:
        position = int(cells[1][:15]) - 1
        row = (position, int(depth[:10]), float(rate), float(conservation))
    except ValueError:
        return None
    return row if 0 <= position < MAX_COORDINATE else None
