"""The errors phylotools raises. The command boundary alone turns them into one line."""

from __future__ import annotations

from os import PathLike


def shown_path(path: str | PathLike[str]) -> str:
    """A path as messages name it: ``<stdin>`` for ``-``."""
    return "<stdin>" if str(path) == "-" else str(path)


def shown(text: str) -> str:
    """A value as a message may show it: short, and without control characters."""
    text = text if len(text) <= 60 else text[:57] + "..."
    return "".join(character if character.isprintable() else "?" for character in text)


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A count with its noun: ``1 region``, ``2,000 rows``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


class PhylotoolsError(Exception):
    """Base of every error that a user can cause and mend.

    Attributes
    ----------
    exit_code : int
        What the process exits with: 1 for bad data, 2 for bad usage.
    is_last_word : bool
        The process ends by it and has it to say, whatever SIGTERM asks for meanwhile.
    """

    exit_code = 1
    is_last_word = False


class UsageError(PhylotoolsError):
    """The command line itself asks for something impossible."""

    exit_code = 2


class InputError(PhylotoolsError):
    """A file holds something that cannot be right.

    Parameters
    ----------
    problem : str
        What is wrong, in one clause.
    path : str or PathLike, optional
        The file; ``-`` is shown as ``<stdin>``.
    line : int, optional
        1-based line number.
    remedy : str, optional
        What the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | PathLike[str] | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else str(path)
        self.line = line
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = ""
        if self.path is not None:
            place = shown_path(self.path)
            if self.line is not None:
                place += f":{self.line}"
            place += ": "
        return place + self.problem + (f"; {self.remedy}" if self.remedy else "")


class OutputError(PhylotoolsError):
    """An output cannot be written, or already exists."""
