"""The environment of the workflow managers (`workflows/tools.txt`, which `make test` installs)."""

from __future__ import annotations

import shutil
from pathlib import Path

from field_tools import require


def tools_python() -> Path:
    """Its Python; the test is skipped where there is none."""
    require("snakemake")
    program = shutil.which("snakemake")
    assert program is not None
    return Path(program).with_name("python")
