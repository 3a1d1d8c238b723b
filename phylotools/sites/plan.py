"""Plan of a job of fitting sites: store, settings, what was decided, and batches of columns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch

from phylotools.io.regions import Region, RegionSet
from phylotools.jobs.engines.engine import Engine, part_size
from phylotools.jobs.job import Job, changed, identities_of, input_checksum
from phylotools.model.planned import PlannedModel
from phylotools.provenance import RunRecord
from phylotools.sites.decided import Decided
from phylotools.sites.network_prior import NetworkPrior
from phylotools.sites.preparation import FitSettings, prepare
from phylotools.sites.run import nothing_to_fit
from phylotools.store.columns import BATCH_COLUMNS, batches_in_order
from phylotools.store.read import ColumnStore, open_store
from phylotools.store.view import StoreView, viewed

#: Sites of a partition: a minute or two of a core.
PARTITION_SITES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Plan(Job):
    """The job of fitting the sites of a store; each partition is a tuple of regions, sorted.

    The columns of the regions are whole batches of a run that does all in one go: numbers of a site
    may differ in the last digit with the others of its batch.

    Attributes
    ----------
    settings : FitSettings
    store : str
        Its folder.
    fingerprint : str
        Of its content.
    clade : tuple of str
        See `viewed`.
    trees : str or None
        File of trees of regions,
    trees_name : str or None
        and as the user names it.
    per_allele : bool
        Whether lines are of alleles.
    regions : tuple of Region or None
        What is fitted; None for everything.
    model : PlannedModel or None
        Whose prediction is the centre of the prior.
    fasta : str or None
        The sequence that it reads.
    targets : dict of str to str
        The sequence's name of each contig of the store that it has.
    decided : Decided or None
        None while it is unknown.
    """

    verb: ClassVar[str] = "fit-sites"
    version: ClassVar[int] = 1
    settings: FitSettings
    store: str
    fingerprint: str
    clade: tuple[str, ...]
    trees: str | None
    trees_name: str | None
    per_allele: bool
    regions: tuple[Region, ...] | None
    model: PlannedModel | None
    fasta: str | None
    targets: dict[str, str]
    decided: Decided | None
    extents: tuple[tuple[Region, ...], ...]

    def output(self) -> tuple[Any, ...]:
        store = self.store, self.fingerprint, self.clade, self.trees
        prior = self.model, self.fasta, self.targets
        return self.settings, *store, self.per_allele, self.regions, *prior, self.identities

    def check_plan(self) -> None:
        if self.decided is None or (self.model is None) != (self.fasta is None):
            raise ValueError("what was decided is missing")
        try:
            self.decided.model()
        except RuntimeError as error:
            raise ValueError("no parameters of a substitution model") from error
        for region in (region for part in self.extents for region in part):
            if not 0 <= region.start < region.end:
                raise ValueError(region)

    def check_inputs(self) -> None:
        super().check_inputs()
        if open_store(self.store).fingerprint != self.fingerprint:
            raise changed(self.store)

    @property
    def known(self) -> Decided:
        """What was decided."""
        assert self.decided is not None
        return self.decided

    def opened_store(self) -> ColumnStore:
        """The store as the plan looks at it.

        Raises
        ------
        InputError
        """
        store = viewed(open_store(self.store), self.clade, self.trees)
        if isinstance(store, StoreView) and store.region_trees is not None:
            store.region_trees = replace(store.region_trees, path=str(self.trees_name))
        return store


def draft_plan(
    store: ColumnStore,
    settings: FitSettings,
    regions: RegionSet | None,
    network: NetworkPrior | None = None,
    *,
    clade: Sequence[str] = (),
    trees: str | None = None,
    per_allele: bool = False,
) -> Plan:
    """A plan but for what takes long: what is decided, and the batches.

    Parameters
    ----------
    store : ColumnStore
        As `viewed` gives it for `clade` and `trees`.
    settings : FitSettings
    regions : RegionSet, optional
        Everything unless given.
    network : NetworkPrior, optional
    clade, trees : sequence of str, str
    per_allele : bool
        Lines of alleles, not of sites.

    Raises
    ------
    InputError, UsageError
    """
    files = {}
    if trees is not None:
        files[trees] = "the table of trees"
    if network is not None:
        files[network.fasta] = "the sequence"
    identities = identities_of(files)
    return Plan(
        settings=settings,
        store=str(store.path.absolute()),
        fingerprint=store.fingerprint,
        clade=tuple(clade),
        trees=None if trees is None else os.path.abspath(trees),
        trees_name=trees,
        per_allele=per_allele,
        regions=None if regions is None else tuple(regions),
        model=None if network is None else PlannedModel.of(network.model),
        fasta=None if network is None else os.path.abspath(network.fasta),
        targets={} if network is None else network.targets,
        decided=None,
        extents=(),
        identities=identities,
        run=RunRecord(
            inputs={"store": store.fingerprint, **{p: input_checksum(p) for p in identities}},
            parameters=asdict(settings),
        ),
    )


def completed_plan(
    draft: Plan,
    store: ColumnStore,
    network: NetworkPrior | None = None,
    device: torch.device | None = None,
    *,
    partition_sites: int | None = None,
    engine: Engine | None = None,
) -> Plan:
    """A draft with all that is decided before the pass, cut into partitions.

    Parameters
    ----------
    draft : Plan
    store, network :
        Of `draft_plan`.
    device : torch.device, optional
    partition_sites : int, optional
        Sites of a partition, rounded up to whole batches; by default `PARTITION_SITES`.
    engine : Engine, optional
        Each of its workers gets some partitions, so that by default they may be smaller.

    Raises
    ------
    InputError, UsageError
        See `prepare`; if there is no column.
    """
    regions = None if draft.regions is None else RegionSet.of(draft.regions)
    batches = list(batches_in_order(store, regions))
    total = sum(n_columns for _, n_columns in batches)
    if not total:
        raise nothing_to_fit(store)
    prepared = prepare(store, draft.settings, network, device)
    size = partition_sites or part_size(total, PARTITION_SITES, engine, BATCH_COLUMNS)
    parts: list[list[Region]] = [[]]
    n_here = 0
    for bounds, n_columns in batches:
        if n_here and n_here + n_columns > size:
            parts.append([])
            n_here = 0
        parts[-1] += bounds
        n_here += n_columns
    return replace(
        draft,
        decided=Decided.of(prepared),
        extents=tuple(tuple(_within(part, regions)) for part in parts),
    )


def _within(bounds: list[Region], regions: RegionSet | None) -> RegionSet:
    whole = RegionSet.of(bounds)
    return whole if regions is None else whole & regions
