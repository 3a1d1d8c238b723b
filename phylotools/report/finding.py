"""One finding of a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

#: Names that a message lists; report.json and species.tsv have all.
MOST_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """Something odd in an alignment.

    Attributes
    ----------
    kind : str
        Short and stable, for programs.
    is_warning : bool
        Whether results are likely to suffer; else a note.
    problem : str
        What was found, with numbers.
    cause : str
        What it most likely comes from.
    remedy : str
        What to do.
    names : tuple of str
        Species, sources or contigs that it is about.
    """

    kind: str
    is_warning: bool
    problem: str
    cause: str
    remedy: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.problem}. Likely cause: {self.cause}. Remedy: {self.remedy}."

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {**asdict(self), "names": list(self.names)}


def listed(items: Iterable[str]) -> str:
    """The first few of many, and how many more there are."""
    all_items = list(items)
    more = f" and {len(all_items) - MOST_NAMED:,} more" if len(all_items) > MOST_NAMED else ""
    return ", ".join(all_items[:MOST_NAMED]) + more


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """``1 species``, ``2,000 rows``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
