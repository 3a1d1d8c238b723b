"""The whole way from alignments, a tree and perhaps a FASTA to a column store."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import IO

from phylotools.errors import InputError
from phylotools.io.files import refuse_existing_folder
from phylotools.jobs.work_folder import WorkFolder, other_work
from phylotools.preprocess.finalise import BuildSummary, finalise
from phylotools.preprocess.plan import (
    Plan,
    Settings,
    make_plan,
    partition_bytes_for,
    read_plan,
    work_folder,
)
from phylotools.preprocess.reference import CheckedReference
from phylotools.preprocess.workers import run_partitions
from phylotools.store import schema


def build_store(
    alignments: Sequence[str],
    tree: str,
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    force: bool = False,
    on_columns: Callable[[int], None] = lambda n_columns: None,
    work: str | os.PathLike[str] | None = None,
    threads: int = 1,
    partition_bytes: int | None = None,
) -> BuildSummary:
    """Build a column store; it appears whole or not at all.

    What is done of it is kept in a work folder, so that the same call goes on where an earlier
    one was killed. The store does not depend on threads, partitions or kills.

    Parameters
    ----------
    alignments : sequence of str
        MAF, TAF or aligned FASTA; ``-`` is stdin. Where blocks overlap, the first counts.
    tree : str
        Newick with branch lengths; its tips are the species.
    output : str or PathLike
        Folder to make.
    settings : Settings, optional
    force : bool
        Replace an existing output.
    on_columns : callable
        Gets the number of reference positions of the blocks added, now and then.
    work : str or PathLike, optional
        Work folder; by default ``OUTPUT.work``. It is removed at the end.
    threads : int
    partition_bytes : int, optional
        See `make_plan`; by default as the threads need it.

    Returns
    -------
    BuildSummary

    Raises
    ------
    InputError
        If an input is damaged, or the inputs contradict each other.
    OutputError
        If `output` exists and `force` is false, or the work folder holds other work.
    """
    refuse_existing_folder(output, force, schema.FOLDER)
    settings = settings or Settings()
    folder = work_folder(f"{os.fspath(output).rstrip('/')}.work" if work is None else work)
    paths = list(alignments)
    partition_bytes = partition_bytes or partition_bytes_for(paths, threads)
    plan = make_plan(paths, tree, settings, partition_bytes=partition_bytes)
    # A genome that cannot be read is known before the alignment is.
    genome = None if settings.fasta is None else CheckedReference(settings.fasta)
    with folder.locked() as lock:
        plan = _resumed(folder, plan)
        try:
            run_partitions(folder, plan, threads, genome=genome, on_columns=on_columns)
            summary = finalise(folder, plan, output, genome=genome, threads=threads, force=force)
        except InputError:
            # Another input or another option is needed: then the parts are of no use.
            folder.remove(lock)
            raise
        except BaseException:
            _leave(folder, plan, lock)
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
    if earlier.has_streams:
        # A stream begins anew, and what is there may be of another one.
        for index in range(len(earlier.spans)):
            folder.remove_piece(index)
    else:
        folder.log_done(len(earlier.spans))
    return earlier


def _leave(folder: WorkFolder, plan: Plan, lock: IO[bytes]) -> None:
    """Keep what is finished, if there is anything that can be used again."""
    if plan.has_streams:
        folder.remove(lock)
    else:
        folder.leave(len(plan.spans), lock)
