"""Columns of a published table, by what a protocol calls them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from phylotools.errors import InputError
from phylotools.evaluate.protocols.protocol import ALTERNATIVE, Protocol, first_of
from phylotools.evaluate.selection import listing
from phylotools.io.delimited import TABLE_REMEDY, DelimitedText
from phylotools.io.files import numbered_lines, open_input

#: What a table may lack.
OPTIONAL = frozenset({"element", "tags"})
_REMEDY = "give a table with a header, separated by tabs, commas or semicolons"


@contextlib.contextmanager
def open_table(path: str) -> Iterator[DelimitedText]:
    """A TSV or CSV whose header has been read.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        with open_input(path) as handle:
            yield DelimitedText(path, numbered_lines(handle, path))
    except InputError as error:
        if error.remedy != TABLE_REMEDY:
            raise
        raise InputError(error.problem, path=path, line=error.line, remedy=_REMEDY) from None


def wanted_columns(
    protocol: Protocol, names: Sequence[str], path: str, asked: Mapping[str, str | None]
) -> dict[str, str]:
    """The column of each thing that a protocol prepares; those in `OPTIONAL` may lack.

    Parameters
    ----------
    protocol : Protocol
    names : sequence of str
        Columns of the table.
    path : str
    asked : mapping of str to (str or None)
        Columns that the user named.

    Raises
    ------
    InputError
        With what is missing, and what is expected.
    """
    found, missing = {}, []
    for what, alternatives in protocol.prepare.columns.items():
        column = first_of(asked.get(what) or alternatives, names)
        if column is not None:
            found[what] = column
        elif what not in OPTIONAL or asked.get(what):
            missing.append((asked.get(what) or alternatives).replace(ALTERNATIVE, " or "))
    if missing:
        raise InputError(
            f"there is no column {', '.join(missing)}, which protocol {protocol.name} needs: it "
            f"has {listing(name for name in names if name)}",
            path=path,
            remedy=f"it expects {protocol.data.file}",
        )
    return found
