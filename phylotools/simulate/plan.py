"""Plan of a simulation in parts: tree, sites and settings, and regions cut into partitions."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from phylotools.errors import UsageError
from phylotools.io.regions import Region, RegionSet, cut_regions
from phylotools.jobs.engines.engine import Engine, part_size
from phylotools.jobs.job import Job, identities_of, input_checksum
from phylotools.model.planned import PlannedModel
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.provenance import RunRecord
from phylotools.simulate.pieces import PIECE
from phylotools.simulate.run import checked_walk, header_facts
from phylotools.simulate.sources import ModelSites, RandomSettings
from phylotools.store.tree_file import read_tree

if TYPE_CHECKING:
    from phylotools.model.folder import Model
    from phylotools.simulate.sources import SiteSource

#: Positions of a partition: a minute or so of a core with a few hundred species.
PARTITION_POSITIONS = 1 << 20


@dataclass(frozen=True)
class SimulationSettings:
    """What is simulated along a tree, as plain data.

    Attributes
    ----------
    random : RandomSettings or None
        Of random sites; None where a model gives them.
    reference : str or None
        Species whose coordinates are used; by default the first of the tree.
    missing : MissingData
    seed : int
    has_truth : bool
        Whether the table of the truth is made.
    """

    random: RandomSettings | None
    reference: str | None
    missing: MissingData
    seed: int
    has_truth: bool


@dataclass(frozen=True, kw_only=True)
class Plan(Job):
    """The job of simulating an alignment; each partition is a tuple of regions, in order.

    Attributes
    ----------
    settings : SimulationSettings
        With the reference species filled in.
    tree : str
        Its file.
    model : PlannedModel or None
        What gives the sites, if they are not random.
    fasta : str or None
        The sequence that the model reads.
    contigs : dict of str to int
        Name -> length.
    n_species : int
    header : dict
        Settings that decide the files, as they stand in them.
    """

    verb: ClassVar[str] = "simulate"
    version: ClassVar[int] = 1
    settings: SimulationSettings
    tree: str
    model: PlannedModel | None
    fasta: str | None
    contigs: dict[str, int]
    n_species: int
    header: dict[str, Any]
    extents: tuple[tuple[Region, ...], ...]

    @property
    def regions(self) -> RegionSet:
        """All regions of the plan."""
        return RegionSet.of(region for part in self.extents for region in part)

    @property
    def n_positions(self) -> int:
        return sum(len(region) for part in self.extents for region in part)

    def output(self) -> tuple[Any, ...]:
        return self.settings, self.model, self.fasta, self.identities, self.regions

    def check_plan(self) -> None:
        if (self.settings.random is None) != (self.model is not None and self.fasta is not None):
            raise ValueError("neither random sites nor a model's")
        for region in (region for part in self.extents for region in part):
            if not 0 <= region.start < region.end <= self.contigs[region.contig]:
                raise ValueError(region)


def make_plan(
    tree: str,
    settings: SimulationSettings,
    source: SiteSource,
    model: Model | None = None,
    *,
    partition_positions: int | None = None,
    engine: Engine | None = None,
) -> Plan:
    """Plan a job: check what can be checked at once, and cut the regions.

    Parameters
    ----------
    tree : str
        Newick file.
    settings : SimulationSettings
    source : SiteSource
        Of `settings.random`, or a `ModelSites`.
    model : Model, optional
        Of the latter.
    partition_positions : int, optional
        Positions of a partition, rounded up to whole pieces; by default `PARTITION_POSITIONS`.
    engine : Engine, optional
        Each of its workers gets some partitions, so that by default they may be smaller.

    Raises
    ------
    InputError, UsageError
    """
    files = {tree: "the tree"}
    fasta = None
    if isinstance(source, ModelSites):
        fasta = os.path.abspath(source.fasta)
        files[fasta] = "the sequence"
    identities = identities_of(files)
    parsed = read_tree(tree)
    walk = checked_walk(parsed, settings.reference, {r.contig for r in source.regions})
    reference = walk.species[0]
    total = sum(map(len, source.regions))
    size = partition_positions or part_size(total, PARTITION_POSITIONS, engine, PIECE)
    return Plan(
        settings=replace(settings, reference=reference),
        tree=os.path.abspath(tree),
        model=None if model is None else PlannedModel.of(model),
        fasta=fasta,
        contigs=dict(source.contigs),
        n_species=walk.n_species,
        header=header_facts(parsed, source, reference, settings.missing, settings.seed),
        extents=tuple(map(tuple, cut_regions(source.regions, PIECE, -(-size // PIECE)))),
        identities=identities,
        run=RunRecord(
            inputs={path: input_checksum(path) for path in identities},
            parameters=asdict(settings),
        ),
    )


def refuse_outputs_of(plan: Plan, truth: str | None, fasta: str | None) -> None:
    """Raise `UsageError` for outputs whose text the pieces of a plan do not hold."""
    if truth is not None and not plan.settings.has_truth:
        raise UsageError("--truth: the parts were planned without the table of the truth")
    if fasta is not None and plan.settings.random is None:
        raise UsageError("--output-fasta has no meaning where a model read the sequence")
