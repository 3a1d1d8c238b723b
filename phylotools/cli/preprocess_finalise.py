"""`phylotools preprocess-finalise`: the parts of a planned job to a column store."""

from __future__ import annotations

import click

from phylotools.cli import options


@click.command(name="preprocess-finalise")
@click.argument("work", metavar="WORK")
@options.output_option(required=True, help="Column store (a folder) to make.")
@options.threads_option(help="CPU threads [default: all].")
@options.force_option
@options.summary_option
@options.logging_options
def preprocess_finalise_command(
    work: str, output: str, threads: int | None, force: bool, summary_json: str | None
) -> None:
    """Put the finished partitions of a plan together; says which are missing.

    The work folder stays as it is: remove it when the store is as it should be.
    """
    from phylotools.phylogeny.threads import n_cores
    from phylotools.preprocess.stages import finalise_planned

    options.check_summary(summary_json, force=force, inputs=[], output=output)
    watch = options.Stopwatch()
    summary = finalise_planned(work, output, threads=threads or n_cores(), force=force)
    options.write_summary(summary_json, {**summary.to_dict(), "seconds": round(watch.seconds, 3)})
    options.logger.info(
        "%s: %d blocks, %d columns, %d of %d species in %.1f s",
        output,
        summary.blocks,
        summary.covered_positions,
        summary.species_with_rows,
        summary.species,
        watch.seconds,
    )
