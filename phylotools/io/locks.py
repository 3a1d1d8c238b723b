"""Folders that one process works in at a time."""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path
from typing import IO

from phylotools.errors import OutputError

logger = logging.getLogger("phylotools")

LOCK = ".lock"


def lock_folder(folder: Path, name: str = LOCK, *, wait: bool = False) -> IO[bytes]:
    """Make a folder if need be, and lock it until the handle is closed or the process ends.

    Parameters
    ----------
    folder : Path
    name : str
        Of the file in it that is locked.
    wait : bool
        For another process that holds the lock; for what takes a moment.

    Raises
    ------
    OutputError
        If another process holds the lock, or the folder cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
        # The file stays: were it deleted, two processes could each hold a lock of that name.
        handle = open(folder / name, "ab")  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"{folder}: cannot write: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        handle.close()
        raise OutputError(f"{folder}: another run is going on in this folder") from None
    except OSError as error:
        logger.warning("%s: this file system has no locks (%s)", folder, error.strerror)
    return handle
