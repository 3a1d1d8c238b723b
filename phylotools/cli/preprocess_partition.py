"""`phylotools preprocess-partition`: one part of a planned job."""

from __future__ import annotations

import click

from phylotools.cli import options
from phylotools.cli.progress import Progress


@click.command(name="preprocess-partition")
@click.argument("work", metavar="WORK")
@click.argument("indices", nargs=-1, required=True, type=click.IntRange(0), metavar="I...")
@options.threads_option(default=1, show_default=True, help="CPU threads.")
@options.logging_options
def preprocess_partition_command(work: str, indices: tuple[int, ...], threads: int) -> None:
    """Run partitions of a plan that `phylotools preprocess-init` made; finished ones are left."""
    from phylotools.preprocess.stages import run_planned

    watch = options.Stopwatch()
    with Progress("columns") as progress:
        n_columns = run_planned(work, indices, threads, on_columns=progress.update)
    options.logger.info(
        "%s: %d partitions, %d columns in %.1f s", work, len(indices), n_columns, watch.seconds
    )
