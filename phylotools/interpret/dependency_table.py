"""The table and the arrays of a dependency map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phylotools.interpret.dependencies import DependencyMap
from phylotools.interpret.files import (
    InterpretationFiles,
    number_text,
    open_interpretation_table,
    write_arrays,
)
from phylotools.io.bases import BASES_AND_N

COLUMNS = ("contig", "pos", "ref", "other_pos", "other_ref", "dependency")


def write_dependencies(
    files: InterpretationFiles,
    found: DependencyMap,
    facts: Mapping[str, Any],
    *,
    longest_contig: int,
    force: bool,
) -> None:
    """Write a row for each pair within reach, and the map as an array.

    A row has the base that is substituted (`pos`, `ref`), the one whose prediction changes, and by
    how much; of a symmetric map each pair stands once. Positions are 1-based.

    Raises
    ------
    OutputError
    """
    region = found.region
    letters = [BASES_AND_N[code] for code in found.reference.tolist()]
    with open_interpretation_table(
        files.table, "dependencies", facts, COLUMNS, longest_contig=longest_contig, force=force
    ) as put:
        for row, column in found.pairs().tolist():
            value = number_text(float(found.values[row, column]))
            put(
                f"{region.contig}\t{region.start + row + 1}\t{letters[row]}\t"
                f"{region.start + column + 1}\t{letters[column]}\t{value}\n"
            )
    write_arrays(files.arrays, found.arrays(), force=force)
