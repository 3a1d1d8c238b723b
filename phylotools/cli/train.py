"""``phylotools train``: a TOML configuration to a trained network."""

from __future__ import annotations

import click

from phylotools.cli import options
from phylotools.cli.progress import Progress


@click.command(name="train")
@click.argument("config", metavar="CONFIG.toml", type=click.Path())
@options.output_option(help="Folder of the run.")
@click.option("--check", is_flag=True, help="Check configuration and stores, train nothing.")
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option(
    "--extend",
    is_flag=True,
    help="Train a complete run on; the configuration may differ in its length and patience alone.",
)
@click.option("--force", is_flag=True, help="Delete the run in the folder and start anew.")
@options.threads_option(
    help="CPU threads [default: one for the network, every core for the likelihood]."
)
@options.device_option
@options.summary_option
@options.logging_options
def train_command(
    config: str,
    output: str | None,
    check: bool,
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
    """
    from pathlib import Path

    from phylotools.training.config_file import read_config

    goes_on = resume or extend
    options.check_summary(summary_json, force=force or goes_on, inputs=[config], output=output)
    settings = read_config(config)
    if check:
        from phylotools.training.dataset import TrainingData

        for source in TrainingData(settings).stores:
            source.store.verify()
        click.echo(f"{config}: no errors", err=True)
        return
    if output is None:
        raise click.UsageError("give the run's folder with -o")
    if force and goes_on:
        raise click.UsageError("--force excludes --resume and --extend")

    from phylotools.model.device import resolve_device
    from phylotools.training.loop import Trainer, set_threads

    watch = options.Stopwatch()
    set_threads(threads)
    folder = Path(output)
    trainer = Trainer(
        settings, folder, resolve_device(device), resume=resume, extend=extend, force=force
    )
    first = trainer.progress.step
    with Progress("steps", trainer.length, done=first) as shown:
        progress = trainer.run(lambda loss: shown.update(1, f"loss {loss:.3f}"))
    steps = progress.step - first
    options.logger.info(
        "trained %d steps in %.1f s (%.2f steps/s); "
        "make the model with 'phylotools model export %s'",
        steps, watch.seconds, steps / watch.seconds, output,
    )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "steps": progress.step,
            "seconds": round(watch.seconds, 2),
            "selected": progress.selected_step,
            "stopped": progress.stopped,
            "warnings": list(progress.warnings.values()),
        },
    )
