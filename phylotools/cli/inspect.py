"""`phylotools inspect`: describe any file or folder of ours."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from phylotools.cli import options

#: Items of a list shown in text; --json shows all.
_MOST_SHOWN = 20
#: Tables whose keys are names of contigs or files, shown as they are.
_BY_NAME = ("contigs", "sha256", "inputs")


#: The file that tells a folder of ours -> module and function that describe it, in the order in
#: which they are tried.
_FOLDERS = {
    "zarr.json": ("store.describe", "describe_store"),
    "manifest.json": ("model.registry", "describe_model"),
    "tracks.json": ("io.track_folder", "describe_tracks"),
    "checkpoint.safetensors": ("training.run_folder", "describe_run"),
    "plan.json": ("jobs.work_folder", "describe_work"),
}


@click.command(name="inspect")
@click.argument("path", metavar="PATH")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.option("--verify", is_flag=True, help="Read everything and compare the checksums.")
@click.option(
    "--report", metavar="FOLDER", help="Make a quality report of a column store: a page, tables."
)
@options.threads_option(default=1, show_default=True, help="CPU threads of --report.")
@options.force_option
@options.logging_options
def inspect_command(
    path: str, as_json: bool, verify: bool, report: str | None, threads: int, force: bool
) -> None:
    """Describe a column store, model, folder of tracks, training run, checkpoint or work folder.

    With --report, also say how good the alignment in a column store is: coverage, identity and gaps
    of every species, a picture, and what is odd, with its likely cause.
    """
    if report is not None:
        _check_report(path, report, force)
    description = describe(path, verify)
    if report is not None:
        description["report"] = options.write_store_report(
            path, report, force=force, threads=threads
        )
    if as_json:
        text = json.dumps(description, indent=2, default=str) + "\n"
    else:
        text = "".join(f"{options.printable(line)}\n" for line in _lines(description))
    sys.stdout.write(text)


def _check_report(path: str, report: str, force: bool) -> None:
    """Refuse, before the work, a report that could not be made."""
    from phylotools.errors import InputError
    from phylotools.io.files import refuse_existing_folder
    from phylotools.report import REPORT

    if os.path.exists(path) and not (Path(path) / "zarr.json").is_file():
        raise InputError(
            "is no column store, so there is nothing to report on",
            path=path,
            remedy="give a folder that `phylotools preprocess` made",
        )
    options.check_apart({"STORE": path, "--report": report})
    refuse_existing_folder(report, force, REPORT)


def describe(path: str, verify: bool = False) -> dict[str, Any]:
    """Describe any file of ours as a dictionary.

    Raises
    ------
    InputError
        If the path is none of them, or damaged.
    """
    from phylotools.errors import InputError

    if not os.path.exists(path):
        raise InputError(
            "does not exist",
            path=path,
            remedy="check the name; `phylotools model info` describes a model by its name",
        )
    for name, (module, function) in _FOLDERS.items():
        if (Path(path) / name).is_file():
            describe_folder = getattr(importlib.import_module(f"phylotools.{module}"), function)
            # Only a store has checksums that are not compared in any case.
            wish = {"verify": verify} if name == "zarr.json" else {}
            found: dict[str, Any] = describe_folder(path, **wish)
            return found
    if Path(path).is_file() and path.endswith(".safetensors"):
        from phylotools.training.checkpoint import describe_checkpoint

        return describe_checkpoint(path)
    raise InputError(
        "is no column store, model, folder of tracks, training run, checkpoint or work folder",
        path=path,
        remedy="give something that phylotools made",
    )


def _lines(value: dict[str, Any], indent: int = 0, *, by_name: bool = False) -> list[str]:
    lines: list[str] = []
    margin = "  " * indent
    for key, item in value.items():
        name = key if by_name else key.replace("_", " ")
        if isinstance(item, dict):
            shown = dict(list(item.items())[:_MOST_SHOWN])
            lines += [
                f"{margin}{name}:",
                *_lines(shown, indent + 1, by_name=key in _BY_NAME),
            ]
            if len(item) > len(shown):
                lines.append(f"{margin}  ... {len(item) - len(shown)} more (--json shows all)")
        elif isinstance(item, list | tuple) and any(isinstance(entry, dict) for entry in item):
            numbered = {f"{name} {number}": entry for number, entry in enumerate(item, start=1)}
            lines += _lines(numbered, indent)
        elif isinstance(item, list | tuple):
            more = f" ... {len(item) - _MOST_SHOWN} more" if len(item) > _MOST_SHOWN else ""
            items = ", ".join(map(_shown, item[:_MOST_SHOWN])) or "none"
            lines.append(f"{margin}{name}: {items}{more}")
        else:
            lines.append(f"{margin}{name}: {_shown(item)}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value in (None, "") else str(value)
