"""`phylotools preprocess` and its stages: alignments and a tree to a column store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.board import open_board
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress
from phylotools.cli.staged import engine_option, partition_command

if TYPE_CHECKING:
    from phylotools.jobs.engines.engine import Engine
    from phylotools.preprocess.finalise import BuildSummary
    from phylotools.preprocess.plan import Settings
    from phylotools.preprocess.stages import PreprocessStages

#: Named here so that --help imports no numba; a test compares them with the policies.
DUPLICATES = ("best-identity", "first", "consensus", "drop")

_alignment_options = options.together(
    click.option("--tree", required=True, metavar="TREE.nh", help="Newick tree with lengths."),
    options.fasta_option,
    click.option(
        "--reference",
        metavar="SPECIES",
        help="Species whose coordinates are used [default: that of the first row].",
    ),
    click.option(
        "--species",
        metavar="A,B,...|FILE",
        help="Keep these species only: names with commas between, or a file with one a line.",
    ),
    click.option(
        "--unknown-species",
        type=click.Choice(["error", "drop"]),
        default="error",
        show_default=True,
        help="What to do with rows of species that are not in the tree.",
    ),
    click.option(
        "--duplicates",
        type=click.Choice(DUPLICATES),
        default=DUPLICATES[0],
        show_default=True,
        help="Which of several rows of a species in a block stays.",
    ),
    click.option(
        "-r",
        "--regions",
        metavar="REGION[,...]",
        help="Store these positions only: contig, contig:begin-end (1-based).",
    ),
    click.option("-R", "--regions-file", metavar="BED", help="Store these positions only."),
    click.option("--exclude", metavar="BED", help="Leave these positions out."),
    click.option(
        "--weights",
        metavar="BED",
        help="Weight of positions in training (column 4) [default: 1].",
    ),
    click.option(
        "--minimum-species",
        type=click.IntRange(0),
        default=0,
        metavar="N",
        help="Leave out columns with fewer species with A, C, G or T, the reference counted.",
    ),
)


@click.command(name="preprocess")
@click.argument("alignments", nargs=-1, metavar="[ALIGNMENT]...")
@_alignment_options
@options.output_option(required=True, help="Column store (a folder) to make.")
@click.option(
    "--report", metavar="FOLDER", help="Make a quality report: a page, tables, a picture."
)
@options.work_option
@engine_option
@options.threads_option(help="CPU threads, of each worker with --on [default: all].")
@options.force_option
@options.summary_option
@options.logging_options
def preprocess_command(
    alignments: tuple[str, ...],
    tree: str,
    output: str,
    report: str | None,
    work: str | None,
    engine: Engine | None,
    threads: int | None,
    force: bool,
    summary_json: str | None,
    **settings: Any,
) -> None:
    """Turn alignments (MAF, TAF or aligned FASTA; plain, gzip, bgzip or stdin) into a column store.

    The store holds one column per base of the reference species. Where blocks overlap, the first
    counts. With --fasta the alignment is checked against the reference sequence, which is then
    stored outside the blocks too. The same command goes on where an earlier one was killed.
    """
    from phylotools.io.files import refuse_existing_folder
    from phylotools.jobs.stages import Resources
    from phylotools.jobs.work_folder import work_beside
    from phylotools.preprocess.stages import build_store
    from phylotools.threads import n_cores

    paths = list(alignments) or ["-"]
    chosen = _settings(settings)
    inputs = [*paths, tree, *chosen.files.values()]
    work = work or work_beside(output)
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    folders = {"-o": output, "--work": work, "--report": report}
    options.check_apart({**folders, "--summary-json": summary_json})
    if report is not None:
        from phylotools.report import REPORT

        refuse_existing_folder(report, force, REPORT)
    n_threads = threads or n_cores()

    def write_report(store: Path) -> None:
        options.write_store_report(
            str(store), str(report), force=force, threads=n_threads, name=output
        )

    watch = options.Stopwatch()
    with Progress("columns") as progress, open_board(engine) as board:
        summary = build_store(
            paths, tree, output, chosen, force=force, on_columns=progress.update,
            on_store=None if report is None else write_report, work=work,
            resources=Resources(threads), engine=engine, board=board,
        )  # fmt: skip
    _conclude(summary, output, watch.seconds, summary_json)


@click.command(name="preprocess-init")
@click.argument("alignments", nargs=-1, required=True, metavar="ALIGNMENT...")
@_alignment_options
@click.option("--work", required=True, metavar="FOLDER", help="Work folder to make.")
@click.option(
    "--partition-size",
    type=click.IntRange(1),
    metavar="MB",
    help="Megabytes of text of a partition [default: 268].",
)
@options.summary_option
@options.logging_options
def preprocess_init_command(
    alignments: tuple[str, ...],
    tree: str,
    work: str,
    partition_size: int | None,
    summary_json: str | None,
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
    chosen = _settings(settings)
    inputs = [*alignments, tree, *chosen.files.values()]
    options.check_summary(summary_json, force=False, inputs=inputs, output=work)
    plan = init_work(alignments, tree, work, chosen, partition_bytes=size)
    logger.info("%s: %d partitions", work, plan.n_partitions)
    options.write_summary(summary_json, {"output": work, "partitions": plan.n_partitions})
    sys.stdout.write(f"{plan.n_partitions}\n")


def _stages() -> PreprocessStages:
    from phylotools.preprocess.stages import PreprocessStages

    return PreprocessStages()


preprocess_partition_command = partition_command("preprocess", _stages, has_network=False)


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
    """Put the finished partitions of a plan together; says which are missing or damaged.

    The work folder stays as it is: remove it when the store is as it should be.
    """
    from phylotools.preprocess.stages import finalise_planned
    from phylotools.threads import n_cores

    options.check_summary(summary_json, force=force, inputs=[], output=output)
    options.check_apart({"WORK": work, "-o": output, "--summary-json": summary_json})
    watch = options.Stopwatch()
    summary = finalise_planned(work, output, threads=threads or n_cores(), force=force)
    _conclude(summary, output, watch.seconds, summary_json)


def _conclude(summary: BuildSummary, output: str, seconds: float, summary_json: str | None) -> None:
    """Say what was made, in the log and, if asked for, as JSON."""
    options.write_summary(
        summary_json, {"output": output, **summary.to_dict(), "seconds": round(seconds, 3)}
    )
    logger.info(
        "%s: %d blocks, %d columns, %d of %d species in %.1f s (%.1f MB/s of alignment)",
        output,
        summary.blocks,
        summary.covered_positions,
        summary.species_with_rows,
        summary.species,
        seconds,
        summary.alignment_bytes / 1e6 / max(seconds, 1e-9),
    )


def _settings(given: dict[str, Any]) -> Settings:
    """Settings from the values of `_alignment_options`.

    Raises
    ------
    InputError
        If a file of species names cannot be read.
    """
    from phylotools.preprocess.plan import Settings

    regions, species = given.pop("regions"), given.pop("species")
    return Settings(
        **{key: value for key, value in given.items() if key != "unknown_species"},
        drop_unknown=given["unknown_species"] == "drop",
        regions=tuple(regions.split(",")) if regions else (),
        species=_species(species) if species else (),
    )


def _species(text: str) -> tuple[str, ...]:
    from phylotools.errors import InputError
    from phylotools.io.files import read_small_text

    if not os.path.exists(text):
        return tuple(name.strip() for name in text.split(",") if name.strip())
    lines = (line.strip() for line in read_small_text(text).splitlines())
    names = tuple(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise InputError("holds no species", path=text, remedy="write one name a line")
    return names
