"""Workers that end with the process that started them, however that ends."""

from __future__ import annotations

import os
import signal
import threading
import time

#: Environment variable with the process that a worker belongs to.
OWNER = "PHYLOTOOLS_OWNER"
_POLL_SECONDS = 0.5
#: For clearing up, before it is over.
GRACE_SECONDS = 10.0


def owned(environment: dict[str, str]) -> dict[str, str]:
    """An environment for workers of this process."""
    return {**environment, OWNER: str(os.getpid())}


def end_with_owner() -> None:
    """Have this process end when the one that started it is gone, if that asked for it.

    Its end is seen as a change of parent: a signal at the parent's death (Linux has one) comes
    when the thread that started the worker ends, and macOS has none.
    """
    # Removed: a program that we start has another parent.
    owner = os.environ.pop(OWNER, "")
    if owner.isdigit():
        threading.Thread(target=_watch, args=(int(owner),), name="lifeline", daemon=True).start()


def _watch(owner: int) -> None:
    while os.getppid() == owner:
        time.sleep(_POLL_SECONDS)
    # Files in the making are removed; if that takes too long, the next run does it.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
