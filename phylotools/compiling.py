"""How plain loops are compiled: without the interpreter's lock, and once a machine if possible."""

from __future__ import annotations

import logging

import numba

logger = logging.getLogger("phylotools")


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


#: Decorates functions of arrays and numbers. Those that call each other belong in one file:
#: numba renews what it cached only when the file of the outer one changes.
compiled = numba.njit(nogil=True, cache=can_cache())
