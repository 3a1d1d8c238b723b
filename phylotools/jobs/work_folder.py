"""The folder that a job in parts is kept in: its plan, and the pieces that are finished."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import numpy as np

from phylotools.errors import InputError, OutputError, PhylotoolsError, UsageError
from phylotools.io.documents import decode, read_document
from phylotools.io.files import naming_output, write_atomic
from phylotools.io.locks import LOCK, lock_folder
from phylotools.io.staging import (
    Stage,
    is_staged,
    outputs_at_once,
    remove_leftovers,
    staged,
)
from phylotools.jobs.job import Job, Partition
from phylotools.jobs.piece import DamagedPiece, Piece, PieceWriter, is_whole, open_piece
from phylotools.version import __version__

logger = logging.getLogger("phylotools")

PLAN = "plan.json"
_PIECES = "pieces"
#: What engines keep there while they are at work: logs of workers.
WORKERS = "workers"
_MOST_NAMED = 10
J = TypeVar("J", bound=Job)


class _DoneMeanwhile(Exception):
    """Another process has finished the partition."""


@dataclass(frozen=True)
class WorkFolder(Generic[J]):
    """A job in parts on disk.

    Attributes
    ----------
    path : Path
    kind : type
        Of the job.
    """

    path: Path
    kind: type[J]

    @contextlib.contextmanager
    def resuming(self, job: J) -> Iterator[J]:
        """Do a whole job in this folder, or what an earlier run has left of it to do.

        Yields the job: the one that was begun here, if it makes the same, else the one given. The
        folder is removed at the end; after an error that another call could go on from, it stays.

        Raises
        ------
        OutputError
            If it holds parts of another job or files of others, or another process works in it.
        """
        self._refuse_foreign()
        with self.locked() as lock:
            with self._while_it_stands():
                job = self._begun(job)
            try:
                with self._while_it_stands():
                    yield job
            except InputError:
                # Another input or another option is needed: then the parts are of no use.
                self._remove(lock)
                raise
            except BaseException:
                self._leave(job, lock)
                raise
            self._remove(lock)

    def begin(self, job: J) -> None:
        """Make the folder of a new job.

        Raises
        ------
        OutputError
            If it holds a job or files of others, or cannot be made.
        """
        self.refuse_existing()
        with self.locked():
            self._write_plan(job)

    def refuse_existing(self) -> None:
        """Raise `OutputError` if a new job cannot have this folder."""
        if not self.path.absolute().parent.is_dir():
            raise OutputError(f"{self.path}: the folder above it does not exist; create it first")
        # A kill before the plan stood leaves a folder that holds nothing of use.
        if os.path.lexists(self.path) and (not self.path.is_dir() or self._names() - {LOCK}):
            raise OutputError(f"{self.path}: already exists; remove it or choose another name")

    @contextlib.contextmanager
    def locked(self) -> Iterator[IO[bytes]]:
        """Make the folder if need be, and keep other processes from finishing a job in it.

        Raises
        ------
        OutputError
            If another process is at work in it.
        """
        with contextlib.closing(lock_folder(self.path)) as lock:
            yield lock

    @contextlib.contextmanager
    def _while_it_stands(self) -> Iterator[None]:
        """Say so in one line where files or pieces are missed because the whole folder is gone.

        On a disk whose locks lie another run of the same command may end first and remove it.
        """
        try:
            yield
        except (FileNotFoundError, PhylotoolsError) as error:
            # That the output exists is as good to know.
            is_of_output = isinstance(error, OutputError | UsageError)
            if is_of_output or (self.path / PLAN).exists():
                raise
            raise OutputError(
                f"{self.path}: was removed while it was in use, by another run of the same command "
                "or by hand; see whether the output stands, else run it again"
            ) from error

    def read_plan(self) -> J:
        """The job that was planned.

        Raises
        ------
        InputError
            If there is none, or it is damaged or of another version.
        """
        path, verb = self.path / PLAN, self.kind.verb
        remedy = f"give a folder that `phylotools {verb}-init` made"
        if not path.exists():
            raise InputError("holds no plan", path=self.path, remedy=remedy)
        document = read_document(path, remedy="remove the work folder and start anew")
        if document.pop("format", None) != self._format:
            raise InputError("is no plan", path=path, remedy=remedy)
        if document.pop("version", None) != self.kind.version:
            raise InputError(
                "is a plan of another version of phylotools", path=path, remedy="start anew"
            )
        try:
            job: J = decode(self.kind, document)
            job.check_plan()
        except (ValueError, LookupError, UsageError):
            raise InputError("is damaged", path=path, remedy="start anew") from None
        if job.run.version != __version__:
            # Nodes of a cluster may have several: what two compute need not fit together.
            raise InputError(
                f"was planned by phylotools {job.run.version}; this is {__version__}, on "
                f"{platform.node()}",
                path=path,
                remedy="have the same version everywhere, or start anew",
            )
        return job

    def unfinished(self, job: J, indices: Sequence[int]) -> list[Partition]:
        """Those of some partitions that have no piece; a damaged piece is removed.

        Raises
        ------
        UsageError
            If there is no such partition.
        """
        wanted = [job.partition(index) for index in dict.fromkeys(indices)]
        for index in self._damaged(indices):
            logger.warning("%s: piece %d is damaged and is made again", self.path, index)
            shutil.rmtree(self._piece(index))
        return [partition for partition in wanted if not self.is_done(partition.index)]

    @contextlib.contextmanager
    def writing(self, partition: Partition, entry: np.dtype[Any]) -> Iterator[PieceWriter]:
        """Yield the writer of a partition's piece, which stands when all went well.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        final = self._piece(partition.index)
        final.parent.mkdir(exist_ok=True)
        is_begun = False

        def check() -> None:
            # Another process may finish the same partition meanwhile: one is as good.
            if is_begun and self.is_done(partition.index):
                raise _DoneMeanwhile

        with (
            contextlib.suppress(_DoneMeanwhile),
            outputs_at_once(),
            naming_output(self.path),
            staged(Stage(final, check, is_folder=True)) as folder,
            PieceWriter(folder, self.kind.version, entry) as writer,
        ):
            is_begun = True
            yield writer

    def open_piece(self, index: int) -> Piece:
        """A finished piece.

        Raises
        ------
        PhylotoolsError
            If it is damaged, as far as that can be seen without reading the data.
        """
        try:
            return open_piece(self._piece(index), self.kind.version, verify=False)
        except DamagedPiece:
            raise self.damaged([index]) from None

    def require_all(self, job: J) -> None:
        """Raise `PhylotoolsError` that names the partitions that are missing or damaged, if any."""
        missing = [index for index in range(job.n_partitions) if not self.is_done(index)]
        if missing:
            raise PhylotoolsError(
                f"{self.path}: {len(missing)} of {job.n_partitions} partitions are missing: "
                f"{_listed(missing)}; run `phylotools {self.kind.verb}-partition` for them"
            )
        damaged = self._damaged(range(job.n_partitions))
        if damaged:
            raise self.damaged(damaged)

    def damaged(self, indices: Sequence[int]) -> PhylotoolsError:
        """The error of pieces that are not what was written."""
        which = f"piece {indices[0]} is damaged: run it again"
        if len(indices) > 1:
            which = f"pieces {_listed(indices)} are damaged: run them again"
        return PhylotoolsError(f"{self.path}: {which} with `phylotools {self.kind.verb}-partition`")

    def is_done(self, index: int) -> bool:
        """Whether a partition is finished."""
        return self._piece(index).is_dir()

    def _piece(self, index: int) -> Path:
        return self.path / _PIECES / f"{index:06d}"

    def _damaged(self, indices: Sequence[int]) -> list[int]:
        """Those of some partitions whose piece is not what was written."""
        done = filter(self.is_done, indices)
        return [index for index in done if not is_whole(self._piece(index), self.kind.version)]

    @property
    def _format(self) -> str:
        return f"phylotools-{self.kind.verb}-plan"

    def _names(self) -> set[str]:
        """What the folder holds, but for what a killed run left in the making."""
        remove_leftovers(self.path.absolute() / PLAN)
        return {name for name in os.listdir(self.path) if not is_staged(name)}

    def _refuse_foreign(self) -> None:
        names = self._names() if self.path.is_dir() else set()
        foreign = sorted(names - {PLAN, _PIECES, WORKERS, LOCK})
        if foreign:
            raise OutputError(
                f"{self.path}: holds {foreign[0]!r} and is no work folder; choose another with "
                "--work"
            )

    def _begun(self, job: J) -> J:
        """The job of the folder, if there is one that makes the same; else the new one, written."""
        earlier = self.earlier(job)
        pieces = self.path / _PIECES
        if earlier is None:
            # Pieces without a plan were being removed.
            shutil.rmtree(pieces, ignore_errors=True)
            self._write_plan(job)
            return job
        if earlier.has_streams:
            # A stream begins anew, and what is there may be of another one.
            shutil.rmtree(pieces)
        else:
            logger.info("%s: %s are done", self.path, self._progress(earlier))
        return earlier

    def earlier(self, job: J) -> J | None:
        """The job that an earlier call began here and left pieces of; None if there is none.

        Parameters
        ----------
        job : Job
            Of which `output` is right; all else may be unknown yet.

        Raises
        ------
        OutputError
            If it makes something else.
        """
        pieces = self.path / _PIECES
        if not (self.path / PLAN).exists() or not pieces.is_dir() or not os.listdir(pieces):
            return None
        earlier = self.read_plan()
        if earlier.output() != job.output():
            raise OutputError(
                f"{self.path}: holds parts of another run (other inputs or options); remove it, "
                "or give another --work"
            )
        return earlier

    def _write_plan(self, job: J) -> None:
        document = {
            "format": self._format,
            "version": self.kind.version,
            **dataclasses.asdict(job),
        }
        with outputs_at_once():
            write_atomic(self.path / PLAN, json.dumps(document, indent=1) + "\n", force=True)

    def _progress(self, job: J) -> str:
        n_done = sum(map(self.is_done, range(job.n_partitions)))
        return f"{n_done} of {job.n_partitions} partitions"

    def _leave(self, job: J, lock: IO[bytes]) -> None:
        """After a failure: keep what is finished, if anybody can go on from there."""
        is_begun = any(map(self.is_done, range(job.n_partitions))) or self._has_logs()
        if job.has_streams or not is_begun:
            self._remove(lock)
            return
        logger.warning(
            "%s keeps %s: the same command goes on from there; remove it to start anew",
            self.path,
            self._progress(job),
        )

    def _has_logs(self) -> bool:
        """Whether a worker of an engine has left something that its error names."""
        try:
            return bool(os.listdir(self.path / WORKERS))
        except OSError:
            return False

    def _remove(self, lock: IO[bytes]) -> None:
        """Delete what a job has made, and the folder if nothing else is there."""
        # The plan first: pieces without one are of no use to anybody, half a piece would be.
        (self.path / PLAN).unlink(missing_ok=True)
        for name in (_PIECES, WORKERS):
            shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / LOCK).unlink(missing_ok=True)
        lock.close()
        try:
            self.path.rmdir()
        except FileNotFoundError:
            # Another run has removed it, on a disk whose locks lie.
            return
        except OSError:
            logger.warning("%s: not removed, because something else is in it", self.path)


def work_beside(output: str | os.PathLike[str]) -> str:
    """Path of the work folder of an output for which none was named: ``OUTPUT.work`` beside it."""
    return f"{os.fspath(output).rstrip('/')}.work"


def describe_work(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a work folder, whatever its verb: what is finished, missing, damaged.

    Raises
    ------
    InputError
        If its plan is damaged.
    """
    plan, remedy = Path(path) / PLAN, "remove the work folder and start anew"
    document = read_document(plan, remedy=remedy)
    verb = re.fullmatch("phylotools-(.+)-plan", str(document.get("format")))
    extents = document.get("extents")
    if verb is None or not isinstance(extents, list):
        raise InputError("is no plan", path=plan, remedy=remedy)
    pieces = {index: plan.parent / _PIECES / f"{index:06d}" for index in range(len(extents))}
    done = [index for index, piece in pieces.items() if piece.is_dir()]
    version = document.get("version")
    return {
        "kind": f"work folder of {verb[1]}",
        "path": str(path),
        "partitions": len(extents),
        "finished": len(done),
        "missing": sorted(pieces.keys() - set(done)),
        "damaged": [index for index in done if not is_whole(pieces[index], version)],
        "run": document.get("run"),
    }


def _listed(indices: Sequence[int]) -> str:
    more = ", ..." if len(indices) > _MOST_NAMED else ""
    return ", ".join(map(str, indices[:_MOST_NAMED])) + more
