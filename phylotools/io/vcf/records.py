"""Many VCF records at once: whole lines as one buffer, and where their columns lie in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.vcf.bcf import JOIN_REMEDY
from phylotools.io.vcf.record_kernels import (
    BAD_POSITION,
    FINE,
    N_TABS,
    WRONG_COLUMNS,
    info_contains,
    record_ends,
    reduce_records,
    scan_lines,
)


@dataclass(frozen=True)
class LineBlock:
    """Whole lines of a file.

    Attributes
    ----------
    text : bytes
        Every line with its line end.
    first_line : int
        1-based number of the first one; 0 where an index was used, so that nobody counted.
    """

    text: bytes
    first_line: int

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """Its lines that are not blank, and their numbers."""
        for offset, line in enumerate(self.text.split(b"\n")[:-1]):
            if line not in (b"", b"\r"):
                yield self.first_line + offset, line + b"\n"


@dataclass(frozen=True)
class RecordTable:
    """Where the records of a block lie, N of them.

    Attributes
    ----------
    block : LineBlock
    text : uint8 array
        The block's text.
    begins, ends : int64 array [N]
        Of a record's line, with its line end.
    tabs : int64 array [N, 8]
        Ends of the columns CHROM, POS, ID, REF, ALT, QUAL, FILTER and INFO.
    positions : int64 array [N]
        POS, 1-based.
    line_index : int64 array [N]
        Lines of the block before each.
    run_starts : int64 array [R]
        First records of runs on one contig.
    run_names : list of bytes, length R
        CHROM of each run.
    """

    block: LineBlock
    text: NDArray[np.uint8]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    tabs: NDArray[np.int64]
    positions: NDArray[np.int64]
    line_index: NDArray[np.int64]
    run_starts: NDArray[np.int64]
    run_names: list[bytes]

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def run_lengths(self) -> NDArray[np.int64]:
        """Records of each run, int64 array [R]."""
        return np.diff(self.run_starts, append=len(self))

    def column(self, record: int, index: int) -> bytes:
        """One of the fixed columns, but CHROM."""
        begin, end = self.tabs[record, index - 1 : index + 1].tolist()
        return self.block.text[begin + 1 : end]

    def line_number(self, record: int) -> int | None:
        """1-based line of a record; None where it is not known."""
        first = self.block.first_line
        return first + int(self.line_index[record]) if first else None

    def info_contains(self, wanted: bytes) -> NDArray[np.bool_]:
        """Which records have some bytes in their INFO column, bool array [N]."""
        found = np.empty(len(self), dtype=bool)
        info_contains(self.text, self.tabs, np.frombuffer(wanted, dtype=np.uint8), found)
        return found

    def reduced(self, keys: Sequence[str]) -> bytes:
        """The records as lines with these INFO fields alone, and without genotypes."""
        encoded = [key.encode() for key in keys]
        lines = np.empty(len(self.text) + 2 * len(self), dtype=np.uint8)
        n_bytes = reduce_records(
            self.text,
            self.begins,
            self.tabs,
            np.frombuffer(b"".join(encoded), dtype=np.uint8),
            np.cumsum([0, *map(len, encoded)]),
            lines,
        )
        return lines[:n_bytes].tobytes()

    def span_ends(self) -> NDArray[np.int64]:
        """0-based end of what each record spans, int64 array [N]: its REF, or INFO/END."""
        ends = np.empty(len(self), dtype=np.int64)
        record_ends(self.text, self.tabs, self.positions, ends)
        return ends

    def subset(self, chosen: NDArray[np.bool_]) -> RecordTable:
        """Some of the records.

        Parameters
        ----------
        chosen : bool array [N]
        """
        if chosen.all():
            return self
        run_of = np.repeat(np.arange(len(self.run_names)), self.run_lengths)[chosen]
        starts = np.flatnonzero(np.diff(run_of, prepend=-1))
        return replace(
            self,
            begins=self.begins[chosen],
            ends=self.ends[chosen],
            tabs=self.tabs[chosen],
            positions=self.positions[chosen],
            line_index=self.line_index[chosen],
            run_starts=starts,
            run_names=[self.run_names[run] for run in run_of[starts].tolist()],
        )

    def with_info(self, changed: dict[int, bytes]) -> RecordTable:
        """The records, some of them with another INFO column.

        Parameters
        ----------
        changed : dict of int to bytes
            Record -> its new INFO.
        """
        if not changed:
            return self
        begins, ends, tabs = self.begins.copy(), self.ends.copy(), self.tabs.copy()
        text = self.block.text
        parts = [text]
        at = len(text)
        for record, info in changed.items():
            begin, end = int(begins[record]), int(ends[record])
            info_begin, info_end = int(tabs[record, 6]) + 1, int(tabs[record, 7])
            line = text[begin:info_begin] + info + text[info_end:end]
            parts.append(line)
            begins[record], ends[record] = at, at + len(line)
            tabs[record] += at - begin
            tabs[record, 7] = at + info_begin - begin + len(info)
            at += len(line)
        joined = b"".join(parts)
        return replace(
            self,
            text=np.frombuffer(joined, dtype=np.uint8),
            begins=begins,
            ends=ends,
            tabs=tabs,
            block=replace(self.block, text=joined),
        )


def scan_records(block: LineBlock, n_columns: int, path: str) -> RecordTable:
    """Find the records of a block.

    Parameters
    ----------
    block : LineBlock
    n_columns : int
        Columns of the header line.
    path : str
        For messages.

    Raises
    ------
    InputError
        If a line is no VCF record.
    """
    text = np.frombuffer(block.text, dtype=np.uint8)
    n_lines = block.text.count(b"\n")
    begins, ends, positions, line_index = (np.empty(n_lines, dtype=np.int64) for _ in range(4))
    tabs = np.empty((n_lines, N_TABS), dtype=np.int64)
    problems = np.empty(n_lines, dtype=np.uint8)
    is_new = np.empty(n_lines, dtype=bool)
    n = scan_lines(text, n_columns, begins, ends, tabs, positions, line_index, problems, is_new)
    wrong = np.flatnonzero(problems[:n] != FINE)
    if len(wrong):
        record = int(wrong[0])
        line = block.text[begins[record] : ends[record]]
        number = block.first_line + int(line_index[record]) if block.first_line else None
        raise _line_error(line, int(problems[record]), n_columns, path, number)
    starts = np.flatnonzero(is_new[:n])
    names = [
        block.text[begin:end]
        for begin, end in zip(begins[starts].tolist(), tabs[starts, 0].tolist(), strict=True)
    ]
    return RecordTable(
        block, text, begins[:n], ends[:n], tabs[:n], positions[:n], line_index[:n], starts, names
    )


def _line_error(
    line: bytes, problem: int, n_columns: int, path: str, number: int | None
) -> InputError:
    columns = line.split(b"\t", 2)
    if line.startswith((b"##fileformat=", b"#CHROM\t")):
        return InputError("a second header begins here", path=path, line=number, remedy=JOIN_REMEDY)
    if problem == WRONG_COLUMNS:
        n_found = line.count(b"\t") + 1
        message = (
            f"the record has {n_found} tab-separated columns, the header line {n_columns}; the "
            "file may be cut off, or not tab-separated"
        )
    elif problem == BAD_POSITION:
        message = f"POS {columns[1][:20].decode('utf-8', 'replace')!r} is not a whole number"
    else:
        message = "REF is empty"
    return InputError(message, path=path, line=number, remedy="mend the line")
