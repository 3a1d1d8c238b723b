"""`phylotools evaluate embeddings`: what frozen embeddings know of an annotation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress
from phylotools.errors import UsageError

if TYPE_CHECKING:
    from phylotools.finetuning.items import LabelQuestion
    from phylotools.io.regions import RegionSet
    from phylotools.model.folder import Model
    from phylotools.probing.question import ProbeQuestion, ProbeSettings
    from phylotools.probing.run import Judgement

#: Named here so that --help imports no torch; a test compares them with the package's.
TASK_NAMES = ("gene-finding", "bases", "chromatin", "histone", "cpg", "regions", "enhancer")
VARIANTS = "variants"
BASELINE_NAMES = ("untrained", "one-hot", "window", "k-mers", "gc")
#: Options without a meaning where no head is trained.
_OF_HEADS = (
    *("label_type", "hdf5", "window", "valid", "test", "split_column", "head", "baselines"),
    *("epochs", "patience", "layer", "strand"),
)


@click.command(name="embeddings")
@click.argument("labels", metavar="LABELS")
@options.chosen_model_option
@options.fasta_option
@click.option(
    "--task",
    type=click.Choice([*TASK_NAMES, VARIANTS]),
    required=True,
    help="What has a label, and which figure says how well.",
)
@options.output_option(required=True, help="Folder to make.")
@click.option(
    "--label-column",
    "label_columns",
    multiple=True,
    metavar="NAME|NUMBER",
    help="Of a BED of samples, or of variants; several of 0 and 1 are as many labels [default: "
    "label, else column 4].",
)
@click.option(
    "--label-type",
    multiple=True,
    metavar="TYPE[,TYPE]",
    help="Rows of a GFF that count, such as CDS,tRNA [default: all; of gene-finding exon].",
)
@click.option("--hdf5", metavar="FILE", help="Labels beside a BED of samples, as BEND has them.")
@click.option(
    "--split-column",
    metavar="NAME|NUMBER",
    help="train, valid or test of each sample [default: split, if the BED has it].",
)
@click.option(
    "--test",
    metavar="BED|REGION[,REGION]",
    help="Held out to judge by: contigs or regions, in place of contigs that --seed draws.",
)
@click.option("--valid", metavar="BED|REGION[,REGION]", help="The same, to stop learning by.")
@click.option(
    "--window",
    type=click.IntRange(128, 1_000_000),
    default=2048,
    show_default=True,
    metavar="BASES",
    help="An annotated genome is cut into such windows.",
)
@options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again.")
@options.regions_file_option(help="Only these regions of an annotated genome.")
@options.contig_aliases_option
@click.option(
    "--head",
    type=click.Choice(("cnn", "linear")),
    default="cnn",
    show_default=True,
    help="Two convolutions, as in BEND, or a linear head.",
)
@click.option(
    "--baselines",
    default=",".join(BASELINE_NAMES),
    show_default=True,
    metavar="NAME[,NAME]|none",
    help="What stands beside the embedding.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="At most.",
)
@click.option(
    "--patience",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    metavar="EPOCHS",
    help="Without a better loss of what is held out for it, before learning stops.",
)
@click.option("--layer", default="last", show_default=True, metavar="NAME|INDEX", help="As embed.")
@click.option(
    "--strand",
    type=click.Choice(("forward", "bed", "invariant")),
    default="forward",
    show_default=True,
    help="As embed; bed is for samples that are regions.",
)
@click.option(
    "--positive", multiple=True, metavar="V[,V]", help="Labels of the positives (variants)."
)
@click.option(
    "--negative", multiple=True, metavar="V[,V]", help="Labels of the negatives (variants)."
)
@click.option("--class-column", metavar="NAME", help="Also within its values (variants).")
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
@options.threads_option(help="CPU threads [default: every core].")
@options.device_option
@options.batch_size_option
@options.precision_option
@options.summary_option
@options.logging_options
@options.outputs_together
def embeddings_command(
    labels: str,
    model: str | None,
    fasta: str | None,
    task: str,
    output: str,
    device: str,
    force: bool,
    summary_json: str | None,
    **given: Any,
) -> None:
    """Judge frozen embeddings by a small head, on contigs that it never saw.

    \b
    LABELS by --task:
      gene-finding   GFF3 or GTF: exon, intron, donor, acceptor of both strands; MCC
      bases          GFF3 or GTF (types of rows) or BED (names): a class a base; MCC
      enhancer       BED of what is marked, in bins of 128 bases; AUPRC
      chromatin, histone, cpg
                     BED of samples with the labels that each has; mean AUROC
      regions        BED of samples with a class each; MCC
      variants       VCF or table with two classes, by the distance between the
                     embeddings of REF and ALT, no head; AUROC

    \b
    phylotools evaluate embeddings genes.gff3 --task gene-finding -f genome.fa -m MODEL -o judged
    phylotools evaluate embeddings samples.bed --task chromatin --split-column split -o judged

    BEDs of BEND, with a header and columns split and label, are read as they are. Beside the
    embedding stand the same network with random weights, the bases, short words, GC and what
    needs no sequence.
    """
    watch = options.Stopwatch()
    inputs = [labels, fasta, given["regions_file"], given["hdf5"]]
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({"-o": output, "--summary-json": summary_json})
    if given["seed"] < 0:
        raise UsageError("--seed must not be negative")
    if labels == "-":
        raise UsageError("LABELS is read more than once: give a file, not stdin")
    if task == VARIANTS:
        _judge_variants(labels, model, fasta, output, device, force, summary_json, given, watch)
        return
    with options.importing():
        from phylotools.io.files import refuse_existing_folder
        from phylotools.probing.outputs import FILES, write_judgement
        from phylotools.probing.run import judge_embeddings

    refuse_existing_folder(output, force, FILES)
    question = _question(labels, task, given)
    settings = _settings(fasta, output, given)
    loaded = _model(model, labels, fasta, device)
    with Progress("samples") as progress:
        found = judge_embeddings(loaded, question, settings, progress.update)
    record = _record([labels, given["hdf5"]], {"task": task, **given})
    write_judgement(found, loaded, question, settings, record, output, force=force)
    _report(found, loaded, question, settings, output, watch, summary_json)


def _question(labels: str, task: str, given: dict[str, Any]) -> ProbeQuestion:
    from phylotools.cli.evaluate import split_values
    from phylotools.evaluate.selection import read_regions
    from phylotools.probing.question import ProbeQuestion
    from phylotools.probing.tasks import TASKS

    said = [name for name in ("positive", "negative", "class_column") if given[name]]
    if said:
        raise UsageError(f"--{said[0].replace('_', '-')} is for --task {VARIANTS}")
    return ProbeQuestion(
        labels,
        TASKS[task],
        tuple(given["label_columns"]),
        given["split_column"],
        given["hdf5"],
        split_values(given["label_type"]),
        read_regions(given["regions"], given["regions_file"]),
        given["window"],
        _held_out(given["valid"]),
        _held_out(given["test"]),
    )


def _held_out(text: str | None) -> RegionSet | None:
    """Regions: of a BED where there is such a file, else named."""
    from phylotools.evaluate.selection import read_regions

    if text is None:
        return None
    if os.path.isfile(text):
        return read_regions((), text)
    return read_regions([part.strip() for part in text.split(",") if part.strip()], None)


def _settings(fasta: str | None, output: str, given: dict[str, Any]) -> ProbeSettings:
    from phylotools.embedding.source import NetworkOptions
    from phylotools.probing.question import ProbeSettings

    names = [part.strip() for part in given["baselines"].split(",") if part.strip()]
    unknown = [name for name in names if name not in (*BASELINE_NAMES, "none")]
    if unknown:
        raise UsageError(
            f"--baselines: {unknown[0]!r} is none of {', '.join(BASELINE_NAMES)}, nor none"
        )
    return ProbeSettings(
        fasta,
        given["layer"],
        given["strand"],
        given["head"],
        tuple(name for name in names if name != "none"),
        given["epochs"],
        given["patience"],
        given["bootstrap"],
        given["seed"],
        NetworkOptions(given["threads"], given["batch_size"], given["precision"]),
        output,
    )


def _model(name: str | None, labels: str, fasta: str | None, device: str) -> Model:
    """The model that is named, else the one whose sequence the labels are on."""
    from phylotools.model.folder import read_model
    from phylotools.model.registry import find_model
    from phylotools.probing.preparation import uses_of
    from phylotools.scoring.choice import model_folder
    from phylotools.scoring.evidence import use_evidence

    if name is not None:
        return read_model(find_model(name), device)
    return read_model(
        model_folder(None, lambda: use_evidence(labels, uses_of(labels), fasta=fasta)), device
    )


def _record(paths: list[str | None], given: dict[str, Any]) -> Any:
    from phylotools.provenance import RunRecord, sha256_file

    return RunRecord(
        inputs={path: sha256_file(path) for path in paths if path is not None},
        parameters={key: value for key, value in given.items() if value not in (None, ())},
    )


def _report(
    found: Judgement,
    model: Model,
    question: ProbeQuestion,
    settings: ProbeSettings,
    output: str,
    watch: options.Stopwatch,
    summary_json: str | None,
) -> None:
    from phylotools.io.documents import json_ready
    from phylotools.probing.outputs import facts
    from phylotools.probing.report import worth_table

    click.echo(worth_table(found, question), nl=False)
    logger.info(
        "judged embeddings of %s on %s held-out %ss in %.1f s; %s/ holds report.md, metrics.tsv, "
        "predictions.tsv and judged.png",
        model.name,
        f"{len(found.cells):,}",
        question.task.cell,
        watch.seconds,
        output.rstrip("/"),
    )
    options.write_summary(
        summary_json,
        {
            "verb": "evaluate embeddings",
            "output": output,
            **facts(found, model, question, settings),
            "values": json_ready({each.name: each.value.value for each in found.verdicts}),
            "seconds": round(watch.seconds, 3),
        },
    )


def _judge_variants(
    labels: str,
    model: str | None,
    fasta: str | None,
    output: str,
    device: str,
    force: bool,
    summary_json: str | None,
    given: dict[str, Any],
    watch: options.Stopwatch,
) -> None:
    """The task without a head."""
    _refuse_options_of_heads()
    with options.importing():
        from phylotools.cli.finetune import labelled_model
        from phylotools.evaluate.report import plain_table
        from phylotools.finetuning.variants import NetworkSettings
        from phylotools.io.files import refuse_existing_folder
        from phylotools.probing.variants import FILES, judge_variants, write_variants

    refuse_existing_folder(output, force, FILES)
    question = _variant_question(labels, given)
    network = NetworkSettings(
        fasta,
        threads=given["threads"],
        batch_size=given["batch_size"],
        precision=given["precision"],
        output=output,
    )
    loaded = labelled_model(model, labels, fasta, device, False)
    with Progress("variants") as progress:
        found = judge_variants(
            loaded, question, network,
            replicates=given["bootstrap"], seed=given["seed"], on_done=progress.update,
        )  # fmt: skip
    record = _record([labels], {"task": VARIANTS, **given})
    write_variants(found, record, output, force=force)
    click.echo(plain_table(found.worth), nl=False)
    logger.info(
        "judged embeddings of %s on %s variants in %.1f s; %s/ holds metrics.tsv and "
        "predictions.tsv",
        loaded.name, f"{len(found.items):,}", watch.seconds, output.rstrip("/"),
    )  # fmt: skip
    overall = found.worth.overall
    options.write_summary(
        summary_json,
        {
            "verb": "evaluate embeddings",
            "task": VARIANTS,
            "output": output,
            **loaded.identity.facts(),
            "judged": len(found.items),
            "auroc": {
                score.name: figures.estimates["auroc"].value
                for score, figures in zip(found.worth.scores, overall.figures, strict=True)
            },
            "seconds": round(watch.seconds, 3),
        },
    )


def _variant_question(labels: str, given: dict[str, Any]) -> LabelQuestion:
    from phylotools.cli.evaluate import split_values
    from phylotools.evaluate.selection import read_regions
    from phylotools.finetuning.items import CONTIG, LabelQuestion

    if len(given["label_columns"]) != 1:
        raise UsageError(f"--task {VARIANTS} needs --label-column, once")
    return LabelQuestion(
        labels,
        given["label_columns"][0],
        split_values(given["positive"]),
        split_values(given["negative"]),
        CONTIG,
        class_column=given["class_column"],
        regions=read_regions(given["regions"], given["regions_file"]),
    )


def _refuse_options_of_heads() -> None:
    context = click.get_current_context()
    for name in _OF_HEADS:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = name.replace("_", "-")
            raise UsageError(f"--task {VARIANTS} trains no head: leave out --{option}")
