"""Labelled samples out of a BED, with a header as BEND writes it or without."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionRows, RegionTable, checked_regions
from phylotools.errors import InputError, UsageError, counted, shown
from phylotools.evaluate.selection import listing
from phylotools.io.bed import bed_header, bed_rows
from phylotools.io.genome import ReferenceGenome
from phylotools.probing.question import ProbeQuestion
from phylotools.probing.samples import SPLITS

#: What the parts of a data set are called, in lower case.
_SPLIT_NAMES = {
    **{name: number for number, name in enumerate(SPLITS)},
    **dict.fromkeys(("training",), 0),
    **dict.fromkeys(("val", "validation", "dev"), 1),
    **dict.fromkeys(("testing",), 2),
}
_MOST_CLASSES = 200
_MOST_LABELS = 10_000
_WHOLE = re.compile(r"[0-9]{1,6}")
_MISSING = frozenset({"", ".", "NA", "nan", "NaN"})
_LABEL, _SPLIT = "label", "split"


@dataclass(frozen=True)
class SampleFile:
    """The samples of a BED as it has them.

    Attributes
    ----------
    regions : RegionTable
    split : int8 array [N] or None
        None where no column says it.
    texts : tuple of tuple of str
        Of each label column, N texts; none where the labels lie elsewhere.
    columns : tuple of str
        Names of these columns.
    lines : array of int
        1-based line of each sample.
    """

    regions: RegionTable
    split: NDArray[np.int8] | None
    texts: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]
    lines: Sequence[int]


def read_samples(question: ProbeQuestion, genome: ReferenceGenome) -> SampleFile:
    """Read the samples of a BED.

    Raises
    ------
    InputError
        If a line is no BED line or lies outside the genome, or lacks a column that is asked for.
    """
    path = question.path
    header = bed_header(path)
    columns = _label_columns(question, header, path)
    split_column = question.split_column
    if split_column is None and header is not None and _SPLIT in header:
        split_column = _SPLIT
    numbers = [_place(name, header, path) for name in columns]
    split_number = None if split_column is None else _place(split_column, header, path)
    strand_number = header.index("strand") if header and "strand" in header else 5
    rows, lines = RegionRows(), array("q")
    texts: list[list[str]] = [[] for _ in columns]
    split = array("b")
    for region, fields, line in bed_rows(path, has_header=header is not None):
        strand = fields[strand_number].strip() if len(fields) > strand_number else "."
        rows.append(region.contig, region.start, region.end, "", strand)
        lines.append(line)
        for found, number in zip(texts, numbers, strict=True):
            found.append(_field(fields, number, path, line))
        if split_number is not None:
            split.append(_split(_field(fields, split_number, path, line), path, line))
    table = checked_regions(rows.table(genome), lines, genome, path, skip_outside=False)
    return SampleFile(
        table,
        None if split_number is None else np.array(split, dtype=np.int8),
        tuple(map(tuple, texts)),
        columns,
        lines,
    )


def _label_columns(
    question: ProbeQuestion, header: tuple[str, ...] | None, path: str
) -> tuple[str, ...]:
    if question.label_columns:
        return question.label_columns
    if question.hdf5 is not None or question.task.cell != "region":
        return ()
    if header is None:
        return ("4",)
    if _LABEL in header:
        return (_LABEL,)
    raise InputError(
        f"has no column {_LABEL!r}",
        path=path,
        remedy=f"name one with --label-column; it has {listing(header)}",
    )


def _place(name: str, header: tuple[str, ...] | None, path: str) -> int:
    """0-based number of a column: by its name in the header, else its 1-based number."""
    if header is not None and name in header:
        return header.index(name)
    if _WHOLE.fullmatch(name) and int(name) > 3:
        return int(name) - 1
    if header is not None:
        problem, remedy = f"has no column {name!r}", f"it has {listing(header)}"
        raise InputError(problem, path=path, remedy=remedy)
    raise UsageError(
        f"{shown(name)!r} is no column of a BED without a header; give its number, from 4 on"
    )


def _field(fields: Sequence[str], number: int, path: str, line: int) -> str:
    if number >= len(fields):
        raise InputError(
            f"there is no column {number + 1}",
            path=path,
            line=line,
            remedy=f"this line has {len(fields)}",
        )
    return fields[number].strip()


def _split(text: str, path: str, line: int) -> int:
    found = _SPLIT_NAMES.get(text.lower())
    if found is None:
        raise InputError(
            f"split {shown(text)!r} is none of {', '.join(SPLITS)}" if text else "has no split",
            path=path,
            line=line,
            remedy="say train, valid or test of each sample, or hold contigs out with --test",
        )
    return found


def class_labels(file: SampleFile, path: str) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """One class a sample: its number, -1 where it is missing, and the classes' names.

    Raises
    ------
    InputError
        If there is one class alone, or so many that they are none, or some are numbers.
    """
    if len(file.texts) != 1:
        raise UsageError("a class is one column: give --label-column once")
    texts = file.texts[0]
    known = Counter(text for text in texts if text not in _MISSING)
    if len(known) > _MOST_CLASSES:
        raise InputError(
            f"column {file.columns[0]!r} has {len(known):,} values; up to {_MOST_CLASSES} classes "
            "can be told apart",
            path=path,
            remedy="give a column of classes",
        )
    _refuse_mixture(file, known, path)
    if len(known) < 2:
        one = f"only the class {shown(next(iter(known)))!r}" if known else "no label"
        raise InputError(
            f"column {file.columns[0]!r} has {one}",
            path=path,
            remedy="two classes are needed, or more",
        )
    names = tuple(sorted(known, key=lambda name: (_number(name) or 0.0, name)))
    number = {name: k for k, name in enumerate(names)}
    return np.array([number.get(text, -1) for text in texts], dtype=np.int16), names


def _refuse_mixture(file: SampleFile, known: Counter[str], path: str) -> None:
    numbers = {text for text in known if _number(text) is not None}
    if numbers and len(numbers) < len(known):
        odd = next(text for text in file.texts[0] if text in known and text not in numbers)
        row = file.texts[0].index(odd)
        raise InputError(
            f"column {file.columns[0]!r} holds both text ({shown(odd)!r}) and numbers "
            f"({shown(next(iter(numbers)))!r})",
            path=path,
            line=file.lines[row],
            remedy="is it the column of the labels? choose it with --label-column",
        )


def _number(text: str) -> float | None:
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def several_labels(file: SampleFile, path: str) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """Any number of labels a sample: int8 [N, T], and their names.

    One column lists those that a sample has, by number or by name, with commas between, as BEND
    has them; several columns say 0 or 1 each.

    Raises
    ------
    InputError
        If a column holds something else.
    """
    if len(file.texts) > 1:
        columns = [_flags(texts, file, k, path) for k, texts in enumerate(file.texts)]
        return np.stack(columns, axis=1), file.columns
    listed = [
        [part.strip() for part in text.split(",") if part.strip() not in _MISSING]
        for text in file.texts[0]
    ]
    known = Counter(part for parts in listed for part in parts)
    if len(known) > _MOST_LABELS:
        raise InputError(
            f"column {file.columns[0]!r} names {len(known):,} labels",
            path=path,
            remedy=f"up to {_MOST_LABELS:,} can be told apart",
        )
    if not known:
        raise InputError(f"column {file.columns[0]!r} has no label", path=path)
    whole = {part for part in known if _WHOLE.fullmatch(part)}
    if whole and len(whole) < len(known):
        odd = next(part for part in known if part not in whole)
        row = next(k for k, parts in enumerate(listed) if odd in parts)
        raise InputError(
            f"label {shown(odd)!r} is no number, as others are",
            path=path,
            line=file.lines[row],
            remedy="number all labels from 0, or name all of them",
        )
    names = (
        tuple(str(k) for k in range(max(map(int, whole)) + 1)) if whole else tuple(sorted(known))
    )
    if len(names) > _MOST_LABELS:
        raise InputError(f"label {names[-1]} is beyond {_MOST_LABELS:,}", path=path)
    place = {name: k for k, name in enumerate(names)}
    labels = np.zeros((len(listed), len(names)), dtype=np.int8)
    for row, parts in enumerate(listed):
        labels[row, [place[str(int(part)) if whole else part] for part in parts]] = 1
    return labels, names


def _flags(texts: Sequence[str], file: SampleFile, column: int, path: str) -> NDArray[np.int8]:
    found = np.empty(len(texts), dtype=np.int8)
    for row, text in enumerate(texts):
        if text in _MISSING:
            found[row] = -1
        elif text in ("0", "1"):
            found[row] = int(text)
        else:
            raise InputError(
                f"column {file.columns[column]!r} says {shown(text)!r}",
                path=path,
                line=file.lines[row],
                remedy="of several label columns each says 0 or 1",
            )
    return found


def stored_labels(
    path: str, lengths: NDArray[np.int64], n_cells: NDArray[np.int64]
) -> NDArray[np.int16]:
    """Labels of an HDF5 file, as BEND has them beside its BED: int16 [C].

    Parameters
    ----------
    path : str
        Its data set ``labels`` is [N, L], a row for each line of the BED; what is beyond the cells
        of a sample is left out, and negative numbers are no label.
    lengths, n_cells : int64 array [N]
        Of the samples.

    Raises
    ------
    UsageError
        Without h5py.
    InputError
    """
    try:
        import h5py
    except ImportError:
        raise UsageError(
            "labels in HDF5 need h5py; install it: pip install 'phylotools[hdf5]'"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            found = _own_data_set(file, path, h5py)
            if found.ndim != 2 or len(found) != len(lengths) or found.dtype.kind not in "iu":
                raise InputError(
                    f"its labels are {found.dtype} {list(found.shape)}, not whole numbers, a row "
                    f"for each of {counted(len(lengths), 'sample')}",
                    path=path,
                )
            if len(n_cells) and found.shape[1] < n_cells.max():
                raise InputError(
                    f"has {found.shape[1]:,} labels a sample, and a sample has {n_cells.max():,}",
                    path=path,
                )
            parts = []
            for row, count in enumerate(n_cells.tolist()):
                values = found[row, :count]
                if len(values) and values.max() >= _MOST_CLASSES:
                    raise InputError(f"label {values.max():,} is no class", path=path)
                parts.append(np.maximum(values.astype(np.int64), -1).astype(np.int16))
    except OSError as error:
        raise InputError(
            f"cannot be read as HDF5 ({str(error).splitlines()[0][:100]})", path=path
        ) from None
    return np.concatenate(parts)


def _own_data_set(file: Any, path: str, h5py: Any) -> Any:
    """The data set, if it lies in this very file: links may name any other."""
    link = file.get("labels", getlink=True) if "labels" in file else None
    if not isinstance(link, h5py.HardLink):
        raise InputError("has no data set of its own called 'labels'", path=path)
    found = file["labels"]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise InputError("its data set 'labels' lies elsewhere", path=path)
    return found
