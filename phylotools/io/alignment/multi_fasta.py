"""Aligned FASTA -> tables of rows: every sequence is a row, as long as all others."""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.alignment.maf import shown
from phylotools.io.alignment.rows import RowTable
from phylotools.io.bases import NUCLEOTIDES, PROTEIN_REMEDY

#: The whole alignment is held in memory.
MOST_LETTERS = 1 << 29
MOST_SEQUENCES = 1 << 16
#: A larger alignment is handed on in blocks of so many letters.
_BLOCK_LETTERS = 1 << 26
_PIECE = 1 << 20
_LETTERS = NUCLEOTIDES.replace(b".", b"")

_NOT_ALIGNED = "give sequences that are aligned to each other, with - for gaps"
_LETTER_REMEDY = "write letters, N where a base is unknown, and - for gaps"
_TO_MAF = "convert it to MAF, which is read block by block"


class MultiFastaReader:
    """Iterate over an aligned FASTA file: one block, or several side by side if it is large.

    The source of a row is the first word of its header up to a ``|``: ``>species``,
    ``>species.contig``, ``>species|accession`` or ``>species description``. Rows begin at 0 on
    the forward strand of a source that is as long as the row's bases.

    A file that is cut exactly between two sequences is an alignment of fewer species: only gzip
    and bgzip show that.

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
        self._line = 0
        self._width = 0
        self._letters = bytearray()
        #: Name of each source -> line of its header.
        self._sources: dict[bytes, int] = {}

    def __iter__(self) -> Iterator[RowTable]:
        is_start = True
        while piece := self._handle.readline(_PIECE):
            self.n_bytes += len(piece)
            self._line += is_start
            if self.n_bytes == len(piece):
                piece = piece.removeprefix(BOM_UTF8)
            if is_start and piece.startswith(b">"):
                self._end_sequence()
                self._begin_sequence(piece)
            else:
                self._add(piece.rstrip() if piece.endswith(b"\n") else piece)
            is_start = piece.endswith(b"\n")
        if not self._sources:
            self._fail("the file holds no sequence", _NOT_ALIGNED)
        self._end_sequence()
        yield from self._tables()

    def _begin_sequence(self, header: bytes) -> None:
        if b"\r" in header.rstrip(b"\r\n"):
            self._fail("line ends are CR only", "convert them, e.g. with: tr '\\r' '\\n'")
        if not header.endswith(b"\n"):
            self._fail("the header has no line end: the file is cut, or no FASTA", _NOT_ALIGNED)
        words = header[1:].split(b"|")[0].split()
        # A blank behind > is no name, but some programs write it.
        if not words or min(words[0]) < 32:
            self._fail("the header names no sequence", "write >species or >species.contig")
        name = words[0]
        if name in self._sources:
            self._fail(
                f"{shown(name)} stands here again, first in line {self._sources[name]}",
                "give each sequence its own name: >species or >species.contig",
            )
        if len(self._sources) == MOST_SEQUENCES:
            self._fail(f"there are more than {MOST_SEQUENCES} sequences", _TO_MAF)
        self._sources[name] = self._line

    def _add(self, letters: bytes) -> None:
        odd = letters.translate(None, _LETTERS)
        if odd:
            # The last line may end in blanks without a line end.
            letters = letters.rstrip()
            odd = letters.translate(None, _LETTERS)
        if odd.startswith(b"="):
            self._fail("'=' ends a block of XMFA (Mauve, parsnp)", _TO_MAF)
        if odd:
            remedy = PROTEIN_REMEDY if odd[:1].isalpha() else _LETTER_REMEDY
            self._fail(f"{shown(odd[:1])} is no letter of a nucleotide alignment", remedy)
        if letters and not self._sources:
            self._fail("letters stand before the first header", "begin the file with >species")
        self._letters += letters
        if len(self._letters) > MOST_LETTERS:
            self._fail(f"there are more than {MOST_LETTERS // 10**6} million letters", _TO_MAF)

    def _end_sequence(self) -> None:
        """Check the length of the sequence that was read last."""
        if not self._sources:
            return
        n_before = len(self._sources) - 1
        length = len(self._letters) - n_before * self._width
        name, line = next(reversed(self._sources.items()))
        if length == 0:
            self._fail(f"the sequence {shown(name)} is empty", _NOT_ALIGNED, line)
        if n_before and length != self._width:
            self._fail(
                f"the sequence {shown(name)} has {length} letters, those before it {self._width}",
                _NOT_ALIGNED,
                line,
            )
        self._width = length

    def _tables(self) -> Iterator[RowTable]:
        n_rows, n_letters = len(self._sources), len(self._letters)
        names = b"".join(self._sources)
        lengths = np.array([len(name) for name in self._sources], dtype=np.int64)
        self._letters += names
        buffer = np.frombuffer(self._letters, dtype=np.uint8)
        letters = buffer[:n_letters].reshape(n_rows, self._width)
        start = np.zeros(n_rows, dtype=np.int64)
        source_size = _count_bases(letters)
        step = max(1, _BLOCK_LETTERS // n_rows)
        for begin in range(0, self._width, step):
            part = letters[:, begin : begin + step]
            size = _count_bases(part)
            yield RowTable(
                buffer=buffer,
                first_row=np.array([0, n_rows], dtype=np.int64),
                width=np.array([part.shape[1]], dtype=np.int64),
                source_at=n_letters + np.cumsum(lengths) - lengths,
                source_length=lengths,
                start=start,
                size=size,
                is_reverse=np.zeros(n_rows, dtype=np.uint8),
                source_size=source_size,
                letters_at=np.arange(n_rows, dtype=np.int64) * self._width + begin,
                line=np.array(list(self._sources.values()), dtype=np.int64),
            )
            start = start + size

    def _fail(self, problem: str, remedy: str, line: int | None = None) -> NoReturn:
        raise InputError(problem, path=self._path, line=line or self._line or 1, remedy=remedy)


def _count_bases(letters: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Letters of each row that are no gaps."""
    return np.array([np.count_nonzero(row != ord("-")) for row in letters], dtype=np.int64)
