"""A job in three stages: plan it, run its partitions anywhere, put the store together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from phylotools.errors import UsageError
from phylotools.preprocess.finalise import BuildSummary, finalise
from phylotools.preprocess.plan import (
    PARTITION_BYTES,
    Plan,
    Settings,
    make_plan,
    read_plan,
    work_folder,
)
from phylotools.preprocess.reference import CheckedReference
from phylotools.preprocess.workers import run_partitions


def init_work(
    alignments: Sequence[str],
    tree: str,
    work: str | os.PathLike[str],
    settings: Settings,
    *,
    partition_bytes: int = PARTITION_BYTES,
) -> Plan:
    """Make a work folder with a plan.

    Parameters
    ----------
    alignments, tree, settings, partition_bytes :
        See `make_plan`.
    work : str or PathLike
        Folder to make.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    folder = work_folder(work)
    folder.refuse_existing()
    plan = make_plan(list(alignments), tree, settings, partition_bytes=partition_bytes)
    if plan.has_streams:
        raise UsageError("partitions are read when they run: give files, not streams")
    folder.make()
    plan.write(folder)
    return plan


def run_planned(
    work: str | os.PathLike[str],
    indices: Sequence[int],
    threads: int,
    *,
    on_columns: Callable[[int], None] = lambda n_columns: None,
) -> int:
    """Run some partitions of a plan; finished ones are left as they are.

    Returns
    -------
    int
        Reference positions of the blocks read.

    Raises
    ------
    InputError, UsageError
    """
    folder = work_folder(work)
    plan = read_plan(folder)
    for index in indices:
        folder.require_index(index, len(plan.spans))
    plan.check_inputs()
    n_columns = 0

    def count(n_more: int) -> None:
        nonlocal n_columns
        n_columns += n_more
        on_columns(n_more)

    run_partitions(folder, plan, threads, indices=indices, genome=_genome(plan), on_columns=count)
    return n_columns


def finalise_planned(
    work: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    threads: int = 1,
    force: bool = False,
) -> BuildSummary:
    """Make the store of a plan whose partitions are finished.

    Raises
    ------
    PhylotoolsError, InputError, OutputError
    """
    folder = work_folder(work)
    plan = read_plan(folder)
    with folder.locked(others_may_stay=True):
        return finalise(folder, plan, output, genome=_genome(plan), threads=threads, force=force)


def _genome(plan: Plan) -> CheckedReference | None:
    return None if plan.settings.fasta is None else CheckedReference(plan.settings.fasta)
