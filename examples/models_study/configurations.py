"""Configurations that differ from one in a few values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phylotools.training.config import TrainingConfig
from phylotools.training.config_file import parse_config

#: As in a TOML file: table -> key -> value.
Tables = dict[str, dict[str, Any]]


def changed(tables: Tables, *changes: Tables) -> Tables:
    """Tables with some of their values replaced, one change after the other; None leaves out."""
    found: Tables = {name: dict(values) for name, values in tables.items()}
    for change in changes:
        for name, values in change.items():
            found[name] = found.get(name, {}) | values
    return {
        name: {key: value for key, value in values.items() if value is not None}
        for name, values in found.items()
    }


def parsed(tables: Tables, folder: Path) -> TrainingConfig:
    """The configuration; relative paths start at `folder`.

    Raises
    ------
    SystemExit
        With every error in it.
    """
    config, errors = parse_config(tables, folder)
    if config is None:
        raise SystemExit("; ".join(errors))
    return config
