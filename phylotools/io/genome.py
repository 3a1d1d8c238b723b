"""Reference sequence by region, from a plain, gzip or bgzip FASTA.

A plain file is mapped, not read: opening a whole genome costs one scan, or none where a fresh
``.fai`` stands beside it. No index is ever written beside the user's file.
"""

from __future__ import annotations

import logging
import mmap
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.closing import Closing
from phylotools.io.files import GZIP_MAGIC, cannot_read, open_input
from phylotools.io.regions import Region

logger = logging.getLogger("phylotools")

#: Code of every letter other than A, C, G and T.
N_CODE = 4
#: Added to the code of a lower-case (soft-masked) base.
SOFT_MASK = 8
_BASE_MASK = np.uint8(SOFT_MASK - 1)
_INVALID = 255
_BOM = b"\xef\xbb\xbf"
_WHITESPACE = b" \t\r\n\v\f"
#: Bounds the memory of the check that a contig's lines are equally long.
_SCAN_SIZE = 1 << 24
#: A longer name is not a contig name but a file that is no FASTA.
_LONGEST_HEADER = 1 << 16


def _code_table() -> NDArray[np.uint8]:
    table = np.full(256, _INVALID, dtype=np.uint8)
    # The codes of IUPAC for nucleotides, and X; E, F, I, J, L, O, P, Q and Z are amino acids only.
    table[list(b"RYSWKMBDHVNX-*.")] = N_CODE
    table[list(b"ACGTU")] = [0, 1, 2, 3, 3]
    lower = np.frombuffer(b"acgturyswkmbdhvnx", dtype=np.uint8)
    table[lower] = table[lower - 32] | SOFT_MASK
    table.setflags(write=False)
    return table


#: uint8[256]: ASCII byte -> base code; 255 where the byte is no nucleotide letter. U is T.
CODE_OF_BYTE = _code_table()
#: uint8[5]: base code without soft mask -> upper-case letter, N for all but A, C, G and T.
LETTER_OF_CODE = np.frombuffer(b"ACGTN", dtype=np.uint8)


@dataclass(frozen=True)
class _Lines:
    """Where a contig's bases lie in the file: equally long lines, as in a ``.fai``."""

    length: int
    offset: int
    line_bases: int
    line_width: int


class _SequenceSource(Protocol):
    """What `ReferenceGenome` reads letters from."""

    contigs: dict[str, int]

    def letters(self, contig: str, start: int, end: int) -> bytes: ...

    def close(self) -> None: ...


class ReferenceGenome(Closing):
    """A reference assembly: contig lengths, and sequence by region.

    Use `open`; the instance is a context manager and may be shared between threads.

    Attributes
    ----------
    path : str
    contigs : dict of str to int
        Name -> length in bases, in file order.
    """

    def __init__(self, source: _SequenceSource, path: str) -> None:
        self._source = source
        self.path = path
        self.contigs = source.contigs

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ReferenceGenome:
        """Open a FASTA file.

        Parameters
        ----------
        path : str or PathLike
            Plain, gzip or bgzip. A bgzip file with ``.fai`` and ``.gzi`` is read by region; a
            compressed file without them is held in memory (one byte a base).

        Raises
        ------
        InputError
            If the file cannot be read, is no FASTA, is empty, or names a contig twice.
        """
        name = os.fspath(path)
        try:
            with open(name, "rb") as handle:
                is_regular = stat.S_ISREG(os.fstat(handle.fileno()).st_mode)
                magic = handle.read(2) if is_regular else b""
        except OSError as error:
            raise cannot_read(name, error) from error
        if magic == GZIP_MAGIC and _fresh(name, ".fai") and _fresh(name, ".gzi"):
            return cls(_IndexedBgzip(name), name)
        if is_regular and magic != GZIP_MAGIC:
            return cls(_FlatFasta(_map_file(name), name, _fresh(name, ".fai")), name)
        with open_input(name) as stream:
            data = stream.read()
        if len(data) > 1 << 28:
            logger.info(
                "%s is held in memory (%d MB); bgzip it and run `samtools faidx` to avoid that",
                name,
                len(data) >> 20,
            )
        return cls(_FlatFasta(data, name, False), name)

    @classmethod
    def from_sequences(
        cls, sequences: Mapping[str, bytes], *, path: str = "<memory>"
    ) -> ReferenceGenome:
        """A genome whose contigs are in memory.

        Parameters
        ----------
        sequences : mapping of str to bytes
            Contig name -> letters.
        path : str
            What messages call it.
        """
        return cls(_MemorySource(dict(sequences)), path)

    def fetch(self, region: Region) -> NDArray[np.uint8]:
        """Base codes of a region.

        Parameters
        ----------
        region : Region
            Within the contig.

        Returns
        -------
        uint8 array [L]
            A=0, C=1, G=2, T and U=3, any other nucleotide letter 4; plus 8 where soft-masked
            (lower case).

        Raises
        ------
        InputError
            If the contig is unknown, the region leaves it, or the file holds bytes that are no
            sequence letters there.
        """
        length = self.contigs.get(region.contig)
        if length is None:
            raise InputError(f"has no contig {region.contig!r}", path=self.path)
        if not 0 <= region.start <= region.end <= length:
            raise InputError(
                f"{region.contig}:{region.start + 1}-{region.end} is not within the contig "
                f"(1-{length})",
                path=self.path,
            )
        letters = self._source.letters(region.contig, region.start, region.end)
        codes = CODE_OF_BYTE[np.frombuffer(letters, dtype=np.uint8)]
        if len(codes) != region.end - region.start or (codes == _INVALID).any():
            raise self._wrong_letters(region, letters, codes)
        return codes

    def _wrong_letters(
        self, region: Region, letters: bytes, codes: NDArray[np.uint8]
    ) -> InputError:
        wrong = np.flatnonzero(codes == _INVALID)
        if not len(wrong):
            return InputError(
                f"{region} holds fewer letters than its index says",
                path=self.path,
                remedy="make its .fai index anew with `samtools faidx`",
            )
        letter = ascii(letters[wrong[0] : wrong[0] + 1].decode("latin-1"))
        return InputError(
            f"{letter} at {region.contig}:{region.start + wrong[0] + 1} is no nucleotide code",
            path=self.path,
            remedy="give nucleotide sequences, not proteins; or make its .fai index anew",
        )

    def bases(self, region: Region) -> NDArray[np.uint8]:
        """`fetch` without the soft mask: 0 to 4."""
        return self.fetch(region) & _BASE_MASK

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _fresh(path: str, suffix: str) -> bool:
    """Whether an index exists and is not older than its file (a stale one gives wrong bases)."""
    try:
        return os.stat(path + suffix).st_mtime >= os.stat(path).st_mtime
    except OSError:
        return False


def _map_file(path: str) -> mmap.mmap | bytes:
    with open(path, "rb") as handle:
        if os.fstat(handle.fileno()).st_size == 0:
            return b""
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


class _MemorySource:
    """Letters given by a caller."""

    def __init__(self, sequences: dict[str, bytes]) -> None:
        self._sequences = sequences
        self.contigs = {name: len(letters) for name, letters in sequences.items()}

    def letters(self, contig: str, start: int, end: int) -> bytes:
        return self._sequences[contig][start:end]

    def close(self) -> None:
        pass


class _FlatFasta:
    """Letters of an uncompressed FASTA, mapped or in memory."""

    def __init__(self, data: mmap.mmap | bytes, path: str, has_index: bool) -> None:
        self._data = data
        self._irregular: dict[str, bytes] = {}
        self._lines = (_read_fai(path, data) if has_index else None) or {}
        if not self._lines:
            for name, start, end in _contig_bodies(data, path):
                if name in self._lines:
                    raise InputError(
                        f"contig {name!r} appears twice", path=path, remedy="keep one of the two"
                    )
                lines = _line_layout(data, start, end)
                if lines is None:
                    self._irregular[name] = data[start:end].translate(None, _WHITESPACE)
                    lines = _Lines(len(self._irregular[name]), start, 0, 0)
                if lines.length == 0:
                    raise InputError(
                        f"contig {name!r} has no sequence",
                        path=path,
                        remedy="the file may be incomplete: copy or download it again",
                    )
                self._lines[name] = lines
        self.contigs = {name: lines.length for name, lines in self._lines.items()}

    def letters(self, contig: str, start: int, end: int) -> bytes:
        if contig in self._irregular:
            return self._irregular[contig][start:end]
        lines = self._lines[contig]
        first = _byte_offset(lines, start)
        raw = self._data[first : _byte_offset(lines, end)]
        return raw.translate(None, b"\r\n")

    def close(self) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()


class _IndexedBgzip:
    """Letters of a bgzip FASTA that has its ``.fai`` and ``.gzi``."""

    def __init__(self, path: str) -> None:
        import pysam

        self._lock = threading.Lock()
        verbosity = pysam.set_verbosity(0)
        try:
            self._file: Any = pysam.FastaFile(path)
        except (OSError, ValueError) as error:
            raise InputError(
                "cannot be read with its .fai and .gzi indexes",
                path=path,
                remedy="make them anew with `samtools faidx`",
            ) from error
        finally:
            pysam.set_verbosity(verbosity)
        self._path = path
        self.contigs = dict(zip(self._file.references, self._file.lengths, strict=True))
        if not self.contigs:
            raise InputError("holds no sequence", path=path, remedy="give a FASTA file")

    def letters(self, contig: str, start: int, end: int) -> bytes:
        try:
            with self._lock:
                return self._file.fetch(contig, start, end).encode("latin-1")
        except (OSError, ValueError, UnicodeError) as error:
            raise InputError(
                f"cannot read {contig}:{start + 1}-{end}: the file is damaged or does not fit its "
                "index",
                path=self._path,
                remedy="copy it again, then run `samtools faidx`",
            ) from error

    def close(self) -> None:
        self._file.close()


def _byte_offset(lines: _Lines, base: int) -> int:
    return lines.offset + base // lines.line_bases * lines.line_width + base % lines.line_bases


def _contig_bodies(data: mmap.mmap | bytes, path: str) -> Iterator[tuple[str, int, int]]:
    """Yield (name, first byte, end byte) of each contig's sequence lines."""
    begin = len(_BOM) if data[: len(_BOM)] == _BOM else 0
    while begin < len(data) and data[begin : begin + 1] in (b"\n", b"\r", b" ", b"\t"):
        begin += 1
    if begin == len(data):
        raise InputError("is empty", path=path, remedy="give a FASTA file")
    if data[begin : begin + 1] != b">":
        raise InputError(
            "is not FASTA: it does not begin with '>'", path=path, remedy="give a FASTA file"
        )
    while begin < len(data):
        newline = data.find(b"\n", begin)
        if newline == -1:
            newline = len(data)
        header = data[begin + 1 : min(newline, begin + _LONGEST_HEADER)].split()
        if not header or newline - begin >= _LONGEST_HEADER:
            raise InputError(
                f"the header at byte {begin} has no contig name or is far too long",
                path=path,
                remedy="check that the file is FASTA with Unix or Windows line ends",
            )
        following = data.find(b"\n>", newline)
        end = len(data) if following == -1 else following + 1
        yield header[0].decode("utf-8", "replace"), min(newline + 1, len(data)), end
        begin = end


def _line_layout(data: mmap.mmap | bytes, start: int, end: int) -> _Lines | None:
    """Layout of a contig whose lines, but the last, are equally long; None if they are not."""
    newline = data.find(b"\n", start, end)
    last = end
    while last > start and data[last - 1 : last] in (b"\n", b"\r"):
        last -= 1
    if newline == -1 or newline >= last:
        newline, width = last, last - start + 1
    else:
        width = newline + 1 - start
    return_bytes = 1 if newline > start and data[newline - 1 : newline] == b"\r" else 0
    if newline == last:
        return_bytes = 0
    bases = width - 1 - return_bytes
    if bases == 0:
        return None
    full_lines, rest = divmod(last - start, width)
    if rest > bases:
        return None
    step = max(1, _SCAN_SIZE // width) * width
    for chunk_start in range(start, last, step):
        chunk = np.frombuffer(data[chunk_start : min(chunk_start + step, last)], dtype=np.uint8)
        is_space = chunk <= 32
        n_ends = len(chunk) // width
        line_ends = chunk[: n_ends * width].reshape(n_ends, width)[:, bases:]
        expected = [13, 10] if return_bytes else [10]
        if (line_ends != expected).any() or is_space.sum() != n_ends * len(expected):
            return None
    return _Lines(full_lines * bases + rest, start, bases, width)


def _read_fai(path: str, data: mmap.mmap | bytes) -> dict[str, _Lines] | None:
    """Parse ``path.fai``; None if it cannot belong to this file."""
    index: dict[str, _Lines] = {}
    try:
        with open(path + ".fai", encoding="utf-8") as handle:
            for row in handle:
                name, length, offset, bases, width = row.rstrip("\r\n").split("\t")[:5]
                index[name] = _Lines(int(length), int(offset), int(bases), int(width))
        for lines in index.values():
            if lines.length <= 0 or not 0 < lines.line_bases < lines.line_width:
                return None
            end = _byte_offset(lines, lines.length - 1) + 1
            borders = data[lines.offset - 1 : lines.offset] + data[end : end + 1]
            if borders.strip(b"\r\n") or end > len(data):
                return None
    except (OSError, ValueError):
        return None
    return index
