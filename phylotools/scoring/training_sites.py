"""Which sites a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from phylotools.io.regions import Region, resolve_contigs

_NO_INTERVALS = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class TrainingSites:
    """The columns that a model was trained on, by the reference's contig names.

    Parameters
    ----------
    regions : sequence of Region, optional
        None where the model does not say: then it lacks no site.
    contigs : iterable of str
        Of the reference.
    """

    def __init__(self, regions: Sequence[Region] | None, contigs: Iterable[str]) -> None:
        self._is_known = regions is not None
        bounds: dict[str, tuple[list[int], list[int]]] = {}
        names = resolve_contigs(dict.fromkeys(each.contig for each in regions or ()), contigs)
        for region in regions or ():
            if region.contig in names:
                starts, ends = bounds.setdefault(names[region.contig], ([], []))
                starts.append(region.start)
                ends.append(region.end)
        self._intervals = {
            contig: (np.sort(np.array(starts)), np.sort(np.array(ends)))
            for contig, (starts, ends) in bounds.items()
        }

    def lacks(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which positions, 0-based, the model was not trained on; bool array [K]."""
        if not self._is_known:
            return np.zeros(len(positions), dtype=bool)
        starts, ends = self._intervals.get(contig, _NO_INTERVALS)
        # A position lies inside if more regions have begun than ended before it.
        return np.searchsorted(starts, positions, side="right") == np.searchsorted(
            ends, positions, side="right"
        )
