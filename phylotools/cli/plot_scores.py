"""``phylotools plot llr`` and ``plot frequency``: scores of a VCF by class, and by frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phylotools.cli.options import Stopwatch
from phylotools.cli.plot_options import check_seed, conclude, prepare, scored_options
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    from phylotools.plots.alleles import AlleleQuery
    from phylotools.plots.distribution_drawing import Style


@click.command(name="llr")
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
@scored_options
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
    watch = Stopwatch()
    check_seed(seed)
    inputs = [scored, _file_of(classes), selection["regions_file"]]
    files = prepare(output, summary_json, force=force, inputs=inputs)
    from phylotools.plots.distribution import distribution_numbers, distributions_by_class
    from phylotools.plots.distribution_drawing import draw_distributions
    from phylotools.plots.wording import counted, footer_text, score_label

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
    conclude(
        files,
        lambda: draw_distributions(
            found,
            style,
            score_label(found.score),
            footer_text(found.made_by, *_said(scored, selection)),
        ),
        distribution_numbers(found, facts),
        force=force,
        what=f"{counted(sum(tally.n for tally in found.tallies.values()), 'allele')} in "
        f"{counted(len(found.tallies), 'class', 'classes')}" + _left_out(found.counts),
        watch=watch,
        summary_json=summary_json,
        facts=facts | {"counts": found.counts},
    )


@click.command(name="frequency")
@click.argument("scored", metavar="SCORED")
@click.option(
    "--frequency", default="AF", show_default=True, metavar="FIELD", help="Allele frequencies."
)
@click.option(
    "--allele-count", metavar="FIELD", help="Allele counts: where 1, the allele is a singleton."
)
@scored_options
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
    watch = Stopwatch()
    check_seed(seed)
    inputs = [scored, selection["regions_file"]]
    files = prepare(output, summary_json, force=force, inputs=inputs)
    from phylotools.plots.frequency import frequency_numbers, scores_by_frequency
    from phylotools.plots.frequency_drawing import draw_frequency
    from phylotools.plots.wording import counted, footer_text, frequency_label, score_label

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
    conclude(
        files,
        lambda: draw_frequency(
            found,
            score_label(found.score),
            frequency_label(frequency),
            footer_text(found.made_by, *_said(scored, selection)),
        ),
        frequency_numbers(found, facts),
        force=force,
        what=f"{counted(found.n, 'allele')} in {counted(len(found.bins), 'bin')}"
        + _left_out(found.counts),
        watch=watch,
        summary_json=summary_json,
        facts=facts | {"counts": found.counts},
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
    import os

    if classes is None or classes == "-":
        return classes
    paths = [path for path in (classes, classes.rpartition(":")[0]) if os.path.exists(path)]
    return paths[0] if paths else None


def _choice(selection: dict[str, Any]) -> dict[str, str]:
    """What limits the alleles, for the table."""
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
    told = [f"{n:,} {what.replace('_', ' ')}" for what, n in counts.items() if what != "alleles"]
    return f" (left out: {', '.join(told)})" if told else ""
