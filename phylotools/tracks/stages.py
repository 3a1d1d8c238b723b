"""Tracks in three stages, and in one go: plan, partitions, the folder put together."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from phylotools.io.files import refuse_existing_folder
from phylotools.io.spliced import SplicedGenome
from phylotools.jobs.engines.engine import Board, Engine, part_size
from phylotools.jobs.runners import RunOne
from phylotools.jobs.stages import (
    OnProgress,
    Resources,
    Stages,
    begin_job,
    do_whole_job,
    finalise_job,
    last_step_threads,
)
from phylotools.jobs.work_folder import WorkFolder, work_beside
from phylotools.phylogeny.score_meaning import CALIBRATED
from phylotools.scoring.context import open_context
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.tiled_network import CACHE_BYTES, TILE_LENGTH, dense_tile_length
from phylotools.threads import n_cores
from phylotools.tracks.finalise import CONTENTS, TrackSummary, finalise
from phylotools.tracks.partition import TrackMaker
from phylotools.tracks.plan import PARTITION_POSITIONS, Plan, TrackSettings, make_plan

if TYPE_CHECKING:
    from phylotools.model.registry import Model


@dataclass(frozen=True)
class TrackStages(Stages[Plan]):
    """What `tracks` does in parts.

    Attributes
    ----------
    model : Model, optional
        That of the plan, if it is loaded already.
    """

    kind: ClassVar = Plan
    unit: ClassVar = "positions"
    model: Model | None = None

    @contextlib.contextmanager
    def working(
        self,
        folder: WorkFolder[Plan],
        job: Plan,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> Iterator[Sequence[RunOne]]:
        """See `Stages`: a worker a device, each with the whole network."""
        models = job.model.on_devices(resources.device, self.model)
        # Those of one device run one after the other: each keeps the network and all threads busy.
        n_encoding = max(1, (resources.threads or n_cores()) // len(models))
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(_worker(folder, job, one, resources, n_encoding, on_progress))
                for one in models
            ]


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
    return begin_job(
        TrackStages(),
        work,
        lambda: make_plan(model, fasta, settings, partition_positions=partition_positions),
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

    def put_together(folder: WorkFolder[Plan], plan: Plan) -> TrackSummary:
        refuse_existing_folder(output, force, CONTENTS)
        return finalise(folder, plan, output, assembly=assembly, threads=threads, force=force)

    return finalise_job(TrackStages(), work, put_together)


def make_tracks(
    model: Model,
    output: str | os.PathLike[str],
    settings: TrackSettings,
    *,
    fasta: str | None = None,
    work: str | os.PathLike[str] | None = None,
    assembly: str | None = None,
    resources: Resources | None = None,
    engine: Engine | None = None,
    board: Board | None = None,
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
    resources : Resources, optional
        Of this process, or of each worker of an engine. Several devices share the partitions out.
    engine, board :
        See `do_job`.
    partition_positions : int
        See `make_plan`; of an engine's workers each gets some, so that they may be smaller.
    on_positions : callable
        Gets the number of positions of every finished batch.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    refuse_existing_folder(output, force, CONTENTS)
    resources = resources or Resources()
    stages = TrackStages(model)
    folder = stages.folder(work_beside(output) if work is None else work)
    plan = make_plan(model, fasta, settings, partition_positions=partition_positions)
    size = part_size(plan.n_positions, partition_positions, engine, TILE_LENGTH)
    plan = plan.recut(size)
    return do_whole_job(
        stages,
        folder,
        plan,
        functools.partial(
            finalise,
            output=output,
            assembly=assembly,
            threads=last_step_threads(resources, engine),
            force=force,
        ),
        resources,
        engine=engine,
        board=board,
        on_progress=on_positions,
    )


@contextlib.contextmanager
def _worker(
    folder: WorkFolder[Plan],
    plan: Plan,
    model: Model,
    resources: Resources,
    n_encoding: int,
    on_positions: OnProgress,
) -> Iterator[RunOne]:
    """What runs partitions on the device of a model, with its own reference, network and threads.

    Parameters
    ----------
    n_encoding : int
        Threads that turn numbers into blocks.
    """
    with open_context(model, plan.fasta, plan.settings.transcripts) as genome:
        is_spliced = isinstance(genome, SplicedGenome)
        scorer = Scorer(
            model,
            genome,
            threads=resources.threads,
            batch_size=resources.batch_size,
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
