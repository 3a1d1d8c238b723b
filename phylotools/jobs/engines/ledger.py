"""What is known of the partitions that an engine sees to: left, under way, finished, failed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from phylotools.jobs.engines.engine import MOST_TRIES, Board, PartitionsFailed, Task


class Ledger:
    """Keeps count of partitions; one thread writes it.

    Parameters
    ----------
    task : Task
    indices : sequence of int
    is_done : callable
        Whether the piece of a partition stands: what decides.
    board : Board
        Is told of every change.
    """

    def __init__(
        self, task: Task, indices: Sequence[int], is_done: Callable[[int], bool], board: Board
    ) -> None:
        self._task, self._is_done, self._board = task, is_done, board
        self._left = deque(dict.fromkeys(indices))
        self._under_way: Counter[int] = Counter()
        self._tries: Counter[int] = Counter()
        self._reasons: dict[int, str] = {}

    @property
    def has_failed(self) -> bool:
        """Whether a partition has failed: then nobody should begin another."""
        return bool(self._reasons)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to begin and nothing to wait for."""
        return not self._under_way and (self.has_failed or not self._left)

    def next(self) -> int | None:
        """A partition that should be begun now; None if there is none."""
        while self._left and not self.has_failed:
            index = self._left.popleft()
            if not self._is_done(index):
                return index
            # Somebody else has finished it meanwhile.
            self._board.done(index)
        return None

    def begin(self, index: int, where: str) -> None:
        """A worker has been given a partition."""
        self.hand_over(index)
        self._board.running(index, where)

    def hand_over(self, index: int) -> None:
        """A partition waits for a worker in somebody else's queue."""
        self._under_way[index] = 1
        self._tries[index] += 1

    def take(self, index: int) -> bool:
        """Hand a certain partition over, if it is left and not finished; False if it is not."""
        if index not in self._left or self._is_done(index):
            return False
        self._left.remove(index)
        self.hand_over(index)
        return True

    def give_back(self, index: int) -> None:
        """No worker has begun a partition that was handed over: it is left again."""
        if not self.finish(index):
            del self._under_way[index]
            self._tries[index] -= 1
            self._left.append(index)

    def finish(self, index: int) -> bool:
        """Look whether a partition is finished; True if it is and was under way."""
        if index not in self._under_way or not self._is_done(index):
            return False
        del self._under_way[index]
        self._board.done(index)
        return True

    def lose(self, index: int, where: str, why: str) -> None:
        """The worker of a partition is gone: it is left again, unless that happened too often."""
        if self.finish(index):
            return
        del self._under_way[index]
        if self._tries[index] >= MOST_TRIES:
            self._fail(index, where, f"lost {self._tries[index]} times, the last time {why}")
            return
        self._board.lost(index, where, why)
        # At the front: what kills its worker should be known early.
        self._left.appendleft(index)

    def fail(self, index: int, where: str, why: str) -> None:
        """A partition has ended by an error."""
        if not self.finish(index):
            del self._under_way[index]
            self._fail(index, where, why)

    def conclude(self) -> None:
        """Raise `PartitionsFailed` if some have failed."""
        if self._reasons:
            raise PartitionsFailed(self._task, self._reasons)

    def _fail(self, index: int, where: str, why: str) -> None:
        self._reasons[index] = f"{why} (on {where})"
        self._board.failed(index, where, why)
