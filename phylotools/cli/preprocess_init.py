"""`phylotools preprocess-init`: plan a job that is run in parts."""

from __future__ import annotations

import sys
from typing import Any

import click

from phylotools.cli import options
from phylotools.cli.preprocess_options import alignment_options, make_settings


@click.command(name="preprocess-init")
@click.argument("alignments", nargs=-1, required=True, metavar="ALIGNMENT...")
@alignment_options
@click.option("--work", required=True, metavar="FOLDER", help="Work folder to make.")
@click.option(
    "--partition-size",
    type=click.IntRange(1),
    metavar="MB",
    help="Megabytes of text of a partition [default: 268].",
)
@options.logging_options
def preprocess_init_command(
    alignments: tuple[str, ...],
    tree: str,
    work: str,
    partition_size: int | None,
    **settings: Any,
) -> None:
    """Plan a column store that is made in parts, on one machine or many.

    Prints the number of partitions N. Then run `phylotools preprocess-partition WORK I` for I = 0
    to N - 1, in any order and as often as need be, and `phylotools preprocess-finalise WORK -o
    STORE` once. Plain and bgzip MAF files are cut; any other file is one partition.
    """
    from phylotools.preprocess.plan import PARTITION_BYTES
    from phylotools.preprocess.stages import init_work

    size = PARTITION_BYTES if partition_size is None else partition_size * 1_000_000
    plan = init_work(alignments, tree, work, make_settings(settings), partition_bytes=size)
    options.logger.info("%s: %d partitions", work, len(plan.spans))
    sys.stdout.write(f"{len(plan.spans)}\n")
