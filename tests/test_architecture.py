"""The direction of imports that docs/architecture.md promises, and who may print."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "phylotools"
#: Room -> the rooms that it may import, beside itself and the version.
MAY_IMPORT: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "compiling": set(),
    "threads": set(),
    "drawing": set(),
    "interrupting": set(),
    "provenance": {"version", "errors"},
    "web_page": {"version"},
}


def _may_import(room: str, *rooms: str) -> None:
    """Allow a room these rooms, and all that they may import themselves."""
    MAY_IMPORT[room] = set(rooms).union(*(MAY_IMPORT[name] for name in rooms))


_may_import("io", "provenance", "compiling")
_may_import("phylogeny", "errors", "compiling", "threads")
_may_import("store", "io", "phylogeny")
_may_import("report", "store", "drawing", "web_page")
_may_import("jobs", "io", "threads")
_may_import("preprocess", "store", "jobs")
_may_import("model", "store")
_may_import("training", "model", "drawing", "interrupting")
_may_import("proposal", "training")
_may_import("scoring", "model")
_may_import("annotate", "scoring", "jobs")
_may_import("browser", "io")
_may_import("tracks", "scoring", "jobs", "browser")
_may_import("embedding", "scoring", "jobs")
_may_import("sites", "scoring", "jobs")
_may_import("simulate", "scoring", "jobs")
_may_import("design", "scoring", "drawing")
_may_import("tree_fit", "store")
_may_import("evaluate", "store", "drawing", "web_page")
_may_import("finetuning", "evaluate", "embedding", "annotate")
_may_import("probing", "finetuning")
_may_import("plots", "evaluate", "embedding", "annotate")
_may_import("interpret", "plots", "browser")
_may_import("api", "annotate", "embedding", "design")
_may_import("cli", *MAY_IMPORT)
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in MAY_IMPORT
)


def test_the_page_says_the_same():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    lines = re.findall(r"^\| `phylotools/(\w+)(?:/|\.py)` \|.*\| (.+) \|$", page, re.MULTILINE)
    told: dict[str, set[str]] = {}
    for room, imports in lines:
        names = set(told) if imports == "everything" else set(re.findall(r"\w+", imports))
        told[room] = names.union(*(told.get(name, set()) for name in names))
    told["cli"] = set(told) - {"cli"}
    assert told == MAY_IMPORT


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str, package: list[str]) -> set[str]:
    """First name below `phylotools` of every import, wherever in the module it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "phylotools" and len(parts) > 1 and not parts[1].startswith("__"):
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    package = list(path.relative_to(PACKAGE.parent).parts[:-1])
    room = room_of(path)
    foreign = imported_rooms(path.read_text(), package) - {room} - MAY_IMPORT[room]
    assert not foreign, f"{room} must not import {sorted(foreign)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_prints_and_exits(path):
    if room_of(path) == "cli":
        return
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    assert not {"print", "exit", "quit", "sys.exit", "os._exit"} & set(calls)
    assert not {"click", "click.echo"} & set(calls)


def test_every_library_is_a_dependency():
    """What only the test tools bring would be missing after a plain install."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    # Optional, and said so where they are wanted; Triton comes with torch for GPUs.
    extras = project["optional-dependencies"]
    declared = [
        *project["dependencies"],
        *extras["umap"],
        *extras["dask"],
        *extras["slurm"],
        *extras["hub"],
        *extras["motifs"],
        *extras["hdf5"],
        "triton",
    ]
    allowed = {re.split(r"[<>=;\[ ]", name)[0].lower().replace("-", "_") for name in declared}
    imported = set()
    for node in (
        node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(node.module.split(".")[0])
    brought_by = packages_distributions()
    for library in sorted(imported - sys.stdlib_module_names - {"phylotools"}):
        homes = {name.lower().replace("-", "_") for name in brought_by.get(library, [library])}
        assert homes & allowed, f"{library} is imported and no dependency"


def test_every_room_is_known():
    rooms = {
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if (path.is_dir() and any(path.glob("*.py"))) or path.suffix == ".py"
    }
    assert rooms - {"__init__", "__main__"} <= set(MAY_IMPORT)


def test_the_check_sees_every_kind_of_import():
    source = (
        "from phylotools import cli, __version__\nimport phylotools.io.files as f\n"
        "def g():\n    from ..predict import scorer\n    from . import x\n    import os\n"
    )
    assert imported_rooms(source, ["phylotools", "store"]) == {"cli", "io", "predict", "store"}
