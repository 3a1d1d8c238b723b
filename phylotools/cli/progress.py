"""How far a verb has come: a live line on a terminal, else a log line a minute."""

from __future__ import annotations

import logging
import sys
from typing import Any

from phylotools.cli.options import Stopwatch, logger

#: Seconds between two log lines.
_LOG_SECONDS = 60.0


def speed(number: int, seconds: float, unit: str) -> str:
    """How many a second: two digits of slow things, which would else be 0."""
    rate = number / max(seconds, 1e-9)
    return f"{rate:.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s"


class Progress:
    """Count what is done, on stderr.

    Parameters
    ----------
    unit : str
        What is counted, in the plural.
    total : int, optional
        How many there will be.
    done : int
        How many were done before, when a run resumes.
    """

    def __init__(self, unit: str, total: int | None = None, done: int = 0) -> None:
        self._unit, self._total, self._done = unit, total, done
        self._first = done
        self._clock = Stopwatch()
        self._said_at = 0.0
        self._live: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):
            from rich.console import Console
            from rich.status import Status

            self._live = Status(self._unit, console=Console(stderr=True))
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, n_done: int, note: str = "") -> None:
        """Add `n_done` units; `note` is shown after the rate."""
        self._done += n_done
        seconds = self._clock.seconds
        if self._live is not None:
            self._live.update(self._text(seconds, note))
        elif seconds - self._said_at >= _LOG_SECONDS:
            self._said_at = seconds
            logger.info("%s", self._text(seconds, note))

    def _text(self, seconds: float, note: str) -> str:
        rate = (self._done - self._first) / max(seconds, 1e-9)
        parts = [f"{self._done:,} {self._unit}, {rate:,.4g} a second"]
        if self._total is not None:
            left = (self._total - self._done) / max(rate, 1e-9)
            parts = [f"{self._done:,} of {self._total:,} {self._unit}, {left:,.0f} s left"]
        return ", ".join([*parts, *([note] if note else [])])
