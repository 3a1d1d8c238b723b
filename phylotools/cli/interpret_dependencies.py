"""`phylotools interpret dependencies`: a nucleotide dependency map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.interpret import (
    annotation_options,
    network_options,
    opened,
    refuse_early,
    run_options,
    shown_features,
)
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress
from phylotools.errors import counted

if TYPE_CHECKING:
    from phylotools.interpret.changes import Measure


@click.command(name="dependencies")
@options.regions_option(
    multiple=False, required=True, help="contig:begin-end (1-based): 50 to 1,000 bases are best."
)
@network_options
@click.option(
    "--measure",
    type=click.Choice(("log-probability", "log-odds")),
    default="log-probability",
    show_default=True,
    help="What a dependency is the largest change of.",
)
@click.option("--symmetric", is_flag=True, help="Take the mean of the two directions of a pair.")
@click.option(
    "--jacobian",
    is_flag=True,
    help="Put every change into the npz too: by both positions and both bases (up to 1,000 bases).",
)
@annotation_options
@options.output_option(required=True, help="NAME.svg or NAME.png; without such a suffix, both.")
@run_options
def dependencies_command(
    regions: str,
    model: str | None,
    fasta: str | None,
    measure: Measure,
    symmetric: bool,
    jacobian: bool,
    annotation: str | None,
    annotation_type: tuple[str, ...],
    output: str,
    force: bool,
    summary_json: str | None,
    **network: Any,
) -> None:
    """Map of which base's prediction hangs on which other base of a region.

    Each base is replaced by the three others. What is shown of a pair is the largest change of the
    log probability of any base at the one (columns) over the substitutions of the other (rows).
    NAME.tsv.gz has the pairs, NAME.npz the map as an array.

    \b
    phylotools interpret dependencies -r chrM:3230-3304 --annotation genes.bed -o map
    """
    from phylotools.interpret.files import interpretation_files, refuse_outputs

    watch = options.Stopwatch()
    files = interpretation_files(output)
    inputs = [fasta, annotation]
    refuse_outputs(files, force=force, inputs=inputs)
    refuse_early(files.paths, summary_json, force=force, inputs=inputs)
    from phylotools.interpret.dependencies import dependency_map
    from phylotools.interpret.dependency_table import write_dependencies
    from phylotools.interpret.files import write_pictures
    from phylotools.interpret.map_picture import draw_map
    from phylotools.io.regions import resolve_region
    from phylotools.plots.wording import footer_text

    with opened(model, fasta, (regions,), None, **network) as ready:
        scorer = ready.scorer
        region = resolve_region(regions, scorer.genome.contigs)
        features = shown_features(annotation, annotation_type, region, scorer)
        with Progress("positions", total=len(region)) as progress:
            found = dependency_map(
                scorer,
                region,
                measure=measure,
                is_symmetric=symmetric,
                keeps_jacobian=jacobian,
                on_positions=progress.update,
            )
        longest = max(scorer.genome.contigs.values())
    if found.n_unknown:
        logger.warning(
            "%s: %s without A, C, G or T: NaN in the map", region, counted(found.n_unknown, "base")
        )
    facts = {
        **ready.facts,
        "Region": str(region),
        "Measure": measure,
        "Symmetric": str(symmetric),
        "Reach": str(found.reach),
    }
    write_dependencies(files, found, facts, longest_contig=longest, force=force)
    write_pictures(
        files.pictures,
        lambda: draw_map(found, features, footer_text(ready.facts)),
        force=force,
    )
    names = [str(path) for path in files.paths]
    logger.info(
        "mapped %s (%s, each with those up to %d away): %s, in %.1f s",
        region, counted(len(region), "base"), found.reach, ", ".join(names), watch.seconds,
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "verb": "interpret dependencies",
            "files": names,
            **facts,
            "positions": len(region),
            "unknown": found.n_unknown,
            "seconds": round(watch.seconds, 3),
        },
    )
