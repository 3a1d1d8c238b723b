"""Plan of a job of embedding: model, reference, settings, and regions cut into partitions."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from phylotools.embedding.cutting import (
    OrderedRegions,
    Span,
    cut_on_tiles,
    in_genome_order,
    n_tiles_of,
)
from phylotools.embedding.regions import (
    BedFile,
    RegionRows,
    RegionTable,
    named_regions,
)
from phylotools.embedding.run import EmbedSettings, warn_of_training
from phylotools.embedding.source import NetworkOptions
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.jobs.engines.engine import Engine, part_size
from phylotools.jobs.job import Job, identities_of, input_checksum
from phylotools.model.planned import PlannedModel
from phylotools.provenance import RunRecord
from phylotools.scoring.layers import find_layer
from phylotools.scoring.tiled_network import choose_tile_length

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: Positions of the tiles of a partition: some minutes of a core with a small network.
PARTITION_POSITIONS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Plan(Job):
    """The job of embedding regions; each partition is a run of regions as they lie on the genome.

    Attributes
    ----------
    settings : EmbedSettings
        What is computed; what is chosen when the table is written has its default.
    model : PlannedModel
    fasta : str
    bed : str or None
        File of the regions.
    named : tuple of Region
        Those that were named in its place,
    names : tuple of str
        and how.
    targets : dict of str to str
        The reference's name of each contig of the BED that it has.
    layer : str
        Name of the network's layer.
    width : int
        Channels of a vector.
    tile_length : int
        Positions of a tile.
    longest : int
        See `in_genome_order`.
    n_outside_training : int or None
        Regions not wholly within those that the model was trained on, if it names them.
    """

    verb: ClassVar[str] = "embed"
    version: ClassVar[int] = 1
    settings: EmbedSettings
    model: PlannedModel
    fasta: str
    bed: str | None
    named: tuple[Region, ...]
    names: tuple[str, ...]
    targets: dict[str, str]
    layer: str
    width: int
    tile_length: int
    longest: int
    n_outside_training: int | None
    extents: tuple[Span, ...]

    def output(self) -> tuple[Any, ...]:
        regions = self.bed, self.named, self.names, self.targets
        return self.settings, self.model, self.fasta, self.identities, regions

    def check_plan(self) -> None:
        ends = [0, *(span.last for span in self.extents)]
        for span, before in zip(self.extents, ends, strict=False):
            if not before == span.first < span.last:
                raise ValueError(span)
        if min(self.width, self.tile_length, self.longest) < 1:
            raise ValueError(self.width)

    def table(self, genome: ReferenceGenome) -> RegionTable:
        """The regions in the order of their file.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        if self.bed is not None:
            return BedFile(self.bed).placed(
                genome, skip_outside=self.settings.skip_outside, targets=self.targets
            )
        rows = RegionRows()
        for region, name in zip(self.named, self.names, strict=True):
            rows.append(region.contig, region.start, region.end, name)
        return rows.table(genome, self.targets)

    def ordered(self, genome: ReferenceGenome) -> OrderedRegions:
        """The regions as partitions have them."""
        return in_genome_order(
            self.table(genome),
            genome,
            pool=self.settings.pool,
            strand=self.settings.strand,
            longest=self.longest,
        )


def make_plan(
    model: Model,
    bed: BedFile | None,
    settings: EmbedSettings,
    *,
    regions: tuple[str, ...] = (),
    fasta: str | None = None,
    partition_positions: int | None = None,
    engine: Engine | None = None,
) -> Plan:
    """Plan a job: check what can be checked at once, and cut the regions.

    Parameters
    ----------
    model : Model
    bed : BedFile or None
        Without one, `regions` are embedded.
    settings : EmbedSettings
        See `Plan.settings`.
    regions : tuple of str
        ``contig:begin-end``, 1-based.
    fasta : str, optional
        By default the model's own reference.
    partition_positions : int, optional
        Positions of a partition, counted by the tiles that its regions touch; by default
        `PARTITION_POSITIONS`.
    engine : Engine, optional
        Each of its workers gets some partitions, so that by default they may be smaller.

    Raises
    ------
    InputError, UsageError
    """
    layer = find_layer(settings.layer, model.spec)
    tile_length = choose_tile_length(model, settings.network.tile_length)
    reference = os.path.abspath(model.choose_reference(fasta))
    files = {reference: "the reference"}
    if bed is not None:
        files[bed.path] = "the BED"
    identities = identities_of(files)
    settings = replace(
        settings,
        dtype=EmbedSettings.dtype,
        n_components=EmbedSettings.n_components,
        network=NetworkOptions(precision=settings.network.precision),
    )
    with ReferenceGenome.open(reference) as genome:
        if bed is None:
            table = named_regions(regions, genome)
        else:
            table = bed.placed(genome, skip_outside=settings.skip_outside)
        order = {"pool": settings.pool, "strand": settings.strand}
        whole = in_genome_order(table, genome, **order, longest=1 << 62)
        total = n_tiles_of(whole, tile_length) * tile_length
        size = partition_positions or part_size(total, PARTITION_POSITIONS, engine, tile_length)
        n_tiles = -(-size // tile_length)
        longest = n_tiles * tile_length
        ordered = in_genome_order(table, genome, **order, longest=longest)
    named = [] if bed is not None else range(len(table))
    return Plan(
        settings=settings,
        model=PlannedModel.of(model),
        fasta=reference,
        bed=None if bed is None else os.path.abspath(bed.path),
        named=tuple(_region(table, k) for k in named),
        names=tuple(table.names[k] for k in named),
        targets={n: own for n, own in zip(table.contigs, table.targets, strict=True) if own},
        layer=layer.name,
        width=model.spec.channels,
        tile_length=tile_length,
        longest=longest,
        n_outside_training=warn_of_training(table, model),
        extents=tuple(cut_on_tiles(ordered, tile_length, n_tiles)),
        identities=identities,
        run=RunRecord(
            inputs={
                "model": model.sha256,
                **{path: input_checksum(path) for path in identities},
            },
            parameters=asdict(settings),
        ),
    )


def _region(table: RegionTable, index: int) -> Region:
    contig = table.contigs[table.contig[index]]
    return Region(contig, int(table.start[index]), int(table.end[index]))
