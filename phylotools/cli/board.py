"""What an engine's partitions are doing, on stderr: a live table, or a log line a minute."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from phylotools.cli.options import logger, printable
from phylotools.errors import counted

if TYPE_CHECKING:
    from phylotools.jobs.engines.engine import Board, Engine

#: Seconds between two log lines, and looks at the clock of the live table a second.
_LOG_SECONDS, _LOOKS = 60.0, 4.0
#: Of the partitions under way the table shows those that are at it the longest.
_MOST_ROWS = 12


@contextlib.contextmanager
def open_board(engine: Engine | None) -> Iterator[Board | None]:
    """Yield a board for an engine's work; None where there is no engine."""
    if engine is None:
        yield None
        return
    board = PartitionBoard()
    is_live = sys.stderr.isatty() and logger.isEnabledFor(logging.INFO)
    with _table_of(board) if is_live else _lines_of(board):
        yield board
    board.conclude()


class PartitionBoard:
    """Counts partitions, and says in the log which are lost or have failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = self._n_before = 0
        self._start = time.monotonic()
        self._running: dict[int, tuple[str, float]] = {}
        self._ended: Counter[str] = Counter()

    def begin(self, n_partitions: int, n_done: int) -> None:
        """See `Board`, here and below."""
        with self._lock:
            self._total, self._n_before, self._start = n_partitions, n_done, time.monotonic()

    def running(self, index: int, where: str) -> None:
        with self._lock:
            self._running[index] = printable(where), time.monotonic()
        logger.debug("partition %d: begun on %s", index, where)

    def done(self, index: int) -> None:
        self._end(index, "done")
        logger.debug("partition %d: done", index)

    def failed(self, index: int, where: str, why: str) -> None:
        self._end(index, "failed")
        logger.warning("partition %d failed on %s: %s", index, where, why)

    def lost(self, index: int, where: str, why: str) -> None:
        self._end(index, "lost")
        logger.warning("partition %d was lost on %s: %s; it is begun again", index, where, why)

    def _end(self, index: int, how: str) -> None:
        with self._lock:
            self._running.pop(index, None)
            self._ended[how] += 1

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to tell."""
        return self._total > 0

    def summary(self) -> str:
        """Counts in one line, and when it will be done."""
        with self._lock:
            ended, n_running = Counter(self._ended), len(self._running)
            seconds = time.monotonic() - self._start
        n_done = self._n_before + ended["done"]
        parts = [f"{n_done:,} of {self._total:,} partitions done", f"{n_running:,} running"]
        parts += [f"{ended[how]:,} {how}" for how in ("lost", "failed") if ended[how]]
        if ended["done"] and n_done < self._total:
            left = seconds / ended["done"] * (self._total - n_done)
            parts.append(f"{_clock(left)} left")
        return ", ".join(parts)

    def rows(self) -> list[tuple[int, str, float]]:
        """Partitions under way, the longest first: index, where, seconds."""
        now = time.monotonic()
        with self._lock:
            rows = [(index, where, now - since) for index, (where, since) in self._running.items()]
        return sorted(rows, key=lambda row: -row[2])

    def conclude(self) -> None:
        """Say at the end what it took."""
        if self._ended["lost"]:
            lost = counted(self._ended["lost"], "partition was", "partitions were")
            logger.info("%s lost and begun again", lost)


@contextlib.contextmanager
def _lines_of(board: PartitionBoard) -> Iterator[None]:
    """A log line a minute."""
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(_LOG_SECONDS):
            if board.has_begun:
                logger.info("%s", board.summary())

    thread = threading.Thread(target=tell, name="board", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def _table_of(board: PartitionBoard) -> Iterator[None]:
    """A live table; what is logged meanwhile stands above it."""
    from rich.console import Console
    from rich.file_proxy import FileProxy
    from rich.live import Live

    console = Console(stderr=True)
    live = Live(
        console=console,
        get_renderable=lambda: _table(board),
        refresh_per_second=_LOOKS,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    handlers = [each for each in logger.handlers if isinstance(each, logging.StreamHandler)]
    above = FileProxy(console, sys.stderr)
    before = [handler.setStream(above) for handler in handlers]
    try:
        with live:
            yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            above.flush()
            if stream is not None:
                handler.setStream(stream)


def _table(board: PartitionBoard) -> Any:
    """Counts, and where the partitions under way are."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not board.has_begun:
        return Text("")
    table = Table(box=None, pad_edge=False)
    for name in ("partition", "for"):
        table.add_column(name, justify="right")
    table.add_column("on", overflow="ellipsis", no_wrap=True)
    rows = board.rows()
    for index, where, seconds in rows[:_MOST_ROWS]:
        table.add_row(str(index), _clock(seconds), Text(where))
    if len(rows) > _MOST_ROWS:
        table.add_row("", "", f"and {len(rows) - _MOST_ROWS:,} more")
    return Group(Text(board.summary()), table)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds as digits."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
