"""One line of a MAF file at a time: rows checked by themselves, other lines recognised."""

from __future__ import annotations

import io
import re
from typing import NamedTuple, NoReturn

from phylotools.errors import InputError
from phylotools.io.regions import MAX_COORDINATE

#: Rows of whole chromosomes are real; beyond this a line is no alignment.
_LONGEST_ROW = 1 << 29
#: What is read of a line before it is known to be a row.
_PIECE = 1 << 16
_BLOCK_STARTS = (b"a ", b"a\t", b"a\n", b"a\r")
#: Comments, context of the neighbours, empty regions, quality, display.
_PASSED_OVER = (b"#", b"i ", b"i\t", b"e ", b"e\t", b"q ", b"q\t", b"track", b"browser")
_ROW = re.compile(rb"s\s+(\S+)\s+([0-9]{1,13})\s+([0-9]{1,13})\s+([+-])\s+([0-9]{1,13})\s+(\S+)\s*")

NOT_MAF = "give a MAF file (plain, gzip or bgzip)"
DAMAGED = "the file may be cut or damaged: make or download it again"
CR_ONLY = "line ends are CR only"
CR_ONLY_REMEDY = "convert them, e.g. with: tr '\\r' '\\n'"


class MafRow(NamedTuple):
    """Fields of an ``s`` line; `start` counts from the row's own strand."""

    source: bytes
    start: int
    size: int
    is_reverse: bool
    source_size: int
    text: bytes


class MafLines:
    """Iterate over what matters in a MAF file: starts of blocks, rows, ends of blocks.

    Attributes
    ----------
    line : int
        1-based number of the current line.
    n_bytes : int
        Bytes of text read so far.
    """

    def __init__(self, handle: io.BufferedReader, path: str) -> None:
        self._handle = handle
        self._path = path
        self.line = 0
        self.n_bytes = 0

    def next_row(self) -> MafRow | bool | None:
        """The next row; True at the start of a block, False at an empty line, None at the end.

        Raises
        ------
        InputError
            For a line that no MAF file has.
        """
        while piece := self._read(_PIECE):
            self.line += 1
            if self.line == 1:
                piece = piece.removeprefix(b"\xef\xbb\xbf")
            if piece.startswith((b"s ", b"s\t")):
                return self._row(self._rest_of_row(piece))
            self._check(piece)
            rest = piece
            while rest and not rest.endswith(b"\n"):
                rest = self._read(_PIECE)
            if piece.startswith(_BLOCK_STARTS) or piece == b"a":
                return True
            if not piece.strip():
                return False
        return None

    def fail(self, problem: str, remedy: str = DAMAGED, line: int | None = None) -> NoReturn:
        """Raise `InputError` at a line, by default the current one."""
        raise InputError(problem, path=self._path, line=line or self.line, remedy=remedy)

    def _read(self, limit: int) -> bytes:
        piece = self._handle.readline(limit)
        self.n_bytes += len(piece)
        return piece

    def _rest_of_row(self, piece: bytes) -> bytes:
        if piece.endswith(b"\n") or len(piece) < _PIECE:
            return piece
        line = piece + self._read(_LONGEST_ROW)
        if len(line) > _LONGEST_ROW:
            self.fail(f"the row is longer than {_LONGEST_ROW} bytes", NOT_MAF)
        return line

    def _check(self, piece: bytes) -> None:
        if b"\r" in piece.rstrip(b"\r\n"):
            self.fail(CR_ONLY, CR_ONLY_REMEDY)
        if self.line == 1 and piece.startswith(b"#taf"):
            self.fail("is TAF, not MAF", "convert it: taffy view -m")
        is_known = piece.startswith(_PASSED_OVER) or piece.startswith(_BLOCK_STARTS)
        if not is_known and piece.strip() not in (b"", b"a"):
            self.fail(f"{shown(piece[:20])} begins no line of a MAF file", NOT_MAF)

    def _row(self, line: bytes) -> MafRow:
        match = _ROW.fullmatch(line)
        if match is None:
            self._explain(line)
        source, start, size, strand, source_size, text = match.groups()
        row = MafRow(source, int(start), int(size), strand == b"-", int(source_size), text)
        if row.start + row.size > row.source_size or row.source_size > MAX_COORDINATE:
            self.fail(
                f"start {row.start} + size {row.size} lies beyond the source size "
                f"{row.source_size}, or that beyond {MAX_COORDINATE}"
            )
        return row

    def _explain(self, line: bytes) -> NoReturn:
        """Say what is wrong with a row that is no row."""
        if b"\r" in line.rstrip(b"\r\n"):
            self.fail(CR_ONLY, CR_ONLY_REMEDY)
        fields = line.split()
        if len(fields) != 7:
            self.fail(f"a row has 7 fields, this one {len(fields)}")
        if fields[4] not in (b"+", b"-"):
            self.fail(f"strand {shown(fields[4])} is neither + nor -")
        for index, name in ((2, "start"), (3, "size"), (5, "source size")):
            if not re.fullmatch(rb"[0-9]{1,13}", fields[index]):
                self.fail(f"{name} {shown(fields[index])} is no whole number from 0 up")
        self.fail("the row cannot be read")


def shown(text: bytes) -> str:
    """Bytes of a file as a short quoted text for a message."""
    return ascii(text[:100].decode("latin-1"))
