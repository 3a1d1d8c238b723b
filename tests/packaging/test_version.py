"""The version is said once; whatever repeats it agrees."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from phylotools.version import __version__

ROOT = Path(__file__).parents[2]


def test_the_project_takes_it_from_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "phylotools/version.py"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    newest = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == __version__
    released = citation.get("date-released")
    assert newest[2] == ("unreleased" if released is None else str(released))


def test_nothing_else_says_a_version_of_its_own():
    """Recipes and containers have none; examples of the documentation name no other."""
    for path in (ROOT / "packaging").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert not re.search(r"phylotools[-=: ]+v?\d+\.\d+", path.read_text()), path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for found in re.findall(r"\bphylotools[-=: ]+v?(\d+\.\d+\.\d+)", path.read_text()):
            assert found == __version__, path


def test_the_program_says_it():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "phylotools", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"phylotools, version {__version__}\n"
