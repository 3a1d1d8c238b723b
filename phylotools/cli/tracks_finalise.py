"""`phylotools tracks-finalise`: the parts of planned tracks to a folder of tracks."""

from __future__ import annotations

import click

from phylotools.cli import options
from phylotools.cli.tracks import report


@click.command(name="tracks-finalise")
@click.argument("work", metavar="WORK")
@options.output_option(required=True, help="Folder to make.")
@click.option("--assembly", metavar="NAME", help="What browsers call the reference, e.g. hg38.")
@options.threads_option(help="CPU threads [default: all].")
@options.force_option
@options.summary_option
@options.logging_options
def tracks_finalise_command(
    work: str,
    output: str,
    assembly: str | None,
    threads: int | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Put the finished partitions of a plan together; says which are missing.

    The work folder stays as it is: remove it when the tracks are as they should be.
    """
    options.check_summary(summary_json, force=force, inputs=[], output=output)
    from phylotools.phylogeny.threads import n_cores
    from phylotools.tracks.stages import finalise_tracks

    watch = options.Stopwatch()
    summary = finalise_tracks(
        work, output, assembly=assembly, threads=threads or n_cores(), force=force
    )
    report(summary, output, watch.seconds, summary_json)
