"""`phylotools tracks-partition`: one part of planned tracks."""

from __future__ import annotations

import click

from phylotools.cli import options
from phylotools.cli.progress import Progress


@click.command(name="tracks-partition")
@click.argument("work", metavar="WORK")
@click.argument("indices", nargs=-1, required=True, type=click.IntRange(0), metavar="I...")
@options.threads_option(help="CPU threads [default: all].")
@options.device_option
@options.batch_size_option
@options.logging_options
def tracks_partition_command(
    work: str,
    indices: tuple[int, ...],
    threads: int | None,
    device: str,
    batch_size: int | None,
) -> None:
    """Run partitions of a plan that `phylotools tracks-init` made; finished ones are left."""
    from phylotools.model.registry import load_model
    from phylotools.tracks.stages import run_tracks

    watch = options.Stopwatch()
    with Progress("positions") as progress:
        n_positions = run_tracks(
            work,
            indices,
            lambda folder: load_model(folder, device),
            threads=threads,
            batch_size=batch_size,
            on_positions=progress.update,
        )
    options.logger.info(
        "%s: %d partitions, %d positions in %.1f s", work, len(indices), n_positions, watch.seconds
    )
