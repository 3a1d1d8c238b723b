"""`phylotools preprocess`: alignments and a tree to a column store."""

from __future__ import annotations

import logging
from typing import Any

import click

from phylotools.cli import options
from phylotools.cli.preprocess_options import alignment_options, make_settings
from phylotools.cli.progress import Progress

logger = logging.getLogger("phylotools")


@click.command(name="preprocess")
@click.argument("alignments", nargs=-1, metavar="[ALIGNMENT]...")
@alignment_options
@options.output_option(required=True, help="Column store (a folder) to make.")
@click.option(
    "--report", metavar="FOLDER", help="Make a quality report: a page, tables, a picture."
)
@click.option(
    "--work",
    metavar="FOLDER",
    help="Where finished parts are kept until the end [default: OUTPUT.work].",
)
@options.threads_option(help="CPU threads [default: all].")
@options.force_option
@options.summary_option
@options.logging_options
def preprocess_command(
    alignments: tuple[str, ...],
    tree: str,
    output: str,
    report: str | None,
    work: str | None,
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
    from phylotools.phylogeny.threads import n_cores
    from phylotools.preprocess.build import build_store
    from phylotools.preprocess.plan import Settings

    paths = list(alignments) or ["-"]
    chosen: Settings = make_settings(settings)
    inputs = [*paths, tree, *chosen.files.values()]
    options.check_summary(summary_json, force=force, inputs=inputs, output=output)
    if report is not None:
        _check_report(report, output, work, force)
    watch = options.Stopwatch()
    with Progress("columns") as progress:
        summary = build_store(
            paths,
            tree,
            output,
            chosen,
            force=force,
            on_columns=progress.update,
            work=work,
            threads=threads or n_cores(),
        )
    seconds = watch.seconds
    options.write_summary(summary_json, {**summary.to_dict(), "seconds": round(seconds, 3)})
    if report is not None:
        options.write_store_report(output, report, force=force, threads=threads or n_cores())
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


def _check_report(report: str, output: str, work: str | None, force: bool) -> None:
    """Refuse, before the work, a report that could not be written."""
    import os

    from phylotools.errors import UsageError
    from phylotools.io.files import refuse_existing_folder
    from phylotools.report import REPORT

    taken = {os.path.realpath(path) for path in (output, work or f"{output}.work")}
    if os.path.realpath(report) in taken:
        raise UsageError("--report, -o and --work must name different folders")
    refuse_existing_folder(report, force, REPORT)
