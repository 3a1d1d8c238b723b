"""Variants as a table (TSV, CSV, Parquet): rows as VCF lines, and the rows again with more columns.

Every row becomes a line of a minimal VCF, so that whatever works on records works on rows. What
comes of the lines is put beside the rows as they were.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.io.delimited import (
    TABLE_REMEDY,
    DelimitedText,
    NamedVariant,
    Row,
    VariantColumns,
    quoted_cell,
)
from phylotools.io.vcf.records import LineBlock, RecordTable
from phylotools.io.vcf.text import FIXED_COLUMNS, VcfHeader

PARQUET_MAGIC = b"PAR1"
#: What the lines of rows have: no contig is declared.
HEADER = VcfHeader((b"##fileformat=VCFv4.2",), b"\t".join(FIXED_COLUMNS))
_ROWS_AT_ONCE = 1 << 14
_LONGEST_POSITION = 13
_BLOCK_BYTES = 1 << 20
#: Rows of Parquet that are written together.
_GROUP_BYTES = 64 << 20


@dataclass(frozen=True)
class TableBlock(LineBlock):
    """Rows as lines of a VCF.

    Attributes
    ----------
    rows : list of bytes, or RecordBatch
        What the lines stand for, one each.
    """

    rows: Any


class AddedColumns(NamedTuple):
    """Columns that a table gains.

    Attributes
    ----------
    types : dict of str to type
        Name and type, `float` or `str`, of each, in order.
    replaced : frozenset of str
        Columns of the table that are left out.
    """

    types: dict[str, type]
    replaced: frozenset[str]


class VariantRows(ABC):
    """A table of variants that is read once and written once.

    Parameters
    ----------
    path : str
        For messages.
    """

    #: Suffixes of outputs; others that tables have are refused.
    suffixes: tuple[str, ...] = ()
    may_compress = True

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def blocks(self) -> Iterator[TableBlock]:
        """The rows, some at once.

        Raises
        ------
        InputError
            If a row names no variant.
        """

    @abstractmethod
    def open_sink(self, write: Callable[[bytes], object], added: AddedColumns) -> Any:
        """Context manager of a `RowSink`.

        Parameters
        ----------
        write : callable
            Takes the bytes of the output.
        added : AddedColumns
            The INFO fields that the lines come back with, which become columns.
        """

    def output_type(self, path: str, requested: str | None) -> str:
        """``v`` or ``z``: as asked for, else from the suffix of the output.

        Raises
        ------
        UsageError
            If the output is named as another kind of file than the input.
        """
        bare = path.lower()
        compressed = bare.endswith((".gz", ".bgz"))
        bare = bare.removesuffix(".gz").removesuffix(".bgz")
        others = {".vcf", ".bcf", ".parquet", ".csv", ".tsv"} - set(self.suffixes)
        if bare.endswith(tuple(others)):
            raise UsageError(
                f"{path}: a table comes out in the form it came in; name the output "
                f"OUT{self.suffixes[0]}"
            )
        if requested == "b" or ((compressed or requested == "z") and not self.may_compress):
            raise UsageError("-O: a table comes out in the form it came in; leave -O out")
        if compressed and requested == "v":
            raise UsageError(f"-O v contradicts the suffix of {path}; leave one of the two out")
        return "z" if compressed or requested == "z" else "v"


class RowSink(ABC):
    """Where annotated lines go; as `VariantSink`, but what comes out is rows."""

    def __init__(self, write: Callable[[bytes], object], added: AddedColumns) -> None:
        self._write = write
        self._starts = [len(key) + 1 for key in added.types]

    @abstractmethod
    def write_header(self, data: bytes) -> None:
        """Write the header of the table; `data` is that of the lines, which it does not need."""

    def write_records(self, text: bytes | memoryview, records: RecordTable) -> None:
        """Write the rows that annotated lines stand for."""
        block = records.block
        assert isinstance(block, TableBlock)
        self.write_rows(block.rows, records.line_index, bytes(text).split(b"\n")[:-1])

    @abstractmethod
    def write_rows(self, rows: Any, chosen: NDArray[np.int64], lines: Sequence[bytes]) -> None:
        """Write some of the rows of a block.

        Parameters
        ----------
        rows : list of bytes, or RecordBatch
        chosen : int64 array [N]
            Which of these.
        lines : sequence of bytes, length N
            Annotated, without line ends.
        """

    def _values(self, lines: Sequence[bytes]) -> Iterator[list[bytes]]:
        """Of each line, the values of its INFO fields."""
        for line in lines:
            info = line[line.rindex(b"\t") + 1 :]
            entries = info.split(b";")
            yield [entry[start:] for entry, start in zip(entries, self._starts, strict=True)]


class TextRows(VariantRows):
    """A table of delimited text, whose header has been read.

    Parameters
    ----------
    table : DelimitedText
    later : iterator of LineBlock
        The lines that the table has not read yet; whoever takes them takes them from `table`.
    """

    def __init__(self, table: DelimitedText, later: Iterator[LineBlock]) -> None:
        super().__init__(table.path)
        self.table = table
        self.later = later
        self.suffixes = (".tsv",) if table.delimiter == b"\t" else (".csv",)

    def blocks(self) -> Iterator[TableBlock]:
        lines: list[bytes] = []
        rows: list[bytes] = []
        first = n_bytes = 0
        for row in self.table.rows():
            line = self._line(row)
            if lines and n_bytes >= _BLOCK_BYTES:
                yield TableBlock(b"".join(lines), first, rows)
                lines, rows, n_bytes = [], [], 0
            if not lines:
                first = row.line
            # Blank lines keep the numbers of lines right.
            gap = row.line - first - len(lines)
            lines += [b"\n"] * gap
            rows += [b""] * gap
            n_bytes += gap
            lines.append(line)
            rows.append(row.text)
            n_bytes += len(row.text) + len(lines[-1])
        if lines:
            yield TableBlock(b"".join(lines), first, rows)

    def _line(self, row: Row) -> bytes:
        """A row as a record; most need no more than their cells put in order."""
        columns = self.table.variant_columns
        if columns is not None and len(columns.indices) == 4 and b'"' not in row.text:
            contig, position, ref, alt = [row.cells[index] for index in columns.indices]
            line = b"\t".join((contig, position, b".", ref, alt, b".\t.\t.\n"))
            if position.isdigit() and len(position) < _LONGEST_POSITION and len(line.split()) == 8:
                return line
        try:
            return _vcf_line(self.table.variant(row))
        except ValueError as error:
            raise self.table.error(str(error), row.line, "mend the row") from None

    @contextlib.contextmanager
    def open_sink(self, write: Callable[[bytes], object], added: AddedColumns) -> Iterator[RowSink]:
        yield _TextSink(write, added, self.table)


class _TextSink(RowSink):
    def __init__(
        self, write: Callable[[bytes], object], added: AddedColumns, table: DelimitedText
    ) -> None:
        super().__init__(write, added)
        self._table = table
        self._keys = [key.encode() for key in added.types]
        self._kept = [index for index, name in enumerate(table.names) if name not in added.replaced]

    def write_header(self, data: bytes) -> None:
        table = self._table
        lines = [*table.preamble, self._joined(table.header, self._keys)]
        self._write(table.line_end.join([*lines, b""]))

    def write_rows(self, rows: Any, chosen: NDArray[np.int64], lines: Sequence[bytes]) -> None:
        joined = [
            self._joined(rows[number], [b"" if value == b"." else value for value in values])
            for number, values in zip(chosen.tolist(), self._values(lines), strict=True)
        ]
        self._write(self._table.line_end.join([*joined, b""]))

    def _joined(self, text: bytes, added: list[bytes]) -> bytes:
        """A row without its old scores and with new ones."""
        delimiter = self._table.delimiter
        if len(self._kept) < len(self._table.names):
            cells = self._table.split(text)
            # The header of a table with row names may lack theirs.
            shift = len(cells) - len(self._table.names)
            text = delimiter.join(
                cells[index + shift] for index in self._kept if index + shift >= 0
            )
        return delimiter.join([text, *(quoted_cell(value, delimiter) for value in added)])


class ParquetRows(VariantRows):
    """A Parquet file, row group by row group.

    Attributes
    ----------
    names : list of str
        Of all columns.
    variant_names : list of str
        Of those that name the variants.
    """

    suffixes = (".parquet",)
    may_compress = False

    def __init__(self, path: str, source: IO[bytes]) -> None:
        super().__init__(path)
        from pyarrow import parquet

        with self._reading():
            self._file = parquet.ParquetFile(source)
            self._schema = self._file.schema_arrow
        columns = VariantColumns.find(self._schema.names)
        if columns is None:
            raise InputError("names no variants", path=path, remedy=TABLE_REMEDY)
        self.names = list(self._schema.names)
        self.variant_names = [self.names[index] for index in columns.indices]
        self._columns = VariantColumns(tuple(range(len(columns.indices))))
        self._begin, self._end = 0, self.n_rows

    @property
    def n_rows(self) -> int:
        """Of the whole file."""
        return int(self._file.metadata.num_rows)

    def choose_rows(self, begin: int, end: int | None) -> None:
        """Read only the rows from one on up to before another, by their 0-based numbers."""
        self._begin, self._end = begin, self.n_rows if end is None else end

    def blocks(self) -> Iterator[TableBlock]:
        for first, batch in self.batches():
            columns = [batch.column(name).to_pylist() for name in self.variant_names]
            values = zip(*columns, strict=True)
            lines = [self._line(value, row) for row, value in enumerate(values, start=first)]
            yield TableBlock(b"".join(lines), first, batch)

    def batches(self, names: Sequence[str] | None = None) -> Iterator[tuple[int, Any]]:
        """The rows, some at once: the 1-based number of the first, and a RecordBatch.

        Parameters
        ----------
        names : sequence of str, optional
            Columns to read [default: all].
        """
        groups, first = self._groups()
        batches = self._file.iter_batches(
            _ROWS_AT_ONCE, row_groups=groups, columns=names, use_threads=False
        )
        while first < self._end:
            with self._reading():
                batch = next(batches, None)
            if batch is None:
                return
            n_rows = batch.num_rows
            n_before = max(0, self._begin - first)
            if n_rows > n_before:
                yield first + n_before + 1, batch.slice(n_before, self._end - first - n_before)
            first += n_rows

    def _groups(self) -> tuple[list[int], int]:
        """Groups that hold rows to be read, and the number of the first row of these."""
        groups: list[int] = []
        first = n_before = 0
        for group in range(self._file.metadata.num_row_groups):
            n_rows = self._file.metadata.row_group(group).num_rows
            if n_before + n_rows > self._begin and n_before < self._end:
                first = first if groups else n_before
                groups.append(group)
            n_before += n_rows
        return groups, first

    def variant(self, values: Sequence[Any], row: int) -> NamedVariant:
        """The variant of a row.

        Parameters
        ----------
        values : sequence
            Of the columns `variant_names`.
        row : int
            Its 1-based number, for messages.

        Raises
        ------
        InputError
            If it names none.
        """
        try:
            return self._columns.read(["" if value is None else str(value) for value in values])
        except ValueError as error:
            raise self._row_error(str(error), row) from None

    @contextlib.contextmanager
    def open_sink(self, write: Callable[[bytes], object], added: AddedColumns) -> Iterator[RowSink]:
        output = _Counted(write)
        sink = _ParquetSink(output, added, self._schema, _codec(self._file))
        try:
            yield sink
            sink.finish()
        finally:
            output.is_done = True

    def _line(self, value: tuple[Any, ...], row: int) -> bytes:
        variant = self.variant(value, row)
        if "," in variant.alt:
            raise self._row_error("there are several ALTs: give each a row of its own", row)
        try:
            return _vcf_line(variant)
        except ValueError as error:
            raise self._row_error(str(error), row) from None

    def _row_error(self, problem: str, row: int) -> InputError:
        return InputError(f"row {row}: {problem}", path=self.path, remedy="mend the row")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise InputError(
                f"the Parquet file is damaged ({str(error)[:200]})",
                path=self.path,
                remedy="copy or make it again",
            ) from error


class _ParquetSink(RowSink):
    def __init__(self, output: _Counted, added: AddedColumns, schema: Any, codec: str) -> None:
        super().__init__(output.write, added)
        import pyarrow
        from pyarrow import parquet

        self._arrow = pyarrow
        self._kept = [name for name in schema.names if name not in added.replaced]
        schema = pyarrow.schema([schema.field(name) for name in self._kept], schema.metadata)
        types = {float: pyarrow.float64(), str: pyarrow.string()}
        for key, kind in added.types.items():
            schema = schema.append(pyarrow.field(key, types[kind]))
        self._schema = schema
        self._open = lambda: parquet.ParquetWriter(output, schema, compression=codec)
        self._waiting: list[Any] = []
        self._n_bytes = 0

    def write_header(self, data: bytes) -> None:
        self._writer = self._open()

    def write_rows(self, rows: Any, chosen: NDArray[np.int64], lines: Sequence[bytes]) -> None:
        arrow = self._arrow
        rows = rows.take(arrow.array(chosen))
        values = [
            [None if value == b"." else value.decode() for value in column]
            for column in zip(*self._values(lines), strict=True)
        ] or [[]] * len(self._starts)
        added = [
            arrow.array(column if field.type == arrow.string() else [_number(x) for x in column],
                        field.type)
            for column, field in zip(values, list(self._schema)[-len(values) :], strict=True)
        ]  # fmt: skip
        kept = [rows.column(name) for name in self._kept]
        self._waiting.append(arrow.RecordBatch.from_arrays([*kept, *added], schema=self._schema))
        self._n_bytes += self._waiting[-1].nbytes
        if self._n_bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(self._arrow.Table.from_batches(self._waiting))
        self._waiting, self._n_bytes = [], 0

    def finish(self) -> None:
        self._write_group()
        self._writer.close()


class _Counted:
    """A file to write to that knows how much came, as Parquet's footer needs; pipes do not."""

    closed = False
    #: What a writer adds after that, when it is given up, goes nowhere.
    is_done = False

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._n_bytes = 0

    def write(self, data: bytes) -> int:
        if not self.is_done:
            self._write(bytes(data))
        self._n_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self._n_bytes

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """Whoever opened the output closes it."""


def open_parquet(path: str, stream: IO[bytes], stack: contextlib.ExitStack) -> ParquetRows:
    """A Parquet file, by its name or, where it is a stream, by a copy in a temporary file."""
    if Path(path).is_file():
        return ParquetRows(path, stack.enter_context(open(path, "rb")))
    copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return ParquetRows(path, copy)


def _vcf_line(variant: NamedVariant) -> bytes:
    """A row as a record; `ValueError` if its parts are no columns of one."""
    contig, position, ref, alt = variant
    fields = (contig, str(position), ".", ref, alt, ".", ".", ".")
    line = "\t".join(fields)
    if len(line.split()) != len(fields) or "\n" in line:
        raise ValueError("contig, REF or ALT hold white space")
    return line.encode() + b"\n"


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _codec(file: Any) -> str:
    """The compression of a Parquet file, by the name that a writer takes."""
    metadata = file.metadata
    if not metadata.num_row_groups or not metadata.num_columns:
        return "snappy"
    codec = metadata.row_group(0).column(0).compression.lower()
    return {"uncompressed": "none"}.get(codec, codec)
