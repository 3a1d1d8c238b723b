"""2bit: sequence at two bits a base, as UCSC's browser reads it for assemblies of others.

The layout is that of https://genome.ucsc.edu/FAQ/FAQformat.html#format7: a header, an index of
names and offsets, then for each sequence its length, blocks of N, blocks of soft mask, and four
bases a byte. Version 1 has offsets of 64 bits; it is written only where version 0 has no room.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bases import CODE_MASK, SOFT_MASK, N
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

_SIGNATURE = 0x1A412743
#: T, C, A and G are 0 to 3; what stands under a block of N is not read.
_PACKED = np.array([2, 1, 3, 0, 0], dtype=np.uint8)
#: Bases read at once; whole bytes of the packed sequence.
_CHUNK = 4 << 20
#: Bytes of an offset in version 0, and what blocks of N and of mask may take beside the bases.
_LARGEST = 1 << 32
_ROOM_FOR_BLOCKS = 1 << 28
#: Bytes of a contig's name that 2bit has room for.
LONGEST_NAME = 255


def write_two_bit(path: Path, genome: ReferenceGenome, contigs: Mapping[str, int]) -> None:
    """Write contigs of a genome; memory holds a quarter of a byte a base of the longest.

    Parameters
    ----------
    path : Path
        Replaced if it exists; call it on a folder that is still being made.
    genome : ReferenceGenome
        Lower case becomes the soft mask; letters other than A, C, G, T and U become N.
    contigs : mapping of str to int
        Name -> length in bases, in the order of the file.

    Raises
    ------
    InputError
        If the genome lacks a contig of this length, or a name is longer than 255 bytes.
    """
    names = [name.encode() for name in contigs]
    for name in names:
        if len(name) > LONGEST_NAME:
            raise InputError(
                f"the contig {name[:30].decode(errors='replace')!r}... has a name of {len(name)} "
                f"bytes; 2bit takes {LONGEST_NAME}",
                path=genome.path,
            )
    is_wide = sum(contigs.values()) // 4 + _ROOM_FOR_BLOCKS >= _LARGEST
    offset_format = "<Q" if is_wide else "<I"
    index_size = sum(1 + len(name) + struct.calcsize(offset_format) for name in names)
    offsets = []
    with open(path, "wb") as handle:
        handle.write(struct.pack("<4I", _SIGNATURE, int(is_wide), len(names), 0))
        handle.seek(index_size, os.SEEK_CUR)
        for contig, length in contigs.items():
            if genome.contigs.get(contig) != length:
                raise InputError(
                    f"contig {contig!r} is not there with {length} bases", path=genome.path
                )
            offsets.append(handle.tell())
            _write_record(handle, genome, contig, length)
        handle.seek(16)
        for name, offset in zip(names, offsets, strict=True):
            handle.write(bytes([len(name)]) + name + struct.pack(offset_format, offset))


def _write_record(handle: BinaryIO, genome: ReferenceGenome, contig: str, length: int) -> None:
    unknown, masked = _Blocks(), _Blocks()
    packed = bytearray()
    for start in range(0, length, _CHUNK):
        codes = genome.fetch(Region(contig, start, min(start + _CHUNK, length)))
        bases = codes & CODE_MASK
        unknown.add(start, bases == N)
        masked.add(start, (codes & SOFT_MASK) != 0)
        packed += _pack(bases)
    handle.write(struct.pack("<I", length))
    unknown.write(handle)
    masked.write(handle)
    handle.write(bytes(4))
    handle.write(packed)


def _pack(bases: NDArray[Any]) -> bytes:
    """Four bases a byte, the first in the highest bits."""
    padded = np.zeros(-(-len(bases) // 4) * 4, dtype=np.uint8)
    padded[: len(bases)] = _PACKED[bases]
    by_byte = padded.reshape(-1, 4)
    return (by_byte << np.array([6, 4, 2, 0], dtype=np.uint8)).sum(1, dtype=np.uint8).tobytes()


class _Blocks:
    """Runs of positions with a property; one that crosses the end of a chunk is one."""

    def __init__(self) -> None:
        self._starts: list[NDArray[np.uint32]] = []
        self._ends: list[NDArray[np.uint32]] = []

    def add(self, offset: int, flags: NDArray[np.bool_]) -> None:
        edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)) + offset
        starts, ends = edges[::2].astype(np.uint32), edges[1::2].astype(np.uint32)
        if len(starts) and self._ends and self._ends[-1][-1] == starts[0]:
            self._ends[-1] = self._ends[-1][:-1]
            starts = starts[1:]
        if len(ends):
            self._ends.append(ends)
        if len(starts):
            self._starts.append(starts)

    def write(self, handle: BinaryIO) -> None:
        starts, ends = _joined(self._starts), _joined(self._ends)
        handle.write(struct.pack("<I", len(starts)))
        handle.write(starts.astype("<u4").tobytes())
        handle.write((ends - starts).astype("<u4").tobytes())


def _joined(parts: Iterable[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    return np.concatenate([np.zeros(0, dtype=np.uint32), *parts])
