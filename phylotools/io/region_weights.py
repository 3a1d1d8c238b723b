"""Weights of intervals, as a BED file or a bedGraph gives them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bed import read_bed_weights
from phylotools.io.contigs import one_spelling, resolve_contigs, spellings
from phylotools.io.intervals import Intervals, as_intervals, overlapping, within
from phylotools.io.regions import Region


@dataclass(frozen=True, eq=False)
class WeightTable:
    """Weights of intervals; 1 elsewhere.

    Attributes
    ----------
    intervals : dict of str to int64 array [K, 2]
        Sorted and disjoint.
    weights : dict of str to float32 array [K]
    """

    intervals: dict[str, Intervals]
    weights: dict[str, NDArray[np.float32]]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> WeightTable:
        """Read a BED file whose fourth column is a weight. Held are 20 bytes an interval.

        Raises
        ------
        InputError
            If a line is no BED line, its weight no number from 0 up, or two intervals overlap, by
            whichever name of their contig.
        """
        spelled = one_spelling()
        bounds: dict[str, array[int]] = {}
        values: dict[str, array[float]] = {}
        for region, weight in read_bed_weights(path):
            contig = spelled(region.contig)
            if contig not in bounds:
                bounds[contig], values[contig] = array("q"), array("f")
            bounds[contig].extend((region.start, region.end))
            values[contig].append(weight)
        intervals, weights = {}, {}
        for contig in bounds:
            own = as_intervals(bounds[contig])
            order = np.lexsort((own[:, 1], own[:, 0]))
            intervals[contig] = own = own[order]
            weights[contig] = np.array(values[contig], dtype=np.float32)[order]
            overlaps = np.flatnonzero(own[1:, 0] < own[:-1, 1])
            if len(overlaps):
                where = Region(contig, *own[int(overlaps[0]) + 1].tolist())
                raise InputError(
                    f"{where} overlaps the interval before it",
                    path=path,
                    remedy="give each position one weight",
                )
        return cls(intervals, weights)

    def within(self, contigs: Mapping[str, int]) -> WeightTable:
        """The same by the names that a store or genome has (name -> length), and of these alone."""
        names = resolve_contigs(self.intervals, contigs)
        return WeightTable(
            {names[contig]: self.intervals[contig] for contig in names},
            {names[contig]: self.weights[contig] for contig in names},
        )

    def __call__(self, region: Region) -> NDArray[np.float32]:
        """Weights of a region; float32 [L]."""
        weight = np.ones(len(region), dtype=np.float32)
        name = next((name for name in spellings(region.contig) if name in self.intervals), None)
        if name is None:
            return weight
        rows = self.intervals[name]
        first, last = overlapping(rows, region.start, region.end)
        shown = within(rows, region.start, region.end) - region.start
        for (begin, end), value in zip(shown.tolist(), self.weights[name][first:last], strict=True):
            weight[begin:end] = value
        return weight
