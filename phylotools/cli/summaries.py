"""What ``--summary-json`` of every verb has: the same keys, and those of the verb."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import click

from phylotools.version import __version__

#: The keys that every summary has, in their order.
COMMON = ("verb", "version", "outputs", "seconds", "warnings", "counts")

#: Warnings kept for a summary; a run that warns of more has one cause for all of them.
_MOST_WARNINGS = 1000

_KEY = "phylotools.warnings"


class WarningList(logging.Handler):
    """Keeps the texts of warnings that are logged while a command runs, and when it began."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.begun = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING and len(self.texts) < _MOST_WARNINGS:
            self.texts.append(record.getMessage())


def keep_warnings() -> WarningList:
    """A handler of warnings that the summary of this command will name."""
    handler = WarningList()
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_KEY] = handler
    return handler


def completed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A verb's facts behind the keys that every summary has.

    Parameters
    ----------
    facts : mapping
        What the verb says. `outputs`, or `output` and `files`, name what it made; whole numbers
        are counts, beside those under `counts`; `warnings`, where it lists them itself, are those
        of the whole run.

    Returns
    -------
    dict
        `COMMON`, then the other facts under their names.
    """
    context = click.get_current_context(silent=True)
    verb = facts.get("verb") if context is None else context.command_path.partition(" ")[2]
    kept = WarningList() if context is None else context.meta.get(_KEY, WarningList())
    numbers = {key: value for key, value in facts.items() if type(value) is int}
    common = {
        "verb": verb or facts.get("verb"),
        "version": __version__,
        "outputs": _outputs(facts),
        "seconds": round(facts.get("seconds", time.monotonic() - kept.begun), 3),
        "warnings": [*facts.get("warnings", kept.texts)],
        "counts": {**numbers, **facts.get("counts", {})},
    }
    return common | {key: value for key, value in facts.items() if key not in COMMON}


def _outputs(facts: Mapping[str, Any]) -> list[str]:
    """What the verb made, as the user named it; a folder stands for what lies in it."""
    if "outputs" in facts:
        return [str(path) for path in facts["outputs"]]
    if facts.get("output") is not None:
        return [str(facts["output"])]
    return [str(path) for path in facts.get("files", ())]
