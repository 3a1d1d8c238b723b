"""A run's folder: the names in it, and the lock that keeps a second run out."""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path
from typing import IO

from phylotools.errors import OutputError

logger = logging.getLogger("phylotools")

CHECKPOINT, METRICS, LOCK = "checkpoint.safetensors", "metrics.tsv", ".lock"


def refuse_run(folder: Path, allowed: bool) -> None:
    """Raise `OutputError` if the folder holds a run and neither resuming nor force was asked."""
    path = folder / CHECKPOINT
    if path.exists() and not allowed:
        raise OutputError(
            f"{path}: a run is here already; give --resume to go on, --force to start anew"
        )


def lock_folder(folder: Path) -> IO[bytes]:
    """Make a run's folder if need be, and lock it until the handle is closed or the process ends.

    Raises
    ------
    OutputError
        If another process holds the lock.
    """
    folder.mkdir(exist_ok=True)
    # The file stays: were it deleted, two runs could each hold a lock of that name.
    handle = open(folder / LOCK, "ab")  # noqa: SIM115
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise OutputError(f"{folder}: another run is going on in this folder") from None
    except OSError as error:
        logger.warning("%s: this file system has no locks (%s)", folder, error.strerror)
    return handle


def start_anew(folder: Path) -> None:
    """Delete the files of an earlier run, and nothing else, from its folder."""
    for name in (CHECKPOINT, METRICS):
        (folder / name).unlink(missing_ok=True)
