"""`phylotools tracks` and its stages: bigWigs, a table of all variants, and browser pages."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.board import open_board
from phylotools.cli.options import logger
from phylotools.cli.progress import Progress, speed
from phylotools.cli.staged import engine_option, partition_command

if TYPE_CHECKING:
    from phylotools.jobs.engines.engine import Engine
    from phylotools.model.folder import Model
    from phylotools.tracks.finalise import TrackSummary
    from phylotools.tracks.plan import TrackSettings
    from phylotools.tracks.stages import TrackStages

#: Named here so that --help imports no numba; a test compares them with the catalogue.
TRACKS = ("llr_mean", "llr_min", "rate", "entropy", "log_probability", "logo")

_track_options = options.together(
    options.chosen_model_option,
    options.fasta_option,
    options.regions_option(
        help="Only contig or contig:begin-end (1-based); may be given again "
        "[default: the whole reference]."
    ),
    options.regions_file_option(help="Only these regions."),
    options.contig_aliases_option,
    click.option(
        "--tracks",
        metavar="NAME[,NAME]",
        help=f"Which bigWigs: {', '.join(TRACKS)}, SCORE_mean and SCORE_min of other scores, none "
        "[default: all, those of the scores written among them].",
    ),
    options.score_option,
    options.position_transcript_options,
    click.option(
        "--snv-table/--no-snv-table",
        default=True,
        show_default=True,
        help="Make the table of all single-nucleotide variants.",
    ),
    click.option(
        "--trained-only",
        is_flag=True,
        help="Leave out positions outside the regions that the model was trained on.",
    ),
    options.sequence_only_option,
    options.precision_option,
)


@click.command(name="tracks")
@_track_options
@options.output_option(required=True, help="Folder to make.")
@click.option("--assembly", metavar="NAME", help="What browsers call the reference, e.g. hg38.")
@options.work_option
@engine_option
@options.force_option
@options.threads_option(help="CPU threads, of each worker with --on [default: all].")
@options.devices_option
@options.batch_size_option
@options.summary_option
@options.logging_options
def tracks_command(
    model: str | None,
    sequence_only: bool,
    fasta: str | None,
    output: str,
    assembly: str | None,
    work: str | None,
    engine: Engine | None,
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
    chosen = _settings(settings)
    from phylotools.jobs.work_folder import work_beside

    work = work or work_beside(output)
    options.check_summary(
        summary_json,
        force=force,
        inputs=[fasta, chosen.regions_file, chosen.transcripts.path],
        output=output,
    )
    options.check_apart({"-o": output, "--work": work, "--summary-json": summary_json})
    from phylotools.io.files import refuse_existing_folder
    from phylotools.jobs.stages import Resources
    from phylotools.model.device import device_names
    from phylotools.tracks.finalise import CONTENTS
    from phylotools.tracks.stages import make_tracks

    refuse_existing_folder(output, force, CONTENTS)
    watch = options.Stopwatch()
    # Workers look for their devices where they are.
    own_device = "cpu" if engine is not None else device_names(device)[0]
    loaded = _load(model, sequence_only, fasta, chosen, own_device)
    with Progress("positions") as progress, open_board(engine) as board:
        summary = make_tracks(
            loaded,
            output,
            chosen,
            resources=Resources(threads, device, batch_size),
            engine=engine,
            board=board,
            fasta=fasta,
            work=work,
            assembly=assembly,
            force=force,
            on_positions=progress.update,
        )
    _conclude(summary, output, watch.seconds, summary_json)


@click.command(name="tracks-init")
@_track_options
@click.option("--work", required=True, metavar="FOLDER", help="Work folder to make.")
@click.option(
    "--partition-size",
    type=click.IntRange(1),
    metavar="N",
    help="Positions of a partition, in steps of 4096 [default: 1048576].",
)
@options.summary_option
@options.logging_options
def tracks_init_command(
    model: str | None,
    sequence_only: bool,
    fasta: str | None,
    work: str,
    partition_size: int | None,
    summary_json: str | None,
    **settings: Any,
) -> None:
    """Plan tracks that are made in parts, on one machine or many.

    Prints the number of partitions N. Then run `phylotools tracks-partition WORK I` for I = 0 to
    N - 1, in any order and as often as need be, and `phylotools tracks-finalise WORK -o FOLDER`
    once.
    """
    chosen = _settings(settings)
    inputs = [fasta, chosen.regions_file, chosen.transcripts.path]
    options.check_summary(summary_json, force=False, inputs=inputs, output=work)
    from phylotools.tracks.plan import PARTITION_POSITIONS
    from phylotools.tracks.stages import init_tracks

    plan = init_tracks(
        _load(model, sequence_only, fasta, chosen, "cpu"),
        work,
        chosen,
        fasta=fasta,
        partition_positions=partition_size or PARTITION_POSITIONS,
    )
    logger.info("%s: %d partitions, %d positions", work, plan.n_partitions, plan.n_positions)
    options.write_summary(
        summary_json,
        {"output": work, "partitions": plan.n_partitions, "positions": plan.n_positions},
    )
    sys.stdout.write(f"{plan.n_partitions}\n")


def _stages() -> TrackStages:
    from phylotools.tracks.stages import TrackStages

    return TrackStages()


tracks_partition_command = partition_command("tracks", _stages, has_network=True)


@click.command(name="tracks-finalise")
@click.argument("work", metavar="WORK")
@options.output_option(required=True, help="Folder to make.")
@click.option("--assembly", metavar="NAME", help="What browsers call the reference, e.g. hg38.")
@options.threads_option(help="CPU threads [default: all].")
@options.force_option
@options.summary_option
@options.logging_options
def tracks_finalise_command(
    work: str,
    output: str,
    assembly: str | None,
    threads: int | None,
    force: bool,
    summary_json: str | None,
) -> None:
    """Put the finished partitions of a plan together; says which are missing or damaged.

    The work folder stays as it is: remove it when the tracks are as they should be.
    """
    options.check_summary(summary_json, force=force, inputs=[], output=output)
    options.check_apart({"WORK": work, "-o": output, "--summary-json": summary_json})
    from phylotools.threads import n_cores
    from phylotools.tracks.stages import finalise_tracks

    watch = options.Stopwatch()
    summary = finalise_tracks(
        work, output, assembly=assembly, threads=threads or n_cores(), force=force
    )
    _conclude(summary, output, watch.seconds, summary_json)


def _load(
    name: str | None, sequence_only: bool, fasta: str | None, settings: TrackSettings, device: str
) -> Model:
    """The model that is named, or the one that the regions are for."""
    from phylotools.model.folder import read_model
    from phylotools.scoring.choice import model_folder
    from phylotools.scoring.evidence import region_evidence

    folder = model_folder(
        name, lambda: region_evidence(settings.regions, settings.regions_file, fasta=fasta)
    )
    model = read_model(folder, device)
    return model.from_sequence_alone() if sequence_only else model


def _conclude(summary: TrackSummary, output: str, seconds: float, summary_json: str | None) -> None:
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
        "(%s)",
        output, len(summary.files), summary.n_sites, summary.n_positions, seconds,
        speed(summary.n_positions, seconds, "positions"),
    )  # fmt: skip


def _settings(given: dict[str, Any]) -> TrackSettings:
    """Settings from the values of `_track_options` but model and reference.

    Raises
    ------
    UsageError
        If there is no such track.
    """
    from phylotools.tracks.plan import TrackSettings

    named, scores = given.pop("tracks"), given.pop("extra_scores")
    tracks = None
    if named is not None:
        names = [name.strip() for name in named.split(",")]
        tracks = () if names == ["none"] else tuple(dict.fromkeys(names))
    return TrackSettings(tracks=tracks, scores=scores, **given)
