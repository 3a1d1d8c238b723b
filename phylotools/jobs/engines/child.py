"""A process that runs partitions as they are named to it, and what became of it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from phylotools.jobs.engines.engine import shown_reason
from phylotools.jobs.engines.lifeline import GRACE_SECONDS, owned

_ERROR, _WARNING = "error: ", "phylotools: warning: "
_KEPT_LINES = 20
#: Between looks whether a process that says nothing has ended.
_LOOK_SECONDS = 1.0
#: What is left to read of one that has ended: a pipe holds no more.
_MOST_READS, _READ_BYTES = 64, 1 << 16
#: What a program says of memory that it did not get: another time, or with fewer beside it, it may.
_NO_MEMORY = "error: out of memory"


class End(NamedTuple):
    """How a process ended.

    Attributes
    ----------
    is_error : bool
        By an error of ours, by which it would end again; else it is lost.
    why : str
        In one line.
    """

    is_error: bool
    why: str


class Child:
    """A running ``phylotools VERB-partition WORK -``.

    Parameters
    ----------
    command : sequence of str
    environment : mapping of str
        Set beside that of this process.
    on_said : callable
        Called, in another thread, for every line of the process's stdout.
    on_end : callable
        Called, in that thread, when the process has ended.
    on_warning : callable
        Called, in a third thread, with every warning of the process.

    Attributes
    ----------
    end : End or None
        How it ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] = {},
        on_said: Callable[[Child], None],
        on_end: Callable[[Child], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self.end: End | None = None
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        # A session of its own: Ctrl-C goes to its owner alone, who decides.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=owned({**os.environ, **environment}),
            start_new_session=True,
        )
        self._is_over = threading.Event()
        errors = threading.Thread(target=self._listen, args=(on_warning,), daemon=True)
        errors.start()
        words = threading.Thread(target=self._read, args=(on_said,), daemon=True)
        words.start()
        self._waiter = threading.Thread(
            target=self._wait, args=(on_end, words, errors), daemon=True
        )
        self._waiter.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def give(self, index: int) -> None:
        """Name a partition to it; if it is gone, `on_end` tells."""
        # ValueError: its stdin was closed here when it ended.
        with contextlib.suppress(OSError, ValueError):
            self._stdin.write(f"{index}\n".encode())
            self._stdin.flush()

    def let_go(self) -> None:
        """Let it end when it has done what it was given."""
        with contextlib.suppress(OSError):
            self._stdin.close()

    def terminate(self) -> None:
        """Ask it to end now."""
        self.let_go()
        self._process.terminate()

    def kill(self) -> None:
        """End it, and what it has started."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended and all was told; False if it does not end."""
        self._waiter.join(max(0.0, seconds))
        return not self._waiter.is_alive()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _wait(self, on_end: Callable[[Child], None], *listeners: threading.Thread) -> None:
        code = self._process.wait()
        self._is_over.set()
        for listener in listeners:
            listener.join()
        self.end = how_it_ended(code, list(self._said))
        self.let_go()
        on_end(self)

    def _read(self, on_said: Callable[[Child], None]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for _ in _lines(stream, self._is_over.is_set):
                on_said(self)

    def _listen(self, on_warning: Callable[[str], None]) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in _lines(stream, self._is_over.is_set):
                self._said.append(line)
                if line.startswith(_WARNING):
                    on_warning(line.removeprefix(_WARNING))


def _lines(stream: IO[bytes], has_ended: Callable[[], bool]) -> Iterator[str]:
    """What a process says, until all is read that it said before its end.

    Not until the stream ends: a program that it started may hold that open for ever.
    """
    begun, n_left = b"", _MOST_READS
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while n_left:
            # In this order: what is there after its end, it has said.
            is_last = has_ended()
            n_left -= is_last
            is_ready = selector.select(0 if is_last else _LOOK_SECONDS)
            data = os.read(stream.fileno(), _READ_BYTES) if is_ready else b""
            *lines, begun = (begun + data).replace(b"\r", b"\n").split(b"\n")
            yield from (line.decode(errors="replace") for line in lines if line)
            if not data and (is_ready or is_last):
                break
    if begun:
        yield begun.decode(errors="replace")


def stop(children: Iterable[Child]) -> None:
    """End processes: they may clear up for a few seconds, then they are killed."""
    running = list(children)
    try:
        for child in running:
            child.terminate()
        last = time.monotonic() + GRACE_SECONDS
        running = [child for child in running if not child.wait(last - time.monotonic())]
    finally:
        for child in running:
            child.kill()
        for child in running:
            child.wait(GRACE_SECONDS)


def how_it_ended(code: int, said: Sequence[str]) -> End:
    """How a process ended that was to go on.

    Parameters
    ----------
    code : int
        Negative after a signal.
    said : sequence of str
        The last lines of its stderr.
    """
    error = next((line for line in reversed(said) if line.startswith(_ERROR)), None)
    if error is not None and error != _NO_MEMORY and code in (1, 2):
        return End(True, shown_reason(error))
    if code < 0:
        name = signal.Signals(-code).name
        return End(False, f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else ""))
    if code > 128 and code - 128 in set(signal.Signals):
        return End(False, f"stopped by {signal.Signals(code - 128).name}")
    told = f": {shown_reason(said[-1])}" if said else ""
    return End(False, f"ended with exit code {code}{told}")
