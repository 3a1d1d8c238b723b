"""Small tables of scores, written line by line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from phylotools.io.position_table import open_position_table
from phylotools.io.score_table import header_lines

Row = tuple[str, int, str, str, str, str, str]


def facts_of(sha256: str) -> dict[str, str]:
    return {
        "Model": "toy",
        "Revision": "r1",
        "Sha256": sha256,
        "Reference": 'a "b", c.fa',
        "Version": "0",
    }


def write_table(
    path: Path, rows: Iterable[Row], *, sha256: str = "ab" * 32, longest_contig: int = 1000
) -> Path:
    """Write contig, 1-based pos, ref, alt, llr, rate, entropy with a tabix index."""
    with open_position_table(str(path), longest_contig=longest_contig) as table:
        table.write(header_lines(facts_of(sha256)))
        for row in rows:
            table.write(("\t".join(map(str, row)) + "\n").encode())
    return path


def table_of_annotation(info_lines: Iterable[str], tag: str = "PHYLOGPN") -> list[Row]:
    """Rows of the table that agrees with an annotated VCF of single-nucleotide variants."""
    rows = set()
    for line in info_lines:
        if line.startswith("#"):
            continue
        contig, pos, _, ref, alts, _, _, info = line.split("\t")[:8]
        fields = dict(entry.split("=", 1) for entry in info.split(";") if "=" in entry)
        llrs = fields[f"{tag}_LLR"].split(",")
        for alt, llr in zip(alts.split(","), llrs, strict=True):
            if llr != ".":
                numbers = llr, fields[f"{tag}_RATE"], fields[f"{tag}_ENTROPY"]
                rows.add((contig, int(pos), ref.upper(), alt.upper(), *numbers))
    return sorted(rows)
