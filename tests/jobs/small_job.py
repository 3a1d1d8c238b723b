"""A job as small as can be: the squares of some numbers, a line each."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from phylotools.io.files import atomic_path
from phylotools.jobs.job import Job, Partition
from phylotools.jobs.runners import in_turn
from phylotools.jobs.work_folder import WorkFolder

ENTRY = np.dtype([("offset", "<i8"), ("size", "<i8")])


@dataclass(frozen=True, kw_only=True)
class Squares(Job):
    verb: ClassVar[str] = "square"
    version: ClassVar[int] = 1
    extents: tuple[tuple[int, ...], ...]
    label: str = ""

    def output(self) -> tuple[Any, ...]:
        return self.label, [number for extent in self.extents for number in extent]


def squares(*extents: tuple[int, ...], **fields: Any) -> Squares:
    return Squares(extents=extents, identities={}, **fields)


def work_folder(path: str | Path) -> WorkFolder[Squares]:
    return WorkFolder(Path(path), Squares)


def run_one(work: WorkFolder[Squares], partition: Partition) -> None:
    if work.is_done(partition.index):
        return
    with work.writing(partition, ENTRY) as writer:
        for number in partition.extent:
            text = f"{number**2}\n".encode()
            writer.add(text, size=len(text))
        writer.finish({"numbers": len(partition.extent)})


def run(work: WorkFolder[Squares], job: Squares, *indices: int) -> None:
    wanted = indices or range(job.n_partitions)
    in_turn(functools.partial(run_one, work), work.unfinished(job, wanted))


def finalise(work: WorkFolder[Squares], job: Squares, output: Path, *, force: bool = False) -> None:
    work.require_all(job)
    with atomic_path(output, force=force) as path, open(path, "wb") as out:
        for piece in map(work.open_piece, range(job.n_partitions)):
            for entry in piece.index:
                out.write(piece.read(int(entry["offset"]), int(entry["size"])))


def make_squares(output: Path, job: Squares, *, force: bool = False) -> None:
    """All of it in one go, as `preprocess` and `tracks` do it."""
    work = work_folder(f"{output}.work")
    with work.resuming(job) as begun:
        run(work, begun)
        finalise(work, begun, output, force=force)
