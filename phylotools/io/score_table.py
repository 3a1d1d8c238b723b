"""Tables of the scores of every single-nucleotide variant: their header, written and read.

bgzip text with a tabix index (contig, 1-based position), sorted, three lines a position in the
order A, C, G, T without the reference base. Numbers are the text that ``annotate`` writes, so that
looking them up gives what computing them gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from phylotools.errors import InputError
from phylotools.io.vcf.text import quote

#: Name of the table in a folder that `phylotools tracks` writes.
TABLE_NAME = "snv_scores.tsv.gz"
COLUMNS = ("contig", "pos", "ref", "alt", "llr", "rate", "entropy")
COLUMN_LINE = b"#" + "\t".join(COLUMNS).encode()
_FACTS_LINE = re.compile(r'##phylotools_scores=<((?:\w+="(?:[^"\\]|\\.)*",?)+)>')
_FACT = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_REMEDY = "give a table that `phylotools tracks` wrote"


def header_lines(facts: Mapping[str, str]) -> bytes:
    """The header of a table, with its line ends.

    Parameters
    ----------
    facts : mapping of str to str
        What the numbers depend on; ``Model``, ``Revision``, ``Sha256``, ``Reference`` and
        ``Version`` at least.
    """
    text = ",".join(f"{key}={quote(value)}" for key, value in facts.items())
    line = f"##phylotools_scores=<{text}>".encode("utf-8", "surrogateescape")
    return line + b"\n" + COLUMN_LINE + b"\n"


def parse_header(lines: list[bytes], path: str) -> dict[str, str]:
    """What the header of a table says.

    Parameters
    ----------
    lines : list of bytes
        The lines that begin with ``#``, without their line ends.
    path : str
        For messages.

    Raises
    ------
    InputError
        If the table is none of all-variant scores, or does not say of which model.
    """
    facts: dict[str, str] = {}
    for line in lines:
        match = _FACTS_LINE.fullmatch(line.decode("utf-8", "surrogateescape"))
        if match:
            facts = {key: re.sub(r"\\(.)", r"\1", value) for key, value in _FACT.findall(match[1])}
    if "Sha256" not in facts:
        raise InputError(
            "has no header line ##phylotools_scores that names the model of its numbers",
            path=path,
            remedy=_REMEDY,
        )
    if not lines or lines[-1] != COLUMN_LINE:
        raise InputError(
            f"its column line is not {COLUMN_LINE.decode()!r}", path=path, remedy=_REMEDY
        )
    return facts
