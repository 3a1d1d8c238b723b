"""Multiple alignment format (MAF) -> rows (https://genome.ucsc.edu/FAQ/FAQformat.html#format5).

`s` lines are read; `e`, `i` and `q` lines, comments and track lines are passed over.
"""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.alignment import maf_kernels as kernels
from phylotools.io.alignment.rows import RowTable

#: Bytes of text scanned at once: the tables of rows then stay small, and so does the share of
#: calls from Python (measured: 1 MiB is 10 % slower, 16 MiB no faster).
PIECE = 4 << 20
#: The text of one block; about as many bytes again are needed for its columns.
LARGEST_BLOCK = 1 << 29
#: What is shown of a line that cannot be read.
_SHOWN_LINE = 1 << 16

NOT_MAF = "give a MAF file (plain, gzip or bgzip)"
DAMAGED = "the file may be cut or damaged: make or download it again"


class MafReader:
    """Iterate over the rows of a MAF file, some MB of text at a time.

    Parameters
    ----------
    handle : BufferedReader
        Decompressed bytes; see `phylotools.io.files.open_input`.
    path : str
        For messages.
    piece : int
        Bytes to scan at once.

    Attributes
    ----------
    n_bytes : int
        Bytes of text read so far.

    Raises
    ------
    InputError
        While iterating, with file and line, for a line that no MAF file has, or a block larger
        than `LARGEST_BLOCK` bytes.
    """

    def __init__(self, handle: io.BufferedReader, path: str, *, piece: int = PIECE) -> None:
        self._handle = handle
        self._path = path
        self._piece = piece
        self.n_bytes = 0

    def __iter__(self) -> Iterator[RowTable]:
        line, rest, is_last = 1, b"", False
        if self._handle.peek(len(BOM_UTF8)).startswith(BOM_UTF8):
            self._handle.read(len(BOM_UTF8))
        size = self._piece
        while not is_last:
            text, end = self._fill(rest, size)
            is_last = end < size
            table, at, next_line = self._scan(text, end, is_last, line)
            if table is not None:
                yield table
            if at == 0 and not is_last:
                # Not one whole block: look at more. The text is scanned again, twice at most.
                size *= 2
                if size > LARGEST_BLOCK:
                    self._fail(
                        f"the block that begins here is larger than {LARGEST_BLOCK >> 20} MiB",
                        line,
                        "split it into shorter blocks",
                    )
            else:
                size = self._piece
            line, rest = next_line, text[at:end].tobytes()
            size = max(size, 2 * len(rest))

    def _fill(self, rest: bytes, size: int) -> tuple[NDArray[np.uint8], int]:
        """A new buffer that begins with `rest`, and how many of its bytes are filled."""
        buffer = np.empty(max(size, len(rest)), dtype=np.uint8)
        buffer[: len(rest)] = np.frombuffer(rest, dtype=np.uint8)
        end = len(rest)
        view = buffer.data
        while end < size:
            count = self._handle.readinto(view[end:])
            if not count:
                break
            self.n_bytes += count
            end += count
        return buffer, end

    def _scan(
        self, text: NDArray[np.uint8], end: int, is_last: bool, line: int
    ) -> tuple[RowTable | None, int, int]:
        capacity = end // kernels.SHORTEST_ROW + 1
        rows = np.empty((kernels.N_FIELDS, capacity), dtype=np.int64)
        first_row = np.empty(capacity + 1, dtype=np.int64)
        width = np.empty(capacity, dtype=np.int64)
        status, at, line, n_blocks, n_rows = kernels.scan(
            text, end, is_last, line, rows, first_row, width
        )
        if status != kernels.DONE:
            cut = text[at : min(at + _SHOWN_LINE, end)].tobytes()
            self._explain(status, cut, line, int(width[n_blocks]))
        if n_blocks == 0:
            return None, at, line
        field = rows[:, :n_rows]
        table = RowTable(
            buffer=text[:end],
            first_row=first_row[: n_blocks + 1],
            width=width[:n_blocks],
            source_at=field[kernels.SOURCE_AT],
            source_length=field[kernels.SOURCE_LENGTH],
            start=field[kernels.START],
            size=field[kernels.SIZE],
            is_reverse=field[kernels.IS_REVERSE].astype(np.uint8),
            source_size=field[kernels.SOURCE_SIZE],
            letters_at=field[kernels.LETTERS_AT],
            line=field[kernels.LINE],
        )
        return table, at, line

    def _explain(self, status: int, text: bytes, line: int, width: int) -> NoReturn:
        """Say what is wrong with a line."""
        text = text.partition(b"\n")[0]
        if b"\r" in text.rstrip(b"\r"):
            self._fail("line ends are CR only", line, "convert them, e.g. with: tr '\\r' '\\n'")
        if status == kernels.OUTSIDE:
            self._fail("a row outside a block (no 'a' line above)", line)
        if not text.startswith((b"s ", b"s\t")):
            self._fail(f"{shown(text[:20])} begins no line of a MAF file", line, NOT_MAF)
        fields = text.split()
        if len(fields) != 7:
            self._fail(f"a row has 7 fields, this one {len(fields)}", line)
        if fields[4] not in (b"+", b"-"):
            self._fail(f"strand {shown(fields[4])} is neither + nor -", line)
        for index, name in ((2, "start"), (3, "size"), (5, "source size")):
            if not re.fullmatch(rb"[0-9]{1,12}", fields[index]):
                self._fail(f"{name} {shown(fields[index])} is no whole number from 0 up", line)
        if status == kernels.BEYOND:
            start, size, source_size = (int(fields[index]) for index in (2, 3, 5))
            self._fail(
                f"start {start} + size {size} lies beyond the source size {source_size}", line
            )
        if status == kernels.UNEQUAL:
            self._fail(f"the row has {len(fields[6])} columns, the rows above have {width}", line)
        self._fail("the row cannot be read", line)

    def _fail(self, problem: str, line: int, remedy: str = DAMAGED) -> NoReturn:
        raise InputError(problem, path=self._path, line=line, remedy=remedy)


def shown(text: bytes) -> str:
    """Bytes of a file as a short quoted text for a message."""
    return ascii(text[:100].decode("latin-1"))
