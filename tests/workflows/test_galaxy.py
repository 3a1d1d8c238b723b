"""The Galaxy tool: Galaxy's linter has nothing to mind, and its tests pass on the real command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from workflow_tools import tools_python

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "workflows" / "galaxy" / "phylotools_annotate.xml"


def check(tool: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """What Galaxy's library says of a tool and its tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    folder.mkdir()
    script = Path(__file__).with_name("galaxy_check.py")
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [tools_python(), script, tool, folder], env=environment, capture_output=True, text=True
    )


def test_galaxy_lints_and_tests_it(tmp_path: Path) -> None:
    done = check(TOOL, tmp_path / "run")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_a_fault_of_the_tool_is_found(tmp_path: Path) -> None:
    shutil.copytree(TOOL.parent, tmp_path / "galaxy")
    tool = tmp_path / "galaxy" / TOOL.name
    text = tool.read_text().replace(' type="boolean"', ' type="boolean" colour="red"')
    tool.write_text(text.replace("--tag '$tag'", "--tags '$tag'"))
    done = check(tool, tmp_path / "run")
    assert done.returncode == 1
    assert "lint: " in done.stdout
    assert "exit code 2" in done.stdout
