"""JSON and text of phylotools itself: what can be written, and what is read without trust."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from phylotools.errors import InputError
from phylotools.io.files import open_regular


def json_ready(value: Any) -> Any:
    """The value with None for every number that JSON has not, inside lists and dicts too."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_text(path: str | os.PathLike[str], *, remedy: str, largest: int | None = None) -> str:
    """Text of a file of ours.

    Parameters
    ----------
    path : str or PathLike
    remedy : str
        What the user can do about a damaged one.
    largest : int, optional
        Bytes that such a file may have.

    Raises
    ------
    InputError
        If it cannot be read, is larger, or is no UTF-8.
    """
    try:
        with open_regular(path) as handle:
            data = handle.read(-1 if largest is None else largest + 1)
        if largest is not None and len(data) > largest:
            raise InputError("is damaged: it is too large", path=path, remedy=remedy)
        return data.decode("utf-8")
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", path=path, remedy=remedy) from None
    except UnicodeDecodeError:
        raise InputError("is damaged: it is not UTF-8 text", path=path, remedy=remedy) from None


def read_document(
    path: str | os.PathLike[str], *, remedy: str, largest: int | None = None
) -> dict[str, Any]:
    """The JSON object of a file of ours; parameters as for `read_text`.

    Raises
    ------
    InputError
        If it cannot be read, is larger, or is no UTF-8, no JSON or no object.
    """
    try:
        document = json.loads(read_text(path, remedy=remedy, largest=largest))
    except (ValueError, RecursionError):
        raise InputError("is damaged: it is no JSON", path=path, remedy=remedy) from None
    if not isinstance(document, dict):
        raise InputError("is damaged: it is no JSON object", path=path, remedy=remedy)
    return document


def decode(kind: Any, value: Any) -> Any:
    """A value of JSON as what it was before `dataclasses.asdict` and `json.dumps`.

    Parameters
    ----------
    kind : type
        A dataclass, ``tuple[X, ...]``, ``list[X]``, ``dict[str, X]``, a union, `Literal`, `Any`,
        or a plain type.
    value : Any

    Raises
    ------
    ValueError
        If the value is of another kind, or names other fields.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _decode_union(inner, value)
    if origin in (tuple, list) and isinstance(value, list):
        return origin(decode(inner[0], item) for item in value)
    if origin is Literal and value in inner:
        return value
    if origin is dict and isinstance(value, dict):
        return {key: decode(inner[1], item) for key, item in value.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        fields = _fields(kind)
        if fields.keys() == value.keys():
            return kind(**{name: decode(fields[name], item) for name, item in value.items()})
    # Not isinstance: True is no number here.
    if type(value) is kind:
        return value
    raise ValueError(f"{value!r} is no {kind}")


def _decode_union(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return decode(kind, value)
        except ValueError:
            continue
    raise ValueError(f"{value!r} is none of {kinds}")


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
