"""Annotating in three stages, and in one go: plan, partitions, the file put together."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from phylotools.annotate.finalise import finalise
from phylotools.annotate.opening import inputs_of, open_scoring
from phylotools.annotate.partition import PartAnnotator
from phylotools.annotate.plan import Plan, make_plan
from phylotools.annotate.settings import AnnotationSettings
from phylotools.annotate.tally import AnnotationSummary
from phylotools.errors import OutputError, UsageError
from phylotools.io.contigs import use_aliases
from phylotools.io.files import refuse_existing, refuse_same_file
from phylotools.io.vcf.reader import VariantStream
from phylotools.io.vcf.writer import TYPE_OF_SUFFIX, check_can_have_index
from phylotools.jobs.engines.engine import Board, Engine
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
from phylotools.jobs.work_folder import WorkFolder

if TYPE_CHECKING:
    from phylotools.model.folder import Model


@dataclass(frozen=True)
class AnnotationStages(Stages[Plan]):
    """What `annotate` does in parts.

    Attributes
    ----------
    model : Model, optional
        That of the plan, if it is loaded already.
    """

    kind: ClassVar = Plan
    unit: ClassVar = "records"
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
        if self.model is None:
            use_aliases(job.aliases)
        settings = dataclasses.replace(
            job.settings, threads=resources.threads, batch_size=resources.batch_size
        )
        with contextlib.ExitStack() as stack:
            yield [
                functools.partial(
                    PartAnnotator(
                        job, stack.enter_context(open_scoring(one, settings)), on_progress
                    ).run,
                    folder,
                )
                for one in models
            ]


def init_annotation(
    model: Model,
    source: VariantStream,
    work: str | os.PathLike[str],
    settings: AnnotationSettings,
    *,
    partition_bytes: int | None = None,
) -> Plan:
    """Make a work folder with a plan.

    Parameters
    ----------
    model, source, settings, partition_bytes
        As for `make_plan`.
    work : str or PathLike

    Raises
    ------
    InputError, UsageError, OutputError
    """
    return begin_job(
        AnnotationStages(),
        work,
        lambda: make_plan(model, source, settings, partition_bytes=partition_bytes),
    )


def finalise_annotation(
    work: str | os.PathLike[str],
    output: str,
    *,
    write_index: bool | None = None,
    threads: int | None = None,
    force: bool = False,
) -> tuple[Plan, Model, AnnotationSummary]:
    """Put the output of a plan together whose partitions are finished.

    Parameters
    ----------
    work : str or PathLike
    output : str
        ``-`` is stdout.
    write_index, threads, force
        As for `AnnotationSettings`.

    Raises
    ------
    PhylotoolsError, InputError, OutputError, UsageError
    """

    def put_together(folder: WorkFolder[Plan], plan: Plan) -> tuple[Plan, Model, AnnotationSummary]:
        use_aliases(plan.aliases)
        model = plan.model.load("cpu")
        settings = dataclasses.replace(
            plan.settings, write_index=write_index, threads=threads, force=force
        )
        refuse_same_file(output, inputs_of(model, plan.variants, settings))
        _check_output(output, plan, settings)
        plan.check_inputs()
        return plan, model, finalise(folder, plan, model, output, settings)

    return finalise_job(AnnotationStages(), work, put_together)


def annotate_in_parts(
    model: Model,
    source: VariantStream,
    output: str,
    work: str | os.PathLike[str],
    settings: AnnotationSettings,
    *,
    resources: Resources,
    engine: Engine | None = None,
    board: Board | None = None,
    partition_bytes: int | None = None,
    on_records: OnProgress = lambda n_records: None,
) -> AnnotationSummary:
    """Annotate a file in parts; what is done is kept, so that the same call goes on after a kill.

    The output is that of `annotate_stream`, to the byte.

    Parameters
    ----------
    model, source, settings, partition_bytes
        As for `make_plan`.
    output : str
        ``-`` is stdout.
    work : str or PathLike
        Work folder. It is removed at the end.
    resources : Resources
        Of this process, or of each worker of an engine.
    engine, board :
        See `do_job`.
    on_records : callable
        Gets the number of records of every finished batch.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    refuse_same_file(output, inputs_of(model, source.path, settings))
    stages = AnnotationStages(model)
    folder = stages.folder(work)
    plan = make_plan(
        model, source, settings, output, partition_bytes=partition_bytes, engine=engine
    )
    _check_output(output, plan, settings)

    def put_together(folder: WorkFolder[Plan], job: Plan) -> AnnotationSummary:
        own = dataclasses.replace(
            job.settings,
            write_index=settings.write_index,
            threads=last_step_threads(resources, engine),
            force=settings.force,
        )
        return finalise(folder, job, job.model.checked(model), output, own)

    return do_whole_job(
        stages,
        folder,
        plan,
        put_together,
        resources,
        engine=engine,
        board=board,
        on_progress=on_records,
    )


def _check_output(output: str, plan: Plan, settings: AnnotationSettings) -> None:
    """Raise what the end of the work would raise of the output's name."""
    kind = plan.settings.output_type
    assert kind is not None
    lower = output.lower()
    kinds = {own for suffix, own in TYPE_OF_SUFFIX.items() if lower.endswith(suffix)}
    if plan.is_vcf and kinds - {kind}:
        raise UsageError(
            f"{output}: the suffix contradicts the plan, which is for -O {kind}; choose another "
            "name, or plan anew"
        )
    if settings.write_index:
        check_can_have_index(output, kind)
    if os.path.isdir(output):
        raise OutputError(f"{output}: is a folder; choose another name")
    if output != "-" and (os.path.isfile(output) or not os.path.exists(output)):
        refuse_existing(output, settings.force)
