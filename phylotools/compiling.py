"""How plain loops are compiled: without the interpreter's lock, and once a machine if possible."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba
from numba.core import event
from numba.np import linalg

logger = logging.getLogger("phylotools")


def _load_without_scipy() -> None:
    """Load what numba loads before it runs anything, but let it take scipy for granted.

    It would import scipy's linear algebra to see whether it is there: 0.12 s of the 0.65 s that a
    process takes to start. What multiplies matrices asks again.
    """
    ask = getattr(linalg, "ensure_blas", None)
    if ask is None:
        # Another numba, which may look elsewhere.
        return
    linalg.ensure_blas = lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ask


_load_without_scipy()


def can_cache() -> bool:
    """Whether numba finds a folder for compiled code; a read-only container may have none."""
    try:
        numba.njit(cache=True)(lambda: None)
    except RuntimeError:
        logger.info(
            "no writable folder for compiled code: it is compiled anew each time; "
            "set NUMBA_CACHE_DIR to a private folder to keep it"
        )
        return False
    return True


class _Announcer(event.Listener):
    """Says once why the first run takes seconds more: compiling, where nothing is kept yet."""

    def __init__(self, when: str) -> None:
        self._when = when
        self._is_silent = False

    def on_start(self, event: event.Event) -> None:
        if not self._is_silent:
            self._is_silent = True
            logger.info("compiling loops that are new here: some seconds, %s", self._when)

    def on_end(self, event: event.Event) -> None:
        pass


_is_kept = can_cache()
event.register("numba:compile", _Announcer("once for each verb" if _is_kept else "in every run"))

#: Decorates functions of arrays and numbers. Those that call each other belong in one file:
#: numba renews what it cached only when the file of the outer one changes.
compiled = numba.njit(nogil=True, cache=_is_kept)


def compile_entries(sources: Iterable[Path], *entries: Callable[..., Any]) -> list[Any]:
    """Compile functions that call compiled code of other files.

    Numba looks at the entry's own file alone to see whether what it cached is stale. A hash of
    `sources`, all files that are compiled in, goes into the names of its files, so that no other
    version's are read, which may hold types that are no more. Division by zero gives inf.
    """
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.read_bytes())
    for entry in entries:
        entry.__qualname__ += digest.hexdigest()[:16]
    compile_one = numba.njit(nogil=True, cache=_is_kept, error_model="numpy")
    return [compile_one(entry) for entry in entries]
