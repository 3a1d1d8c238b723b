"""Man pages of all verbs, out of the texts that `--help` shows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from phylotools.cli.groups import CommandWithParts
from phylotools.version import __version__

_EXIT_STATUS = (
    ("0", "All that was asked for is done."),
    ("1", "Bad data, or an output that cannot be written; one line on stderr says which."),
    ("2", "Bad usage."),
    ("130", "Interrupted."),
)
_ENVIRONMENT = (
    ("PHYLOTOOLS_MODEL", "The model that is used where -m is not given."),
    ("PHYLOTOOLS_CACHE", "Folder of fetched models and of what `model use` remembers."),
)
#: Letters that roff takes for something else, and dashes that must stay dashes when copied.
_ESCAPES = {"\\": "\\e", "-": "\\-", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga", "'": "\\(aq"}


def write_pages(folder: Path, root: click.Group, program: str) -> list[Path]:
    """Write a page of each command, ``phylotools-model-fetch.1``.

    Parameters
    ----------
    folder : Path
        That exists.
    root : click.Group
        The command line.
    program : str
        Its name.

    Returns
    -------
    list of Path
        The files.
    """
    written = []
    top = click.Context(root, info_name=program, **root.context_settings)
    for context, summary in _commands(root, top):
        path = folder / f"{_page_name(context)}.1"
        path.write_text(page(context, summary), encoding="ascii")
        written.append(path)
    return written


def _commands(
    command: click.Command, context: click.Context, summary: str = ""
) -> Iterator[tuple[click.Context, str]]:
    """Context and line of help of a command, then of all below it."""
    yield context, summary or (command.help or "").partition("\n")[0]
    for name, line in _children(context):
        child = command.get_command(context, name)  # type: ignore[attr-defined]
        below = click.Context(child, info_name=name, parent=context)
        yield from _commands(child, below, line)


def _children(context: click.Context) -> list[tuple[str, str]]:
    """Name and line of help of each command of a group."""
    group = context.command
    if not isinstance(group, click.Group):
        return []
    lines: dict[str, str] = getattr(group, "parts", {})
    children = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            children.append((name, lines.get(name) or command.get_short_help_str(limit=200)))
    return children


def _page_name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def page(context: click.Context, summary: str) -> str:
    """The page of one command in roff's man macros.

    Parameters
    ----------
    context : click.Context
        Of the command, with those above it as parents.
    summary : str
        One line.

    Returns
    -------
    str
        ASCII. The same at any time: pages carry the version, and no date.
    """
    children = _children(context)
    command = context.command
    # What stands before the parts of such a command is a command of its own.
    shown = command.default if isinstance(command, CommandWithParts) else command
    name = _page_name(context)
    usage = " ".join(shown.collect_usage_pieces(context))
    lines = [
        f'.TH {_quoted(name.upper())} 1 "" {_quoted(f"phylotools {__version__}")}',
        ".SH NAME",
        f"{_text(name)} \\- {_text(summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        f"\\fB{_text(context.command_path)}\\fR {_text(usage)}",
        ".SH DESCRIPTION",
        *_description(inspect.cleandoc(shown.help or summary)),
        ".SH OPTIONS",
    ]
    for parameter in shown.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            lines += [".TP", _option(record[0]), _line(record[1])]
    if children:
        lines.append(".SH COMMANDS")
        for child, line in children:
            lines += [".TP", f"\\fB{_text(child)}\\fR", _line(line)]
    if context.parent is None:
        lines += _table("EXIT STATUS", _EXIT_STATUS) + _table("ENVIRONMENT", _ENVIRONMENT)
    return "\n".join(lines + _see_also(context, children)) + "\n"


def _description(text: str) -> Iterator[str]:
    """Paragraphs; those after a ``\\b`` line by line, as click shows them."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        lines = paragraph.splitlines()
        if lines[0] == "\b":
            yield from (".PP", ".RS 4", ".nf")
            yield from (_line(line, code=False) for line in lines[1:])
            yield from (".fi", ".RE")
            continue
        if number:
            yield ".PP"
        yield _line(" ".join(line.strip() for line in lines))


def _table(title: str, rows: tuple[tuple[str, str], ...]) -> list[str]:
    lines = [f".SH {title}"]
    for name, text in rows:
        lines += [".TP", f"\\fB{_text(name)}\\fR", _line(text)]
    return lines


def _see_also(context: click.Context, children: list[tuple[str, str]]) -> list[str]:
    names = [f"{_page_name(context)}-{child}" for child, _ in children]
    if context.parent is not None:
        names.insert(0, _page_name(context.parent))
    if not names:
        return []
    pages = [f"\\fB{_text(name)}\\fR(1)" for name in names]
    return [".SH SEE ALSO", ",\n".join(pages)]


def _option(switches: str) -> str:
    """``-m, --model NAME`` with its switches in bold."""
    return re.sub(r"(?<![^ ,/])(\\-[^ ,/]+)", r"\\fB\1\\fR", _text(switches))


def _line(text: str, code: bool = True) -> str:
    """A line of running text; what stands in backquotes is set in bold."""
    line = _text(text)
    if code:
        line = re.sub(r"\\\(ga(.+?)\\\(ga", r"\\fB\1\\fR", line)
    # A dot at the beginning would be a request.
    return f"\\&{line}" if line.startswith(".") else line


def _text(text: str) -> str:
    """Text without meaning to roff, in ASCII."""
    escaped = "".join(_ESCAPES.get(letter, letter) for letter in text)
    return "".join(x if x.isascii() else f"\\[u{ord(x):04X}]" for x in escaped)


def _quoted(text: str) -> str:
    """An argument of a request."""
    return '"' + _text(text).replace('"', "\\(dq") + '"'
