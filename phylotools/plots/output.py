"""The files of a plot: pictures, and beside them their numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phylotools.drawing import PICTURE_KINDS, picture_style, save_picture
from phylotools.errors import UsageError
from phylotools.io.delimited import tsv_lines
from phylotools.io.files import atomic_path, refuse_existing_file, refuse_same_file
from phylotools.io.staging import outputs_together
from phylotools.io.vcf.text import quote

#: Larger pictures become too large to open.
_MOST_PIXELS = 6000
_DPI = 200
#: Suffixes that ask for what is not made; any other is part of a prefix.
_FOREIGN = frozenset(
    {
        *("pdf", "eps", "ps", "jpg", "jpeg", "tif", "tiff", "gif", "webp", "bmp", "svgz"),
        *("html", "json", "tsv", "csv", "txt", "gz"),
    }
)


@dataclass(frozen=True)
class PlotFiles:
    """Paths of a plot's pictures and table.

    Attributes
    ----------
    pictures : dict
        Kind (``svg``, ``png``) -> path.
    table : Path
        The numbers.
    """

    pictures: dict[str, Path]
    table: Path

    @property
    def paths(self) -> list[Path]:
        return [*self.pictures.values(), self.table]


def plot_files(output: str) -> PlotFiles:
    """The files that an ``-o`` stands for.

    Parameters
    ----------
    output : str
        ``NAME.svg`` or ``NAME.png`` for one picture; a prefix without such a suffix for both. The
        table is ``NAME.tsv``.

    Raises
    ------
    UsageError
        If it is stdout, a folder, or the name of another kind of file.
    """
    path = Path(output)
    remedy = "give -o NAME.svg, NAME.png, or a prefix for both"
    if output == "-":
        raise UsageError(f"a plot is several files and cannot go to stdout; {remedy}")
    if not path.name or output.endswith("/") or path.is_dir():
        raise UsageError(f"{output}: names a folder; {remedy}")
    kind = path.suffix[1:].lower()
    if kind in _FOREIGN:
        raise UsageError(f"{output}: pictures are SVG or PNG, not {kind.upper()}; {remedy}")
    if kind in PICTURE_KINDS:
        return PlotFiles({kind: path}, path.with_suffix(".tsv"))
    pictures = {kind: path.with_name(f"{path.name}.{kind}") for kind in PICTURE_KINDS}
    return PlotFiles(pictures, path.with_name(f"{path.name}.tsv"))


def refuse_outputs(files: PlotFiles, *, force: bool, inputs: Iterable[str | None]) -> None:
    """Refuse, before the work, files that may not be written.

    Raises
    ------
    UsageError, OutputError
    """
    named = [name for name in inputs if name is not None]
    for path in files.paths:
        refuse_same_file(str(path), named)
        refuse_existing_file(path, force)


@dataclass(frozen=True)
class PlotTable:
    """Header facts, columns and rows of a plot's table.

    Attributes
    ----------
    facts : mapping of str to str
        What made it: the first line, ``##phylotools_plot=<...>``.
    columns : sequence of str
    rows : iterable of sequences
        Read once.
    """

    facts: Mapping[str, Any]
    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def write_plot(files: PlotFiles, draw: Callable[[], Any], table: PlotTable, *, force: bool) -> None:
    """Draw, and write pictures and table: all of them, or none.

    Parameters
    ----------
    files : PlotFiles
    draw : callable
        Makes the matplotlib figure.
    table : PlotTable
    force : bool
        Replace existing files.

    Raises
    ------
    OutputError
    """
    with outputs_together(), contextlib.ExitStack() as stack:
        aside = {
            kind: stack.enter_context(atomic_path(path, force=force))
            for kind, path in files.pictures.items()
        }
        table_path = stack.enter_context(atomic_path(files.table, force=force))
        with open(table_path, "w", encoding="utf-8", errors="replace", newline="\n") as handle:
            facts = ",".join(f"{key}={quote(str(value))}" for key, value in table.facts.items())
            handle.write(f"##phylotools_plot=<{facts}>\n")
            handle.writelines(tsv_lines(table.columns, table.rows))
        save_pictures(aside, draw)


def save_pictures(paths: Mapping[str, Path], draw: Callable[[], Any]) -> None:
    """Draw a figure in the house look, and save it under each path; kind -> path."""
    with picture_style():
        figure = draw()
        dpi = int(min(_DPI, _MOST_PIXELS / max(figure.get_size_inches())))
        for kind, path in paths.items():
            save_picture(figure, path, kind, dpi=dpi)
