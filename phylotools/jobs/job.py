"""A job, cut into partitions that run anywhere and in any order."""

from __future__ import annotations

import os
import stat
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from phylotools.errors import InputError, UsageError
from phylotools.io.files import cannot_read
from phylotools.provenance import RunRecord, sha256_file

#: Larger files are named by size and time only: to hash them would read them twice.
_LARGEST_HASHED = 256 << 20
#: Names that are another file in another process.
_OF_A_PROCESS = ("/dev/stdin", "/dev/fd/", "/proc/")


@dataclass(frozen=True)
class Partition:
    """A part of a job that runs by itself.

    Attributes
    ----------
    index : int
        0-based.
    extent : Any
        What it covers, as the job has it: bytes of a file, regions of a genome.
    """

    index: int
    extent: Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that the partitions and the last step need to know; each verb has its own kind.

    Its fields are plain data: a work folder keeps them as JSON.

    Attributes
    ----------
    verb : str
        What it is for: its stages are called VERB-init, VERB-partition and VERB-finalise.
    version : int
        Of its plan and its pieces.
    extents : tuple
        What each partition covers.
    identities : dict
        Path -> size and time of every file that is read.
    run : RunRecord
        The command that made the plan, with checksums of the inputs.
    """

    verb: ClassVar[str]
    version: ClassVar[int]
    extents: tuple[Any, ...]
    identities: dict[str, list[int]]
    run: RunRecord = field(default_factory=RunRecord)

    @abstractmethod
    def output(self) -> tuple[Any, ...]:
        """Inputs and settings that decide the output: equal for jobs that make the same."""

    def check_plan(self) -> None:
        """Raise `ValueError` or `LookupError` if the fields of a plan contradict each other."""

    @property
    def has_streams(self) -> bool:
        """Whether an input cannot be read twice, so that nobody can go on with the job."""
        return False

    @property
    def n_partitions(self) -> int:
        return len(self.extents)

    def partition(self, index: int) -> Partition:
        """A partition by its index.

        Raises
        ------
        UsageError
            If there is none.
        """
        if not 0 <= index < self.n_partitions:
            raise UsageError(
                f"there is no partition {index}: they are 0 to {self.n_partitions - 1}"
            )
        return Partition(index, self.extents[index])

    def check_inputs(self) -> None:
        """Raise `InputError` if a file is no longer what it was when the plan was made."""
        for path, identity in self.identities.items():
            if file_identity(path) != identity:
                raise changed(path)

    def refuse_own_streams(self) -> None:
        """Raise `UsageError` if other processes could not read an input by its name."""
        for path in self.identities:
            if path.startswith(_OF_A_PROCESS):
                raise UsageError(f"{path}: every part reads it: give a file, not a stream")


def changed(path: str) -> InputError:
    """The error of an input that is not what it was when the plan was made."""
    return InputError(
        "has changed since the plan was made",
        path=path,
        remedy="remove the work folder and start anew",
    )


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
        raise cannot_read(path, error) from error
    return [found.st_size, found.st_mtime_ns] if stat.S_ISREG(found.st_mode) else None


def identities_of(files: Mapping[str, str]) -> dict[str, list[int]]:
    """Absolute path -> size and time of change of files that every part of a job reads.

    Parameters
    ----------
    files : mapping of str to str
        Path -> what it holds, for messages.

    Raises
    ------
    InputError
        If there is no such file.
    UsageError
        If it is a stream, which only one could read.
    """
    found = {}
    for path, what in files.items():
        identity = file_identity(path)
        if identity is None:
            name = "<stdin>" if path == "-" else path
            raise UsageError(f"{name}: every part reads {what}: give a file, not a stream")
        found[os.path.abspath(path)] = identity
    return found


def input_checksum(path: str) -> str | None:
    """SHA-256 of a file; None for a stream, and for a file too large to be read twice."""
    identity = file_identity(path)
    if identity is None or identity[0] > _LARGEST_HASHED:
        return None
    return sha256_file(path)
