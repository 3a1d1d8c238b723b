"""What the verbs that work in parts share on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    from phylotools.jobs.engines.engine import Engine
    from phylotools.jobs.stages import Stages

_STDIN = "-"
_SUMMARY = "phylotools.summary"
_INDEX = click.IntRange(0)


class _Index(click.ParamType[int | str]):
    """The index of a partition, or ``-``."""

    name = "index"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """The number that is given; ``-`` as it is."""
        return value if value == _STDIN else int(_INDEX.convert(value, param, ctx))


def _engine(context: click.Context, parameter: click.Parameter, text: str | None) -> Engine | None:
    """The engine of ``--on``."""
    if text is None or context.resilient_parsing:
        return None
    from phylotools.jobs.engines.choice import choose_engine

    return choose_engine(text)


engine_option = click.option(
    "--on",
    "engine",
    callback=_engine,
    metavar="ENGINE",
    help="Who computes the parts: local:N (processes here), slurm[:KEY=VALUE,...], dask:N or "
    "dask://HOST:PORT [default: this process].",
)


#: The folder of verbs that keep parts only with ``--on``.
work_option = click.option(
    "--work",
    metavar="FOLDER",
    help="With --on: where finished parts are kept until the end [default: OUTPUT.work].",
)


def work_for(engine: Engine | None, work: str | None, output: str) -> str | None:
    """The work folder of a verb that has one only with ``--on``; None without.

    Raises
    ------
    UsageError
        If the output is a stream, or a folder is named that is not used.
    """
    if engine is None:
        if work is not None:
            raise click.UsageError("--work has no meaning without --on")
        return None
    if output == "-":
        raise click.UsageError("--on keeps its parts beside the output: name a file with -o")
    from phylotools.jobs.work_folder import work_beside

    return work or work_beside(output)


def refuse_streams(files: Mapping[str, str]) -> None:
    """Raise `UsageError` if one of some files, named with what it holds, is a stream.

    Raises
    ------
    InputError
        If there is no such file.
    """
    from phylotools.jobs.job import identities_of

    identities_of(files)


def init_options(unit: str, default: int) -> Callable[..., Any]:
    """``--work``, ``--partition-size`` and ``--summary-json`` of VERB-init.

    Parameters
    ----------
    unit : str
        What the size of a partition counts, in the plural.
    default : int
    """
    return options.together(
        click.option("--work", required=True, metavar="FOLDER", help="Work folder to make."),
        click.option(
            "--partition-size",
            "partition_size",
            type=click.IntRange(1),
            metavar="N",
            help=f"{unit.capitalize()} of a partition [default: {default}].",
        ),
        click.option(
            "--summary-json",
            expose_value=False,
            callback=_keep_summary,
            metavar="FILE",
            help="Write what was done, as JSON.",
        ),
    )


def _keep_summary(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Check ``--summary-json`` of VERB-init, and keep it for `begin`."""
    if not context.resilient_parsing:
        options.check_summary(path, force=False, inputs=[], output=context.params.get("work"))
        context.meta[_SUMMARY] = path


def begin(stages: Stages[Any], work: str, make_plan: Callable[[], Any]) -> None:
    """Plan a job into a new work folder, and print how many partitions it has.

    Parameters
    ----------
    stages : Stages
    work : str
    make_plan : callable
        Gives the job, once it is known that the folder can be made.

    Raises
    ------
    PhylotoolsError
    """
    from phylotools.jobs.stages import begin_job

    plan = begin_job(stages, work, make_plan)
    logger.info("%s: %d partitions", work, plan.n_partitions)
    summary_json = click.get_current_context().meta.get(_SUMMARY)
    options.write_summary(summary_json, {"output": work, "partitions": plan.n_partitions})
    sys.stdout.write(f"{plan.n_partitions}\n")


def partition_command(
    verb: str, load_stages: Callable[[], Stages[Any]], *, has_network: bool
) -> click.Command:
    """``VERB-partition`` of a verb.

    Parameters
    ----------
    verb : str
    load_stages : callable
        Imports the verb's `Stages` and makes them; called when the command runs.
    has_network : bool
        Whether partitions go through a network, on a device.
    """
    network = (options.devices_option, options.batch_size_option) if has_network else ()

    @click.command(
        name=f"{verb}-partition",
        help=f"Run partitions I... of a plan that `phylotools {verb}-init` made.\n\n"
        "Finished ones are left as they are, so that it may be given again. With - the indices "
        "are read from stdin, one a line as they come, and each is printed when its piece stands.",
    )
    @click.argument("work", metavar="WORK")
    @click.argument("indices", nargs=-1, required=True, type=_Index(), metavar="I...|-")
    @options.together(
        options.threads_option(help="CPU threads [default: all]."),
        *network,
        options.summary_option,
        options.logging_options,
    )
    def command(
        work: str,
        indices: tuple[int | str, ...],
        threads: int | None,
        summary_json: str | None,
        device: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        options.check_summary(summary_json, force=True, inputs=[], output=work)
        from phylotools.jobs.stages import Resources, run_partitions

        stages, watch = load_stages(), options.Stopwatch()
        wanted, on_done = _wanted(indices)
        with Progress(stages.unit) as progress:
            n_run = run_partitions(
                stages,
                work,
                wanted,
                Resources(threads, device, batch_size),
                on_progress=progress.update,
                on_done=on_done,
            )
        logger.info("%s: %d partitions in %.1f s", work, n_run, watch.seconds)
        options.write_summary(summary_json, {"output": work, "partitions": n_run})

    return command


def _wanted(indices: tuple[int | str, ...]) -> tuple[Iterable[int], Callable[[int], None]]:
    """The indices of partitions, and what is said of each that is finished."""
    if _STDIN not in indices:
        return [index for index in indices if isinstance(index, int)], lambda index: None
    if len(indices) > 1:
        raise click.UsageError("give indices, or - alone")
    return _indices_of_stdin(), _say


def _say(index: int) -> None:
    """Print an index. In one call: several threads may have one to print."""
    sys.stdout.write(f"{index}\n")
    sys.stdout.flush()


def _indices_of_stdin() -> Iterator[int]:
    """Indices as they come, until stdin ends."""
    from phylotools.errors import InputError, shown

    # Not by iterating: that would wait for more than a line.
    for number, line in enumerate(iter(sys.stdin.readline, ""), 1):
        text = line.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise InputError(
                f"{shown(text)!r} is no index of a partition",
                path="-",
                line=number,
                remedy="write one number a line",
            )
        yield int(text)
