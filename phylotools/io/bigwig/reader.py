"""Numbers of single positions out of a bigWig.

Our own, since both libraries that read bigWigs (libBigWig, bigtools) end the process on some
damaged files. The layout is that of Kent et al., Bioinformatics 26:2204 (2010), supplement.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bigwig.encoding import BLOCK_HEAD, PAIR, RUN, SINGLE
from phylotools.io.bigwig.index import (
    BLOCK,
    CONTIG_HEAD,
    CONTIG_MAGIC,
    INNER,
    PLACE_HEAD,
    PLACE_MAGIC,
    contig_entries,
)
from phylotools.io.bigwig.writer import HEADER, MAGIC
from phylotools.io.closing import Closing
from phylotools.io.files import INFLATE_ERROR, open_regular

_INTERVALS = 1
_INTERVAL = np.dtype([("start", "<u4"), ("end", "<u4"), ("value", "<f4")])
_NODE = struct.Struct("<BBH")
#: Other writers choose up to 64 KiB; a damaged file may say anything.
_LARGEST_BLOCK = 1 << 24
#: Longest name of a contig, as a damaged file may give any.
_LONGEST_NAME = 1 << 12
#: Nodes of the index kept, of 8 KB each: those near the root lead to everything.
_MOST_NODES = 512


class BigWigReader(Closing):
    """Values of positions, for one thread at a time.

    Attributes
    ----------
    path : str
    contigs : dict of str to int
        Name -> length.

    Raises
    ------
    InputError
        If it cannot be read or is no bigWig; here or later, if it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._handle = open_regular(path)
        try:
            self._size = os.fstat(self._handle.fileno()).st_size
            self._left = self._size
            self._nodes: dict[int, tuple[bool, NDArray[np.void]]] = {}
            self._read_header()
        except BaseException:
            self._handle.close()
            raise

    def values(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Values of positions of one contig.

        Parameters
        ----------
        contig : str
            One of `contigs`.
        positions : int64 array [K]
            0-based, rising.

        Returns
        -------
        float32 array [K]
            NaN where the file has no value.

        Raises
        ------
        InputError
            If the file is damaged there.
        """
        found = np.full(len(positions), np.nan, dtype=np.float32)
        # However a file lies about itself, no question reads more than there is.
        self._left = self._size
        number = self._numbers[contig]
        for offset, size, begin, end in self._blocks(number, positions):
            self._fill(self._block(offset, size), number, positions[begin:end], found[begin:end])
        return found

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def _read_header(self) -> None:
        head = os.pread(self._handle.fileno(), HEADER.size, 0)
        if head.startswith(MAGIC[::-1]):
            self._refuse("is a bigWig of the other byte order", "write it anew on this machine")
        if not head.startswith(MAGIC):
            self._refuse("is no bigWig")
        if len(head) < HEADER.size:
            self._refuse("is a truncated bigWig")
        _, _, _, contigs_at, _, index_at, _, _, _, _, unpacked, _ = HEADER.unpack(head)
        if unpacked > _LARGEST_BLOCK:
            self._damaged()
        self._unpacked: int = unpacked
        self.contigs: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._read_contigs(contigs_at)
        magic, *_ = PLACE_HEAD.unpack(self._read(index_at, PLACE_HEAD.size))
        if magic != PLACE_MAGIC:
            self._damaged()
        self._root: int = index_at + PLACE_HEAD.size

    def _read_contigs(self, offset: int) -> None:
        magic, _, width, _, _, _ = CONTIG_HEAD.unpack(self._read(offset, CONTIG_HEAD.size))
        if magic != CONTIG_MAGIC or not 0 < width <= _LONGEST_NAME:
            self._damaged()
        leaf, inner = contig_entries(width)
        nodes = [offset + CONTIG_HEAD.size]
        while nodes:
            is_leaf, entries = self._node(nodes.pop(), leaf, inner)
            if not is_leaf:
                nodes.extend(entries["offset"][::-1].tolist())
                continue
            for raw, number, length in entries.tolist():
                name = raw.decode("utf-8", "surrogateescape")
                if name in self.contigs:
                    self._damaged()
                self.contigs[name], self._numbers[name] = length, number

    def _blocks(
        self, number: int, positions: NDArray[np.int64]
    ) -> Iterator[tuple[int, int, int, int]]:
        """Offset and size of blocks, and which of the positions they may cover."""
        nodes = [self._root]
        while nodes:
            at = nodes.pop()
            if at not in self._nodes:
                if len(self._nodes) >= _MOST_NODES:
                    self._nodes.clear()
                self._nodes[at] = self._node(at, BLOCK, INNER)
            else:
                self._count(_NODE.size)
            is_leaf, entries = self._nodes[at]
            begins = np.searchsorted(positions, entries["start"])
            begins[entries["contig"] < number] = 0
            ends = np.searchsorted(positions, entries["end"])
            ends[entries["last_contig"] > number] = len(positions)
            is_wanted = (
                (entries["contig"] <= number) & (entries["last_contig"] >= number) & (begins < ends)
            )
            chosen = np.flatnonzero(is_wanted)
            offsets = entries["offset"][chosen].tolist()
            if not is_leaf:
                nodes.extend(reversed(offsets))
                continue
            sizes = entries["size"][chosen].tolist()
            yield from zip(
                offsets, sizes, begins[chosen].tolist(), ends[chosen].tolist(), strict=True
            )

    def _node(
        self, offset: int, leaf: np.dtype[np.void], inner: np.dtype[np.void]
    ) -> tuple[bool, NDArray[np.void]]:
        """Whether a node is a leaf, and its entries."""
        is_leaf, _, count = _NODE.unpack(self._read(offset, _NODE.size))
        entry = leaf if is_leaf else inner
        data = self._read(offset + _NODE.size, count * entry.itemsize)
        return bool(is_leaf), np.frombuffer(data, dtype=entry)

    def _block(self, offset: int, size: int) -> bytes:
        data = self._read(offset, size)
        if not self._unpacked:
            return data
        inflate = isal_zlib.decompressobj()
        try:
            # One byte more than there may be: else the end would not be seen.
            text = inflate.decompress(data, self._unpacked + 1)
        except INFLATE_ERROR:
            self._damaged()
        if not inflate.eof:
            self._damaged()
        return cast(bytes, text)

    def _fill(
        self,
        block: bytes,
        number: int,
        positions: NDArray[np.int64],
        found: NDArray[np.float32],
    ) -> None:
        """Put the values of a block where its positions are."""
        if len(block) < BLOCK_HEAD.size:
            self._damaged()
        contig, start, _, step, span, kind, _, count = BLOCK_HEAD.unpack_from(block)
        entry = {_INTERVALS: _INTERVAL, SINGLE: PAIR, RUN: np.dtype("<f4")}.get(kind)
        if (
            entry is None
            or contig != number
            or len(block) < BLOCK_HEAD.size + count * entry.itemsize
        ):
            self._damaged()
        items: NDArray[Any] = np.frombuffer(block, entry, count, BLOCK_HEAD.size)
        if not count:
            return
        if kind == RUN:
            if not step:
                self._damaged()
            places, beyond = np.divmod(positions - start, step)
            is_here = (places >= 0) & (places < count) & (beyond < span)
            found[is_here] = items[places[is_here]]
            return
        starts = items["start"].astype(np.int64)
        if (np.diff(starts) < 0).any():
            self._damaged()
        ends = items["end"].astype(np.int64) if kind == _INTERVALS else starts + span
        places = np.searchsorted(starts, positions, side="right") - 1
        is_here = (places >= 0) & (positions < ends[places])
        found[is_here] = items["value"][places[is_here]]

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > self._size:
            self._damaged()
        self._count(size)
        try:
            data = os.pread(self._handle.fileno(), size, offset)
        except OSError as error:
            self._refuse(f"cannot read: {error.strerror}")
        if len(data) != size:
            self._damaged()
        return data

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._damaged()

    def _damaged(self) -> NoReturn:
        self._refuse("is damaged or truncated", "copy or make it anew")

    def _refuse(self, problem: str, remedy: str | None = None) -> NoReturn:
        raise InputError(problem, path=self.path, remedy=remedy)
