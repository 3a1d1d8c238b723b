"""Tables of a TOML file checked against the types of their keys, every problem at once."""

from __future__ import annotations

import difflib
import os
import re
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phylotools.errors import InputError
from phylotools.io.files import read_small_text

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")
_SINGULARS = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
_PLURALS = {int: "integers", float: "numbers", str: "texts", dict: "tables"}


def parse_toml(text: str, path: str | os.PathLike[str] | None) -> dict[str, Any]:
    """What a TOML text says.

    Raises
    ------
    InputError
        If it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: an integer of 5,000 digits
        raise InputError(f"not valid TOML: {error}", path=path) from None


def read_toml(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Text of a small TOML file, and what it says.

    Raises
    ------
    InputError
        If it cannot be read, is too large, or no TOML.
    """
    text = read_small_text(path)
    return text, parse_toml(text, path)


def checked_values(
    hints: Mapping[str, Any],
    table: Mapping[str, Any],
    spelled: Callable[[str], str],
    errors: list[str],
) -> dict[str, Any]:
    """The values of a table's keys that are known and of the right type.

    Parameters
    ----------
    hints : mapping of str to type
        Keys and their types: int, float, str, bool, lists and dicts of these, or one of them and
        None.
    table : mapping
    spelled : callable
        What messages call a key.
    errors : list of str, written
        Gets what is wrong with the others.
    """
    values = {}
    for key, value in table.items():
        name = spelled(key)
        if key not in hints:
            errors.append(unknown("key", name, key, hints))
        elif not _fits(value, hints[key]):
            errors.append(f"{name} must be {_type_name(hints[key])}, not {shown_value(value)}")
        elif _beyond_64_bits(_converted(value, hints[key])):
            errors.append(f"{name} must be below 2^63")
        elif _has_nul(value):
            errors.append(f"{name} must not hold a NUL character: no name or path has one")
        else:
            values[key] = _converted(value, hints[key])
    return values


def unknown(what: str, spelled: str, given: str, known: Iterable[str]) -> str:
    """The message about a name that is none of those known."""
    close = difflib.get_close_matches(given, list(known), n=1)
    return f"unknown {what} {spelled}" + (f" (did you mean {close[0]}?)" if close else "")


def key_lines(text: str) -> dict[tuple[str, str], int]:
    """1-based lines of keys, by table and key; the key ``""`` is the table's own line.

    Tables of an array are called ``name[1]``, ``name[2]`` ...; keys written with dots, or within
    inline tables, are not found.
    """
    found: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            table = header[2]
            if header[1] == "[[":
                counts[table] = counts.get(table, 0) + 1
                table += f"[{counts[table]}]"
            found.setdefault((table, ""), number)
        elif key := _KEY.match(line):
            found.setdefault((table, key[1]), number)
    return found


def shown_value(value: Any) -> str:
    """A value of the file in an error; Python refuses to print integers of 5,000 digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:80] + "..."


def _converted(value: Any, hint: Any) -> Any:
    """A value that fits, with integers made floats where these are meant."""
    if isinstance(hint, types.UnionType):
        return _converted(value, typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return [_converted(entry, typing.get_args(hint)[0]) for entry in value]
    if typing.get_origin(hint) is dict:
        return {key: _converted(entry, typing.get_args(hint)[1]) for key, entry in value.items()}
    return float(value) if hint is float else value


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        (item,) = typing.get_args(hint)
        return isinstance(value, list) and all(_fits(entry, item) for entry in value)
    if typing.get_origin(hint) is dict:
        item = typing.get_args(hint)[1]
        return isinstance(value, dict) and all(_fits(entry, item) for entry in value.values())
    if hint is float:
        # An integer beyond every float fits as little as inf and nan do.
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is hint


def _beyond_64_bits(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_beyond_64_bits, value))
    if isinstance(value, dict):
        return any(map(_beyond_64_bits, value.values()))
    return type(value) is int and abs(value) >= 1 << 63


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, [*value, *value.values()]))
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _type_name(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return _type_name(typing.get_args(hint)[0])
    if typing.get_origin(hint) is list:
        return f"a list of {_PLURALS[typing.get_args(hint)[0]]}"
    if typing.get_origin(hint) is dict:
        return f"a table of {_PLURALS[typing.get_args(hint)[1]]}"
    return _SINGULARS[hint]
