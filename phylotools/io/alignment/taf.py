"""Transposed alignment format (TAF) -> tables of rows.

The format: https://github.com/ComparativeGenomicsToolkit/taffy/blob/main/docs/taf_format.md. One
line is one column; behind ``;`` stand changes of the rows, behind ``@`` tags, which are passed
over. A block is what lies between two lines with coordinates, as in the MAF file that
``taffy view -m`` makes of it.
"""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from phylotools.errors import InputError
from phylotools.io.alignment import taf_kernels as kernels
from phylotools.io.alignment.maf import DAMAGED, shown
from phylotools.io.alignment.rows import RowTable

#: Rows of one column. Alignments of hundreds of genomes with duplicates have some thousands.
MOST_ROWS = 1 << 16
_LONGEST_NAME = 1024
_LONGEST_LINE = 1 << 26
#: Letters of one block; a longer block is cut in two.
_BLOCK_LETTERS = 1 << 24
_TABLE_BYTES = 1 << 23
_TABLE_ROWS = 1 << 18
_TEXT = 1 << 22

_CUT_REMEDY = "make or download the file again, or end the line if you wrote it yourself"
_NOT_TAF = "give a TAF file (plain, gzip or bgzip), as taffy writes it"
_PROBLEMS = {
    kernels.NOT_TAF: "the file does not begin with a line #taf",
    kernels.CUT: "the last line has no line end, so that its coordinates may be cut off",
    kernels.NO_ROWS: "a column stands here, but there are no rows: no coordinates were given",
    kernels.MARK: "';' and '@' must stand alone, ';' once and before '@'",
    kernels.EXTRA: "{word} stands behind the letters of the column, without ';' or '@'",
    kernels.LETTER: "{word} is no letter of an alignment",
    kernels.COUNT: "the column has {found} letters, but there are {rows} rows",
    kernels.TOO_LONG: "the column has more letters than there are rows: {rows}",
    kernels.RUN: "{word} is no count of a run of letters",
    kernels.OPERATION: "{word} is no change of coordinates: i, d, s, g or G",
    kernels.ROW_INDEX: "{word} is no row: there are {rows}, counted from 0",
    kernels.NUMBER: "{word} is no whole number from 0 up",
    kernels.NAME: f"{{word}} is no name of a sequence (at most {_LONGEST_NAME} characters)",
    kernels.STRAND: "strand {word} is neither + nor -",
    kernels.GAP_STRING: "{word} is no string of letters between two columns",
    kernels.BEYOND: "row {found} of the block that begins here ends beyond its source size",
    kernels.LATE: "row {found} is moved beyond its source size",
    kernels.TOO_MANY: f"there are more than {MOST_ROWS} rows",
}
_REMEDIES = {
    kernels.NOT_TAF: _NOT_TAF,
    kernels.TOO_MANY: _NOT_TAF,
    kernels.CUT: _CUT_REMEDY,
}


class TafReader:
    """Iterate over the blocks of a TAF file.

    Blocks of more than 16 MiB of letters are cut in two. ``RowTable.line`` is the line of the
    coordinates with which the row's block begins, for both parts of such a block too. Another
    line ``#taf`` begins the file anew, so that files may be joined with ``cat``.

    A file that is cut exactly behind a line is a shorter TAF file: only gzip and bgzip show that.

    Parameters
    ----------
    handle : BufferedReader
        Decompressed text.
    path : str
        For messages.

    Attributes
    ----------
    n_bytes : int
        Bytes of text read so far.

    Raises
    ------
    InputError
        While iterating, with file and line, for anything that cannot be right.
    """

    def __init__(self, handle: io.BufferedReader, path: str) -> None:
        self._handle = handle
        self._path = path
        self.n_bytes = 0
        self._text = bytearray(_TEXT)
        self._filled = 0
        self._state = np.zeros(kernels.N_STATES, dtype=np.int64)
        # Memory of rows and names that are never used is never touched.
        self._rows = kernels.Rows(
            order=np.arange(MOST_ROWS, dtype=np.int64),
            numbers=np.empty((MOST_ROWS, kernels.N_ROW_NUMBERS), dtype=np.int64),
            names=np.empty((MOST_ROWS, _LONGEST_NAME), dtype=np.uint8),
        )
        self._columns = np.empty(_BLOCK_LETTERS, dtype=np.uint8)
        self._new_table()

    def __iter__(self) -> Iterator[RowTable]:
        while (end := self._read()) > 0:
            self._state[kernels.AT] = 0
            text = np.frombuffer(self._text, dtype=np.uint8)
            while status := kernels.scan(
                text, end, self._state, self._rows, self._columns, self._filling
            ):
                if status == kernels.FLUSH:
                    yield from self._table()
                elif status == kernels.HEADER:
                    self._read_header()
                else:
                    self._fail(status)
            del text  # A bytearray that an array looks into cannot grow.
            self._text[: self._filled - end] = self._text[end : self._filled]
            self._filled -= end
        if not self._state[kernels.HAS_HEADER]:
            self._fail(kernels.NOT_TAF)
        while status := kernels.close_block(self._state, self._rows, self._columns, self._filling):
            if status != kernels.FLUSH:
                self._fail(status)
            yield from self._table()
        yield from self._table()

    def _read(self) -> int:
        """Fill the buffer until it holds a whole line; the end of the last one, 0 at the end."""
        while True:
            if self._filled == len(self._text):
                if self._filled >= _LONGEST_LINE:
                    self._raise(f"the line is longer than {_LONGEST_LINE >> 20} MiB", _NOT_TAF)
                self._text.extend(bytes(self._filled))
            with memoryview(self._text) as view:
                count = self._handle.readinto(view[self._filled :])
            begin, self._filled = self._filled, self._filled + count
            self.n_bytes += count
            if begin < 3 <= self._filled and self.n_bytes == self._filled:
                self._drop_byte_order_mark()
            if count == 0 and self._filled:
                # The last line has no end.
                self._state[kernels.IS_UNFINISHED] = 1
                self._text[self._filled] = 10
                self._filled += 1
                return self._filled
            end = self._text.rfind(b"\n", begin, self._filled) + 1
            if end or count == 0:
                return end

    def _drop_byte_order_mark(self) -> None:
        if self._text.startswith(BOM_UTF8):
            self._text[:3] = b"   "

    def _read_header(self) -> None:
        """Read the line ``#taf``, which is not counted among the rows' lines."""
        line = self._word(1 << 16)
        problem = None
        if self._state[kernels.IS_UNFINISHED]:
            problem = _PROBLEMS[kernels.CUT]
        elif b"\r" in line.rstrip(b"\r"):
            problem = "line ends are CR only"
        tags = dict(tag.partition(b":")[::2] for tag in line.split()[1:])
        version = tags.get(b"version", b"1")
        is_run_length = tags.get(b"run_length_encode_bases", b"0")
        if version != b"1":
            problem = problem or f"TAF version {shown(version)} is not known"
        if is_run_length not in (b"0", b"1"):
            problem = problem or f"run_length_encode_bases is {shown(is_run_length)}, not 0 or 1"
        if problem:
            self._raise(problem, _NOT_TAF, line=int(self._state[kernels.LINES]))
        self._state[kernels.IS_RUN_LENGTH] = is_run_length == b"1"
        self._state[kernels.HAS_HEADER] = 1
        self._state[kernels.N_ROWS] = 0

    def _new_table(self) -> None:
        size = max(_TABLE_BYTES, int(self._state[kernels.NEEDED]))
        self._filling = kernels.Table(
            buffer=np.empty(size, dtype=np.uint8),
            numbers=np.empty((kernels.N_TABLE_NUMBERS, _TABLE_ROWS), dtype=np.int64),
            first_row=np.zeros(_TABLE_ROWS + 1, dtype=np.int64),
            width=np.empty(_TABLE_ROWS, dtype=np.int64),
        )
        counts = [kernels.N_TABLE_ROWS, kernels.N_BLOCKS, kernels.N_BYTES, kernels.NEEDED]
        self._state[counts] = 0
        used = self._rows.order[: self._state[kernels.N_ROWS]]
        self._rows.numbers[used, kernels.WRITTEN_AT] = -1

    def _table(self) -> Iterator[RowTable]:
        """The table as far as it is filled, if it holds a block; an empty one takes its place."""
        n_rows, n_blocks = self._state[kernels.N_TABLE_ROWS], self._state[kernels.N_BLOCKS]
        filled = self._filling
        numbers = filled.numbers[:, :n_rows]
        table = RowTable(
            buffer=filled.buffer[: self._state[kernels.N_BYTES]],
            first_row=filled.first_row[: n_blocks + 1],
            width=filled.width[:n_blocks],
            source_at=numbers[kernels.T_SOURCE_AT],
            source_length=numbers[kernels.T_SOURCE_LENGTH],
            start=numbers[kernels.T_START],
            size=numbers[kernels.T_SIZE],
            is_reverse=numbers[kernels.T_IS_REVERSE].astype(np.uint8),
            source_size=numbers[kernels.T_SOURCE_SIZE],
            letters_at=numbers[kernels.T_LETTERS_AT],
            line=numbers[kernels.T_LINE],
        )
        self._new_table()
        if n_blocks:
            yield table

    def _word(self, most: int = 100) -> bytes:
        begin, end = self._state[kernels.ERROR_AT], self._state[kernels.ERROR_END]
        return bytes(self._text[begin : min(end, begin + most)])

    def _fail(self, status: int) -> NoReturn:
        word = self._word()
        is_missing = self._state[kernels.ERROR_AT] == self._state[kernels.ERROR_END]
        problem = _PROBLEMS[status].format(
            word="what is missing" if is_missing else shown(word),
            found=self._state[kernels.FOUND],
            rows=self._state[kernels.N_ROWS],
        )
        is_block = status == kernels.BEYOND
        line = self._state[kernels.BLOCK_LINE] if is_block else self._state[kernels.LINES] + 1
        remedy = _REMEDIES.get(status, DAMAGED)
        self._raise(problem, remedy, line=int(line))

    def _raise(self, problem: str, remedy: str, line: int | None = None) -> NoReturn:
        line = int(self._state[kernels.LINES]) + 1 if line is None else line
        raise InputError(problem, path=self._path, line=line, remedy=remedy)
