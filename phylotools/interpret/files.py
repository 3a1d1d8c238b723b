"""The files of an interpretation: pictures, a table with its index, and arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.io.files import atomic_path, refuse_existing_file, refuse_same_file
from phylotools.io.indexes import POSITION_INDEXES
from phylotools.io.position_table import open_position_table
from phylotools.io.vcf.text import quote
from phylotools.plots.output import plot_files, save_pictures

#: Rows that are handed to the table at a time.
_ROWS_TOGETHER = 4096


@dataclass(frozen=True)
class InterpretationFiles:
    """Paths of pictures, table and arrays.

    Attributes
    ----------
    pictures : dict
        Kind (``svg``, ``png``) -> path.
    table : Path
        bgzip text with an index beside it.
    arrays : Path
        NumPy's npz.
    """

    pictures: dict[str, Path]
    table: Path
    arrays: Path

    @property
    def paths(self) -> list[Path]:
        return [*self.pictures.values(), self.table, self.arrays]


def interpretation_files(output: str) -> InterpretationFiles:
    """The files that an ``-o`` stands for: as for a plot, with NAME.tsv.gz and NAME.npz.

    Raises
    ------
    UsageError
        If it is stdout, a folder, or the name of another kind of file.
    """
    files = plot_files(output)
    table = files.table
    return InterpretationFiles(
        files.pictures,
        table.with_name(table.name + ".gz"),
        table.with_name(table.name.removesuffix(".tsv") + ".npz"),
    )


def refuse_outputs(
    files: InterpretationFiles, *, force: bool, inputs: Iterable[str | None]
) -> None:
    """Refuse, before the work, files that may not be written.

    Raises
    ------
    UsageError, OutputError
    """
    named = [name for name in inputs if name is not None]
    indexes = [Path(f"{files.table}{suffix}") for suffix in POSITION_INDEXES]
    for path in (*files.paths, *indexes):
        refuse_same_file(str(path), named)
        refuse_existing_file(path, force)


@contextlib.contextmanager
def open_interpretation_table(
    path: Path,
    kind: str,
    facts: Mapping[str, Any],
    columns: Iterable[str],
    *,
    longest_contig: int,
    force: bool,
) -> Iterator[Callable[[str], None]]:
    """Yield what takes lines, each with its end, of a table that appears whole with its index.

    Parameters
    ----------
    path : Path
    kind : str
        Of the first line, ``##phylotools_KIND=<...>``.
    facts : mapping of str to str
        What made it.
    columns : iterable of str
        The contig and the 1-based position first.
    longest_contig : int
    force : bool
    """
    said = ",".join(f"{key}={quote(str(value))}" for key, value in facts.items())
    with open_position_table(str(path), longest_contig=longest_contig, force=force) as handle:
        waiting = [f"##phylotools_{kind}=<{said}>\n", "#" + "\t".join(columns) + "\n"]

        def flush() -> None:
            handle.write("".join(waiting).encode("utf-8", "surrogateescape"))
            waiting.clear()

        def put(line: str) -> None:
            waiting.append(line)
            if len(waiting) >= _ROWS_TOGETHER:
                flush()

        yield put
        flush()


def number_text(value: float) -> str:
    """A number of a table, to four decimals; ``NA`` where there is none."""
    if value != value:
        return "NA"
    text = f"{value:.4f}"
    return "0.0000" if text == "-0.0000" else text


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, force: bool) -> None:
    """Write arrays as npz, whole or not at all; the same bytes for the same arrays."""
    with atomic_path(path, force=force) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **arrays)


def write_pictures(pictures: Mapping[str, Path], draw: Callable[[], Any], *, force: bool) -> None:
    """Draw a figure once and save it under each path."""
    with contextlib.ExitStack() as stack:
        aside = {
            kind: stack.enter_context(atomic_path(path, force=force))
            for kind, path in pictures.items()
        }
        save_pictures(aside, draw)
