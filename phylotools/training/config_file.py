"""A training configuration from a TOML file; all errors of a file are reported together."""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from phylotools.errors import InputError
from phylotools.io.files import read_small_text
from phylotools.training.config import (
    DataConfig,
    NetworkConfig,
    OptimiserConfig,
    RateConfig,
    RunConfig,
    SubstitutionConfig,
    TrainingConfig,
)
from phylotools.training.config_checks import check_values

_TABLES = {
    "data": DataConfig,
    "network": NetworkConfig,
    "substitution": SubstitutionConfig,
    "rate": RateConfig,
    "optimiser": OptimiserConfig,
    "run": RunConfig,
}


def read_config(path: str | os.PathLike[str]) -> TrainingConfig:
    """Read a TOML training configuration.

    Raises
    ------
    InputError
        With every error of the file, separated by semicolons.
    """
    path = Path(path)
    text = read_small_text(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: an integer of 5,000 digits
        raise InputError(f"not valid TOML: {error}", path=path) from None
    config, errors = parse_config(values, path.absolute().parent)
    if config is None:
        raise InputError("; ".join(errors), path=path)
    return config


def parse_config(values: dict[str, Any], folder: Path) -> tuple[TrainingConfig | None, list[str]]:
    """Check every table and key; the configuration, defaults filled in, or ``None`` and errors."""
    errors: list[str] = []
    tables: dict[str, Any] = {}
    for name in values:
        if name not in _TABLES:
            errors.append(_unknown("table", f"[{name}]", name, list(_TABLES)))
    for name, kind in _TABLES.items():
        table = values.get(name, {})
        if not isinstance(table, dict):
            errors.append(f"{name} must be a table, [{name}]")
            table = {}
        tables[name] = _parse_table(name, kind, table, errors)
    config = TrainingConfig(**tables, folder=folder)
    errors += check_values(config)
    return (None, errors) if errors else (config.with_defaults(), [])


def _unknown(what: str, shown: str, given: str, known: list[str]) -> str:
    close = difflib.get_close_matches(given, known, n=1)
    return f"unknown {what} {shown}" + (f" (did you mean {close[0]}?)" if close else "")


def _parse_table(name: str, kind: type, table: dict[str, Any], errors: list[str]) -> Any:
    hints = typing.get_type_hints(kind)
    # Keys with errors keep their defaults, so that the other values are still checked.
    values: dict[str, Any] = {} if kind is not DataConfig else {"stores": []}
    for key, value in table.items():
        if key not in hints:
            errors.append(_unknown("key", f"{name}.{key}", key, list(hints)))
        elif not _fits(value, hints[key]):
            errors.append(f"{name}.{key} must be {_type_name(hints[key])}, not {_shown(value)}")
        elif _beyond_64_bits(_converted(value, hints[key])):
            errors.append(f"{name}.{key} must be below 2^63")
        else:
            values[key] = _converted(value, hints[key])
    return kind(**values)


def _converted(value: Any, hint: Any) -> Any:
    """A value that fits, with integers made floats where these are meant."""
    if isinstance(hint, types.UnionType):
        return _converted(value, typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return [_converted(entry, typing.get_args(hint)[0]) for entry in value]
    return float(value) if hint is float else value


_SINGULARS = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
_PLURALS = {int: "integers", float: "numbers", str: "texts"}


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        (item,) = typing.get_args(hint)
        return isinstance(value, list) and all(_fits(entry, item) for entry in value)
    if hint is float:
        # An integer beyond every float fits as little as inf and nan do.
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is hint


def _beyond_64_bits(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_beyond_64_bits, value))
    return type(value) is int and abs(value) >= 1 << 63


def _shown(value: Any) -> str:
    """A value of the file in an error; Python refuses to print integers of 5,000 digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:80] + "..."


def _type_name(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return _type_name(typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return f"a list of {_PLURALS[typing.get_args(hint)[0]]}"
    return _SINGULARS[hint]
