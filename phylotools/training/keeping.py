"""Which checkpoints of a run stay: the newest, and some before it; which one a run goes on from."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

from phylotools.errors import InputError
from phylotools.io.files import atomic_path, naming_output
from phylotools.training.checkpoint import (
    Checkpoint,
    DamagedCheckpoint,
    read_checkpoint,
    read_progress,
    write_checkpoint,
)
from phylotools.training.run_folder import CHECKPOINT, kept_checkpoints, kept_path

logger = logging.getLogger("phylotools")


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Replace the newest checkpoint, and keep so many of those before it.

    Raises
    ------
    OutputError
        If the disk is full; the newest checkpoint and those kept are as they were.
    """
    path, step = folder / CHECKPOINT, checkpoint.progress.step
    if keep:
        _keep(folder, before=step)
    write_checkpoint(path, checkpoint)
    found = kept_checkpoints(folder)
    older = [number for number in found if number < step]
    # Those of later steps are of a run that went back to an older checkpoint.
    for number in found.keys() - set(older[max(len(older) - keep, 0) :]):
        found[number].unlink(missing_ok=True)


def _keep(folder: Path, before: int) -> None:
    """Give the checkpoint that will be replaced a second name, unless it is no older or damaged."""
    path = folder / CHECKPOINT
    try:
        step = read_progress(path).step
    except InputError:
        return
    if step >= before:
        return
    kept = kept_path(folder, step)
    with naming_output(kept):
        kept.parent.mkdir(exist_ok=True)
        kept.unlink(missing_ok=True)
        try:
            os.link(path, kept)
        except OSError:
            # Some network file systems have no second names.
            with atomic_path(kept, force=True) as temporary:
                shutil.copyfile(path, temporary)


def read_newest(folder: Path) -> Checkpoint:
    """The newest checkpoint of a run.

    Raises
    ------
    InputError
        If it is not whole, with the last good one, or none of ours.
    """
    try:
        return read_checkpoint(folder / CHECKPOINT)
    except DamagedCheckpoint as error:
        kept = _last_good(folder)
        if kept is None:
            raise
        raise InputError(
            error.problem,
            path=error.path,
            remedy=f"the last good one is {kept[0]}, from which 'phylotools train --resume' goes "
            "on",
        ) from None


def checkpoint_to_resume(folder: Path) -> tuple[Path, Checkpoint]:
    """The checkpoint that a run goes on from, and its file.

    Where the newest is damaged or gone, that is the last good one of those kept, with a warning:
    its run takes the same steps once more.

    Raises
    ------
    InputError
        If none is whole, or the newest is none of ours.
    """
    path = folder / CHECKPOINT
    try:
        return path, read_checkpoint(path)
    except DamagedCheckpoint as error:
        kept = _last_good(folder)
        if kept is None:
            raise
        logger.warning("%s: %s; going on from %s", path, error.problem, kept[0])
        return kept


def _last_good(folder: Path) -> tuple[Path, Checkpoint] | None:
    """The newest whole checkpoint of those before the newest, and its file."""
    for path in reversed(kept_checkpoints(folder).values()):
        with contextlib.suppress(InputError):
            return path, read_checkpoint(path)
    return None
