"""Tracks in three stages, and in one go: plan, partitions, the folder put together."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from phylotools.io.files import refuse_existing_folder
from phylotools.io.spliced import SplicedGenome
from phylotools.jobs.runners import in_turn
from phylotools.jobs.work_folder import WorkFolder, work_beside
from phylotools.phylogeny.score_meaning import CALIBRATED
from phylotools.scoring.context import open_context
from phylotools.scoring.scorer import CACHE_BYTES, Scorer
from phylotools.threads import n_cores
from phylotools.tracks.finalise import CONTENTS, TrackSummary, finalise
from phylotools.tracks.partition import TrackMaker
from phylotools.tracks.plan import (
    PARTITION_POSITIONS,
    Plan,
    TrackSettings,
    make_plan,
    work_folder,
)

if TYPE_CHECKING:
    from phylotools.model.registry import Model

#: Makes a model from the folder and the device that a plan and its user name.
LoadModel = Callable[[str], "Model"]


def init_tracks(
    model: Model,
    work: str | os.PathLike[str],
    settings: TrackSettings,
    *,
    fasta: str | None = None,
    partition_positions: int = PARTITION_POSITIONS,
) -> Plan:
    """Make a work folder with a plan.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    folder = work_folder(work)
    folder.refuse_existing()
    plan = make_plan(model, fasta, settings, partition_positions=partition_positions)
    folder.begin(plan)
    return plan


def run_tracks(
    work: str | os.PathLike[str],
    indices: Sequence[int],
    load_model: LoadModel,
    *,
    threads: int | None = None,
    batch_size: int | None = None,
    on_positions: Callable[[int], None] = lambda n_positions: None,
) -> int:
    """Run some partitions of a plan; finished ones are left as they are.

    Returns
    -------
    int
        Positions of the partitions that were run.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    folder = work_folder(work)
    plan = folder.read_plan()
    for index in indices:
        plan.partition(index)
    return _run(
        folder, plan, indices, load_model(plan.model["path"]), threads, batch_size, on_positions
    )


def finalise_tracks(
    work: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    assembly: str | None = None,
    threads: int = 1,
    force: bool = False,
) -> TrackSummary:
    """Put the tracks of a plan together whose partitions are finished.

    Raises
    ------
    PhylotoolsError, InputError, OutputError
    """
    folder = work_folder(work)
    plan = folder.read_plan()
    refuse_existing_folder(output, force, CONTENTS)
    with folder.locked():
        return finalise(folder, plan, output, assembly=assembly, threads=threads, force=force)


def make_tracks(
    model: Model,
    output: str | os.PathLike[str],
    settings: TrackSettings,
    *,
    fasta: str | None = None,
    work: str | os.PathLike[str] | None = None,
    assembly: str | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    force: bool = False,
    partition_positions: int = PARTITION_POSITIONS,
    on_positions: Callable[[int], None] = lambda n_positions: None,
) -> TrackSummary:
    """Make a folder of tracks; it appears whole or not at all.

    What is done of it is kept in a work folder, so that the same call goes on where an earlier
    one was killed.

    Parameters
    ----------
    model : Model
    output : str or PathLike
        Folder to make.
    settings : TrackSettings
    fasta : str, optional
        By default the model's own reference.
    work : str or PathLike, optional
        Work folder; by default ``OUTPUT.work``. It is removed at the end.
    assembly, force :
        See `finalise`.
    threads : int, optional
        Every core unless given; no result depends on them.
    batch_size : int, optional
        As for `Scorer`.
    partition_positions : int
        See `make_plan`.
    on_positions : callable
        Gets the number of positions of every finished batch.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    refuse_existing_folder(output, force, CONTENTS)
    folder = work_folder(work_beside(output) if work is None else work)
    plan = make_plan(model, fasta, settings, partition_positions=partition_positions)
    with folder.resuming(plan) as job:
        everything = range(job.n_partitions)
        _run(folder, job, everything, model, threads, batch_size, on_positions)
        return finalise(
            folder, job, output, assembly=assembly, threads=threads or n_cores(), force=force
        )


def _run(
    folder: WorkFolder[Plan],
    plan: Plan,
    indices: Sequence[int],
    model: Model,
    threads: int | None,
    batch_size: int | None,
    on_positions: Callable[[int], None],
) -> int:
    """Run the partitions that are not finished; returns their positions."""
    pending = folder.unfinished(plan, indices)
    plan.check_inputs()
    model = plan.checked_model(model)
    if not pending:
        return 0
    with open_context(model, plan.fasta, plan.settings.transcripts) as genome:
        scorer = Scorer(
            model,
            genome,
            threads=threads,
            batch_size=batch_size,
            precision=plan.settings.precision,
            # Every tile is asked for once, but those of transcripts, which share exons.
            cache_bytes=CACHE_BYTES if isinstance(genome, SplicedGenome) else 0,
        )
        facts = {"device": scorer.device.type, "precision": scorer.precision}
        calibration = model.calibration if CALIBRATED in plan.settings.scores else None
        with TrackMaker(
            plan, scorer, genome, model.substitution, threads or n_cores(), calibration
        ) as maker:
            run_one = functools.partial(maker.run, folder, facts, on_positions=on_positions)
            # One after the other: each keeps the network and all threads busy.
            in_turn(run_one, pending)
    return sum(len(region) for partition in pending for region in partition.extent)
