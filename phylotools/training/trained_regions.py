"""The regions of the columns that a model is trained on: scores elsewhere are flagged."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

from phylotools.io.files import atomic_path
from phylotools.io.intervals import merge_intervals
from phylotools.io.regions import MAX_COORDINATE, RegionSet
from phylotools.training.store_windows import StoreWindows

logger = logging.getLogger("phylotools")

#: A model folder holds no more; 1.5 MB of BED, read in a tenth of a second.
_MOST_REGIONS = 50_000
#: Runs of columns taken in before regions are joined.
_TAKEN = 1 << 18


def write_trained_regions(stores: Sequence[StoreWindows], path: Path) -> None:
    """Write the regions of the training columns of all stores as BED.

    Held-out columns are not among them. Where there are very many regions, those that lie close
    to each other are joined, with what lies between them. Stores of several reference species have
    no regions in common coordinates: then nothing is written.

    Parameters
    ----------
    stores : sequence of StoreWindows
    path : Path
        An existing file is replaced.
    """
    references = sorted({source.store.reference_species for source in stores})
    if len(references) > 1:
        logger.info("no regions are noted: the stores' references are %s", ", ".join(references))
        return
    regions, gap = RegionSet({}), 0
    for source in stores:
        runs = source.regions()
        while some := list(itertools.islice(runs, _TAKEN)):
            regions = _joined(regions | RegionSet.of(some), gap)
            while len(regions) > _MOST_REGIONS and gap < MAX_COORDINATE:
                gap = max(10, 10 * gap)
                regions = _joined(regions, gap)
    logger.info(
        "the training columns are %d regions, %d positions%s",
        len(regions),
        regions.n_positions,
        f", after those at most {gap} apart were joined" if gap else "",
    )
    write_regions(regions, path)


def write_regions(regions: RegionSet, path: Path) -> None:
    """Write regions as BED, whole or not at all; an existing file is replaced."""
    with atomic_path(path, force=True) as temporary:
        temporary.write_text("".join(f"{r.contig}\t{r.start}\t{r.end}\n" for r in regions))


def _joined(regions: RegionSet, gap: int) -> RegionSet:
    """Regions of which none lies so many positions or fewer before the next."""
    if gap == 0:
        return regions
    wider = [0, gap]
    return RegionSet({c: merge_intervals(regions.on(c) + wider) - wider for c in regions.contigs})
