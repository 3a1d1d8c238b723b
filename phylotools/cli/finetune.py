"""`phylotools finetune`: a user's labels to a head on a model, judged on groups never seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress
from phylotools.errors import UsageError

if TYPE_CHECKING:
    from phylotools.finetuning.items import LabelQuestion
    from phylotools.finetuning.run import Tuning, TuningSettings
    from phylotools.finetuning.variants import NetworkSettings
    from phylotools.model.folder import Model
    from phylotools.scoring.context import TranscriptChoice


@click.command(name="finetune")
@click.argument("labelled", metavar="LABELLED")
@options.chosen_model_option
@options.fasta_option
@options.output_option(required=True, help="Folder to make: a model with a head.")
@click.option("--label-column", metavar="NAME", help="Column of the labels.")
@click.option(
    "--positive", multiple=True, metavar="V[,V]", help="Labels of the positives; without, numbers."
)
@click.option("--negative", multiple=True, metavar="V[,V]", help="Labels of the negatives.")
@click.option(
    "--group-by",
    metavar="contig|NAME",
    help="What stays together in folds: contigs, or what has the same value in a column.",
)
@click.option(
    "--groups", metavar="BED", help="Regions with names (column 4) in place of --group-by: genes."
)
@click.option(
    "--held-out",
    metavar="BED|REGION[,REGION]|COLUMN=V[,V]",
    help="Judge by these groups and fit to the others, in place of folds.",
)
@click.option(
    "--adapters",
    type=click.IntRange(0, 256),
    default=0,
    metavar="RANK",
    help="Also train low-rank updates of the network [default: a head alone].",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="At most, of --adapters; inner folds choose.",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 1000),
    default=5,
    show_default=True,
    metavar="N",
    help="Outer folds, of whole groups; no more than there are groups.",
)
@click.option(
    "--inner-folds",
    type=click.IntRange(2, 1000),
    default=4,
    show_default=True,
    metavar="N",
    help="Within each, to choose by.",
)
@click.option("--class-column", metavar="NAME", help="Also compare within each of its values.")
@click.option(
    "--types",
    type=click.Choice(["two", "six", "twelve"]),
    help="Also compare within types of mutation, as evaluate does.",
)
@options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again.")
@options.regions_file_option(help="Only what begins in these regions.")
@options.contig_aliases_option
@click.option("--where", multiple=True, metavar="COLUMN=V[,V]", help="Only what has such a value.")
@click.option(
    "--apply",
    "apply_folder",
    metavar="FOLDER",
    help="Fit nothing: write the scores that the head of this folder gives the regions of a BED, "
    "as TSV. Those of variants `annotate -m FOLDER` writes.",
)
@options.transcript_options
@options.sequence_only_option
@click.option(
    "--bootstrap",
    type=click.IntRange(0, 1_000_000),
    default=2000,
    show_default=True,
    metavar="N",
    help="Replicates for the intervals; 0 for none.",
)
@options.seed_option
@options.force_option
@options.threads_option(help="CPU threads that compute [default: every core].")
@options.device_option
@options.batch_size_option
@options.precision_option
@options.summary_option
@options.logging_options
@options.outputs_together
def finetune_command(
    labelled: str,
    model: str | None,
    fasta: str | None,
    output: str,
    device: str,
    sequence_only: bool,
    transcripts: TranscriptChoice,
    apply_folder: str | None,
    force: bool,
    summary_json: str | None,
    **given: Any,
) -> None:
    """Fit a head to labels of variants or regions, and judge it on genes or contigs never seen.

    LABELLED is a VCF, BCF, TSV, CSV or Parquet of variants (- for stdin), whose label is an INFO
    field or a column, or a BED of regions, whose label is a column (its number, name or score).
    Labels are two classes, or numbers.

    \b
    phylotools finetune labelled.vcf.gz --label-column LABEL --positive pathogenic \\
        --negative common --group-by GENE -o tuned/
    phylotools annotate -m tuned/ in.vcf.gz -o scored.vcf.gz       # adds PHYLOGPN_TUNED
    phylotools finetune peaks.bed --label-column 5 --group-by contig -o tuned/
    phylotools finetune --apply tuned/ other.bed -o scores.tsv

    Variants of one gene, or whatever the groups are, are never on both sides of a split, and
    within each outer fold inner ones choose all that is to be chosen. The folder holds the model
    with its head, the score of every labelled one from a fit that did not see its group, and a
    report beside the model's own scores.
    """
    watch = options.Stopwatch()
    inputs = [labelled, given["groups"], given["regions_file"], fasta, transcripts.path]
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({"-o": output, "--summary-json": summary_json})
    if given["seed"] < 0:
        raise UsageError("--seed must not be negative")
    if apply_folder is not None:
        network = _network(given, fasta, transcripts, output)
        _apply(apply_folder, model, labelled, output, device, network, force, summary_json, given)
        return
    if given["label_column"] is None:
        raise UsageError("--label-column is needed: the INFO field or column of the labels")
    with options.importing():
        from phylotools.finetuning.outputs import tuned_files, write_tuned
        from phylotools.finetuning.reading import is_bed
        from phylotools.finetuning.run import tune
        from phylotools.io.files import refuse_existing_folder, refuse_two_streams

    refuse_two_streams(labelled, given["groups"], given["regions_file"])
    refuse_existing_folder(output, force, tuned_files())
    question = _question(labelled, given)
    are_regions = is_bed(labelled)
    loaded = labelled_model(model, labelled, fasta, device, are_regions)
    if sequence_only:
        loaded = loaded.from_sequence_alone()
    settings = _settings(given, fasta, transcripts, output)
    record = _record(question, given)
    with Progress("regions" if are_regions else "variants") as progress:
        tuning = tune(loaded, question, settings, are_regions=are_regions, on_item=progress.update)
    write_tuned(tuning, loaded, question, settings, record, output, force=force)
    _report(tuning, loaded, output, watch, summary_json)


def _question(labelled: str, given: dict[str, Any]) -> LabelQuestion:
    from phylotools.cli.evaluate import split_values
    from phylotools.evaluate.selection import parse_where, read_regions
    from phylotools.finetuning.items import LabelQuestion

    return LabelQuestion(
        labelled,
        given["label_column"],
        split_values(given["positive"]),
        split_values(given["negative"]),
        given["group_by"],
        given["groups"],
        given["class_column"],
        tuple(map(parse_where, given["where"])),
        read_regions(given["regions"], given["regions_file"]),
        _held_out(given["held_out"]),
    )


def _held_out(text: str | None) -> Any:
    """A column and its values, or regions: of a BED where there is such a file."""
    from phylotools.evaluate.selection import parse_where, read_regions

    if text is None:
        return None
    if os.path.isfile(text):
        return read_regions((), text)
    if "=" in text:
        return parse_where(text)
    return read_regions([part.strip() for part in text.split(",") if part.strip()], None)


def labelled_model(
    name: str | None, labelled: str, fasta: str | None, device: str, are_regions: bool
) -> Model:
    """The model that is named, else the one whose sequence the labels are on."""
    import functools

    from phylotools.embedding.regions import BedFile
    from phylotools.io.vcf.reader import open_variants
    from phylotools.model.folder import read_model
    from phylotools.model.registry import find_model
    from phylotools.scoring.choice import model_folder
    from phylotools.scoring.evidence import use_evidence, variant_evidence

    if name is not None:
        return read_model(find_model(name), device)
    if are_regions:
        bed = BedFile(labelled)
        return read_model(
            model_folder(None, lambda: use_evidence(bed.path, bed.uses(), fasta=fasta)), device
        )
    if labelled == "-":
        raise UsageError("name a --model: what comes from stdin is read once")
    with open_variants(labelled) as source:
        evidence = functools.partial(
            variant_evidence, source, fasta=fasta, regions=(), regions_file=None
        )
        return read_model(model_folder(None, evidence), device)


def _settings(
    given: dict[str, Any], fasta: str | None, transcripts: TranscriptChoice, output: str
) -> TuningSettings:
    from phylotools.finetuning.nested import FitSettings
    from phylotools.finetuning.run import TuningSettings

    fit = FitSettings(
        given["folds"], given["inner_folds"], given["adapters"], given["epochs"], given["seed"]
    )
    network = _network(given, fasta, transcripts, output)
    return TuningSettings(fit, network, given["types"], given["bootstrap"])


def _network(
    given: dict[str, Any], fasta: str | None, transcripts: TranscriptChoice, output: str
) -> NetworkSettings:
    from phylotools.finetuning.variants import NetworkSettings

    return NetworkSettings(
        fasta,
        transcripts,
        given["threads"],
        given["batch_size"],
        given["precision"],
        output,
    )


def _apply(
    folder: str,
    model: str | None,
    bed: str,
    output: str,
    device: str,
    network: NetworkSettings,
    force: bool,
    summary_json: str | None,
    given: dict[str, Any],
) -> None:
    """Write the scores of regions."""
    from phylotools.finetuning.applying import score_regions
    from phylotools.io.files import refuse_existing_file, refuse_same_file
    from phylotools.model.folder import read_model
    from phylotools.model.registry import find_model

    said = [name for name in ("label_column", "groups", "group_by", "held_out") if given[name]]
    if model is not None or said:
        option = "model" if model is not None else said[0].replace("_", "-")
        raise UsageError(f"--apply fits nothing: leave out --{option}")
    watch = options.Stopwatch()
    if output != "-":
        refuse_same_file(output, [bed])
        refuse_existing_file(output, force)
    loaded = read_model(find_model(folder), device)
    with Progress("regions") as progress:
        n_regions = score_regions(
            loaded, bed, output, network, force=force, on_done=progress.update
        )
    logger.info("scored %s regions in %.1f s: %s", f"{n_regions:,}", watch.seconds, output)
    facts = {"verb": "finetune", "input": bed, "output": output, **loaded.identity.facts()}
    options.write_summary(summary_json, {**facts, "regions": n_regions})


def _record(question: LabelQuestion, given: dict[str, Any]) -> Any:
    from phylotools.provenance import RunRecord, sha256_file

    paths = [question.path, *([question.groups] if question.groups else [])]
    return RunRecord(
        inputs={path: None if path == "-" else sha256_file(path) for path in paths},
        parameters={key: value for key, value in given.items() if value not in (None, ())},
    )


def _report(
    tuning: Tuning, model: Model, output: str, watch: options.Stopwatch, summary_json: str | None
) -> None:
    from phylotools.evaluate.comparison import Evaluation
    from phylotools.finetuning.agreement import agreement_records
    from phylotools.finetuning.report import worth_table
    from phylotools.io.documents import json_ready

    click.echo(worth_table(tuning.worth), nl=False)
    logger.info(
        "fitted %s to %s labelled %s in %s groups in %.1f s; %s/ holds the model with its head, "
        "predictions.tsv and report.md",
        "adapters and a head" if tuning.final.adapters else "a head",
        f"{tuning.n_fitted:,}",
        "regions" if tuning.are_regions else "variants",
        f"{len(tuning.clusters):,}",
        watch.seconds,
        output.rstrip("/"),
    )
    worth = tuning.worth
    reached = (
        {
            score.name: figures.estimates["auroc"].value
            for score, figures in zip(worth.scores, worth.overall.figures, strict=True)
        }
        if isinstance(worth, Evaluation)
        else json_ready(agreement_records(worth))
    )
    options.write_summary(
        summary_json,
        {
            "verb": "finetune",
            "output": output,
            **model.identity.facts(),
            "labelled": len(tuning.items),
            "fitted": tuning.n_fitted,
            "groups": len(tuning.clusters),
            "near_another_fold": tuning.n_near,
            "epochs": tuning.final.choice.epochs,
            "held_out": json_ready(reached),
            "seconds": round(watch.seconds, 3),
        },
    )
