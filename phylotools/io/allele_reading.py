"""Alleles of VCF records, rows of tables and batches of Parquet, as blocks of many.

Lines that need more than compiled loops can do (quotes, positions such as ``3310.0``) go the slow
way, block by block.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.io.allele_kernels import (
    FINE,
    MAYBE_PER_ALT,
    PER_ALLELE,
    PER_ALT,
    WHOLE,
    WRONG_COLUMNS,
    contig_changes,
    info_values,
    read_positions,
    scan_rows,
    strip_cells,
)
from phylotools.io.delimited import DelimitedText, Row
from phylotools.io.vcf.records import LineBlock, RecordTable

if TYPE_CHECKING:
    from phylotools.io.scored import Allele
    from phylotools.io.variant_table import ParquetRows

from phylotools.io.allele_blocks import ABSENT, AlleleBlock, split_records

Integers = NDArray[np.int64]
_ALLELES_AT_ONCE = 1 << 14
#: How INFO/Number says that values belong to alleles.
MODES = {"A": PER_ALT, "R": PER_ALLELE, ".": MAYBE_PER_ALT}


def blocks_of_records(
    tables: Iterable[RecordTable],
    columns: Sequence[str],
    numbers: Sequence[str | None],
    whole: Sequence[bool],
    path: str,
) -> Iterator[AlleleBlock]:
    """Alleles of VCF records.

    Parameters
    ----------
    tables : iterable of RecordTable
    columns : sequence of str
        INFO keys, ``ID`` and ``FILTER``.
    numbers : sequence of (str or None)
        INFO/Number of each; None for a fixed column.
    whole : sequence of bool
        Which are wanted as the record has them, not by allele.
    path : str
    """
    fixed = {"ID": 2, "FILTER": 6}
    info = [index for index, number in enumerate(numbers) if number is not None]
    distinct = list(dict.fromkeys(columns[index] for index in info))
    places = [distinct.index(columns[index]) for index in info]
    encoded = [key.encode() for key in distinct]
    keys = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    bounds = np.cumsum([0, *map(len, encoded)])
    modes = [
        WHOLE if is_whole else MODES.get(number or "1", WHOLE)
        for number, is_whole in zip(numbers, whole, strict=True)
    ]
    for table in tables:
        n = len(table)
        begins = np.empty((n, len(columns)), dtype=np.int64)
        ends = np.empty_like(begins)
        found = [np.empty((n, len(distinct)), dtype=np.int64) for _ in range(2)]
        info_values(table.text, table.tabs, keys, bounds, *found)
        begins[:, info], ends[:, info] = (each[:, places] for each in found)
        for index, number in enumerate(numbers):
            if number is None:
                column = fixed[columns[index]]
                begins[:, index] = table.tabs[:, column - 1] + 1
                ends[:, index] = table.tabs[:, column]
        first = table.block.first_line
        run_of = np.repeat(np.arange(len(table.run_names), dtype=np.int32), table.run_lengths)
        tabs = np.ascontiguousarray(table.tabs.T)
        yield split_records(
            path,
            columns,
            table.text,
            ([name.decode("utf-8", "replace") for name in table.run_names], run_of),
            table.positions - 1,
            (tabs[2] + 1, tabs[3]),
            (tabs[3] + 1, tabs[4]),
            table.line_index + first if first else np.zeros(n, dtype=np.int64),
            (begins, ends),
            modes,
        )


def blocks_of_rows(
    table: DelimitedText,
    lines: Iterator[LineBlock],
    columns: Sequence[str],
    indices: Sequence[int],
    slow: Callable[[Iterator[Row]], Iterator[Allele]],
) -> Iterator[AlleleBlock]:
    """Alleles of the rows of a table.

    Parameters
    ----------
    table : DelimitedText
    lines : iterator of LineBlock
        Of rows.
    columns : sequence of str
    indices : sequence of int
        Of these columns in the table.
    slow : callable
        The alleles of rows, one by one.

    Raises
    ------
    InputError
        As for `DelimitedText.rows` and `DelimitedText.variant`.
    """
    assert table.variant_columns is not None

    def slowly(rows: Iterator[Row]) -> Iterator[AlleleBlock]:
        return blocks_of_alleles(slow(rows), columns, table.path)

    is_plain = len(table.variant_columns.indices) == 4
    for block in lines:
        has_quotes = b'"' in block.text
        if not is_plain or (has_quotes and table.delimiter != b"\t"):
            # A cell in quotes may go on in the next block.
            rest = itertools.chain([block], lines)
            numbered = (each for block in rest for each in _lines(block))
            yield from slowly(table.later_rows(numbered))
            return
        fast = None if b"\0" in block.text else _fast_rows(table, block, columns, indices)
        if fast is not None:
            yield fast
        else:
            yield from slowly(table.later_rows(_lines(block)))


def _lines(block: LineBlock) -> Iterator[tuple[int, bytes]]:
    """Lines and their numbers, blank ones too; 0 where nobody counted."""
    first = block.first_line
    for offset, line in enumerate(block.text.split(b"\n")[:-1]):
        yield first + offset if first else 0, line + b"\n"


def _fast_rows(
    table: DelimitedText, block: LineBlock, columns: Sequence[str], indices: Sequence[int]
) -> AlleleBlock | None:
    """A block whose rows are plain; None if one is not."""
    assert table.variant_columns is not None
    text = np.frombuffer(block.text, dtype=np.uint8)
    chosen = dict.fromkeys((*table.variant_columns.indices, *indices))
    place_of = {column: place for place, column in enumerate(chosen)}
    wanted = np.full(len(table.names), -1, dtype=np.int64)
    wanted[list(chosen)] = np.arange(len(chosen))
    n_lines = block.text.count(b"\n")
    begins = np.empty((n_lines, len(chosen)), dtype=np.int64)
    ends = np.empty_like(begins)
    line_index = np.empty(n_lines, dtype=np.int64)
    problems = np.empty(n_lines, dtype=np.uint8)
    delimiter = table.delimiter[0]
    n = scan_rows(text, delimiter, len(table.names), wanted, begins, ends, line_index, problems)
    begins, ends, line_index, problems = begins[:n], ends[:n], line_index[:n], problems[:n]
    if (problems == WRONG_COLUMNS).any():
        return None
    strip_cells(text, begins[:, :4], ends[:, :4], problems)
    cells = [
        (np.ascontiguousarray(begins[:, k]), np.ascontiguousarray(ends[:, k])) for k in range(4)
    ]
    positions = np.empty(n, dtype=np.int64)
    read_positions(text, *cells[1], positions, problems)
    if (problems != FINE).any():
        return None
    is_new = np.empty(n, dtype=bool)
    contig_changes(text, *cells[0], is_new)
    firsts = np.flatnonzero(is_new).tolist()
    names = [
        block.text[cells[0][0][row] : cells[0][1][row]].decode("utf-8", "replace") for row in firsts
    ]
    values = [place_of[index] for index in indices]
    first = block.first_line
    return split_records(
        table.path,
        columns,
        text,
        (names, np.cumsum(is_new, dtype=np.int32) - 1),
        positions - 1,
        cells[2],
        cells[3],
        line_index + first if first else np.zeros(n, dtype=np.int64),
        (begins[:, values], ends[:, values]),
        [MAYBE_PER_ALT] * len(columns),
    )


def blocks_of_alleles(
    alleles: Iterable[Allele], columns: Sequence[str], path: str
) -> Iterator[AlleleBlock]:
    """Alleles that come one by one, many at once."""
    iterator = iter(alleles)
    while chunk := list(itertools.islice(iterator, _ALLELES_AT_ONCE)):
        texts: list[str] = []
        for allele in chunk:
            texts += (allele.contig, allele.ref, allele.alt)
            texts += ("" if value is None else value for value in allele.values)
        width = 3 + len(columns)
        text, bounds = _joined(texts)
        begins = bounds[:-1].reshape(-1, width).copy()
        ends = bounds[1:].reshape(-1, width)
        for index in range(len(columns)):
            is_absent = [allele.values[index] is None for allele in chunk]
            begins[is_absent, 3 + index] = ABSENT
        names = [allele.contig for allele in chunk]
        runs = [0, *(row for row in range(1, len(names)) if names[row] != names[row - 1])]
        is_new = np.zeros(len(names), dtype=np.int32)
        is_new[runs] = 1
        cells = [np.ascontiguousarray(each[:, k]) for k in (1, 2) for each in (begins, ends)]
        yield split_records(
            path,
            columns,
            text,
            ([names[row] for row in runs], np.cumsum(is_new, dtype=np.int32) - 1),
            np.array([allele.position for allele in chunk], dtype=np.int64),
            (cells[0], cells[1]),
            (cells[2], cells[3]),
            np.array([allele.line for allele in chunk], dtype=np.int64),
            (begins[:, 3:], ends[:, 3:]),
            [WHOLE] * len(columns),
        )


def _joined(texts: list[str]) -> tuple[NDArray[np.uint8], Integers]:
    """Texts one behind the other, and where each begins; the end, last."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    bounds = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    # A byte behind the last, for a text that is empty there.
    return np.frombuffer(b"".join(encoded) + b"\n", dtype=np.uint8), bounds


def blocks_of_batches(
    rows: ParquetRows, columns: Sequence[str], slow: Callable[[int, Any], Iterator[Allele]]
) -> Iterator[AlleleBlock]:
    """Alleles of a Parquet file.

    Parameters
    ----------
    rows : ParquetRows
    columns : sequence of str
    slow : callable
        The alleles of a batch, whose first row has this number, one by one.
    """
    names = list(dict.fromkeys((*rows.variant_names, *columns)))
    for first, batch in rows.batches(names):
        fast = _fast_batch(rows, first, batch, columns)
        if fast is not None:
            yield fast
        else:
            yield from blocks_of_alleles(slow(first, batch), columns, rows.path)


def _fast_batch(
    rows: ParquetRows, first: int, batch: Any, columns: Sequence[str]
) -> AlleleBlock | None:
    """A batch of plain rows; None if one is not."""
    import pyarrow
    import pyarrow.compute

    if len(rows.variant_names) != 4:
        return None
    types = pyarrow.types
    contig, position, ref, alt = (_plain(batch.column(name)) for name in rows.variant_names)
    alleles = [_strings(each) for each in (ref, alt)]
    if (
        not (_is_text(contig.type) or types.is_integer(contig.type))
        or not types.is_integer(position.type)
        or contig.null_count + position.null_count
        or None in alleles
    ):
        return None
    parts: list[NDArray[np.uint8]] = []
    cells = []
    offset = 0
    for each in alleles:
        assert each is not None
        data, cuts = each
        parts.append(data)
        cells.append((cuts[:-1] + offset, cuts[1:] + offset))
        offset += len(data)
    if not all(_are_plain(np.concatenate([*parts]), *each) for each in cells):
        return None
    begins = np.full((batch.num_rows, len(columns)), ABSENT, dtype=np.int64)
    ends = begins.copy()
    known = {}
    for index, name in enumerate(columns):
        column = _plain(batch.column(name))
        if types.is_floating(column.type):
            known[index] = column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
            continue
        if not (
            _is_text(column.type) or types.is_integer(column.type) or types.is_boolean(column.type)
        ):
            return None
        coded = column.dictionary_encode()
        codes = pyarrow.compute.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
        spelled = [str(value) for value in coded.dictionary.to_pylist()]
        data, cuts = _joined([*spelled, ""])
        parts.append(data)
        is_there = codes >= 0
        begins[is_there, index] = cuts[codes[is_there]] + offset
        ends[is_there, index] = cuts[codes[is_there] + 1] + offset
        offset += len(data)
    coded = contig.dictionary_encode()
    names = [str(value).strip() for value in coded.dictionary.to_pylist()]
    if not all(names):
        return None
    block = split_records(
        rows.path,
        columns,
        np.concatenate([*parts, np.frombuffer(b"\n", dtype=np.uint8)]),
        (names, coded.indices.to_numpy(zero_copy_only=False).astype(np.int32)),
        position.to_numpy(zero_copy_only=False).astype(np.int64) - 1,
        cells[0],
        cells[1],
        np.arange(first, first + batch.num_rows, dtype=np.int64),
        (begins, ends),
        [WHOLE] * len(columns),
    )
    return replace(block, known=known)


def _plain(column: Any) -> Any:
    """A column without a dictionary, as categories of data frames have."""
    import pyarrow

    is_coded = pyarrow.types.is_dictionary(column.type)
    return column.dictionary_decode() if is_coded else column


def _is_text(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _strings(column: Any) -> tuple[NDArray[np.uint8], Integers] | None:
    """The bytes of a column of strings, and where each begins; None if it is none or has nulls."""
    import pyarrow

    if not _is_text(column.type) or column.null_count:
        return None
    kind = np.int32 if pyarrow.types.is_string(column.type) else np.int64
    _, offsets, data = column.buffers()
    cuts = np.frombuffer(offsets, dtype=kind)[column.offset : column.offset + len(column) + 1]
    cuts = cuts.astype(np.int64)
    text = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, np.uint8)
    return text[cuts[0] : cuts[-1]], cuts - cuts[0]


def _are_plain(text: NDArray[np.uint8], begins: Integers, ends: Integers) -> bool:
    """Whether alleles are there, without blanks, one in each row."""
    if not len(begins):
        return True
    letters = text[begins[0] : ends[-1]]
    is_odd = (letters <= ord(" ")) | (letters == ord(","))
    return not bool((begins == ends).any() or is_odd.any())
