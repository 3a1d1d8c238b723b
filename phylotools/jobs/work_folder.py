"""The folder that a job in parts is kept in: its plan, and the pieces that are finished."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from phylotools.errors import InputError, OutputError, PhylotoolsError, UsageError
from phylotools.io.files import naming_output, write_atomic
from phylotools.io.locks import LOCK, lock_folder
from phylotools.io.staging import Stage, is_staged, remove_leftovers, staged

logger = logging.getLogger("phylotools")

PLAN_FILE = "plan.json"
_PIECES = "pieces"
_NAMES = {PLAN_FILE, _PIECES, LOCK}
_TOKEN = re.compile("[0-9a-f]{16}")


class _DoneMeanwhile(Exception):
    """Another process has finished the partition."""


@dataclass(frozen=True)
class WorkFolder:
    """A job in parts on disk.

    Attributes
    ----------
    path : Path
    verb : str
        What the job is for: its stages are called VERB-init, VERB-partition and VERB-finalise.
    version : int
        Of the plan.
    """

    path: Path
    verb: str
    version: int

    def piece(self, index: int) -> Path:
        """Where the piece of a partition stands when it is finished."""
        return self.path / _PIECES / f"{index:06d}"

    def is_done(self, index: int) -> bool:
        """Whether a partition is finished."""
        return self.piece(index).is_dir()

    def count_done(self, n_partitions: int) -> int:
        """Number of finished partitions."""
        return sum(self.is_done(index) for index in range(n_partitions))

    @contextlib.contextmanager
    def finishing(self, index: int) -> Iterator[Path]:
        """Yield an empty folder; it becomes the piece of a partition when all went well.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        final = self.piece(index)
        final.parent.mkdir(exist_ok=True)

        def check() -> None:
            # Another process may have finished the same partition meanwhile: one is as good.
            if self.is_done(index):
                raise _DoneMeanwhile

        with (
            contextlib.suppress(_DoneMeanwhile),
            naming_output(self.path),
            staged(Stage(final, check, is_folder=True)) as folder,
        ):
            yield folder

    def require_index(self, index: int, n_partitions: int) -> None:
        """Raise `UsageError` if there is no such partition."""
        if not 0 <= index < n_partitions:
            raise UsageError(f"there is no partition {index}: they are 0 to {n_partitions - 1}")

    def require_all(self, n_partitions: int) -> None:
        """Raise `PhylotoolsError` that names the partitions that are not finished, if any."""
        missing = [index for index in range(n_partitions) if not self.is_done(index)]
        if missing:
            named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            raise PhylotoolsError(
                f"{self.path}: {len(missing)} of {n_partitions} partitions are missing: {named}; "
                f"run `phylotools {self.verb}-partition` for them"
            )

    def make(self) -> None:
        """Make the folder of a new job.

        Raises
        ------
        OutputError
            If it exists, or the folder above it does not.
        """
        self.refuse_existing()
        self.path.mkdir()

    def refuse_existing(self) -> None:
        """Raise `OutputError` if a new job cannot have this folder."""
        if self.path.exists():
            raise OutputError(f"{self.path}: already exists; remove it or choose another name")
        if not self.path.absolute().parent.is_dir():
            raise OutputError(f"{self.path}: the folder above it does not exist; create it first")

    @contextlib.contextmanager
    def locked(self, *, others_may_stay: bool = False) -> Iterator[IO[bytes]]:
        """Make the folder if need be, and keep other processes from finishing a job in it.

        Parameters
        ----------
        others_may_stay : bool
            Whether it may hold files of others: it is not going to be removed.

        Raises
        ------
        OutputError
            If it holds files of others, or another process is at work in it.
        """
        if self.path.is_dir() and not others_may_stay:
            remove_leftovers(self.path.absolute() / PLAN_FILE)
            names = {name for name in os.listdir(self.path) if not is_staged(name)}
            foreign = sorted(names - _NAMES)
            if foreign:
                raise OutputError(
                    f"{self.path}: holds {foreign[0]!r} and is no work folder; choose another "
                    "with --work"
                )
        lock = lock_folder(self.path)
        try:
            yield lock
        finally:
            lock.close()

    @property
    def has_plan(self) -> bool:
        return (self.path / PLAN_FILE).exists()

    def write_plan(self, document: dict[str, Any]) -> None:
        """Keep a plan, which must be JSON-ready and have a ``token`` of 16 hexadecimal digits."""
        whole = {"format": self._format, "version": self.version, **document}
        write_atomic(self.path / PLAN_FILE, json.dumps(whole, indent=1) + "\n", force=True)

    def read_plan(self) -> dict[str, Any]:
        """The plan, without format and version.

        Raises
        ------
        InputError
            If there is none, or it is damaged or of another version.
        """
        path = self.path / PLAN_FILE
        remedy = f"give a folder that `phylotools {self.verb}-init` made"
        try:
            document = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise InputError("holds no plan", path=self.path, remedy=remedy) from None
        except (OSError, ValueError):
            raise InputError("cannot be read", path=path, remedy=remedy) from None
        if not isinstance(document, dict) or document.pop("format", None) != self._format:
            raise InputError("is no plan", path=path, remedy=remedy)
        if document.pop("version", None) != self.version:
            raise InputError(
                "is a plan of another version of phylotools", path=path, remedy="start anew"
            )
        # It becomes part of a file name.
        if not _TOKEN.fullmatch(str(document.get("token"))):
            raise self.damaged_plan()
        return document

    def damaged_plan(self) -> InputError:
        """The error of a plan that does not hold what it should."""
        return InputError("is damaged", path=self.path / PLAN_FILE, remedy="start anew")

    @property
    def _format(self) -> str:
        return f"phylotools-{self.verb}-plan"

    def log_done(self, n_partitions: int) -> None:
        """Say how much of a job was done before."""
        done = self.count_done(n_partitions)
        logger.info("%s: %d of %d partitions are done", self.path, done, n_partitions)

    def leave(self, n_partitions: int, lock: IO[bytes]) -> None:
        """After a failure: keep what is finished, or remove the folder if nothing is."""
        n_done = self.count_done(n_partitions)
        if n_done == 0:
            self.remove(lock)
            return
        logger.warning(
            "%s keeps %d of %d partitions: the same command goes on from there; remove it to "
            "start anew",
            self.path,
            n_done,
            n_partitions,
        )

    def remove_piece(self, index: int) -> None:
        """Delete a finished partition."""
        shutil.rmtree(self.piece(index), ignore_errors=True)

    def remove(self, lock: IO[bytes]) -> None:
        """Delete what a job has made, and the folder if nothing else is there."""
        shutil.rmtree(self.path / _PIECES, ignore_errors=True)
        (self.path / PLAN_FILE).unlink(missing_ok=True)
        (self.path / LOCK).unlink(missing_ok=True)
        lock.close()
        try:
            self.path.rmdir()
        except OSError:
            logger.warning("%s: not removed, because something else is in it", self.path)


def other_work(path: Path) -> OutputError:
    """The error of a work folder that holds parts of another job."""
    return OutputError(
        f"{path}: holds parts of another run (other inputs or options); remove it, or give "
        "another --work"
    )
