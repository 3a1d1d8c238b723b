"""`phylotools tracks-init`: plan tracks that are made in parts."""

from __future__ import annotations

import sys
from typing import Any

import click

from phylotools.cli import options
from phylotools.cli.tracks_options import make_settings, track_options


@click.command(name="tracks-init")
@track_options
@click.option("--work", required=True, metavar="FOLDER", help="Work folder to make.")
@click.option(
    "--partition-size",
    type=click.IntRange(1),
    metavar="N",
    help="Positions of a partition [default: 1048576].",
)
@options.logging_options
def tracks_init_command(
    model: str | None,
    fasta: str | None,
    work: str,
    partition_size: int | None,
    **settings: Any,
) -> None:
    """Plan tracks that are made in parts, on one machine or many.

    Prints the number of partitions N. Then run `phylotools tracks-partition WORK I` for I = 0 to
    N - 1, in any order and as often as need be, and `phylotools tracks-finalise WORK -o FOLDER`
    once.
    """
    chosen = make_settings(settings)
    from phylotools.model.registry import load_model
    from phylotools.tracks.plan import PARTITION_POSITIONS
    from phylotools.tracks.stages import init_tracks

    plan = init_tracks(
        load_model(model, "cpu"),
        work,
        chosen,
        fasta=fasta,
        partition_positions=partition_size or PARTITION_POSITIONS,
    )
    options.logger.info(
        "%s: %d partitions, %d positions", work, len(plan.partitions), plan.n_positions
    )
    sys.stdout.write(f"{len(plan.partitions)}\n")
