"""What all plots share: where they go, and the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import Stopwatch, logger

if TYPE_CHECKING:
    from phylotools.plots.output import Numbers, PlotFiles

plot_output_option = options.output_option(
    required=True, help="NAME.svg or NAME.png; without such a suffix, both."
)
#: Options of the plots that read a scored file.
_SCORED_OPTIONS = (
    click.option(
        "--tag", default="PHYLOGPN", show_default=True, help="Prefix of the INFO fields of scores."
    ),
    click.option(
        "--score", metavar="NAME", help="Column of scores [default: TAG_LLR, or llr of a table]."
    ),
    click.option(
        "--where", multiple=True, metavar="COLUMN=V[,V]", help="Only alleles with such a value."
    ),
    options.regions_option(help="Only contig or contig:begin-end (1-based); may be given again."),
    options.regions_file_option(help="Only alleles in these regions."),
    options.seed_option,
    plot_output_option,
    options.force_option,
    options.summary_option,
    options.logging_options,
    options.outputs_together,
)


def scored_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of plots that read a scored file."""
    for option in reversed(_SCORED_OPTIONS):
        command = option(command)
    return command


def prepare(
    output: str, summary_json: str | None, *, force: bool, inputs: Iterable[str | None]
) -> PlotFiles:
    """The files to write, after all refusals that need no work.

    Raises
    ------
    UsageError, OutputError
    """
    from phylotools.errors import UsageError
    from phylotools.plots.output import plot_files, refuse_outputs

    files = plot_files(output)
    named = list(inputs)
    refuse_outputs(files, force=force, inputs=named)
    for path in files.paths:
        options.check_summary(summary_json, force=force, inputs=named, output=str(path))
    if sum(name == "-" for name in named) > 1:
        raise UsageError("stdin (-) can be read only once")
    return files


def check_seed(seed: int) -> None:
    """Refuse a seed that random generators do not take."""
    from phylotools.errors import UsageError

    if not 0 <= seed < 1 << 32:
        raise UsageError(f"--seed must lie between 0 and {(1 << 32) - 1}")


def conclude(
    files: PlotFiles,
    draw: Callable[[], Any],
    numbers: Numbers,
    *,
    force: bool,
    what: str,
    watch: Stopwatch,
    summary_json: str | None,
    facts: Mapping[str, Any],
) -> None:
    """Write the files, say so, and write the summary."""
    from phylotools.plots.output import write_plot

    write_plot(files, draw, numbers, force=force)
    names = [str(path) for path in files.paths]
    logger.info("drew %s: %s, in %.1f s", what, ", ".join(names), watch.seconds)
    options.write_summary(
        summary_json,
        {"verb": "plot", "files": names, **facts, "seconds": round(watch.seconds, 3)},
    )
