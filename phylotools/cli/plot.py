"""`phylotools plot`: logos, embeddings, scores by class or frequency, learning curves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress
from phylotools.errors import UsageError, counted

if TYPE_CHECKING:
    from phylotools.plots.alleles import AlleleQuery
    from phylotools.plots.distribution_drawing import Style
    from phylotools.plots.embedding import Method
    from phylotools.plots.embedding_file import EmbeddingFile
    from phylotools.plots.logo import Scale
    from phylotools.plots.output import PlotFiles, PlotTable

_output_option = options.output_option(
    required=True, help="NAME.svg or NAME.png; without such a suffix, both."
)
#: Options of the plots that read a scored file.
_scored_options = options.together(
    click.option(
        "--tag", default="PHYLOGPN", show_default=True, help="Prefix of the INFO fields of scores."
    ),
    click.option(
        "--score",
        metavar="NAME",
        help="Column of scores [default: the default score that the header names, else TAG_LLR].",
    ),
    click.option(
        "--where", multiple=True, metavar="COLUMN=V[,V]", help="Only alleles with such a value."
    ),
    options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again."),
    options.regions_file_option(help="Only alleles in these regions."),
    options.contig_aliases_option,
    options.seed_option,
    _output_option,
    options.force_option,
    options.summary_option,
    options.logging_options,
    options.outputs_together,
)


@click.group(name="plot")
def plot_command() -> None:
    """Pictures as SVG and PNG, with their numbers as TSV beside them.

    -o NAME.svg or -o NAME.png writes that picture and NAME.tsv; -o NAME writes both and the table.
    """


@plot_command.command(name="logo")
@options.regions_option(
    multiple=False, required=True, help="contig:begin-end (1-based): 20 to 200 bases are best."
)
@options.chosen_model_option
@options.fasta_option
@options.contig_aliases_option
@click.option(
    "--scale",
    type=click.Choice(("information", "probability", "llr")),
    default="information",
    show_default=True,
    help="Height of a letter: bits, probability, or its LLR against the reference base.",
)
@click.option("--annotation", metavar="FILE", help="Features to show below: BED, GFF3 or GTF.")
@click.option(
    "--annotation-type",
    multiple=True,
    metavar="TYPE[,TYPE]",
    help="Only such rows of a GFF3 or GTF, such as CDS,exon.",
)
@click.option("--variants", metavar="VCF", help="Mark the alleles of a VCF in the sequence.")
@click.option("--reverse-complement", is_flag=True, help="Show the other strand.")
@_output_option
@options.force_option
@options.threads_option(help="CPU threads [default: every core].")
@options.device_option
@options.summary_option
@options.logging_options
@options.outputs_together
def logo_command(
    regions: str,
    model: str | None,
    fasta: str | None,
    scale: Scale,
    annotation: str | None,
    annotation_type: tuple[str, ...],
    variants: str | None,
    reverse_complement: bool,
    output: str,
    force: bool,
    threads: int | None,
    device: str,
    summary_json: str | None,
) -> None:
    """Logo of predicted probabilities, with the sequence, site rates and annotation below.

    \b
    phylotools plot logo -r chrM:3307-3366 --annotation genes.bed -o logo.svg

    Up to 400 bases are drawn as letters, up to 4,000 as a heat map.
    """
    watch = options.Stopwatch()
    files = _prepare(output, summary_json, force=force, inputs=[fasta, annotation, variants])
    from phylotools.io.genome import ReferenceGenome
    from phylotools.model.folder import read_model
    from phylotools.plots.features import features_within
    from phylotools.plots.logo import choose_region, logo_table, profile_sites
    from phylotools.plots.logo_drawing import LogoPicture, draw_logo
    from phylotools.plots.marks import marks_within
    from phylotools.plots.wording import footer_text
    from phylotools.scoring.choice import model_folder
    from phylotools.scoring.evidence import region_evidence
    from phylotools.scoring.scorer import Scorer

    folder = model_folder(model, lambda: region_evidence((regions,), fasta=fasta))
    loaded = read_model(folder, device)
    path = loaded.choose_reference(fasta)
    with ReferenceGenome.open(path) as genome:
        region = choose_region(regions, genome)
        features = None
        if annotation is not None:
            kinds = frozenset(part for text in annotation_type for part in text.split(",") if part)
            features = features_within(annotation, region, genome.contigs, kinds)
            if not features:
                logger.warning("%s: no feature overlaps %s", annotation, region)
        marks = None if variants is None else marks_within(variants, region, genome.contigs)
        profile = profile_sites(Scorer(loaded, genome, threads=threads), region)
    made_by = {**loaded.identity.header_facts(), "Reference": path.rpartition("/")[2]}
    picture = LogoPicture(profile, scale, features, reverse_complement, footer_text(made_by), marks)
    facts = {"Plot": "logo", **made_by, "Region": str(region), "Scale": scale}
    _conclude(
        files,
        lambda: draw_logo(picture),
        logo_table(profile, facts),
        force=force,
        what=f"{region} ({len(region)} bases)",
        watch=watch,
        summary_json=summary_json,
        facts=facts,
    )


@plot_command.command(name="embedding")
@click.argument("embeddings", required=False, metavar="[EMBEDDINGS]")
@click.option(
    "--colour",
    metavar="BED|name|contig|strand|none",
    help="Classes: names of the intervals (BED, GFF or GTF) that regions overlap most, or a column "
    "[default: names or contigs that occur more than once].",
)
@click.option(
    "--method",
    type=click.Choice(("pca", "umap")),
    default="pca",
    show_default=True,
    help="Principal components, or UMAP (needs umap-learn).",
)
@click.option(
    "--labels",
    metavar="BED|GFF",
    help="In place of --colour: names of a BED, types of a GFF or GTF; how far they lie apart is "
    "told too, beside classes moved along the genome.",
)
@click.option(
    "--label-type",
    multiple=True,
    metavar="TYPE[,TYPE]",
    help="Rows of a GFF that count, such as CDS,tRNA.",
)
@click.option(
    "--apart",
    type=click.IntRange(0),
    default=500,
    show_default=True,
    metavar="BASES",
    help="Regions nearer than this on the genome do not count as neighbours.",
)
@click.option(
    "--draw",
    type=click.IntRange(4, 100_000),
    metavar="N",
    help="In place of EMBEDDINGS: embed so many windows drawn from the model's genome.",
)
@click.option(
    "--window",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    metavar="BASES",
    help="Of --draw.",
)
@options.regions_option(help="Draw only from contig or contig:begin-end; may be given again.")
@options.model_option(help="Of --draw.")
@options.fasta_option
@options.threads_option(help="CPU threads [default: every core].")
@options.device_option
@options.seed_option
@_output_option
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def embedding_command(
    embeddings: str | None,
    colour: str | None,
    method: Method,
    labels: str | None,
    label_type: tuple[str, ...],
    apart: int,
    seed: int,
    output: str,
    force: bool,
    summary_json: str | None,
    **drawing: Any,
) -> None:
    """Embeddings in two dimensions, coloured by class.

    EMBEDDINGS is what `phylotools embed` writes, in any of its formats; --draw makes some of
    windows of a genome.

    \b
    phylotools plot embedding embeddings.parquet --colour genes.bed -o embedding.svg
    phylotools plot embedding --draw 1500 -m MODEL --labels genes.gff3 --method umap -o umap
    """
    watch = options.Stopwatch()
    _check_seed(seed)
    named = None if colour in ("name", "contig", "strand", "none") else colour
    inputs = [embeddings, named, labels, drawing["fasta"]]
    files = _prepare(output, summary_json, force=force, inputs=inputs)
    _check_drawing(embeddings, colour, labels, label_type, drawing)
    from phylotools.cli.evaluate import split_values
    from phylotools.plots.embedding import embedding_table, project, separation_facts
    from phylotools.plots.embedding_drawing import draw_embedding
    from phylotools.plots.embedding_file import open_embeddings
    from phylotools.plots.labels import LabelFile
    from phylotools.plots.wording import footer_text

    file = None if labels is None else LabelFile(labels, split_values(label_type))
    source = _drawn(seed, drawing) if embeddings is None else open_embeddings(embeddings)
    found = project(source, method, colour=colour, labels=file, apart=apart, seed=seed)
    facts = {
        "Plot": "embedding",
        "Method": method,
        "Classes": found.class_source,
        "Seed": seed,
        **found.made_by,
        **separation_facts(found),
    }
    said = f"windows of {drawing['window']}" if embeddings is None else embeddings
    footer = footer_text(found.made_by, said.rpartition("/")[2])
    _conclude(
        files,
        lambda: draw_embedding(found, footer, seed=seed),
        embedding_table(found, facts),
        force=force,
        what=counted(len(found.points), "region")
        + (f" ({found.n_left_out:,} without a finite vector left out)" if found.n_left_out else ""),
        watch=watch,
        summary_json=summary_json,
        facts=facts | {"regions": len(found.points), "left_out": found.n_left_out},
    )


def _check_drawing(
    embeddings: str | None,
    colour: str | None,
    labels: str | None,
    label_type: tuple[str, ...],
    drawing: dict[str, Any],
) -> None:
    """Refuse options that do not go together.

    Raises
    ------
    UsageError
    """
    if (embeddings is None) == (drawing["draw"] is None):
        raise UsageError("give EMBEDDINGS, or --draw and a --model to make some")
    if colour is not None and labels is not None:
        raise UsageError("give --colour or --labels, not both")
    if label_type and labels is None:
        raise UsageError("--label-type chooses among the rows of --labels")
    if drawing["draw"] is not None and drawing["model"] is None:
        raise UsageError("--draw needs the --model whose genome windows are drawn from")


def _drawn(seed: int, drawing: dict[str, Any]) -> EmbeddingFile:
    """Embeddings of windows of a genome."""
    from phylotools.evaluate.selection import read_regions
    from phylotools.io.genome import ReferenceGenome
    from phylotools.model.folder import read_model
    from phylotools.model.registry import find_model
    from phylotools.plots.windows import draw_windows, embed_windows

    model = read_model(find_model(drawing["model"]), drawing["device"])
    wanted = read_regions(drawing["regions"], None)
    with ReferenceGenome.open(model.choose_reference(drawing["fasta"])) as genome:
        windows = draw_windows(genome, wanted, drawing["draw"], drawing["window"], seed)
        return embed_windows(model, genome, windows, drawing["threads"])


@plot_command.command(name="llr")
@click.argument("scored", metavar="SCORED")
@click.option(
    "--classes",
    metavar="FIELD|FILE[:COLUMN]",
    help="A column of SCORED, such as an INFO field; a table or VCF of classes; or a BED, GFF or "
    "GTF, whose names are the classes.",
)
@click.option("--only", multiple=True, metavar="V[,V]", help="Only these classes, in this order.")
@click.option(
    "--style",
    type=click.Choice(("violin", "box", "ecdf")),
    default="violin",
    show_default=True,
    help="How to draw a distribution.",
)
@_scored_options
def llr_command(
    scored: str,
    classes: str | None,
    only: tuple[str, ...],
    style: Style,
    summary_json: str | None,
    output: str,
    force: bool,
    seed: int,
    **selection: Any,
) -> None:
    """Distribution of scores by class of variant.

    SCORED is what `phylotools annotate` wrote: VCF, BCF, or a table (TSV, CSV, Parquet) with
    contig, pos, ref and alt; - for stdin.

    \b
    phylotools plot llr scored.vcf.gz --classes CLNSIG --only Pathogenic,Benign -o llr.svg
    """
    watch = options.Stopwatch()
    _check_seed(seed)
    inputs = [scored, _file_of(classes), selection["regions_file"]]
    files = _prepare(output, summary_json, force=force, inputs=inputs)
    from phylotools.plots.distribution import distribution_table, distributions_by_class
    from phylotools.plots.distribution_drawing import draw_distributions
    from phylotools.plots.wording import footer_text, score_label

    names = list(dict.fromkeys(part.strip() for text in only for part in text.split(",")))
    query = _query(scored, **selection)
    wanted = [name for name in names if name]
    with Progress("alleles") as progress:
        found = distributions_by_class(
            query, classes, only=wanted, seed=seed, on_alleles=progress.update
        )
    facts = {
        "Plot": "llr",
        "Score": found.score,
        "Classes": found.class_source,
        "Seed": seed,
        **_model_facts(found.made_by),
        **_choice(selection),
    }
    _conclude(
        files,
        lambda: draw_distributions(
            found,
            style,
            score_label(found.score),
            footer_text(found.made_by, *_said(scored, selection)),
        ),
        distribution_table(found, facts),
        force=force,
        what=f"{counted(sum(tally.n for tally in found.tallies.values()), 'allele')} in "
        f"{counted(len(found.tallies), 'class', 'classes')}" + _left_out(found.counts),
        watch=watch,
        summary_json=summary_json,
        facts=facts | {"counts": found.counts},
    )


@plot_command.command(name="frequency")
@click.argument("scored", metavar="SCORED")
@click.option(
    "--frequency", default="AF", show_default=True, metavar="FIELD", help="Allele frequencies."
)
@click.option(
    "--allele-count", metavar="FIELD", help="Allele counts: where 1, the allele is a singleton."
)
@_scored_options
def frequency_command(
    scored: str,
    frequency: str,
    allele_count: str | None,
    summary_json: str | None,
    output: str,
    force: bool,
    seed: int,
    **selection: Any,
) -> None:
    """Scores against allele frequency.

    SCORED is what `phylotools annotate` wrote: VCF, BCF, or a table (TSV, CSV, Parquet) with
    contig, pos, ref and alt; - for stdin.

    \b
    phylotools plot frequency scored.vcf.gz --frequency AF --allele-count AC -o frequency.svg
    """
    watch = options.Stopwatch()
    _check_seed(seed)
    inputs = [scored, selection["regions_file"]]
    files = _prepare(output, summary_json, force=force, inputs=inputs)
    from phylotools.plots.frequency import frequency_table, scores_by_frequency
    from phylotools.plots.frequency_drawing import draw_frequency
    from phylotools.plots.wording import footer_text, frequency_label, score_label

    query = _query(scored, **selection)
    with Progress("alleles") as progress:
        found = scores_by_frequency(
            query, frequency, allele_count=allele_count, seed=seed, on_alleles=progress.update
        )
    facts = {
        "Plot": "frequency",
        "Score": found.score,
        "Frequency": frequency,
        "Seed": seed,
        **({"AlleleCount": allele_count} if allele_count else {}),
        **_model_facts(found.made_by),
        **_choice(selection),
    }
    _conclude(
        files,
        lambda: draw_frequency(
            found,
            score_label(found.score),
            frequency_label(frequency),
            footer_text(found.made_by, *_said(scored, selection)),
        ),
        frequency_table(found, facts),
        force=force,
        what=f"{counted(found.n, 'allele')} in {counted(len(found.bins), 'bin')}"
        + _left_out(found.counts),
        watch=watch,
        summary_json=summary_json,
        facts=facts | {"counts": found.counts},
    )


@plot_command.command(name="training")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@_output_option
@options.force_option
@options.summary_option
@options.logging_options
@options.outputs_together
def training_command(
    runs: tuple[str, ...], output: str, force: bool, summary_json: str | None
) -> None:
    """Learning curves of training runs, going on or complete.

    RUN is the folder of `phylotools train`, or the metrics.tsv in it.

    \b
    phylotools plot training run/ -o curves.svg
    phylotools plot training seed1/ seed2/ seed3/ -o seeds
    """
    watch = options.Stopwatch()
    files = _prepare(output, summary_json, force=force, inputs=runs)
    from phylotools.plots.output import PlotTable
    from phylotools.plots.wording import footer_text
    from phylotools.training.curves import curves_rows, figures_of, read_runs
    from phylotools.training.curves_drawing import draw_learning_curves

    found = read_runs(runs)
    figures = figures_of(found)
    facts = {"Plot": "training", "Runs": ", ".join(run.name for run in found)}
    _conclude(
        files,
        lambda: draw_learning_curves(found, footer_text({})),
        PlotTable(facts, ("run", "step", "is_kept", *figures), curves_rows(found, figures)),
        force=force,
        what=counted(len(found), "run"),
        watch=watch,
        summary_json=summary_json,
        facts=facts | {"curves": [run.summary() for run in found]},
    )


def _query(
    scored: str,
    *,
    tag: str,
    score: str | None,
    where: tuple[str, ...],
    regions: tuple[str, ...],
    regions_file: str | None,
) -> AlleleQuery:
    from phylotools.evaluate.selection import parse_where, read_regions
    from phylotools.plots.alleles import AlleleQuery

    conditions = tuple(parse_where(text) for text in where)
    return AlleleQuery(scored, score, tag, conditions, read_regions(regions, regions_file))


def _file_of(classes: str | None) -> str | None:
    """The file that --classes names, if it is one."""
    if classes is None or classes == "-":
        return classes
    paths = [path for path in (classes, classes.rpartition(":")[0]) if os.path.exists(path)]
    return paths[0] if paths else None


def _choice(selection: dict[str, Any]) -> dict[str, str]:
    """Options that limit the alleles, for the table."""
    texts = {
        "Where": "; ".join(selection["where"]),
        "Regions": ",".join(selection["regions"]),
        "RegionsFile": (selection["regions_file"] or "").rpartition("/")[2],
    }
    return {key: text for key, text in texts.items() if text}


def _said(scored: str, selection: dict[str, Any]) -> list[str]:
    """The file and what limits its alleles, for the footer."""
    name = "stdin" if scored == "-" else scored.rpartition("/")[2]
    return [name, *(f"only {text}" for text in _choice(selection).values())]


def _model_facts(made_by: dict[str, str]) -> dict[str, str]:
    keys = ("Model", "Revision", "Sha256", "Reference")
    return {key: made_by[key] for key in keys if key in made_by}


def _left_out(counts: dict[str, int]) -> str:
    from phylotools.plots.alleles import told

    left_out = {what: number for what, number in counts.items() if what != "alleles"}
    return f" (left out: {told(left_out)})" if left_out else ""


def _prepare(
    output: str, summary_json: str | None, *, force: bool, inputs: Iterable[str | None]
) -> PlotFiles:
    """The files to write, after all refusals that need no work.

    Raises
    ------
    UsageError, OutputError
    """
    from phylotools.io.files import refuse_two_streams
    from phylotools.plots.output import plot_files, refuse_outputs

    files = plot_files(output)
    named = list(inputs)
    refuse_outputs(files, force=force, inputs=named)
    for path in files.paths:
        options.check_summary(summary_json, force=force, inputs=named, output=str(path))
    refuse_two_streams(*named)
    return files


def _check_seed(seed: int) -> None:
    """Refuse a seed that random generators do not take."""
    if not 0 <= seed < 1 << 32:
        raise UsageError(f"--seed must lie between 0 and {(1 << 32) - 1}")


def _conclude(
    files: PlotFiles,
    draw: Callable[[], Any],
    table: PlotTable,
    *,
    force: bool,
    what: str,
    watch: options.Stopwatch,
    summary_json: str | None,
    facts: Mapping[str, Any],
) -> None:
    """Write the files, say so, and write the summary."""
    from phylotools.plots.output import write_plot

    write_plot(files, draw, table, force=force)
    names = [str(path) for path in files.paths]
    logger.info("drew %s: %s, in %.1f s", what, ", ".join(names), watch.seconds)
    options.write_summary(
        summary_json,
        {"verb": "plot", "files": names, **facts, "seconds": round(watch.seconds, 3)},
    )
