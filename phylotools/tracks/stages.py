"""Tracks in three stages, and in one go: plan, partitions, the folder put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.jobs.work_folder import WorkFolder, other_work
from phylotools.phylogeny.threads import n_cores
from phylotools.scoring.scorer import Scorer
from phylotools.tracks.finalise import TrackSummary, finalise, refuse_output
from phylotools.tracks.partition import TrackMaker
from phylotools.tracks.plan import (
    PARTITION_POSITIONS,
    Plan,
    TrackSettings,
    make_plan,
    read_plan,
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
    folder.make()
    plan.write(folder)
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
    plan = read_plan(folder)
    for index in indices:
        folder.require_index(index, len(plan.partitions))
    model = load_model(plan.model["path"])
    return _run(folder, plan, indices, model, threads, batch_size, on_positions)


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
    plan = read_plan(folder)
    refuse_output(output, force)
    with folder.locked(others_may_stay=True):
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
    refuse_output(output, force)
    folder = work_folder(f"{os.fspath(output).rstrip('/')}.work" if work is None else work)
    plan = make_plan(model, fasta, settings, partition_positions=partition_positions)
    with folder.locked() as lock:
        plan = _resumed(folder, plan)
        n_partitions = len(plan.partitions)
        try:
            _run(folder, plan, range(n_partitions), model, threads, batch_size, on_positions)
            summary = finalise(
                folder, plan, output, assembly=assembly, threads=threads or n_cores(), force=force
            )
        except InputError:
            # Another input or another option is needed: then the parts are of no use.
            folder.remove(lock)
            raise
        except BaseException:
            folder.leave(n_partitions, lock)
            raise
        folder.remove(lock)
    return summary


def _resumed(folder: WorkFolder, plan: Plan) -> Plan:
    """The plan of the folder, if there is one of the same work; else the new one, written."""
    if not folder.has_plan:
        plan.write(folder)
        return plan
    earlier = read_plan(folder)
    if not earlier.same_work(plan):
        raise other_work(folder.path)
    folder.log_done(len(earlier.partitions))
    return earlier


def _run(
    folder: WorkFolder,
    plan: Plan,
    indices: Sequence[int],
    model: Model,
    threads: int | None,
    batch_size: int | None,
    on_positions: Callable[[int], None],
) -> int:
    """Run the partitions that are not finished; returns their positions."""
    pending = [index for index in dict.fromkeys(indices) if not folder.is_done(index)]
    plan.check_inputs(model)
    if not pending:
        return 0
    with _maker(plan, model, threads, batch_size) as (maker, facts):
        for index in pending:
            maker.run(folder, index, facts, on_positions)
    return sum(len(region) for index in pending for region in plan.partitions[index])


@contextmanager
def _maker(
    plan: Plan, model: Model, threads: int | None, batch_size: int | None
) -> Iterator[tuple[TrackMaker, dict[str, str]]]:
    with ReferenceGenome.open(plan.fasta) as genome:
        scorer = Scorer(
            model,
            genome,
            threads=threads,
            batch_size=batch_size,
            precision=plan.settings.precision,
            # Every tile is asked for once.
            cache_bytes=0,
        )
        facts = {"device": scorer.device.type, "precision": scorer.precision}
        with TrackMaker(plan, scorer, genome, model.substitution, threads or n_cores()) as maker:
            yield maker, facts
