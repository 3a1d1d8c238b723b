"""`phylotools evaluate`: how well do scores tell labelled variants apart?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.errors import UsageError, counted

if TYPE_CHECKING:
    from phylotools.evaluate.comparison import Evaluation
    from phylotools.evaluate.selection import Question


@click.command(name="evaluate")
@click.argument("scored", nargs=-1, required=True, metavar="SCORED...")
@click.option("--labels", metavar="FILE", help="Labels, where no SCORED file holds them.")
@click.option("--label-column", required=True, metavar="NAME", help="Column of the labels.")
@click.option(
    "--positive", required=True, multiple=True, metavar="V[,V]", help="Labels of the positives."
)
@click.option(
    "--negative", required=True, multiple=True, metavar="V[,V]", help="Labels of the negatives."
)
@click.option(
    "--score",
    "scores",
    multiple=True,
    metavar="NAME[:low|:high]",
    help="A column of scores, and which of its values point to the positives [default: low for "
    "scores of phylotools and names that end in LLR or begin with llr, high for others]. Repeat it "
    "to compare scores [default: the default score that each file names].",
)
@click.option("--class-column", metavar="NAME", help="Also compare within each of its values.")
@click.option(
    "--types",
    type=click.Choice(["two", "six", "twelve"]),
    help="Also compare within types of mutation: transitions and transversions, six types by the "
    "pyrimidine of the pair, or twelve.",
)
@options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again.")
@options.regions_file_option(help="Only variants in these regions.")
@options.contig_aliases_option
@click.option(
    "--where", multiple=True, metavar="COLUMN=V[,V]", help="Only variants with such a value."
)
@click.option(
    "--bootstrap",
    type=click.IntRange(0, 1_000_000),
    default=2000,
    show_default=True,
    metavar="N",
    help="Replicates for the intervals; 0 for none.",
)
@options.seed_option
@options.output_option(help="Folder for tables and pictures; without it, only the table on stdout.")
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def evaluate_command(
    scored: tuple[str, ...],
    labels: str | None,
    label_column: str,
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    scores: tuple[str, ...],
    class_column: str | None,
    types: str | None,
    regions: tuple[str, ...],
    regions_file: str | None,
    where: tuple[str, ...],
    bootstrap: int,
    seed: int,
    output: str | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Compare scores with labels: AUROC and AUPRC with bootstrap intervals, and a picture.

    SCORED files and labels are VCF, BCF, TSV, CSV or Parquet (- for stdin), joined by contig,
    position, REF and ALT. INFO fields, or columns of a table, are named by --score,
    --label-column, --class-column and --where. All scores are compared on the variants that have
    all of them.

    \b
    phylotools evaluate scored.vcf.gz --labels clinvar.vcf.gz --label-column CLNSIG \\
        --positive Pathogenic,Likely_pathogenic --negative Benign,Likely_benign \\
        --score PHYLOGPN_LLR --score phyloP --class-column GENE -o result

    Beside each pooled figure stands what a ranking by class or by type of mutation alone reaches,
    and how scores rank variants of one class and of one type.
    """
    from phylotools.evaluate.comparison import evaluate
    from phylotools.evaluate.report import REPORT
    from phylotools.evaluate.selection import Question, parse_score, parse_where, read_regions
    from phylotools.evaluate.tables import join_tables
    from phylotools.io.files import refuse_existing_folder, refuse_two_streams

    watch = options.Stopwatch()
    inputs = [*scored, labels, regions_file]
    refuse_two_streams(*inputs)
    if seed < 0:
        raise UsageError("--seed must not be negative")
    if output is not None:
        refuse_existing_folder(output, force, REPORT)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({"-o": output, "--summary-json": summary_json})
    question = Question(
        scored,
        labels,
        label_column,
        split_values(positive),
        split_values(negative),
        tuple(parse_score(text) for text in scores),
        class_column,
        tuple(parse_where(text) for text in where),
        read_regions(regions, regions_file),
    )
    data = join_tables(question)
    question = replace(question, scores=data.columns)
    evaluation = evaluate(data, types=types, replicates=bootstrap, seed=seed)
    _show(evaluation)
    if output is not None:
        _write(output, evaluation, question, force)
    _conclude(evaluation, output, watch, summary_json)


def split_values(texts: Iterable[str]) -> frozenset[str]:
    """Values of an option that takes several, with commas between or given again."""
    return frozenset(part.strip() for text in texts for part in text.split(",") if part.strip())


def _show(evaluation: Evaluation) -> None:
    """Print the table: a drawn one for a terminal, aligned plain text for anything else."""
    import sys

    from phylotools.evaluate.report import plain_table, table_rows

    if not sys.stdout.isatty():
        click.echo(plain_table(evaluation), nl=False)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    header, rows = table_rows(evaluation)
    table = Table(*header)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _write(output: str, evaluation: Evaluation, question: Question, force: bool) -> None:
    from dataclasses import asdict

    from phylotools.evaluate.report import REPORT, write_report
    from phylotools.io.files import atomic_folder
    from phylotools.provenance import RunRecord, sha256_file

    paths = [*question.scored, *([question.labels] if question.labels else [])]
    record = RunRecord(
        inputs={path: None if path == "-" else sha256_file(path) for path in paths},
        parameters={
            key: sorted(value) if isinstance(value, frozenset) else value
            for key, value in asdict(question).items()
            if key not in ("where", "regions")
        }
        | {
            "where": {name: sorted(values) for name, values in question.where},
            "regions": None if question.regions is None else [str(r) for r in question.regions],
        },
    )
    with atomic_folder(output, force=force, contents=REPORT) as folder:
        write_report(folder, evaluation, record)


def _conclude(
    evaluation: Evaluation, output: str | None, watch: options.Stopwatch, summary_json: str | None
) -> None:
    for name, count in evaluation.lacking.items():
        if count:
            logger.warning("%s labelled variants have no %s and were left out", f"{count:,}", name)
    overall = evaluation.overall
    logger.info(
        "compared %s on %s variants (%s positive, %s negative) in %.1f s%s",
        counted(len(evaluation.scores), "score"),
        f"{evaluation.counts['compared']:,}",
        f"{overall.n_positive:,}",
        f"{overall.n_negative:,}",
        watch.seconds,
        ""
        if output is None
        else f"; {output.rstrip('/')}/ holds metrics.tsv, metrics.json, curves.png and curves.svg",
    )
    options.write_summary(
        summary_json,
        {
            "verb": "evaluate",
            "output": output,
            "counts": evaluation.counts,
            "lacking": evaluation.lacking,
            "auroc": {
                score.name: metrics.auroc.value
                for score, metrics in zip(evaluation.scores, overall.metrics, strict=True)
            },
            "seconds": round(watch.seconds, 3),
        },
    )
