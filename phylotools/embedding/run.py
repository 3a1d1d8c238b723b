"""A BED file to a table of vectors: the whole of `phylotools embed`."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phylotools.embedding.components import Components, fit_components, write_component_track
from phylotools.embedding.regions import BedFile, RegionTable, n_outside, named_regions
from phylotools.embedding.source import EmbeddingSource, NetworkOptions
from phylotools.embedding.staging import StagedRows
from phylotools.embedding.sweep import base_starts, row_starts, sweep
from phylotools.errors import OutputError
from phylotools.io.files import refuse_existing_file, refuse_existing_folder, refuse_same_file
from phylotools.io.genome import ReferenceGenome
from phylotools.io.staging import outputs_together
from phylotools.io.vector_table import (
    ZARR_CONTENTS,
    VectorRows,
    choose_format,
    open_vectors,
    refuse_terminal,
)
from phylotools.provenance import command_line
from phylotools.scoring.layers import find_layer
from phylotools.version import __version__

if TYPE_CHECKING:
    from phylotools.model.folder import Model, ModelIdentity

logger = logging.getLogger("phylotools")

#: Vectors of a row group of Parquet, and what is held while rows are written.
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class EmbedSettings:
    """How regions are embedded.

    Attributes
    ----------
    layer : str
        As for `find_layer`.
    pool : {'mean', 'max', 'centre', 'none'}
    strand : {'forward', 'bed', 'invariant'}
    context_pooling : bool
    dtype : {'float32', 'float16'}
        Of the vectors written.
    skip_outside : bool
        Leave out regions that do not lie in the genome.
    n_components : int
        Of the track of principal components.
    network : NetworkOptions
    """

    layer: str = "last"
    pool: str = "mean"
    strand: str = "forward"
    context_pooling: bool = False
    dtype: str = "float32"
    skip_outside: bool = False
    n_components: int = 3
    network: NetworkOptions = field(default_factory=NetworkOptions)


@dataclass(frozen=True)
class EmbedSummary:
    """What was embedded, for the log and `--summary-json`.

    Attributes
    ----------
    n_regions, n_left_out, n_rows, n_bases, n_tiles : int
        Bases of all regions, overlaps counted again; tiles are those computed.
    width : int
        Channels of a vector.
    layer, format, reference : str
    explained : list of float or None
        Share of the variance of each principal component, if there is such a track.
    n_outside_training : int or None
        Regions not wholly within those that the model was trained on, if it names them.
    """

    n_regions: int
    n_left_out: int
    n_rows: int
    n_bases: int
    n_tiles: int
    width: int
    layer: str
    format: str
    reference: str
    explained: list[float] | None
    n_outside_training: int | None


@dataclass(frozen=True)
class EmbedOutputs:
    """Where the results go.

    Attributes
    ----------
    table : str
        ``-`` is stdout.
    format : str, optional
        By default from the suffix.
    components : str, optional
        BED of principal components; ``.gz`` is compressed and indexed.
    force : bool
        Replace existing outputs.
    """

    table: str
    format: str | None = None
    components: str | None = None
    force: bool = False

    def refuse(self, inputs: Sequence[str]) -> str:
        """Refuse, before the work, outputs that could not be written; the format of the table.

        Raises
        ------
        UsageError, OutputError
        """
        kind = choose_format(self.table, self.format)
        refuse_terminal(self.table, kind)
        if kind == "zarr":
            refuse_existing_folder(self.table, self.force, ZARR_CONTENTS)
        elif self.table != "-":
            refuse_existing_file(self.table, self.force)
        for path in filter(None, (self.table, self.components)):
            refuse_same_file(path, inputs)
        if self.components is not None:
            refuse_existing_file(self.components, self.force)
        return kind


def embed_file(
    model: Model,
    bed: str | BedFile | None,
    outputs: EmbedOutputs,
    settings: EmbedSettings | None = None,
    *,
    regions: Sequence[str] = (),
    fasta: str | None = None,
    on_done: Callable[[int], None] = lambda n_regions: None,
) -> EmbedSummary:
    """Embed the regions of a BED file.

    Parameters
    ----------
    model : Model
    bed : str, BedFile or None
        ``-`` is stdin; without one, `regions` are embedded.
    outputs : EmbedOutputs
    settings : EmbedSettings, optional
    regions : sequence of str
        ``contig:begin-end``, 1-based.
    fasta : str, optional
        By default the model's own reference.
    on_done : callable
        Gets the number of regions finished since its last call.

    Raises
    ------
    InputError, OutputError, UsageError
        No output is left behind.
    """
    settings = settings or EmbedSettings()
    layer = find_layer(settings.layer, model.spec)
    reference = model.choose_reference(fasta)
    if isinstance(bed, str):
        bed = BedFile(bed)
    kind = outputs.refuse([reference, *([bed.path] if bed else [])])
    with ReferenceGenome.open(reference) as genome:
        if bed is None:
            table = named_regions(regions, genome)
        else:
            table = bed.placed(genome, skip_outside=settings.skip_outside)
        n_foreign = warn_of_training(table, model)
        source = EmbeddingSource(
            model, genome, layer, settings.network,
            with_reverse=settings.strand != "forward", with_context=settings.context_pooling,
        )  # fmt: skip
        width = model.spec.channels
        n_rows = int(row_starts(table, settings.pool)[-1])
        metadata = describe(model.identity, layer.name, settings, reference)
        with outputs_together(), staged_beside(outputs.table, width) as staged:
            sweep(
                source, table, genome, staged.write,
                pool=settings.pool, strand=settings.strand, on_done=on_done,
            )  # fmt: skip
            components = write_outputs(outputs, table, genome, staged, settings, width, metadata)
    return EmbedSummary(
        len(table), table.n_left_out, n_rows, table.n_bases, source.n_tiles_computed, width,
        layer.name, kind, os.path.basename(reference),
        None if components is None else components.explained.tolist(), n_foreign,
    )  # fmt: skip


def staged_beside(output: str, width: int) -> StagedRows:
    """Rows on disk on their way into an output: in its folder, or that of temporary files."""
    is_piped = output == "-"
    folder = tempfile.gettempdir() if is_piped else str(Path(output).absolute().parent)
    return StagedRows(folder, width, output)


def write_outputs(
    outputs: EmbedOutputs,
    table: RegionTable,
    genome: ReferenceGenome,
    staged: StagedRows,
    settings: EmbedSettings,
    width: int,
    metadata: dict[str, Any],
) -> Components | None:
    """Write the table of vectors, and the track of components, if there is one.

    Parameters
    ----------
    outputs : EmbedOutputs
    table : RegionTable
    genome : ReferenceGenome
    staged : StagedRows
        All rows of the table.
    settings : EmbedSettings
    width : int
        Channels of a row.
    metadata : dict
        See `describe`.

    Raises
    ------
    OutputError
    """
    kind = choose_format(outputs.table, outputs.format)
    n_rows = int(row_starts(table, settings.pool)[-1])
    dtype = np.float16 if settings.dtype == "float16" else np.float32
    with open_vectors(
        outputs.table, kind, (n_rows, width), dtype, metadata, force=outputs.force
    ) as sink:
        for rows in table_rows(table, staged, n_rows, settings):
            sink.write(_cast(rows, dtype))
    return _track(outputs, table, genome, staged, n_rows, settings)


def warn_of_training(table: RegionTable, model: Model) -> int | None:
    """Log how many regions the model was not trained on; None if it does not say."""
    if model.training_regions is None:
        return None
    count = n_outside(table, model.training_regions)
    if count:
        logger.warning(
            "%d of %d regions are not wholly within those that model %s was trained on",
            count,
            len(table),
            model.name,
        )
    return count


def describe(
    identity: ModelIdentity,
    layer: str,
    settings: EmbedSettings,
    reference: str,
    command: str | None = None,
) -> dict[str, Any]:
    """Metadata of a table of vectors; the command is this one unless given."""
    return {
        "version": __version__,
        "command": command_line() if command is None else command,
        **identity.facts(),
        "reference": os.path.basename(reference),
        "layer": layer,
        "pool": settings.pool,
        "strand": settings.strand,
        "context_pooling": settings.context_pooling,
        "precision": settings.network.precision,
    }


def _cast(rows: VectorRows, dtype: type[np.floating[Any]]) -> VectorRows:
    if dtype is np.float32:
        return rows
    with np.errstate(over="ignore"):
        narrow = rows.vector.astype(dtype)
    if not np.isfinite(narrow).all():
        raise OutputError("a number exceeds float16's range; write --dtype float32")
    return VectorRows(rows.contig, rows.start, rows.end, rows.name, rows.strand, narrow)


def table_rows(
    table: RegionTable, staged: StagedRows, n_rows: int, settings: EmbedSettings
) -> Iterator[VectorRows]:
    """Yield the rows of the output in order, a block at a time."""
    starts = row_starts(table, settings.pool)
    for begin, vectors in staged.blocks(n_rows, _BLOCK_BYTES):
        rows = np.arange(begin, begin + len(vectors))
        region = rows if settings.pool != "none" else np.searchsorted(starts, rows, "right") - 1
        start, end = table.start[region], table.end[region]
        if settings.pool == "none":
            start = base_starts(table, region, rows, settings.strand)
            end = start + 1
        yield VectorRows(
            [table.contigs[k] for k in table.contig[region].tolist()],
            start,
            end,
            [table.names[k] for k in region.tolist()],
            [chr(code) for code in table.strand[region].tolist()],
            vectors,
        )


def _track(
    outputs: EmbedOutputs,
    table: RegionTable,
    genome: ReferenceGenome,
    staged: StagedRows,
    n_rows: int,
    settings: EmbedSettings,
) -> Components | None:
    if outputs.components is None:
        return None
    components = fit_components(
        (vectors for _, vectors in staged.blocks(n_rows, _BLOCK_BYTES)), settings.n_components
    )
    write_component_track(
        outputs.components, components, table, genome, staged,
        pool=settings.pool, strand=settings.strand, force=outputs.force,
    )  # fmt: skip
    return components
