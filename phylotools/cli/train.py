"""``phylotools train``: a TOML configuration to a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from phylotools.cli import options
from phylotools.cli.progress import Progress

if TYPE_CHECKING:
    from phylotools.training.interruption import Interruption
    from phylotools.training.workers import Workers


@click.command(name="train")
@click.argument(
    "inputs", metavar="CONFIG.toml | STORE...", nargs=-1, required=True, type=click.Path()
)
@options.output_option(help="Folder of the run; with --init the file to write [default: stdout].")
@click.option(
    "--init",
    "is_init",
    is_flag=True,
    help="Train nothing: write a configuration for these column stores, with its reasons.",
)
@click.option("--check", is_flag=True, help="Check configuration and stores, train nothing.")
@click.option(
    "--dry-run",
    "is_dry",
    is_flag=True,
    help="Take a few steps, say what the run will take in memory, time and disk; write nothing.",
)
@click.option(
    "--workers",
    "n_workers",
    type=click.IntRange(min=1),
    help="With --dry-run: for so many workers [default: optimiser.parts, else 1].",
)
@click.option(
    "--price-per-hour",
    type=options.FiniteRange(min=0),
    help="With --dry-run: of one worker's device; says what the run costs.",
)
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option(
    "--extend",
    is_flag=True,
    help="Train a complete run on; the configuration may differ in its length and patience alone.",
)
@click.option(
    "--force", is_flag=True, help="Delete the run (or file) that is there and start anew."
)
@options.threads_option(
    help="CPU threads [default: one for the network, every core for the likelihood]."
)
@options.device_option
@options.summary_option
@options.logging_options
def train_command(
    inputs: tuple[str, ...],
    output: str | None,
    is_init: bool,
    check: bool,
    is_dry: bool,
    n_workers: int | None,
    price_per_hour: float | None,
    resume: bool,
    extend: bool,
    force: bool,
    threads: int | None,
    device: str,
    summary_json: str | None,
) -> None:
    """Train a model on column stores.

    CONFIG.toml says what is trained and how (docs/training.md). The run's folder holds
    checkpoint.safetensors, metrics.tsv and what was trained on and held out as BED; after a kill,
    --resume goes on from the last checkpoint to the same losses. Training ends when held-out
    columns are no longer predicted better, and keeps the best weights. `phylotools model export`
    makes the model.

    \b
    phylotools train --init columns.store > model.toml
    phylotools train model.toml -o run/
    """
    if not is_dry and (n_workers is not None or price_per_hour is not None):
        raise click.UsageError("--workers and --price-per-hour belong to --dry-run")
    if is_init:
        if check or resume or extend or is_dry:
            raise click.UsageError("--init excludes --check, --dry-run, --resume and --extend")
        _write_configuration(inputs, output or "-", force, threads, summary_json)
        return
    config = _only_configuration(inputs)
    goes_on = resume or extend
    options.check_summary(summary_json, force=force or goes_on, inputs=[config], output=output)
    if check:
        _check(config)
        return
    if is_dry:
        _estimate(config, device, threads, n_workers, price_per_hour, summary_json)
        return
    if output is None:
        raise click.UsageError("give the run's folder with -o")
    if force and goes_on:
        raise click.UsageError("--force excludes --resume and --extend")
    from phylotools.training.interruption import Interruption

    interruption = Interruption()
    # Before torch is imported, which takes seconds.
    with interruption.listening():
        from phylotools.training.workers import SaidElsewhere, join_workers

        try:
            with join_workers() as workers:
                if not workers.is_first:
                    # All would say the same.
                    options.logger.setLevel("ERROR")
                _train(
                    config, output, device, threads, summary_json, workers, interruption,
                    resume=resume, extend=extend, force=force,
                )  # fmt: skip
        except SaidElsewhere as error:
            raise click.exceptions.Exit(error.exit_code) from None


def _estimate(
    config: str,
    device: str,
    threads: int | None,
    n_workers: int | None,
    price: float | None,
    summary_json: str | None,
) -> None:
    """Say what a run will take."""
    from phylotools.model.device import resolve_device
    from phylotools.training.config_file import read_config
    from phylotools.training.estimate import estimate_run
    from phylotools.training.workers import set_threads

    set_threads(threads)
    found = estimate_run(read_config(config), resolve_device(device), n_workers)
    for line in found.lines(price):
        click.echo(line)
    options.write_summary(summary_json, {"outputs": [], "estimate": found.facts(price)})


def _check(config: str) -> None:
    """Check a configuration and its stores."""
    from phylotools.training.config_file import read_config
    from phylotools.training.dataset import TrainingData
    from phylotools.training.reporting import check_sinks

    settings = read_config(config)
    check_sinks(settings.run)
    for source in TrainingData(settings).stores:
        source.store.verify()
    click.echo(f"{config}: no errors", err=True)


def _train(
    config: str,
    output: str,
    device: str,
    threads: int | None,
    summary_json: str | None,
    workers: Workers,
    interruption: Interruption,
    *,
    resume: bool,
    extend: bool,
    force: bool,
) -> None:
    """Train as one of the workers of a run."""
    from pathlib import Path

    from phylotools.training.config_file import read_config
    from phylotools.training.loop import Trainer
    from phylotools.training.workers import set_threads

    settings = read_config(config)
    watch = options.Stopwatch()
    set_threads(threads, workers)
    trainer = Trainer(
        settings, Path(output), workers.device(device),
        resume=resume, extend=extend, force=force, workers=workers,
    )  # fmt: skip
    first = trainer.progress.step
    with Progress("steps", trainer.length, done=first) as shown:
        progress = trainer.run(lambda loss: shown.update(1, f"loss {loss:.3f}"), interruption)
    if not workers.is_first:
        return
    steps = progress.step - first
    options.logger.info(
        "trained %d steps in %.1f s (%.2f steps/s); "
        "make the model with 'phylotools model export %s -o MODEL --name NAME'",
        steps, watch.seconds, steps / watch.seconds, output,
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "output": output,
            "steps": progress.step,
            "seconds": round(watch.seconds, 2),
            "selected": progress.selected_step,
            "stopped": progress.stopped,
            "held_out": progress.held_out_figures,
            "curves": {} if summary_json is None else _curves(output),
            "warnings": list(progress.warnings.values()),
        },
    )


def _curves(run: str) -> dict[str, list[tuple[int, float]]]:
    """The learning curves of a run; none where its file of figures was taken away meanwhile."""
    from phylotools.errors import InputError
    from phylotools.training.curves import read_curves

    try:
        return read_curves(run).points()
    except InputError as error:
        options.logger.warning("%s; the summary has no learning curves", error)
        return {}


def _only_configuration(inputs: tuple[str, ...]) -> str:
    """The configuration that was given, and nothing else.

    Raises
    ------
    UsageError
    """
    import os

    from phylotools.errors import UsageError

    remedy = "`phylotools train --init STORE...` writes a configuration for column stores"
    if len(inputs) > 1:
        raise UsageError(f"give one configuration, not {len(inputs)} files; {remedy}")
    if os.path.isdir(inputs[0]):
        raise UsageError(f"{inputs[0]} is a folder and no configuration; {remedy}")
    return inputs[0]


def _write_configuration(
    stores: tuple[str, ...],
    output: str,
    force: bool,
    threads: int | None,
    summary_json: str | None,
) -> None:
    """Write the configuration that stores want, to a file or stdout.

    A file on stdout is taken to end in the working folder, as by ``> model.toml``.
    """
    import tomllib
    from pathlib import Path

    from phylotools.io.files import open_text_output, refuse_existing_file, refuse_same_file
    from phylotools.proposal.document import propose_configuration
    from phylotools.training.workers import set_threads

    watch = options.Stopwatch()
    if output != "-":
        refuse_same_file(output, stores)
        refuse_existing_file(output, force)
    options.check_summary(summary_json, force=force, inputs=stores, output=output)
    set_threads(threads)
    text = propose_configuration(stores, Path() if output == "-" else Path(output).parent)
    with open_text_output(output, force=force) as handle:
        handle.write(text.encode())
    where = "" if output == "-" else f" to {output}"
    options.logger.info(
        "wrote a configuration%s in %.1f s: read it, then 'phylotools train CONFIG.toml --check'",
        where, watch.seconds,
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {"output": output, "stores": list(stores), "chosen": tomllib.loads(text)},
    )
