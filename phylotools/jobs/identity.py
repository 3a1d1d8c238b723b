"""Whether a file is still what it was."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from phylotools.errors import InputError


def file_identity(path: str) -> list[int] | None:
    """Size and time of change of a regular file; None for a stream.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if path == "-":
        return None
    try:
        found = os.stat(path)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", path=path) from error
    return [found.st_size, found.st_mtime_ns] if stat.S_ISREG(found.st_mode) else None


def check_identities(identities: Mapping[str, list[int]]) -> None:
    """Raise `InputError` if a file is no longer what it was when the plan was made.

    Parameters
    ----------
    identities : mapping of str to list of int
        Path -> what `file_identity` gave.
    """
    for path, identity in identities.items():
        if file_identity(path) != identity:
            raise InputError(
                "has changed since the plan was made",
                path=path,
                remedy="remove the work folder and start anew",
            )
