"""Signals that end a command: raised where that is safe, and never lost.

Libraries in C++ that are being imported crash where a signal's exception comes out of Python, and
what is raised in a destructor or in a callback is dropped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

_AGAIN_SECONDS = 0.02


def is_importing(frame: FrameType | None) -> bool:
    """Whether the code that a signal meets is being imported, rather than called by ours."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        is_ours = str(frame.f_globals.get("__name__")).startswith("phylotools")
        if is_ours and frame.f_code.co_name != "<module>":
            # What is further out may be a script that somebody imports.
            return False
        frame = frame.f_back
    return False


def send_again(number: int) -> None:
    """Have this process get a signal once more, in a moment."""
    later = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
    later.daemon = True
    later.start()


def hear_again(lost: sys.UnraisableHookArgs) -> None:
    """Say what went wrong where nothing can be raised (`sys.unraisablehook`).

    A signal whose exception came there comes once more.
    """
    if isinstance(lost.exc_value, KeyboardInterrupt):
        send_again(signal.SIGINT)
    elif isinstance(lost.exc_value, SystemExit):
        send_again(signal.SIGTERM)
    else:
        sys.__unraisablehook__(lost)
