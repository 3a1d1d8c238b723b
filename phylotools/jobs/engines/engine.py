"""What an engine is, and what it is given: a command that runs partitions, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from phylotools.errors import PhylotoolsError, counted, shown

#: How often a partition is begun before its worker's deaths are its own fault.
MOST_TRIES = 3
#: Partitions for each worker: enough that the last ones to end are not waited for long, and few
#: enough that what a partition costs by itself stays small.
PARTS_PER_WORKER = 4
_MOST_NAMED = 3


@dataclass(frozen=True)
class Task:
    """A command that runs partitions of a job, wherever its work folder can be seen.

    Attributes
    ----------
    command : tuple of str
        Program and arguments. Indices of partitions are appended; or ``-``, and then it reads them
        from stdin, one a line, and prints each when its piece stands.
    verb : str
        What the job is for.
    work : str
        Absolute path of the work folder.
    """

    command: tuple[str, ...]
    verb: str
    work: str

    def of(self, indices: Sequence[int]) -> list[str]:
        """The command for some partitions."""
        return [*self.command, *map(str, indices)]

    @property
    def of_stdin(self) -> list[str]:
        """The command that reads indices from stdin."""
        return [*self.command, "-"]


class Board(Protocol):
    """Is told what becomes of partitions; called from any thread."""

    def begin(self, n_partitions: int, n_done: int) -> None:
        """A job of so many partitions begins, of which some are finished."""

    def running(self, index: int, where: str) -> None:
        """A partition was begun by a worker (a node, a process)."""

    def done(self, index: int) -> None:
        """Its piece stands."""

    def failed(self, index: int, where: str, why: str) -> None:
        """It ended by an error, which it would end by again."""

    def lost(self, index: int, where: str, why: str) -> None:
        """Its worker is gone; it will be begun again, but not for ever."""


class SilentBoard:
    """A board that nobody looks at."""

    def begin(self, n_partitions: int, n_done: int) -> None: ...

    def running(self, index: int, where: str) -> None: ...

    def done(self, index: int) -> None: ...

    def failed(self, index: int, where: str, why: str) -> None: ...

    def lost(self, index: int, where: str, why: str) -> None: ...


class Engine(Protocol):
    """Has partitions run somewhere else.

    Pieces are the truth: whatever a scheduler says of a worker, a partition is finished when
    `is_done` says so, and only then.
    """

    @property
    def n_workers(self) -> int | None:
        """How many partitions run at a time, if that is known."""

    def run(
        self, task: Task, indices: Sequence[int], is_done: Callable[[int], bool], board: Board
    ) -> None:
        """Return when all of some partitions are finished.

        A worker that is lost costs its partition, which is begun again elsewhere, `MOST_TRIES`
        times at most. After an error no other partition is begun; those under way end. Whatever
        ends the call ends the workers too.

        Raises
        ------
        PartitionsFailed
            If some ended by an error, or were lost too often.
        UsageError, OutputError
            If the engine is not there, or turns the work away.
        """


class PartitionsFailed(PhylotoolsError):
    """Some partitions could not be finished.

    Parameters
    ----------
    task : Task
    reasons : mapping of int to str
        Index of a partition -> where and why it failed, in one line.
    """

    def __init__(self, task: Task, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(reasons)
        named = sorted(self.reasons.items())
        told = dict.fromkeys(shown_reason(reason) for _, reason in named[:_MOST_NAMED])
        which = ", ".join(str(index) for index, _ in named[:_MOST_NAMED])
        more = ", ..." if len(named) > _MOST_NAMED else ""
        count = counted(len(named), "partition")
        super().__init__(
            f"{task.work}: {count} of {task.verb} failed ({which}{more}): {'; '.join(told)}; "
            "mend that and give the same command again: it goes on from what is finished"
        )


def shown_reason(reason: str) -> str:
    """The words of a failed worker in a line of ours: without its ``error:`` and line ends."""
    text = " ".join(reason.split()).removeprefix("error: ")
    # Of others' words no more than a screen's line or four.
    return text if len(text) <= 400 and text.isprintable() else shown(text)


def part_size(total: int, largest: int, engine: Engine | None, smallest: int = 1) -> int:
    """How much a partition should hold, so that all workers of an engine have equally many.

    Parameters
    ----------
    total : int
        Of all partitions together: positions, bytes.
    largest : int
        What one holds where nothing else is wanted.
    engine : Engine, optional
    smallest : int
        Less is not worth a partition.
    """
    if engine is None or engine.n_workers is None:
        return largest
    return even_size(total, largest, engine.n_workers, smallest)


def even_size(total: int, largest: int, n_workers: int, smallest: int = 1) -> int:
    """How much a partition should hold, so that so many workers have equally many.

    Parameters
    ----------
    total, largest, smallest :
        See `part_size`.
    n_workers : int
    """
    each = max(1, min(PARTS_PER_WORKER, total // (smallest * n_workers)))
    # With one more than that, all workers but one would wait for it.
    each = max(each, -(-total // (largest * n_workers)))
    return min(largest, max(smallest, -(-total // (each * n_workers))))
