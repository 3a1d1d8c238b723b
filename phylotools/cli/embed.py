"""`phylotools embed`: regions to embedding vectors."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress, speed

if TYPE_CHECKING:
    from phylotools.embedding.run import EmbedSummary
    from phylotools.model.folder import Model
    from phylotools.scoring.evidence import Evidence

#: Named here so that --help imports no torch; a test compares them with the package's.
POOLINGS = ("mean", "max", "centre", "none")
STRANDS = ("forward", "bed", "invariant")
FORMATS = ("parquet", "npz", "zarr", "tsv")
_BED_SUFFIXES = (".gz", ".bgz", ".bed")


@click.command(name="embed")
@click.argument("bed", required=False, metavar="[REGIONS.bed]")
@options.chosen_model_option
@options.fasta_option
@options.output_option(
    help="Output [default: the BED's name with .embeddings.parquet, in this folder]."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="Of the output [default: from the suffix of -o, else parquet].",
)
@options.regions_option(help="contig or contig:begin-end (1-based), in place of a BED.")
@options.contig_aliases_option
@click.option(
    "--pool",
    type=click.Choice(POOLINGS),
    default="mean",
    show_default=True,
    help="Over the bases of a region; none keeps a vector a base.",
)
@click.option(
    "--layer",
    default="last",
    show_default=True,
    metavar="NAME|INDEX",
    help="last (after the output norm), block.K, embedding, or an index: 0 is embedding, "
    "-1 is last.",
)
@click.option(
    "--strand",
    type=click.Choice(STRANDS),
    default="forward",
    show_default=True,
    help="forward: as the reference reads; bed: as column 6 says; invariant: the same for both.",
)
@click.option(
    "--context-pooling",
    is_flag=True,
    help="Add the projected mean of the 5,521 embeddings around each (PhyloGPN-X).",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Of the numbers written.",
)
@click.option(
    "--pca",
    "components_path",
    metavar="OUT.bed.gz",
    help="Also write the first principal components as a BED, indexed with tabix if .gz.",
)
@click.option(
    "--components",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    metavar="K",
    help="Of --pca.",
)
@click.option(
    "--on-outside",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="A region that does not lie in the reference: stop, or leave it out and count it.",
)
@options.force_option
@options.threads_option(help="CPU threads [default: every core].")
@options.device_option
@options.batch_size_option
@options.precision_option
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
    check = [name for name in (bed, fasta) if name is not None]
    options.check_summary(summary_json, force=force, inputs=check, output=output)
    options.check_apart({"-o": output, "--pca": components_path, "--summary-json": summary_json})
    with options.importing():
        from phylotools.embedding.regions import BedFile
        from phylotools.embedding.run import EmbedOutputs, EmbedSettings, embed_file
        from phylotools.embedding.source import NetworkOptions
        from phylotools.model.folder import read_model
        from phylotools.scoring.choice import model_folder
        from phylotools.scoring.evidence import region_evidence, use_evidence

    outputs = EmbedOutputs(output, kind, components_path, force)
    outputs.refuse(check)
    watch = options.Stopwatch()
    settings = EmbedSettings(
        layer=given["layer"],
        pool=given["pool"],
        strand=given["strand"],
        context_pooling=given["context_pooling"],
        dtype=given["dtype"],
        skip_outside=given["on_outside"] == "skip",
        n_components=given["components"],
        network=NetworkOptions(given["threads"], given["batch_size"], given["precision"]),
    )
    source = None if bed is None else BedFile(bed)

    def evidence() -> Evidence:
        if source is None:
            return region_evidence(regions, fasta=fasta)
        return use_evidence(source.path, source.uses(), fasta=fasta)

    loaded = read_model(model_folder(model, evidence), device)
    with Progress("regions") as progress:
        summary = embed_file(
            loaded, source, outputs, settings,
            regions=regions, fasta=fasta, on_done=progress.update,
        )  # fmt: skip
    _report(summary, loaded, bed, outputs.table, components_path, watch.seconds, summary_json)


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
    model: Model,
    bed: str | None,
    output: str,
    components: str | None,
    seconds: float,
    summary_json: str | None,
) -> None:
    options.write_summary(
        summary_json,
        {
            "verb": "embed",
            "input": bed,
            "output": output,
            "format": summary.format,
            "components": components,
            "explained_variance": summary.explained,
            **model.identity.facts(),
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
        output, summary.n_regions, summary.n_bases, summary.n_rows, summary.width, seconds,
        speed(summary.n_regions, seconds, "regions"),
    )  # fmt: skip
