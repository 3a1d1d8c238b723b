"""Programs of the field that tests compare with."""

from __future__ import annotations

import os
import shutil

import pytest


def require(*programs: str) -> None:
    """Skip the test where a program is missing; fail it in CI, where they must be."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    message = f"compares with {', '.join(missing)}: apt-get install {' '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
