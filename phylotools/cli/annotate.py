"""`phylotools annotate`: the same VCF, BCF or table, with a score for every allele."""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress, speed

if TYPE_CHECKING:
    from phylotools.annotate.run import AnnotationSummary
    from phylotools.model.registry import Model
    from phylotools.scoring.context import TranscriptChoice


@click.command(name="annotate")
@click.argument("variants", default="-", metavar="[IN.vcf.gz]")
@options.chosen_model_option
@options.fasta_option
@options.output_option(default="-", help="Output [default: stdout].")
@click.option(
    "-O",
    "--output-type",
    type=click.Choice(["v", "z", "b"]),
    help="VCF, bgzip VCF or BCF [default: from the suffix of -o, else v].",
)
@click.option(
    "--write-index/--no-write-index",
    default=None,
    help="Index the output [default: if it is compressed and sorted].",
)
@click.option("--tag", default="PHYLOGPN", show_default=True, help="Prefix of the INFO fields.")
@click.option(
    "--on-ref-mismatch",
    type=click.Choice(["error", "skip", "warn"]),
    default="skip",
    show_default=True,
    help="REF is not the reference base: stop, leave without a score, or score REF as written.",
)
@options.force_option
@options.regions_option(
    help="Only records that overlap contig or contig:begin-end (1-based); may be given again. With "
    "an index little else is read, without one the whole file.",
)
@options.regions_file_option(help="Only records that overlap these regions.")
@options.contig_aliases_option
@options.score_option
@click.option(
    "--scores",
    metavar="FOLDER",
    help="Look scores up first in the bigWigs of `phylotools tracks`; the rest is computed.",
)
@options.transcript_options
@click.option(
    "--indels/--no-indels",
    default=True,
    show_default=True,
    help="Score insertions and deletions, which is experimental; without, their status is indel.",
)
@options.sequence_only_option
@options.threads_option(help="CPU threads that compute, and that compress [default: every core].")
@options.device_option
@options.batch_size_option
@options.precision_option
@options.summary_option
@options.logging_options
@options.outputs_together
def annotate_command(
    variants: str,
    model: str | None,
    fasta: str | None,
    output: str,
    output_type: str | None,
    write_index: bool | None,
    tag: str,
    on_ref_mismatch: Literal["error", "skip", "warn"],
    force: bool,
    regions: tuple[str, ...],
    regions_file: str | None,
    extra_scores: tuple[str, ...],
    scores: str | None,
    transcripts: TranscriptChoice,
    indels: bool,
    sequence_only: bool,
    threads: int | None,
    device: str,
    batch_size: int | None,
    precision: str,
    summary_json: str | None,
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
    if variants == "-" and sys.stdin.isatty():
        raise click.UsageError("give a VCF, a BCF or a table, or pipe one in")
    if variants == regions_file == "-":
        raise click.UsageError("variants and --regions-file cannot both be stdin")
    inputs = [variants, fasta, regions_file, scores, transcripts.path]
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    stopwatch = options.Stopwatch()
    with options.importing():
        from phylotools.annotate.run import AnnotationSettings, annotate_stream
        from phylotools.io.files import refuse_same_file
        from phylotools.io.vcf.reader import open_variants
        from phylotools.model.folder import open_model, read_model
        from phylotools.model.registry import find_model
        from phylotools.scoring.choice import model_folder
        from phylotools.scoring.evidence import variant_evidence

    # Who looks scores up may never need the network.
    load = read_model if scores is None else open_model
    settings = AnnotationSettings(
        fasta=fasta,
        output_type=output_type,
        write_index=write_index,
        tag=tag,
        on_ref_mismatch=on_ref_mismatch,
        regions=regions,
        regions_file=regions_file,
        extra_scores=extra_scores,
        scores=scores,
        transcripts=transcripts,
        score_indels=indels,
        force=force,
        threads=threads,
        batch_size=batch_size,
        precision=precision,
    )
    refuse_same_file(output, [name for name in inputs if name is not None])
    with contextlib.ExitStack() as stack:
        with options.importing():
            loaded = None if model is None else load(find_model(model), device)
            source = stack.enter_context(open_variants(variants))
            if loaded is None:
                evidence = functools.partial(
                    variant_evidence,
                    source,
                    fasta=fasta,
                    regions=regions,
                    regions_file=regions_file,
                )
                loaded = load(model_folder(None, evidence), device)
        if sequence_only:
            loaded = loaded.from_sequence_alone()
        with Progress("records") as progress:
            summary = annotate_stream(loaded, source, output, settings, on_batch=progress.update)
    _report(summary, loaded, variants, output, stopwatch.seconds, summary_json)


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
