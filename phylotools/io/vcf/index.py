"""The index of a bgzip VCF, table or BCF (``.tbi``, ``.csi``): whether it is that of this file.

An index that was copied from elsewhere, or made before the file was, leads to no records or to
some of them without a word. One of this very file says where every record lies: its chunks, put in
order, reach from the header to the end without a gap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from phylotools.errors import InputError
from phylotools.io.bgzf import read_blocks
from phylotools.io.files import open_input, open_regular
from phylotools.io.vcf import bcf

#: Far above the index of any genome's variants.
_LARGEST_INDEX = 1 << 30
_TBI_MIN_SHIFT, _TBI_DEPTH = 14, 5
#: Of tabix: the preset of VCF, and the flag of half-open positions from 0.
_VCF, _ZERO_BASED = 2, 0x10000
_MOST_CONTIGS_CHECKED = 1000
_DAMAGED = "it is damaged, or of another kind"


@dataclass(frozen=True)
class Chunk:
    """Records that lie together: virtual offsets, and the 0-based positions they are within."""

    begin: int
    end: int
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """Where lines of an indexed text have contig and position, as the index says.

    Attributes
    ----------
    is_vcf : bool
    contig, position : int
        Columns, from 0.
    is_zero_based : bool
    mark : bytes
        What comments begin with.
    n_skipped : int
        Lines before the first record, whatever they begin with.
    """

    is_vcf: bool = True
    contig: int = 0
    position: int = 1
    is_zero_based: bool = False
    mark: bytes = b"#"
    n_skipped: int = 0


@dataclass(frozen=True)
class PositionIndex:
    """Chunks by contig; `names` is None for a BCF, whose header numbers the contigs."""

    names: list[bytes] | None
    chunks: list[list[Chunk]]
    layout: Layout = Layout()


def disagreement(path: str, index: str, contigs: Sequence[bytes]) -> str | None:
    """Why an index is not that of a file; None if it is.

    Parameters
    ----------
    path : str
        A bgzip VCF or a BCF.
    index : str
    contigs : sequence of bytes
        That the file's header declares, in order.
    """
    parsed = read_index(index)
    return _DAMAGED if parsed is None else difference(path, parsed, contigs)


def read_index(index: str) -> PositionIndex | None:
    """An index, whatever file it is of; None if it is damaged or of another kind."""
    try:
        with open_input(index) as handle:
            return _parse(handle.read(_LARGEST_INDEX))
    except (struct.error, ValueError, IndexError, OverflowError, InputError):
        return None


def difference(path: str, parsed: PositionIndex, contigs: Sequence[bytes]) -> str | None:
    """As `disagreement`, of an index that has been read."""
    with open_regular(path) as handle:
        file = _File(handle, path, parsed.layout)
        try:
            return _coverage(file, parsed) or _contigs(file, parsed, contigs)
        except (InputError, struct.error, ValueError, IndexError):
            return "it leads to places where no record begins"


def _coverage(file: _File, index: PositionIndex) -> str | None:
    """Whether chunks reach from the header to the end of the file."""
    chunks = sorted((each.begin, each.end) for listed in index.chunks for each in listed)
    if not file.is_header(chunks[0][0] if chunks else None):
        return "it does not begin with the first record"
    reach = chunks[0][0] if chunks else 0
    for begin, end in chunks:
        if begin > reach and file.text(reach, begin):
            return "it leaves records out"
        reach = max(reach, end)
    if chunks and file.text(reach, None):
        return "it ends before the last record"
    return None


def _contigs(file: _File, index: PositionIndex, contigs: Sequence[bytes]) -> str | None:
    """Whether the first record of each contig is on it, and within the positions of its bin."""
    names = contigs if index.names is None else index.names
    if len(names) < len(index.chunks):
        return "it has contigs that the header lacks"
    for number, listed in enumerate(index.chunks[:_MOST_CONTIGS_CHECKED]):
        if not listed:
            continue
        chunk = min(listed, key=lambda each: (each.begin, each.stop))
        contig, position = file.place(chunk.begin)
        if contig != (number if index.names is None else names[number]):
            return f"it has {names[number].decode('utf-8', 'replace')} where the file has others"
        if not chunk.start <= max(position, 0) < chunk.stop:
            return "it has records at other positions than the file"
    return None


class _File:
    """Text of a bgzip file by virtual offsets (block's offset << 16 | offset in its text)."""

    def __init__(self, handle: BinaryIO, path: str, layout: Layout) -> None:
        self._handle = handle
        self._path = path
        self._layout = layout
        self._is_bcf = next(self._pieces(0, None), b"").startswith(bcf.MAGIC)

    def _pieces(self, begin: int, end: int | None) -> Iterator[bytes]:
        stop = None if end is None else end >> 16
        for at, text in read_blocks(self._handle, begin >> 16, self._path):
            if stop is not None and at > stop:
                return
            first = begin & 0xFFFF if at == begin >> 16 else 0
            if first > len(text):
                raise ValueError("beyond the block")
            yield text[first : end & 0xFFFF if end is not None and at == stop else None]

    def text(self, begin: int, end: int | None) -> bytes:
        """What is not blank first between two places, or up to the end of the file."""
        return next(filter(None, map(bytes.strip, self._pieces(begin, end))), b"")

    def is_header(self, end: int | None) -> bool:
        """Whether the header reaches just to a place; None is the end of the file."""
        text = bytearray()
        for piece in self._pieces(0, end):
            text += piece
            if len(text) > bcf.LONGEST_HEADER:
                return False
        if self._is_bcf:
            return len(text) == bcf.header_end(text)
        if not self._layout.is_vcf:
            lines = text.split(b"\n")
            mark, n_skipped = self._layout.mark, self._layout.n_skipped
            return not lines[-1] and all(line.startswith(mark) for line in lines[n_skipped:-1])
        return text.endswith(b"\n") and text[text.rfind(b"\n", 0, -1) + 1 :].startswith(b"#CHROM\t")

    def place(self, offset: int) -> tuple[bytes | int, int]:
        """Contig (its number in a BCF) and 0-based position of the record at a place."""
        text = b""
        last = max(self._layout.contig, self._layout.position)
        for piece in self._pieces(offset, None):
            text += piece
            if self._is_bcf and len(text) >= 16:
                contig, position = struct.unpack_from("<ii", text, 8)
                return contig, position
            if not self._is_bcf and text.count(b"\t") > last:
                break
        columns = text.partition(b"\n")[0].split(b"\t", last + 1)
        position = int(columns[self._layout.position])
        return columns[self._layout.contig], position - (not self._layout.is_zero_based)


def _parse(data: bytes) -> PositionIndex:
    """The chunks of an index; any of several errors where the bytes are none."""
    names: list[bytes] | None = None
    layout = Layout()
    if data[:4] == b"CSI\x01":
        min_shift, depth, n_extra = struct.unpack_from("<3i", data, 4)
        if not 0 <= n_extra <= len(data):
            raise ValueError("sizes")
        if n_extra:
            names = _names(data[16 : 16 + n_extra])
            layout = _layout(data[16 : 16 + n_extra])
        at = 16 + n_extra
        (n_contigs,) = struct.unpack_from("<i", data, at)
        at += 4
    elif data[:4] == b"TBI\x01":
        min_shift, depth = _TBI_MIN_SHIFT, _TBI_DEPTH
        (n_contigs,) = struct.unpack_from("<i", data, 4)
        (n_bytes,) = struct.unpack_from("<i", data, 32)
        at = 36 + n_bytes
        names = _names(data[8:at])
        layout = _layout(data[8:at])
    else:
        raise ValueError("no magic")
    if not (0 < min_shift <= 30 and 0 < depth <= 12 and 0 <= n_contigs <= len(data)):
        raise ValueError("sizes")
    if names is not None and len(names) != n_contigs:
        raise ValueError("names")
    chunks = []
    for _ in range(n_contigs):
        listed, at = _contig_chunks(data, at, min_shift, depth, is_csi=data[:1] == b"C")
        chunks.append(listed)
    return PositionIndex(names, chunks, layout)


def _layout(data: bytes) -> Layout:
    """Where lines have what, by the seven numbers of a tabix header."""
    kind, contig, position, _, mark, n_skipped = struct.unpack_from("<6i", data, 0)
    if contig < 1 or position < 1 or not 0 <= mark < 256 or n_skipped < 0:
        raise ValueError("layout")
    is_vcf = kind & 0xFFFF == _VCF
    zero_based = bool(kind & _ZERO_BASED)
    return Layout(is_vcf, contig - 1, position - 1, zero_based, bytes([mark]), n_skipped)


def _names(data: bytes) -> list[bytes]:
    """Contigs of a tabix header: seven numbers, and names with a zero behind each."""
    (n_bytes,) = struct.unpack_from("<i", data, 24)
    if n_bytes < 0 or 28 + n_bytes > len(data):
        raise ValueError("names")
    return data[28 : 28 + n_bytes].split(b"\0")[:-1]


def _contig_chunks(
    data: bytes, at: int, min_shift: int, depth: int, *, is_csi: bool
) -> tuple[list[Chunk], int]:
    """Chunks of the contig whose bins begin at an offset, and the offset behind them."""
    n_possible = ((1 << 3 * (depth + 1)) - 1) // 7
    (n_bins,) = struct.unpack_from("<i", data, at)
    at += 4
    found = []
    for _ in range(n_bins):
        (number,) = struct.unpack_from("<I", data, at)
        at += 12 if is_csi else 4
        (n_chunks,) = struct.unpack_from("<i", data, at)
        at += 4
        if n_chunks < 0 or at + 16 * n_chunks > len(data):
            raise ValueError("chunks")
        offsets = struct.unpack_from(f"<{2 * n_chunks}Q", data, at)
        at += 16 * n_chunks
        if number == n_possible + 1:
            continue  # counts, not places
        if number >= n_possible:
            raise ValueError("bin")
        level = ((7 * number + 1).bit_length() - 1) // 3
        size = 1 << (min_shift + 3 * (depth - level))
        start = (number - ((1 << 3 * level) - 1) // 7) * size
        pairs = zip(offsets[::2], offsets[1::2], strict=True)
        found += [Chunk(begin, end, start, start + size) for begin, end in pairs]
    if not is_csi:
        (n_intervals,) = struct.unpack_from("<i", data, at)
        if n_intervals < 0:
            raise ValueError("intervals")
        at += 4 + 8 * n_intervals
    return found, at
