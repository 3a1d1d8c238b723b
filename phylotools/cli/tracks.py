"""`phylotools tracks`: bigWig tracks, a table of all variants, and pages for genome browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress
from phylotools.cli.tracks_options import make_settings, track_options

if TYPE_CHECKING:
    from phylotools.tracks.finalise import TrackSummary


@click.command(name="tracks")
@track_options
@options.output_option(required=True, help="Folder to make.")
@click.option("--assembly", metavar="NAME", help="What browsers call the reference, e.g. hg38.")
@click.option(
    "--work",
    metavar="FOLDER",
    help="Where finished parts are kept until the end [default: OUTPUT.work].",
)
@options.force_option
@options.threads_option(help="CPU threads [default: all].")
@options.device_option
@options.batch_size_option
@options.summary_option
@options.logging_options
def tracks_command(
    model: str | None,
    fasta: str | None,
    output: str,
    assembly: str | None,
    work: str | None,
    force: bool,
    threads: int | None,
    device: str,
    batch_size: int | None,
    summary_json: str | None,
    **settings: Any,
) -> None:
    """Write what a model says of every position as files for genome browsers.

    The folder gets bigWigs of the mean and lowest LLR of the three alternatives, site rate,
    entropy, log-probabilities and a sequence logo, a bgzip table of all single-nucleotide
    variants with its index, and pages for UCSC, IGV and JBrowse 2. The same command goes on where
    an earlier one was killed.

    \b
    phylotools tracks -o out/                     # the shipped model and its reference
    phylotools tracks -m my-model/ -f genome.fa -R exons.bed -o out/
    """
    import os

    chosen = make_settings(settings)
    options.check_summary(
        summary_json, force=force, inputs=[fasta, chosen.regions_file], output=output
    )
    from phylotools.errors import UsageError
    from phylotools.model.registry import load_model
    from phylotools.tracks.finalise import refuse_output
    from phylotools.tracks.stages import make_tracks

    if work is not None and f"{os.path.realpath(work)}/".startswith(f"{os.path.realpath(output)}/"):
        raise UsageError("--work must not be -o, nor lie in it")
    refuse_output(output, force)
    watch = options.Stopwatch()
    loaded = load_model(model, device)
    with Progress("positions") as progress:
        summary = make_tracks(
            loaded,
            output,
            chosen,
            fasta=fasta,
            work=work,
            assembly=assembly,
            threads=threads,
            batch_size=batch_size,
            force=force,
            on_positions=progress.update,
        )
    report(summary, output, watch.seconds, summary_json)


def report(summary: TrackSummary, output: str, seconds: float, summary_json: str | None) -> None:
    """Say what was made, in the log and, if asked for, as JSON."""
    if summary.n_outside:
        logger.warning(
            "%d of %d positions lie outside the regions that model %s was trained on%s",
            summary.n_outside, summary.n_positions, summary.model,
            "; trained_regions.bed.gz has the others, --trained-only writes them alone"
            if summary.n_outside < summary.n_positions else "",
        )  # fmt: skip
    options.write_summary(
        summary_json,
        {
            "verb": "tracks",
            "output": output,
            "model": summary.model,
            "assembly": summary.assembly,
            "positions": summary.n_positions,
            "sites": summary.n_sites,
            "positions_outside_training": summary.n_outside,
            "files": summary.files,
            "seconds": round(seconds, 3),
        },
    )
    logger.info(
        "%s: %d files with %d of %d positions (the others have no A, C, G or T) in %.1f s "
        "(%.0f positions/s)",
        output, len(summary.files), summary.n_sites, summary.n_positions, seconds,
        summary.n_positions / max(seconds, 1e-9),
    )  # fmt: skip
