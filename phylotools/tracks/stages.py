"""Tracks in three stages, and in one go: plan, partitions, the folder put together."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from phylotools.io.files import refuse_existing_folder
from phylotools.io.spliced import SplicedGenome
from phylotools.jobs.runners import RunOne, share_out
from phylotools.jobs.work_folder import WorkFolder, work_beside
from phylotools.phylogeny.score_meaning import CALIBRATED
from phylotools.scoring.context import open_context
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.tiled_network import CACHE_BYTES, dense_tile_length
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
    devices: Sequence[str] = (),
    threads: int | None = None,
    batch_size: int | None = None,
    on_positions: Callable[[int], None] = lambda n_positions: None,
) -> int:
    """Run some partitions of a plan; finished ones are left as they are.

    `devices` are as for `make_tracks`.

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
    model = load_model(plan.model["path"])
    return _run(folder, plan, indices, model, devices, threads, batch_size, on_positions)


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
    devices: Sequence[str] = (),
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
    devices : sequence of str
        Several that share the partitions out, each with the whole network; unless given the
        model's own does them all.
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
        _run(folder, job, everything, model, devices, threads, batch_size, on_positions)
        return finalise(
            folder, job, output, assembly=assembly, threads=threads or n_cores(), force=force
        )


def _run(
    folder: WorkFolder[Plan],
    plan: Plan,
    indices: Sequence[int],
    model: Model,
    devices: Sequence[str],
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
    models = [dataclasses.replace(model, device_name=name) for name in devices] or [model]
    _ = [one.device for one in models]  # There must be such.
    # Those of one device run one after the other: each keeps the network and all threads busy.
    each = max(1, (threads or n_cores()) // len(models))
    lock = threading.Lock()

    def count(n_positions: int) -> None:
        with lock:
            on_positions(n_positions)

    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(folder, plan, one, threads, each, batch_size, count))
            for one in models
        ]
        share_out(workers, pending)
    return sum(len(region) for partition in pending for region in partition.extent)


@contextlib.contextmanager
def _worker(
    folder: WorkFolder[Plan],
    plan: Plan,
    model: Model,
    threads: int | None,
    n_encoding: int,
    batch_size: int | None,
    on_positions: Callable[[int], None],
) -> Iterator[RunOne]:
    """What runs partitions on the device of a model, with its own reference, network and threads.

    Parameters
    ----------
    threads : int, optional
        That compute on a CPU.
    n_encoding : int
        Threads that turn numbers into blocks.
    """
    with open_context(model, plan.fasta, plan.settings.transcripts) as genome:
        is_spliced = isinstance(genome, SplicedGenome)
        scorer = Scorer(
            model,
            genome,
            threads=threads,
            batch_size=batch_size,
            precision=plan.settings.precision,
            # Transcripts are short.
            tile_length=None if is_spliced else dense_tile_length(model, plan.regions),
            # Every tile is asked for once, but those of transcripts, which share exons.
            cache_bytes=CACHE_BYTES if is_spliced else 0,
        )
        facts = {"device": scorer.device.type, "precision": scorer.precision}
        calibration = model.calibration if CALIBRATED in plan.settings.scores else None
        with TrackMaker(
            plan,
            scorer,
            genome,
            model.substitution,
            n_encoding,
            calibration,
            is_ahead=scorer.device.type != "cpu",
        ) as maker:
            yield functools.partial(maker.run, folder, facts, on_positions=on_positions)
