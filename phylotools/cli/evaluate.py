"""`phylotools evaluate`: how well do scores tell labelled variants apart?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.groups import CommandWithParts
from phylotools.cli.options import logger
from phylotools.errors import UsageError, counted, shown

if TYPE_CHECKING:
    from phylotools.evaluate.comparison import Evaluation
    from phylotools.evaluate.outcome import Outcome
    from phylotools.evaluate.selection import Question

#: Subcommands -> one line of help; `NAME` is `NAME_command` in the module `cli/evaluate_NAME.py`.
PARTS: dict[str, str] = {
    "embeddings": "What frozen embeddings know of an annotation, by small heads.",
    "protocols": "List evaluation protocols, or print one in full.",
    "prepare": "A published table (ClinVar, MaveDB, MPRA, TraitGym ...) to labelled variants.",
}

#: Bytes; 4 GiB take some ten seconds.
_LARGEST_HASHED = 4 << 30


@click.command(name="evaluate")
@click.argument("scored", nargs=-1, required=True, metavar="SCORED...")
@click.option("--labels", metavar="FILE", help="Labels, where no SCORED file holds them.")
@click.option(
    "--protocol",
    metavar="NAME[:SETTING=N]|FILE.toml",
    help="Ask as a protocol says: its columns, filters, strata and published figures, where no "
    "other option says more. `phylotools evaluate protocols` lists them.",
)
@click.option(
    "--label-column",
    metavar="NAME[:low|:high]",
    help="Column of the labels: two classes (--positive, --negative), ordered classes (--order), "
    "else numbers, of which high ones are the damaging end unless you say low.",
)
@click.option("--positive", multiple=True, metavar="V[,V]", help="Labels of the positives.")
@click.option("--negative", multiple=True, metavar="V[,V]", help="Labels of the negatives.")
@click.option(
    "--order", metavar="V,V[,V]", help="Labels in their order, the least damaging class first."
)
@click.option(
    "--score",
    "scores",
    multiple=True,
    metavar="NAME[=FILE[:COLUMN]][:low|:high|:absolute]",
    help="A column of scores, of a SCORED file or of FILE, and which of its values point to the "
    "positives [default: low for scores of phylotools and names that end in LLR or begin with llr, "
    "high for others]; absolute: those far from 0. Repeat it to compare scores [default: the "
    "default score that each file names].",
)
@click.option(
    "--class-column",
    "--stratum",
    "strata",
    multiple=True,
    metavar="NAME",
    help="Also compare within each of its values; may be given again.",
)
@click.option(
    "--match-column",
    metavar="NAME",
    help="Matched groups, as a case and its controls: compare within them too, and resample them.",
)
@click.option(
    "--resample",
    metavar="sites|contigs|NAME",
    help="What is drawn as a whole for the intervals: sites, contigs, or values of a column, as "
    "genes [default: matched groups where there are some, else sites].",
)
@click.option(
    "--frequency-column",
    metavar="NAME",
    help="Allele frequencies: also rank by them alone, and compare within bins of them.",
)
@click.option(
    "--types",
    type=click.Choice(["two", "six", "twelve"]),
    help="Also compare within types of mutation: transitions and transversions, six types by the "
    "pyrimidine of the pair, or twelve.",
)
@click.option(
    "--consequence",
    is_flag=True,
    help="Also compare within consequences: those that a file says (CSQ, ANN, BCSQ, MC), or, with "
    "--gff and -f, those that `bcftools csq` finds.",
)
@click.option("--gff", metavar="GFF3|GTF", help="Genes for --consequence.")
@options.genetic_code_option(
    help="NCBI's number of the code of all transcripts of --gff; 0 not to check reading frames "
    "[default: what it says, else 2 on a mitochondrion, else 1]."
)
@options.fasta_option
@click.option(
    "--store",
    metavar="STORE",
    help="A column store: also rank by how often ALT and REF stand in its columns.",
)
@click.option(
    "--prior",
    type=options.FiniteRange(0, 0.9, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    metavar="P",
    help="Probability of being pathogenic before the score is known: what ACMG's strengths of "
    "evidence are for.",
)
@click.option(
    "--split-column",
    metavar="NAME",
    help="Train and test, or folds: look for what its sides share (variants, positions, genes; "
    "with -f homologous sequence).",
)
@click.option(
    "--trained-on",
    multiple=True,
    metavar="FILE|MODEL",
    help="What a score was fitted to (variants, BED, or the folder of a model): look for what it "
    "shares with these variants.",
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
def compare_command(
    scored: tuple[str, ...],
    labels: str | None,
    protocol: str | None,
    label_column: str | None,
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    order: str | None,
    scores: tuple[str, ...],
    strata: tuple[str, ...],
    match_column: str | None,
    resample: str | None,
    frequency_column: str | None,
    types: str | None,
    consequence: bool,
    gff: str | None,
    genetic_code: int | None,
    fasta: str | None,
    store: str | None,
    prior: float,
    split_column: str | None,
    trained_on: tuple[str, ...],
    regions: tuple[str, ...],
    regions_file: str | None,
    where: tuple[str, ...],
    bootstrap: int,
    seed: int,
    output: str | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Judge scores by labels: two classes, ordered classes or numbers, with intervals.

    SCORED files and labels are VCF, BCF, TSV, CSV or Parquet (- for stdin), joined by contig,
    position, REF and ALT. INFO fields, or columns of a table, are named by --score,
    --label-column, --stratum and --where. All scores are compared on the variants that have
    all of them. A file that is called like a subcommand is written ./NAME.

    \b
    phylotools evaluate scored.vcf.gz --labels clinvar.vcf.gz --label-column CLNSIG \\
        --positive Pathogenic,Likely_pathogenic --negative Benign,Likely_benign \\
        --score PHYLOGPN_LLR --score phyloP --stratum GENE -o result
    phylotools evaluate scored.vcf.gz --label-column EFFECT:low --score PHYLOGPN_LLR -o result

    Beside each pooled figure stands what rankings reach that know no score, and how scores rank
    within strata and types of mutation. -o FOLDER holds report.html, its tables and pictures.
    """
    from phylotools.evaluate.folder import FILES
    from phylotools.evaluate.run import Settings, ask_by_protocol, assess
    from phylotools.evaluate.selection import (
        Question,
        parse_label_column,
        parse_score,
        parse_where,
        read_regions,
    )
    from phylotools.io.files import refuse_existing_folder, refuse_two_streams

    watch = options.Stopwatch()
    inputs = [*scored, labels, regions_file, gff, fasta, *trained_on]
    refuse_two_streams(*inputs)
    if seed < 0:
        raise UsageError("--seed must not be negative")
    if gff is not None and fasta is None:
        raise UsageError("consequences are found by both: --gff GFF3 and -f FASTA")
    if fasta is not None and gff is None and split_column is None and not trained_on:
        raise UsageError("-f is for --gff, --split-column and --trained-on: give one of them")
    _check_labels(label_column, positive, negative, order, protocol)
    if output is not None:
        refuse_existing_folder(output, force, FILES)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    options.check_apart({"-o": output, "--summary-json": summary_json})
    label, label_low = parse_label_column(label_column or "")
    question = Question(
        scored,
        labels,
        label,
        split_values(positive),
        split_values(negative),
        tuple(parse_score(text) for text in scores),
        strata,
        tuple(parse_where(text) for text in where),
        read_regions(regions, regions_file),
        _ordered(order),
        label_low,
        match_column,
        resample,
        frequency_column,
    )
    settings = Settings(
        types,
        consequence or gff is not None,
        gff,
        fasta,
        store,
        split_column,
        trained_on,
        prior,
        genetic_code=genetic_code,
        is_detailed=output is not None,
        replicates=bootstrap,
        seed=seed,
    )
    if protocol is not None:
        given = {
            "label_column": label_column,
            "label_low": label_column not in (None, label),
            "positive": positive,
            "order": order,
            "strata": strata,
            "match_column": match_column,
            "resample": resample,
            "frequency_column": frequency_column,
        }
        names = {name for name, value in given.items() if value}
        question, settings = ask_by_protocol(
            protocol, question, settings, given=names, score_options=scores
        )
    question, outcome = assess(question, settings)
    _show(outcome.evaluation)
    if output is not None:
        _write(output, outcome, question, force)
    _conclude(outcome, output, watch, summary_json)


evaluate_command = CommandWithParts(compare_command, PARTS)


def _check_labels(
    column: str | None,
    positive: tuple[str, ...],
    negative: tuple[str, ...],
    order: str | None,
    protocol: str | None,
) -> None:
    """Raises `UsageError` where options do not say what the labels are."""
    if column is None and protocol is None:
        raise UsageError("name the column of labels: --label-column NAME; or a --protocol")
    if bool(positive) != bool(negative):
        given, missing = ("--positive", "--negative") if positive else ("--negative", "--positive")
        raise UsageError(f"two classes need both: {given} is given, {missing} is not")
    both = split_values(positive) & split_values(negative)
    if both:
        listed = ", ".join(map(shown, sorted(both)))
        raise UsageError(f"a label is positive or negative, not both: {listed}")
    if order is not None and positive:
        raise UsageError("--order and --positive exclude each other: labels are of one kind")


def _ordered(text: str | None) -> tuple[str, ...]:
    """The classes of ``--order``."""
    if text is None:
        return ()
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError("--order needs two classes or more, each once, the least damaging first")
    return names


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


def _write(output: str, outcome: Outcome, question: Question, force: bool) -> None:
    from phylotools.evaluate.folder import FILES, write_folder
    from phylotools.io.files import atomic_folder
    from phylotools.provenance import RunRecord, sha256_file

    sources = [score.source for score in question.scores if score.source is not None]
    paths = [*question.scored, *([question.labels] if question.labels else []), *sources]
    record = RunRecord(
        inputs={path: sha256_file(path) if _is_hashed(path) else None for path in paths},
        parameters=_parameters(question),
    )
    with atomic_folder(output, force=force, contents=FILES) as folder:
        write_folder(folder, outcome, record)


def _is_hashed(path: str) -> bool:
    """Whether a file's checksum is taken: not of a stream, nor of a whole genome's scores.

    Of these the parts near labelled variants are read, in less time than a checksum takes.
    """
    import os

    return path != "-" and os.path.getsize(path) <= _LARGEST_HASHED


def _parameters(question: Question) -> dict[str, Any]:
    """The question, JSON-ready."""
    from dataclasses import asdict

    return {
        key: sorted(value) if isinstance(value, frozenset) else value
        for key, value in asdict(question).items()
        if key not in ("where", "regions")
    } | {
        "where": {name: sorted(values) for name, values in question.where},
        "regions": None if question.regions is None else [str(r) for r in question.regions],
    }


def _conclude(
    outcome: Outcome, output: str | None, watch: options.Stopwatch, summary_json: str | None
) -> None:
    evaluation = outcome.evaluation
    for name, count in evaluation.data.lacking.items():
        if count:
            logger.warning(
                "%s labelled %s have no %s and were left out",
                f"{count:,}",
                evaluation.data.what,
                name,
            )
    for finding in outcome.findings:
        if finding.kind not in ("lacking_scores", "no_intervals", "protocol_caveat"):
            (logger.warning if finding.is_warning else logger.info)("%s", finding.text)
    data = evaluation.data
    logger.info(
        "compared %s on %s %s%s in %.1f s%s",
        counted(len(evaluation.scores), "score"),
        f"{len(data):,}",
        data.what,
        _class_sizes(outcome),
        watch.seconds,
        "" if output is None else f"; {output.rstrip('/')}/report.html has all figures",
    )
    options.write_summary(summary_json, _summary(outcome, output, watch.seconds))


def _class_sizes(outcome: Outcome) -> str:
    overall = outcome.evaluation.overall
    if "n_positive" not in overall.sizes:
        return ""
    return f" ({overall.n_positive:,} positive, {overall.n_negative:,} negative)"


def _summary(outcome: Outcome, output: str | None, seconds: float) -> dict[str, Any]:
    from phylotools.io.documents import json_ready

    evaluation = outcome.evaluation
    reached = {
        measure.key: {
            score.name: json_ready(figures.estimates[measure.key].value)
            for score, figures in zip(evaluation.scores, evaluation.overall.figures, strict=True)
        }
        for measure in evaluation.measures
    }
    return {
        "verb": "evaluate",
        "output": output,
        "labels": str(evaluation.data.kind),
        "counts": evaluation.data.counts,
        "lacking": evaluation.data.lacking,
        "measures": list(reached),
        **reached,
        "verdict": list(outcome.verdict),
        "warnings": [each.text for each in outcome.findings if each.is_warning],
        "seconds": round(seconds, 3),
    }
