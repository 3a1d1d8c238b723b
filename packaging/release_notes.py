#!/usr/bin/env python3
"""Release notes of a version, out of its section of CHANGELOG.md.

Usage: packaging/release_notes.py VERSION [CHANGELOG] > notes.md

A section is `## VERSION (YYYY-MM-DD)`, then `### New`, `### Changed scores`, `### Breaking` and
`### Fixed`, in this order, each with at least one item. Whatever is not, and a section without a
date, is refused: exit code 1 and a line that says what to do.
"""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ("New", "Changed scores", "Breaking", "Fixed")
_HEAD = re.compile(r"## (\S+) \((.+)\)")


class Refused(Exception):
    """Why there are no notes, as `file:line: what; what to do`."""


def release_notes(text: str, version: str, name: str = "CHANGELOG.md") -> str:
    """Markdown of a version's section, without its head.

    Raises
    ------
    Refused
        If the version has no section, no date yet, or its section is not well-formed.
    """
    lines = text.splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("## ")]
    found = [i for i in heads if (m := _HEAD.fullmatch(lines[i])) and m[1] == version]
    if len(found) != 1:
        raise Refused(
            f"{name}: {len(found)} sections `## {version} (YYYY-MM-DD)`; there must be one"
        )
    first = found[0]
    end = next((i for i in heads if i > first), len(lines))
    date = _HEAD.fullmatch(lines[first])[2]  # type: ignore[index]
    if date == "unreleased":
        raise Refused(f"{name}:{first + 1}: {version} is not released; write its date")
    try:
        # Not the other forms that Python takes, as 20270101.
        if datetime.date.fromisoformat(date).isoformat() != date:
            raise ValueError
    except ValueError:
        raise Refused(f"{name}:{first + 1}: {date!r} is no date; write YYYY-MM-DD") from None
    _check(lines, first + 1, end, name)
    return "\n".join(lines[first + 1 : end]).strip() + "\n"


def _check(lines: list[str], start: int, end: int, name: str) -> None:
    """Refuse a section with another structure than the module says."""
    at, has_item = -1, True
    for i in range(start, end):
        line, place = lines[i], f"{name}:{i + 1}"
        if line.startswith("### "):
            title = line[4:].strip()
            if title not in SECTIONS:
                raise Refused(f"{place}: no section {title!r}; there are {', '.join(SECTIONS)}")
            if not has_item:
                raise Refused(f"{place}: {SECTIONS[at]} has no item; write one or remove it")
            if SECTIONS.index(title) <= at:
                raise Refused(f"{place}: {title} comes twice or too late; order them")
            at, has_item = SECTIONS.index(title), False
        elif line.startswith("- "):
            has_item = True
            if at < 0:
                raise Refused(f"{place}: an item below no section; move it below ### New")
        elif line.strip() and not (line.startswith("  ") and has_item and at >= 0):
            raise Refused(f"{place}: neither an item nor part of one; begin it with `- `")
    if at < 0 or not has_item:
        raise Refused(f"{name}:{start}: the section has no items; write what changed")


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    path = Path(sys.argv[2]) if len(sys.argv) == 3 else ROOT / "CHANGELOG.md"
    try:
        print(release_notes(path.read_text("utf-8"), sys.argv[1], path.name), end="")
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {path}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
