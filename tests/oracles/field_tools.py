"""Programs of the field that tests compare with."""

from __future__ import annotations

import shutil

import pytest

#: Program -> the package of Debian that brings it, where the names differ.
_PACKAGES = {
    "bgzip": "tabix",
    "groff": "groff-base",
    "man": "man-db",
    "munged": "munge",
    "xvfb-run": "xvfb xauth",
    **dict.fromkeys(("sbatch", "slurmctld", "slurmd"), "slurm-wlm"),
}


def require(*programs: str) -> None:
    """Skip the test where a program is missing, and say which package brings it."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(sorted({_PACKAGES.get(program, program) for program in missing}))
        pytest.skip(f"needs {', '.join(missing)} (Debian: apt-get install {packages})")
