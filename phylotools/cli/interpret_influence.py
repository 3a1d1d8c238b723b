"""`phylotools interpret influence`: how much a neighbourhood hangs on each base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.interpret import network_options, opened, refuse_early, run_options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress, speed

if TYPE_CHECKING:
    from phylotools.interpret.changes import Measure


@click.command(name="influence")
@options.regions_option(
    help="Only contig or contig:begin-end (1-based); may be given again [default: the whole "
    "reference]."
)
@options.regions_file_option(help="Only these regions.")
@network_options
@click.option(
    "--measure",
    type=click.Choice(("log-probability", "log-odds")),
    default="log-odds",
    show_default=True,
    help="What is compared.",
)
@click.option("--assembly", metavar="NAME", help="What browsers call the reference, e.g. hg38.")
@options.output_option(
    required=True, help="NAME.bw; without that suffix, a folder with pages for browsers too."
)
@run_options
def influence_command(
    regions: tuple[str, ...],
    regions_file: str | None,
    model: str | None,
    fasta: str | None,
    measure: Measure,
    assembly: str | None,
    output: str,
    force: bool,
    summary_json: str | None,
    **network: Any,
) -> None:
    """How much the predictions of its neighbours hang on each base of a genome.

    The score of a base is the mean, over all sites that it reaches, of the largest change of the
    log odds of a base there when this one is replaced. 217 sites are predicted three times for
    each base: the shipped models do 130 bases a second on one core.

    \b
    phylotools interpret influence -r chrM:3307-4262 -o influence.bw
    """
    from phylotools.interpret.influence_track import refuse_track, write_track

    watch = options.Stopwatch()
    inputs = [fasta, regions_file]
    refuse_track(output, force=force, inputs=inputs)
    refuse_early([output], summary_json, force=force, inputs=inputs)
    from phylotools.interpret.influence import influence_blocks
    from phylotools.io.regions import RegionSet, choose_regions

    with opened(model, fasta, regions, regions_file, **network) as ready:
        scorer = ready.scorer
        contigs = scorer.genome.contigs
        named = choose_regions(regions, regions_file, contigs, path=scorer.genome.path)
        chosen = RegionSet.whole(contigs) if named is None else named
        with Progress("positions", total=chosen.n_positions) as progress:
            found = write_track(
                output,
                influence_blocks(scorer, chosen, measure=measure, on_positions=progress.update),
                ready.facts,
                measure,
                scorer.genome,
                regions=named,
                assembly=assembly or ready.model.assembly_of(fasta),
                force=force,
            )
    for note in found.notes:
        logger.info("%s", note)
    logger.info(
        "%s: %d of %d positions in %.1f s (%s); mean influence %.4f nats",
        output, found.n_sites, chosen.n_positions, watch.seconds,
        speed(found.n_sites, watch.seconds, "positions"), found.mean,
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "verb": "interpret influence",
            "output": output,
            "files": found.files,
            **ready.facts,
            "Measure": measure,
            "positions": chosen.n_positions,
            "sites": found.n_sites,
            "mean": found.mean,
            "seconds": round(watch.seconds, 3),
        },
    )
