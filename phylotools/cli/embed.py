"""`phylotools embed` and its stages: regions to embedding vectors."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options, staged
from phylotools.cli.board import open_board
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress, speed

if TYPE_CHECKING:
    from phylotools.embedding.plan import Plan
    from phylotools.embedding.regions import BedFile
    from phylotools.embedding.run import EmbedOutputs, EmbedSettings, EmbedSummary
    from phylotools.embedding.stages import EmbeddingStages
    from phylotools.jobs.engines.engine import Engine
    from phylotools.jobs.work_folder import WorkFolder
    from phylotools.model.folder import Model, ModelIdentity
    from phylotools.scoring.evidence import Evidence

#: Named here so that --help imports no torch; a test compares them with the package's.
POOLINGS = ("mean", "max", "centre", "none")
STRANDS = ("forward", "bed", "invariant")
FORMATS = ("parquet", "npz", "zarr", "tsv")
_BED_SUFFIXES = (".gz", ".bgz", ".bed")


#: All that decides what the vectors are.
_vector_options = options.together(
    click.argument("bed", required=False, metavar="[REGIONS.bed]"),
    options.chosen_model_option,
    options.fasta_option,
    options.regions_option(help="contig or contig:begin-end (1-based), in place of a BED."),
    options.contig_aliases_option,
    click.option(
        "--pool",
        type=click.Choice(POOLINGS),
        default="mean",
        show_default=True,
        help="Over the bases of a region; none keeps a vector a base.",
    ),
    click.option(
        "--layer",
        default="last",
        show_default=True,
        metavar="NAME|INDEX",
        help="last (after the output norm), block.K, embedding, or an index: 0 is embedding, "
        "-1 is last.",
    ),
    click.option(
        "--strand",
        type=click.Choice(STRANDS),
        default="forward",
        show_default=True,
        help="forward: as the reference reads; bed: as column 6 says; invariant: the same for "
        "both.",
    ),
    click.option(
        "--context-pooling",
        is_flag=True,
        help="Add the projected mean of the 5,521 embeddings around each (PhyloGPN-X).",
    ),
    click.option(
        "--on-outside",
        type=click.Choice(["error", "skip"]),
        default="error",
        show_default=True,
        help="A region that does not lie in the reference: stop, or leave it out and count it.",
    ),
    options.precision_option,
)
#: What is chosen when the vectors are written.
_table_options = options.together(
    click.option(
        "--format",
        "kind",
        type=click.Choice(FORMATS),
        help="Of the output [default: from the suffix of -o, else parquet].",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="Of the numbers written.",
    ),
    click.option(
        "--pca",
        "components_path",
        metavar="OUT.bed.gz",
        help="Also write the first principal components as a BED, indexed with tabix if .gz.",
    ),
    click.option(
        "--components",
        type=click.IntRange(1, 100),
        default=3,
        show_default=True,
        metavar="K",
        help="Of --pca.",
    ),
    options.force_option,
)


@click.command(name="embed")
@_vector_options
@options.output_option(
    help="Output [default: the BED's name with .embeddings.parquet, in this folder]."
)
@_table_options
@staged.engine_option
@staged.work_option
@options.threads_option(help="CPU threads, of each worker with --on [default: every core].")
@options.device_option
@options.batch_size_option
@options.summary_option
@options.logging_options
@options.outputs_together
def embed_command(
    bed: str | None,
    regions: tuple[str, ...],
    model: str | None,
    fasta: str | None,
    output: str | None,
    kind: str | None,
    components_path: str | None,
    force: bool,
    engine: Engine | None,
    work: str | None,
    device: str,
    summary_json: str | None,
    **given: Any,
) -> None:
    """Embed the regions of a BED file.

    Reads BED (plain, gzip, bgzip) from a file, or from stdin where none is given or it is `-`;
    writes a table with contig, start, end, name, strand and vector, in the order of the BED.

    \b
    phylotools embed regions.bed
    phylotools embed regions.bed --strand bed --pool max -o vectors.npz
    phylotools embed -r chrM:3307-4262 --pool none -o bases.zarr --pca bases.bed.gz
    """
    bed = _source(bed, regions)
    output = _output_name(bed, output, kind)
    work = staged.work_for(engine, work, output)
    if work is not None and bed is not None:
        staged.refuse_streams({bed: "the BED"})
    check = [name for name in (bed, fasta) if name is not None]
    outputs = _outputs(output, kind, components_path, force, check, summary_json, {"--work": work})
    with options.importing():
        from phylotools.embedding.run import embed_file

    watch = options.Stopwatch()
    settings = _settings(given)
    # Workers look for their devices where they are.
    loaded, source = _load(model, bed, regions, fasta, device if engine is None else "cpu")
    if work is None:
        with Progress("regions") as progress:
            summary = embed_file(
                loaded, source, outputs, settings,
                regions=regions, fasta=fasta, on_done=progress.update,
            )  # fmt: skip
    else:
        from phylotools.embedding.plan import make_plan
        from phylotools.jobs.stages import Resources, do_whole_job

        plan = make_plan(loaded, source, settings, regions=regions, fasta=fasta, engine=engine)
        stages = _stages()
        with open_board(engine) as board:
            summary = do_whole_job(
                stages, stages.folder(work), plan,
                _finalising(outputs, given["dtype"], given["components"]),
                Resources(given["threads"], device, given["batch_size"]),
                engine=engine, board=board,
            )  # fmt: skip
    _report(summary, loaded.identity, bed, outputs, watch.seconds, summary_json)


@click.command(name="embed-init")
@_vector_options
@staged.init_options("positions", 1 << 18)
@options.logging_options
def embed_init_command(
    bed: str | None,
    regions: tuple[str, ...],
    model: str | None,
    fasta: str | None,
    work: str,
    partition_size: int | None,
    **given: Any,
) -> None:
    """Plan vectors that are made in parts, on one machine or many.

    Prints the number of partitions N. Then run `phylotools embed-partition WORK I` for I = 0 to
    N - 1, in any order and as often as need be, and `phylotools embed-finalise WORK -o TABLE`
    once.
    """
    bed = _source(bed, regions)
    if bed is not None:
        staged.refuse_streams({bed: "the BED"})
    with options.importing():
        from phylotools.embedding.plan import make_plan

    loaded, source = _load(model, bed, regions, fasta, "cpu")
    staged.begin(
        _stages(),
        work,
        lambda: make_plan(
            loaded, source, _settings(given),
            regions=regions, fasta=fasta, partition_positions=partition_size,
        ),
    )  # fmt: skip


def _stages() -> EmbeddingStages:
    from phylotools.embedding.stages import EmbeddingStages

    return EmbeddingStages()


embed_partition_command = staged.partition_command("embed", _stages, has_network=True)


@click.command(name="embed-finalise")
@click.argument("work", metavar="WORK")
@options.output_option(required=True, help="Table of vectors to write.")
@_table_options
@options.summary_option
@options.logging_options
@options.outputs_together
def embed_finalise_command(
    work: str,
    output: str,
    kind: str | None,
    components_path: str | None,
    dtype: str,
    components: int,
    force: bool,
    summary_json: str | None,
) -> None:
    """Put the finished partitions of a plan together; says which are missing or damaged.

    The work folder stays as it is: remove it when the table is as it should be.
    """
    outputs = _outputs(output, kind, components_path, force, [], summary_json, {"WORK": work})
    from phylotools.jobs.stages import finalise_job

    watch = options.Stopwatch()
    stages = _stages()
    summary = finalise_job(stages, work, _finalising(outputs, dtype, components))
    plan = stages.folder(work).read_plan()
    _report(summary, plan.model.identity, plan.bed, outputs, watch.seconds, summary_json)


def _finalising(
    outputs: EmbedOutputs, dtype: str, n_components: int
) -> Callable[[WorkFolder[Plan], Plan], EmbedSummary]:
    from phylotools.embedding.finalise import finalise

    return functools.partial(finalise, outputs=outputs, dtype=dtype, n_components=n_components)


def _outputs(
    output: str,
    kind: str | None,
    components: str | None,
    force: bool,
    inputs: list[str],
    summary_json: str | None,
    work: dict[str, str | None],
) -> EmbedOutputs:
    """The files to write; those that could not be written are refused before the work."""
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    named = {"-o": output, "--pca": components, "--summary-json": summary_json}
    options.check_apart({**work, **named})
    with options.importing():
        from phylotools.embedding.run import EmbedOutputs

    outputs = EmbedOutputs(output, kind, components, force)
    outputs.refuse(inputs)
    return outputs


def _settings(given: dict[str, Any]) -> EmbedSettings:
    from phylotools.embedding.run import EmbedSettings
    from phylotools.embedding.source import NetworkOptions

    return EmbedSettings(
        layer=given["layer"],
        pool=given["pool"],
        strand=given["strand"],
        context_pooling=given["context_pooling"],
        dtype=given.get("dtype", EmbedSettings.dtype),
        skip_outside=given["on_outside"] == "skip",
        n_components=given.get("components", EmbedSettings.n_components),
        network=NetworkOptions(given.get("threads"), given.get("batch_size"), given["precision"]),
    )


def _load(
    name: str | None,
    bed: str | None,
    regions: tuple[str, ...],
    fasta: str | None,
    device: str,
) -> tuple[Model, BedFile | None]:
    """The model that is named, or the one that the regions are for; and the BED, read once."""
    with options.importing():
        from phylotools.embedding.regions import BedFile
        from phylotools.model.folder import read_model
        from phylotools.scoring.choice import model_folder
        from phylotools.scoring.evidence import region_evidence, use_evidence

    source = None if bed is None else BedFile(bed)

    def evidence() -> Evidence:
        if source is None:
            return region_evidence(regions, fasta=fasta)
        return use_evidence(source.path, source.uses(), fasta=fasta)

    return read_model(model_folder(name, evidence), device), source


def _source(bed: str | None, regions: tuple[str, ...]) -> str | None:
    """The BED to read; None if regions were named instead."""
    if regions:
        if bed is not None:
            raise click.UsageError("give a BED or --regions, not both")
        return None
    if bed in (None, "-") and sys.stdin.isatty():
        raise click.UsageError("give a BED file, pipe one in, or name --regions")
    return bed or "-"


def _output_name(bed: str | None, output: str | None, kind: str | None) -> str:
    if output is not None:
        return output
    name = "" if bed in (None, "-") else os.path.basename(str(bed))
    for suffix in _BED_SUFFIXES:
        name = name.removesuffix(suffix)
    return ".".join(filter(None, (name, "embeddings", kind or "parquet")))


def _report(
    summary: EmbedSummary,
    identity: ModelIdentity,
    bed: str | None,
    outputs: EmbedOutputs,
    seconds: float,
    summary_json: str | None,
) -> None:
    options.write_summary(
        summary_json,
        {
            "verb": "embed",
            "input": bed,
            "output": outputs.table,
            "format": summary.format,
            "components": outputs.components,
            "explained_variance": summary.explained,
            **identity.facts(),
            "reference": summary.reference,
            "layer": summary.layer,
            "regions": summary.n_regions,
            "regions_left_out": summary.n_left_out,
            "regions_outside_training": summary.n_outside_training,
            "rows": summary.n_rows,
            "width": summary.width,
            "bases": summary.n_bases,
            "tiles_computed": summary.n_tiles,
            "seconds": round(seconds, 3),
        },
    )
    logger.info(
        "%s: embedded %d regions (%d bases) as %d vectors of %d numbers in %.1f s "
        "(%s)",
        outputs.table, summary.n_regions, summary.n_bases, summary.n_rows, summary.width, seconds,
        speed(summary.n_regions, seconds, "regions"),
    )  # fmt: skip
