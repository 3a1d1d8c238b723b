"""The direction of imports that docs/architecture.md promises, and who may print."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "phylotools"
#: Room -> the rooms that it may import, beside itself and the version.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "compiling": set(),
    "drawing": set(),
    "provenance": {"errors"},
    "io": {"errors", "provenance", "compiling"},
    "phylogeny": {"errors", "compiling"},
}
MAY_IMPORT["engine"] = {"errors", "provenance", "compiling", "io"}
MAY_IMPORT["store"] = {"errors", "provenance", "compiling", "drawing", "io", "phylogeny"}
MAY_IMPORT["preprocess"] = MAY_IMPORT["store"] | {"store", "engine"}
MAY_IMPORT["model"] = MAY_IMPORT["store"] | {"store"}
MAY_IMPORT["training"] = MAY_IMPORT["model"] | {"model"}
MAY_IMPORT["predict"] = MAY_IMPORT["model"] | {"model"}
MAY_IMPORT["embedding"] = MAY_IMPORT["predict"] | {"predict"}
MAY_IMPORT["api"] = MAY_IMPORT["embedding"] | {"embedding"}
MAY_IMPORT["simulate"] = MAY_IMPORT["predict"] | {"predict"}
MAY_IMPORT["evaluate"] = MAY_IMPORT["predict"] | {"predict", "training"}
MAY_IMPORT["plots"] = MAY_IMPORT["evaluate"] | {"evaluate", "embedding"}
MAY_IMPORT["sites"] = MAY_IMPORT["predict"] | {"predict"}
MAY_IMPORT["tracks"] = MAY_IMPORT["predict"] | {"predict", "engine", "browser"}
MAY_IMPORT["cli"] = MAY_IMPORT["evaluate"] | {"evaluate", "simulate", "sites", "engine"}
MAY_IMPORT["browser"] = {"errors", "io"}
MAY_IMPORT["cli"] |= {"embedding", "tracks", "preprocess", "plots", "browser"}
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in MAY_IMPORT
)


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
