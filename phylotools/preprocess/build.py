"""The whole way from alignments, a tree and perhaps a FASTA to a column store."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from phylotools.errors import InputError, OutputError
from phylotools.io.files import refuse_existing_folder
from phylotools.io.locks import lock_folder
from phylotools.preprocess.finalise import BuildSummary, finalise
from phylotools.preprocess.partition import is_done, piece_folder
from phylotools.preprocess.plan import (
    PLAN_FILE,
    Plan,
    Settings,
    make_plan,
    partition_bytes_for,
    read_plan,
)
from phylotools.preprocess.reference import CheckedReference
from phylotools.preprocess.workers import run_partitions
from phylotools.store import schema

logger = logging.getLogger("phylotools")

_WORK_NAMES = {PLAN_FILE, "pieces", ".lock"}


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
    folder = Path(f"{os.fspath(output).rstrip('/')}.work" if work is None else work)
    paths = list(alignments)
    partition_bytes = partition_bytes or partition_bytes_for(paths, threads)
    plan = make_plan(paths, tree, settings, partition_bytes=partition_bytes)
    # A genome that cannot be read is known before the alignment is.
    genome = None if settings.fasta is None else CheckedReference(settings.fasta)
    with _work_folder(folder) as lock:
        plan = _resumed(folder, plan)
        try:
            run_partitions(folder, plan, threads, genome=genome, on_columns=on_columns)
            summary = finalise(folder, plan, output, genome=genome, threads=threads, force=force)
        except InputError:
            # Another input or another option is needed: then the parts are of no use.
            _remove(folder, lock)
            raise
        except BaseException:
            _leave(folder, plan, lock)
            raise
        _remove(folder, lock)
    return summary


class _work_folder:
    """Context manager: a work folder that no other process works in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> IO[bytes]:
        if self._folder.is_dir():
            foreign = sorted(set(os.listdir(self._folder)) - _WORK_NAMES)
            if foreign:
                raise OutputError(
                    f"{self._folder}: holds {foreign[0]!r} and is no work folder; choose another "
                    "with --work"
                )
        self._lock = lock_folder(self._folder)
        return self._lock

    def __exit__(self, *_: object) -> None:
        assert self._lock is not None
        self._lock.close()


def _resumed(folder: Path, plan: Plan) -> Plan:
    """The plan of the folder, if there is one of the same work; else the new one, written."""
    if not (folder / PLAN_FILE).exists():
        plan.write(folder)
        return plan
    earlier = read_plan(folder)
    if not earlier.same_work(plan):
        raise OutputError(
            f"{folder}: holds parts of another run (other inputs or options); remove it, or give "
            "another --work"
        )
    if earlier.has_streams:
        # A stream begins anew, and what is there may be of another one.
        for index in range(len(earlier.spans)):
            shutil.rmtree(piece_folder(folder, index), ignore_errors=True)
    else:
        n_done = sum(is_done(folder, index) for index in range(len(earlier.spans)))
        logger.info("%s: %d of %d partitions are done", folder, n_done, len(earlier.spans))
    return earlier


def _leave(folder: Path, plan: Plan, lock: IO[bytes]) -> None:
    """Keep what is finished, if there is anything that can be used again."""
    n_done = sum(is_done(folder, index) for index in range(len(plan.spans)))
    if n_done == 0 or plan.has_streams:
        _remove(folder, lock)
        return
    logger.warning(
        "%s keeps %d of %d partitions: the same command goes on from there; remove it to start "
        "anew",
        folder,
        n_done,
        len(plan.spans),
    )


def _remove(folder: Path, lock: IO[bytes]) -> None:
    """Delete what this module makes in a work folder, and the folder if nothing else is there."""
    shutil.rmtree(folder / "pieces", ignore_errors=True)
    (folder / PLAN_FILE).unlink(missing_ok=True)
    (folder / ".lock").unlink(missing_ok=True)
    lock.close()
    try:
        folder.rmdir()
    except OSError:
        logger.warning("%s: not removed, because something else is in it", folder)
