"""`phylotools annotate` and its stages: a VCF, BCF or table again, every allele with a score."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress, speed
from phylotools.cli.staged import engine_option, partition_command

if TYPE_CHECKING:
    from phylotools.annotate.run import AnnotationSummary
    from phylotools.annotate.settings import AnnotationSettings
    from phylotools.annotate.stages import AnnotationStages
    from phylotools.io.vcf.reader import VariantStream
    from phylotools.jobs.engines.engine import Engine
    from phylotools.model.registry import Model


_inputs = options.together(
    click.argument("variants", default="-", metavar="[IN.vcf.gz]"),
    options.chosen_model_option,
    options.fasta_option,
)
_output_type_option = functools.partial(
    click.option, "-O", "--output-type", type=click.Choice(["v", "z", "b"])
)
_write_index_option = click.option(
    "--write-index/--no-write-index",
    default=None,
    help="Index the output [default: if it is compressed and sorted].",
)
#: What is computed, whoever does it.
_computed = options.together(
    click.option("--tag", default="PHYLOGPN", show_default=True, help="Prefix of the INFO fields."),
    click.option(
        "--on-ref-mismatch",
        type=click.Choice(["error", "skip", "warn"]),
        default="skip",
        show_default=True,
        help="REF is not the reference base: stop, leave without a score, or score REF as written.",
    ),
    options.regions_option(
        help="Only records that overlap contig or contig:begin-end (1-based); may be given again. "
        "With an index little else is read, without one the whole file.",
    ),
    options.regions_file_option(help="Only records that overlap these regions."),
    options.contig_aliases_option,
    options.score_option,
    click.option(
        "--scores",
        metavar="FOLDER",
        help="Look scores up first in the bigWigs of `phylotools tracks`; the rest is computed.",
    ),
    options.transcript_options,
    click.option(
        "--indels/--no-indels",
        "score_indels",
        default=True,
        show_default=True,
        help="Score insertions and deletions, which is experimental; without, their status is "
        "indel.",
    ),
    options.sequence_only_option,
    options.precision_option,
)


@click.command(name="annotate")
@_inputs
@options.output_option(default="-", help="Output [default: stdout].")
@_output_type_option(help="VCF, bgzip VCF or BCF [default: from the suffix of -o, else v].")
@_write_index_option
@options.force_option
@_computed
@engine_option
@click.option(
    "--work",
    metavar="FOLDER",
    help="Annotate in parts, and keep those that are finished there until the end: the same "
    "command goes on after a kill [default with --on: OUTPUT.work].",
)
@options.threads_option(
    help="CPU threads that compute, and that compress; of each worker with --on [default: every "
    "core]."
)
@options.devices_option
@options.batch_size_option
@options.summary_option
@options.logging_options
def annotate_command(
    variants: str,
    model: str | None,
    fasta: str | None,
    output: str,
    write_index: bool | None,
    force: bool,
    engine: Engine | None,
    work: str | None,
    sequence_only: bool,
    threads: int | None,
    device: str,
    batch_size: int | None,
    summary_json: str | None,
    **computed: Any,
) -> None:
    """Add per-allele scores to a VCF, a BCF or a table of variants.

    Reads VCF (plain, gzip, bgzip) or BCF from a file, or from stdin where none is given or it is
    `-`. Every record comes out, in order, unchanged but for its new INFO fields: PHYLOGPN_LLR and
    PHYLOGPN_STATUS of each ALT, PHYLOGPN_RATE and PHYLOGPN_ENTROPY of the site, and one of each ALT
    for the model's default score and every other that is asked for, as PHYLOGPN_FIXATION. A TSV,
    CSV or Parquet with CHROM, POS, REF and ALT, or one column chr:pos:ref:alt, gains them as
    columns.

    Scores and entropy are in nats; a low score says that ALT is less viable than REF. A rate of 1
    is neutral, a lower one conserved.
    """
    _refuse_two_streams(variants, computed["regions_file"])
    inputs = [variants, fasta, computed["regions_file"], computed["scores"]]
    inputs.append(computed["transcripts"].path)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    in_parts = engine is not None or work is not None
    if in_parts:
        work = _work_folder(work, output, summary_json)
    stopwatch = options.Stopwatch()
    with options.importing():
        from phylotools.annotate.run import AnnotationSettings, annotate_stream
        from phylotools.io.files import refuse_same_file
        from phylotools.io.staging import outputs_together

    settings = AnnotationSettings(
        fasta=fasta,
        write_index=write_index,
        force=force,
        threads=threads,
        batch_size=batch_size,
        **computed,
    )
    refuse_same_file(output, [name for name in inputs if name is not None])
    with contextlib.ExitStack() as stack:
        if not in_parts:
            # Plan and pieces have to stand at once, and the output before they are removed.
            stack.enter_context(outputs_together())
        own = _own_device(device, in_parts=in_parts, engine=engine)
        loaded, source = _open(stack, variants, model, sequence_only, settings, own)
        with Progress("records") as progress:
            if work is None:
                summary = annotate_stream(
                    loaded, source, output, settings, on_batch=progress.update
                )
            else:
                summary = _in_parts(
                    loaded, source, output, work, settings, device, engine, progress.update
                )
        _report(summary, loaded, variants, output, stopwatch.seconds, summary_json)


def _refuse_two_streams(variants: str, regions_file: str | None) -> None:
    if variants == "-" and sys.stdin.isatty():
        raise click.UsageError("give a VCF, a BCF or a table, or pipe one in")
    if variants == regions_file == "-":
        raise click.UsageError("variants and --regions-file cannot both be stdin")


def _own_device(device: str, *, in_parts: bool, engine: Engine | None) -> str:
    """The device of this process."""
    if not in_parts:
        return device
    from phylotools.model.device import device_names

    # Workers look for their devices where they are.
    return "cpu" if engine is not None else device_names(device)[0]


def _work_folder(work: str | None, output: str, summary_json: str | None) -> str:
    from phylotools.jobs.work_folder import work_beside

    if work is None and output == "-":
        raise click.UsageError("--on: finished parts need a folder: give --work, or -o OUTPUT")
    work = work or work_beside(output)
    options.check_apart({"-o": output, "--work": work, "--summary-json": summary_json})
    return work


def _open(
    stack: contextlib.ExitStack,
    variants: str,
    model: str | None,
    sequence_only: bool,
    settings: AnnotationSettings,
    device: str,
) -> tuple[Model, VariantStream]:
    """The model that is named, or the one that the variants are for; and the variants."""
    with options.importing():
        from phylotools.io.vcf.reader import open_variants
        from phylotools.model.folder import open_model, read_model
        from phylotools.model.registry import find_model
        from phylotools.scoring.choice import model_folder
        from phylotools.scoring.evidence import variant_evidence

        # Who looks scores up may never need the network.
        load = read_model if settings.scores is None else open_model
        loaded = None if model is None else load(find_model(model), device)
        source = stack.enter_context(open_variants(variants))
        if loaded is None:
            evidence = functools.partial(
                variant_evidence,
                source,
                fasta=settings.fasta,
                regions=settings.regions,
                regions_file=settings.regions_file,
            )
            loaded = load(model_folder(None, evidence), device)
    return (loaded.from_sequence_alone() if sequence_only else loaded), source


def _in_parts(
    model: Model,
    source: VariantStream,
    output: str,
    work: str,
    settings: AnnotationSettings,
    device: str,
    engine: Engine | None,
    on_records: Callable[[int], None],
) -> AnnotationSummary:
    from phylotools.annotate.stages import annotate_in_parts
    from phylotools.cli.board import open_board
    from phylotools.jobs.stages import Resources

    with open_board(engine) as board:
        return annotate_in_parts(
            model,
            source,
            output,
            work,
            settings,
            resources=Resources(settings.threads, device, settings.batch_size),
            engine=engine,
            board=board,
            on_records=on_records,
        )


@click.command(name="annotate-init")
@_inputs
@click.option("--work", required=True, metavar="FOLDER", help="Work folder to make.")
@_output_type_option(
    help="What the output will be: VCF, bgzip VCF or BCF [default: z, and v of a table]."
)
@_computed
@click.option(
    "--partition-size",
    type=options.FiniteRange(0, min_open=True),
    metavar="MB",
    help="Megabytes of the input, as it is stored, of a partition [default: 4, of plain text 17].",
)
@options.summary_option
@options.logging_options
def annotate_init_command(
    variants: str,
    model: str | None,
    fasta: str | None,
    work: str,
    sequence_only: bool,
    partition_size: float | None,
    summary_json: str | None,
    **computed: Any,
) -> None:
    """Plan to annotate a file in parts, on one machine or many.

    Prints the number of partitions N. Then run `phylotools annotate-partition WORK I` for I = 0 to
    N - 1, in any order and as often as need be, and `phylotools annotate-finalise WORK -o OUTPUT`
    once. Plain and bgzip VCF, BCF, TSV and CSV are cut by their bytes, Parquet by its rows; a file
    that is gzip but not bgzip is one partition.
    """
    if variants == "-":
        raise click.UsageError("every part reads the variants: give a file, not a stream")
    inputs = [variants, fasta, computed["regions_file"], computed["transcripts"].path]
    options.check_summary(summary_json, force=False, inputs=inputs, output=work)
    with options.importing():
        from phylotools.annotate.settings import AnnotationSettings
        from phylotools.annotate.stages import init_annotation

    settings = AnnotationSettings(fasta=fasta, **computed)
    with contextlib.ExitStack() as stack:
        loaded, source = _open(stack, variants, model, sequence_only, settings, "cpu")
        size = None if partition_size is None else max(1, int(partition_size * 1_000_000))
        plan = init_annotation(loaded, source, work, settings, partition_bytes=size)
    logger.info("%s: %d partitions", work, plan.n_partitions)
    options.write_summary(summary_json, {"output": work, "partitions": plan.n_partitions})
    sys.stdout.write(f"{plan.n_partitions}\n")


def _stages() -> AnnotationStages:
    from phylotools.annotate.stages import AnnotationStages

    return AnnotationStages()


annotate_partition_command = partition_command("annotate", _stages, has_network=True)


@click.command(name="annotate-finalise")
@click.argument("work", metavar="WORK")
@options.output_option(default="-", help="Output [default: stdout].")
@_write_index_option
@options.threads_option(help="CPU threads that compress [default: every core].")
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def annotate_finalise_command(
    work: str,
    output: str,
    write_index: bool | None,
    threads: int | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Put the finished partitions of a plan together; says which are missing or damaged.

    The work folder stays as it is: remove it when the output is as it should be.
    """
    options.check_summary(summary_json, force=force, inputs=[], output=output)
    options.check_apart({"WORK": work, "-o": output, "--summary-json": summary_json})
    stopwatch = options.Stopwatch()
    with options.importing():
        from phylotools.annotate.stages import finalise_annotation

    plan, model, summary = finalise_annotation(
        work, output, write_index=write_index, threads=threads, force=force
    )
    _report(summary, model, plan.variants, output, stopwatch.seconds, summary_json)


def _report(
    summary: AnnotationSummary,
    model: Model,
    variants: str,
    output: str,
    seconds: float,
    summary_json: str | None,
) -> None:
    skipped = ", ".join(f"{count} {status}" for status, count in summary.skipped.items())
    logger.info(
        "annotated %d records (%d of %d alleles scored%s%s) in %.1f s (%s)",
        summary.n_records,
        summary.n_scored,
        summary.n_alleles,
        f", {summary.n_looked_up} changes looked up" if summary.n_looked_up else "",
        f"; not scored: {skipped}" if skipped else "",
        seconds,
        speed(summary.n_records, seconds, "records"),
    )
    facts: dict[str, Any] = {
        "input": variants,
        "output": output,
        **model.identity.facts(),
        "reference": summary.reference,
        "records": summary.n_records,
        "alleles": summary.n_alleles,
        "alleles_scored": summary.n_scored,
        "scores": list(summary.scores),
        "default_score": summary.default_score,
        "changes_looked_up": summary.n_looked_up,
        "alleles_by_status": summary.statuses,
        "ref_checked": summary.n_ref_checked,
        "ref_mismatches": summary.n_ref_mismatches,
        "records_on_missing_contigs": summary.n_contig_missing,
        "seconds": round(seconds, 3),
    }
    options.write_summary(summary_json, facts)
