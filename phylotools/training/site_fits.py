"""Theta of the training columns, fitted under a prior about the network's prediction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.io.bases import BASES
from phylotools.io.files import atomic_path
from phylotools.io.regions import Region
from phylotools.model.presets import PAD_TOKEN
from phylotools.model.site_fits import MOST_SITES, FittedRun, SiteFits
from phylotools.model.site_model import SiteModel
from phylotools.phylogeny.site_fit.fit import SitePrior, fit_sites
from phylotools.store import schema
from phylotools.training.store_windows import StoreWindows

logger = logging.getLogger("phylotools")

#: Widths of the prior about the network's prediction, of log R and of each allele score: those of
#: `fit-sites` without a network. Measured on the mitochondrion (docs/method.md): 0.5 and 0.5 ranked
#: worse, 0.7 and 2 alike. They are wide because the network has seen the columns.
PRIOR = SitePrior(log_rate_sd=1.0, log_frequency_sd=3.0)
#: Columns fitted at once.
_TOGETHER = 1 << 14


def write_site_fits(
    model: SiteModel, stores: Sequence[StoreWindows], path: Path, device: torch.device
) -> None:
    """Fit theta to the training columns of all stores, and write it.

    Nothing is written for more than `MOST_SITES` columns, or for stores without common coordinates.

    Parameters
    ----------
    model : SiteModel
        Trained and frozen.
    stores : sequence of StoreWindows
        Held-out columns and species are not looked at.
    path : Path
        An existing file is replaced.
    device : torch.device
    """
    if not can_be_fitted(stores):
        logger.info(
            "training columns are not fitted one by one: they are more than %d, or in stores "
            "without common coordinates",
            MOST_SITES,
        )
        return
    found: dict[str, list[FittedRun]] = {}
    for source in stores:
        for parts in _batches(source.regions()):
            for part, run in zip(parts, fit_regions(model, source, parts, device), strict=True):
                found.setdefault(part.contig, []).extend(_known(run))
    fits = SiteFits.of(found)
    with atomic_path(path, force=True) as temporary:
        fits.write(temporary)
    logger.info("fitted %d training columns under a prior about the network's theta", len(fits))


def can_be_fitted(stores: Sequence[StoreWindows]) -> bool:
    """Whether the training columns of stores are few enough, and have common coordinates."""
    n_columns = sum(source.training.n_columns for source in stores)
    references = {source.store.reference_species for source in stores}
    contigs = [contig for source in stores for contig in source.store.contigs]
    is_one_genome = len(references) == 1 and len(set(contigs)) == len(contigs)
    return is_one_genome and n_columns <= MOST_SITES


def _batches(regions: Iterable[Region]) -> Iterator[list[Region]]:
    """Parts of regions, to be fitted together: a call for each of thousands of exons is slow."""
    batch: list[Region] = []
    room = _TOGETHER
    for region in regions:
        start = region.start
        while start < region.end:
            end = min(start + room, region.end)
            batch.append(Region(region.contig, start, end))
            room -= end - start
            start = end
            if not room:
                yield batch
                batch, room = [], _TOGETHER
    if batch:
        yield batch


def fit_regions(
    model: SiteModel, source: StoreWindows, parts: Sequence[Region], device: torch.device
) -> list[FittedRun]:
    """Theta of the columns of regions."""
    states = np.concatenate([source.store.bases(part) for part in parts]) & schema.CODE_MASK
    states[:, source.held_out_species] = schema.NO_BLOCK
    bases = np.concatenate([source.store.reference(part) for part in parts]) & schema.CODE_MASK
    bases = bases.astype(np.uint8)
    tree = np.concatenate([
        source.plans.index(part.contig, np.arange(part.start, part.end)) for part in parts
    ])  # fmt: skip
    theta = fit_sites(
        torch.from_numpy(states).to(device),
        torch.from_numpy(bases).to(device),
        source.plans.of(tree),
        PRIOR,
        model.substitution,
        torch.cat([_predicted(model, source, part, device) for part in parts]),
    )
    edges = np.cumsum([len(part) for part in parts])[:-1]
    return [
        FittedRun(part.start, own, fitted)
        for part, own, fitted in zip(
            parts, np.split(bases, edges), np.split(theta.cpu().numpy(), edges), strict=True
        )
    ]


def _known(run: FittedRun) -> Iterator[FittedRun]:
    """The parts of a run whose reference base is known: by it a genome's own is recognised."""
    is_known = np.concatenate([[False], run.bases < len(BASES), [False]])
    for begin, end in np.flatnonzero(np.diff(is_known)).reshape(-1, 2).tolist():
        yield FittedRun(run.start + begin, run.bases[begin:end], run.theta[begin:end])


@torch.inference_mode()
def _predicted(
    model: SiteModel, source: StoreWindows, region: Region, device: torch.device
) -> torch.Tensor:
    """The network's theta at a region, float32 (L, 4)."""
    tokens = _tokens(source, region, model.receptive_field // 2)
    theta: torch.Tensor = model(torch.from_numpy(tokens).to(device)[None])[0]
    return theta


def _tokens(source: StoreWindows, region: Region, half_window: int) -> NDArray[np.int64]:
    """Tokens of a region and its surroundings; outside the contig padding."""
    length = source.store.contigs[region.contig]
    begin, end = region.start - half_window, region.end + half_window
    inside = Region(region.contig, max(begin, 0), min(end, length))
    tokens = np.full(end - begin, PAD_TOKEN, dtype=np.int64)
    codes = source.store.reference(inside) & schema.CODE_MASK
    tokens[inside.start - begin : inside.end - begin] = codes
    return tokens
