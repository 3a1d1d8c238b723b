"""Protocols out of TOML files: those that ship, by name, and a user's own, by path.

Nothing in such a file is run, and no path in it is followed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

from phylotools.errors import InputError, UsageError, counted, shown
from phylotools.evaluate.protocols.protocol import (
    HEADLINES,
    KINDS,
    PREPARATIONS,
    Comparison,
    DataSource,
    Filter,
    Labels,
    Preparation,
    Protocol,
    Published,
    Setting,
)
from phylotools.evaluate.selection import SIDES
from phylotools.io.toml_tables import (
    checked_values,
    key_lines,
    parse_toml,
    read_toml,
    shown_value,
    unknown,
)

_SUFFIX = ".toml"
_FOLDER = resources.files("phylotools.evaluate.protocols")
_LISTS = list[str]
#: Keys of each table and their types; those with a ``!`` behind must be there.
_TOP: dict[str, Any] = {
    "title!": str, "question!": str, "what": str, "caveats": _LISTS, "commands": _LISTS
}  # fmt: skip
_TABLES: dict[str, dict[str, Any]] = {
    "data": {
        "file!": str, "url!": str, "licence!": str, "citation!": str, "assembly": str
    },
    "labels": {
        "column!": str, "positive": _LISTS, "negative": _LISTS, "order": _LISTS, "damaging": str
    },
    "compare": {
        "headline!": str, "strata": _LISTS, "resample": str, "match": str, "frequency": str,
         "consequences": bool, "score_side": str,
    },
    "prepare": {
        "how": str, "columns": dict[str, str], "minimum": dict[str, float], "keep": _LISTS
    },
}  # fmt: skip
_ARRAYS: dict[str, dict[str, Any]] = {
    "filters": {"column!": str, "values!": _LISTS, "optional": bool},
    "published": {
        "score!": str, "metric!": str, "value!": float, "on!": str, "source!": str, "low": float,
        "high": float,
    },
}  # fmt: skip
_SETTING: dict[str, Any] = {
    "column!": str, "levels!": _LISTS, "default!": int, "meaning!": str
}  # fmt: skip
_MOST_ITEMS = 1000
#: Problems that one message lists.
_MOST_PROBLEMS = 20


def protocol_names() -> list[str]:
    """Names of the protocols that ship."""
    names = [entry.name for entry in _FOLDER.iterdir() if entry.name.endswith(_SUFFIX)]
    return sorted(name.removesuffix(_SUFFIX) for name in names)


def load_protocol(text: str) -> Protocol:
    """A protocol by name or path, with the levels that its settings are given.

    Parameters
    ----------
    text : str
        ``clinvar``, ``clinvar:stars=2``, ``my.toml`` or ``my.toml:stars=2,other=1``.

    Raises
    ------
    UsageError
        If there is no such protocol, setting or level.
    InputError
        With every problem of the file and its line.
    """
    name, chosen = (text, "") if os.path.exists(text) else _parted(text)
    if name in protocol_names():
        # By text, so that what is read is what was installed, also out of an archive.
        source = (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
        protocol = parse_protocol(source, name, None)
    elif name.endswith(_SUFFIX) or os.path.exists(name):
        source, _ = read_toml(name)
        stem = os.path.basename(name).removesuffix(_SUFFIX)
        protocol = replace(parse_protocol(source, stem, name), path=name)
    else:
        raise UsageError(
            f"{unknown('protocol', shown(name), name, protocol_names())}; there are "
            f"{', '.join(protocol_names())}, or the path of a file .toml"
        )
    return replace(protocol, chosen=_chosen(chosen, protocol))


def _parted(text: str) -> tuple[str, str]:
    """``NAME:SETTINGS`` in two; a colon may belong to a path."""
    name, colon, settings = text.rpartition(":")
    return (name, settings) if colon and "=" in settings else (text, "")


def _chosen(text: str, protocol: Protocol) -> dict[str, int]:
    found = {}
    for item in filter(None, text.split(",")):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in protocol.settings:
            known = ", ".join(protocol.settings) or "none"
            raise UsageError(
                f"protocol {protocol.name} has no setting {shown(name)!r}; it has {known}"
            )
        highest = len(protocol.settings[name].levels) - 1
        if not (value.isascii() and value.isdigit() and int(value[:4]) <= highest):
            raise UsageError(
                f"{name} of protocol {protocol.name} is a whole number from 0 to {highest}, not "
                f"{shown(value)!r}"
            )
        found[name] = int(value)
    return found


def parse_protocol(text: str, name: str, path: str | None) -> Protocol:
    """A protocol out of the text of its file.

    Raises
    ------
    InputError
        With every problem and its line.
    """
    values = parse_toml(text, path or name)
    reader = _Reader(text)
    protocol = reader.protocol(values, name)
    if reader.problems or protocol is None:
        some = reader.problems[:_MOST_PROBLEMS]
        more = len(reader.problems) - len(some)
        some += [f"and {counted(more, 'more problem')}"] if more else []
        raise InputError("; ".join(some), path=path or name)
    return protocol


class _Reader:
    """Checks the tables of one file and keeps what is wrong with them."""

    def __init__(self, text: str) -> None:
        self.problems: list[str] = []
        self._lines = key_lines(text)

    def protocol(self, values: Mapping[str, Any], name: str) -> Protocol | None:
        """The protocol; None if there were problems."""
        known = {key.rstrip("!") for key in _TOP} | {*_TABLES, *_ARRAYS, "settings"}
        for key in values:
            if key not in known:
                is_table = isinstance(values[key], (dict, list))
                spelled = self._spelled(key if is_table else "", "" if is_table else key)
                self.problems.append(unknown("table" if is_table else "key", spelled, key, known))
        own = {key.rstrip("!") for key in _TOP}
        top = self._table("", {k: v for k, v in values.items() if k in own}, _TOP)
        tables = {
            key: self._table(key, self._as_table(key, values.get(key, {})), keys)
            for key, keys in _TABLES.items()
        }
        arrays = {key: self._array(key, values.get(key, []), keys) for key, keys in _ARRAYS.items()}
        settings = self._settings(values.get("settings", {}))
        self._check_values(top, tables)
        self._check_figures(arrays["published"])
        if self.problems:
            return None
        return Protocol(
            name=name,
            title=top["title"],
            question=top["question"],
            what=top.get("what", KINDS[0]),
            data=DataSource(**tables["data"]),
            labels=Labels(**_frozen(tables["labels"])),
            compare=Comparison(**_frozen(tables["compare"])),
            filters=tuple(Filter(**_frozen(each)) for each in arrays["filters"]),
            settings=settings,
            prepare=Preparation(**_frozen(tables["prepare"])),
            published=tuple(Published(**each) for each in arrays["published"]),
            caveats=tuple(top.get("caveats", ())),
            commands=tuple(top.get("commands", ())),
        )

    def _spelled(self, table: str, key: str) -> str:
        """What messages call a key: with its line, where that is known."""
        label = f"{table}.{key}".strip(".")
        line = self._lines.get((table, key), self._lines.get((label, "")))
        return label if line is None else f"line {line}: {label}"

    def _as_table(self, name: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.problems.append(f"{self._spelled('', name)} must be a table, [{name}]")
        return {}

    def _table(
        self, name: str, table: Mapping[str, Any], keys: Mapping[str, Any]
    ) -> dict[str, Any]:
        hints = {key.rstrip("!"): hint for key, hint in keys.items()}
        spelled: Callable[[str], str] = lambda key: self._spelled(name, key)  # noqa: E731
        found = checked_values(hints, table, spelled, self.problems)
        for key in (key.rstrip("!") for key in keys if key.endswith("!")):
            if key not in table:
                where = name or "the file"
                self.problems.append(f"{where} must say {key}")
            elif found.get(key) in ("", []):
                self.problems.append(f"{self._spelled(name, key)} must not be empty")
        return found

    def _array(self, name: str, value: Any, keys: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.problems.append(f"{self._spelled('', name)} must be tables, [[{name}]]")
            return []
        if len(value) > _MOST_ITEMS:
            self.problems.append(f"[[{name}]] may occur {_MOST_ITEMS} times at most")
            return []
        return [self._table(f"{name}[{k}]", each, keys) for k, each in enumerate(value, start=1)]

    def _settings(self, value: Any) -> dict[str, Setting]:
        found = {}
        for name, each in self._as_table("settings", value).items():
            table = self._as_table(f"settings.{name}", each)
            given = self._table(f"settings.{name}", table, _SETTING)
            if len(given) < len(_SETTING):
                continue
            levels = tuple(
                tuple(part.strip() for part in level.split(",") if part.strip())
                for level in given["levels"]
            )
            if not 0 <= given["default"] < len(levels):
                spelled = self._spelled(f"settings.{name}", "default")
                self.problems.append(f"{spelled} must be from 0 to {len(levels) - 1}")
            found[name] = Setting(given["column"], levels, given["default"], given["meaning"])
        return found

    def _check_values(
        self, top: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]
    ) -> None:
        labels, compare = tables["labels"], tables["compare"]
        choices = [
            ("", "what", top, KINDS),
            ("labels", "damaging", labels, SIDES[:2]),
            ("compare", "headline", compare, HEADLINES),
            ("compare", "score_side", compare, SIDES),
            ("prepare", "how", tables["prepare"], PREPARATIONS),
        ]
        for table, key, values, known in choices:
            if values.get(key) and values[key] not in known:
                self.problems.append(
                    f"{self._spelled(table, key)} must be one of {', '.join(known)}, not "
                    f"{shown_value(values[key])}"
                )
        classes = bool(labels.get("positive")), bool(labels.get("negative"))
        if any(classes) and not all(classes):
            self.problems.append("[labels] must say both positive and negative, or neither")
        if any(classes) and labels.get("order"):
            self.problems.append("[labels] must say order, or positive and negative, not both")
        order = labels.get("order", [])
        if order and (len(order) < 2 or len(set(order)) < len(order)):
            spelled = self._spelled("labels", "order")
            self.problems.append(f"{spelled} must name two different classes or more")
        shared = set(labels.get("positive", ())) & set(labels.get("negative", ()))
        if shared:
            self.problems.append(f"[labels]: {shown(min(shared))} is both positive and negative")

    def _check_figures(self, published: list[dict[str, Any]]) -> None:
        for k, each in enumerate(published, start=1):
            value = each.get("value")
            if value is None:
                continue
            if not each.get("low", value) <= value <= each.get("high", value):
                spelled = self._spelled(f"published[{k}]", "value")
                self.problems.append(f"{spelled} must lie between low and high")


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists made tuples."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
