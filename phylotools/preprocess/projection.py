"""Blocks of an alignment -> chunks of a piece in reference coordinates, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.io.alignment.blocks import BlockBatch
from phylotools.io.bases import ALIGNED_CODE_OF_BYTE, ALIGNED_COMPLEMENT_OF_BYTE
from phylotools.jobs.piece import Piece, PieceWriter
from phylotools.preprocess import projection_kernels as kernels
from phylotools.store import schema
from phylotools.store.chunks import StoredChunk, chunk_digest, encode_values

#: Bytes of chunks that are open. A sorted alignment touches a few chunks at a time; blocks in any
#: order make chunks be written in several layers, the more the smaller this is.
BUFFER_BYTES = 128 << 20
#: Fewer would have the chunks of one block push each other out.
_FEWEST_SLOTS = 4
#: Chunks that stay open while blocks come in order: what was just written is still in the cache
#: when it is compressed.
_FEW_OPEN = 16

#: Gets contig and chunk index and the chunk before it is written; may change or refuse it.
Check = Callable[[int, int, NDArray[np.uint8]], None]
#: Contig (its index within the piece), chunk, where it begins, bytes of the compressed bases.
ENTRY = np.dtype(
    [("contig", "<i8"), ("chunk", "<i8"), ("offset", "<i8"), ("bases", "<i8"), ("digest", "V32")]
)
#: Bytes of the reference row, then of the depths. Not compressed: one thread puts all pieces
#: together, and decoding these was a quarter of its work.
_REFERENCE_BYTES = schema.CHUNK_LENGTH
_SIDES_BYTES = _REFERENCE_BYTES + 2 * schema.CHUNK_LENGTH


@dataclass(frozen=True)
class _Key:
    contig: int
    chunk: int


class Projector:
    """Collect blocks, in any order, into chunks of a piece.

    Parameters
    ----------
    writer : PieceWriter
        Where whole chunks go.
    n_species, reference_index : int
    check : callable, optional
        Called with every chunk before it is compressed, from any thread.
    executor : Executor, optional
        Compresses chunks; by default the caller does.
    buffer_bytes : int

    Attributes
    ----------
    n_overlapping : int
        Positions that an earlier block had already covered: the first block wins.
    """

    def __init__(
        self,
        writer: PieceWriter,
        n_species: int,
        reference_index: int,
        *,
        check: Check | None = None,
        executor: Executor | None = None,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.n_overlapping = 0
        self._writer = writer
        self._reference_index = reference_index
        self._check = check
        self._executor = executor
        n_slots = max(_FEWEST_SLOTS, buffer_bytes // (n_species * schema.CHUNK_LENGTH))
        # Untouched slots take no memory.
        self._chunks = np.empty((n_slots, n_species, schema.CHUNK_LENGTH), dtype=np.uint8)
        self._free = list(range(n_slots))[::-1]
        self._open: OrderedDict[_Key, int] = OrderedDict()
        self._most_open = min(_FEW_OPEN, n_slots)
        self._written: set[_Key] = set()
        self._encoding: deque[tuple[_Key, int, Future[StoredChunk] | StoredChunk]] = deque()

    def add(self, batch: BlockBatch) -> None:
        """Add blocks; where an earlier block covers a position, that block stays."""
        if len(batch) == 0:
            return
        first = batch.start // schema.CHUNK_LENGTH
        last = (batch.start + batch.length - 1) // schema.CHUNK_LENGTH
        at = 0
        while at < len(batch):
            stop = self._fitting(batch.contig, first, last, at)
            self._add_fitting(batch, at, stop, first, last)
            at = stop
            while len(self._open) > self._most_open:
                self._close_oldest()

    def finish(self) -> None:
        """Write every chunk that is open."""
        while self._open:
            self._close_oldest()
        while self._encoding:
            self._write_oldest()

    def _fitting(
        self,
        contig: NDArray[np.int64],
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        at: int,
    ) -> int:
        """Blocks from `at` on that fit into the slots together, at least one."""
        # Neighbours share chunks: what a block adds is counted from its predecessor's last chunk.
        is_next = (contig[at + 1 :] == contig[at:-1]) & (first[at + 1 :] >= first[at:-1])
        new = np.where(
            is_next & (first[at + 1 :] <= last[at:-1] + 1),
            np.maximum(last[at + 1 :] - last[at:-1], 0),
            last[at + 1 :] - first[at + 1 :] + 1,
        )
        total = np.cumsum(np.concatenate([[last[at] - first[at] + 1], new]))
        n_fitting = int(np.searchsorted(total, len(self._chunks), side="right"))
        return at + max(n_fitting, 1)

    def _add_fitting(
        self,
        batch: BlockBatch,
        at: int,
        stop: int,
        first: NDArray[np.int64],
        last: NDArray[np.int64],
    ) -> None:
        part = slice(at, stop)
        n_chunks = last[part] - first[part] + 1
        if int(n_chunks.max()) > len(self._chunks):
            self._grow(int(n_chunks.max()))
        # Contig and chunk of every block's every chunk; each once, in order.
        offset = np.arange(n_chunks.sum()) - np.repeat(np.cumsum(n_chunks) - n_chunks, n_chunks)
        touched = np.repeat(batch.contig[part], n_chunks) << 40 | (
            np.repeat(first[part], n_chunks) + offset
        )
        keys = np.unique(touched)
        slots = self._slots_of([_Key(key >> 40, key & (1 << 40) - 1) for key in keys.tolist()])
        self.n_overlapping += kernels.project(
            batch.buffer,
            batch.start[part],
            batch.length[part],
            batch.is_reverse[part],
            batch.width[part],
            batch.reference_at[part],
            batch.first_row[at : stop + 1],
            batch.species,
            batch.letters_at,
            self._reference_index,
            ALIGNED_CODE_OF_BYTE,
            ALIGNED_COMPLEMENT_OF_BYTE,
            self._chunks,
            slots,
            np.searchsorted(keys, batch.contig[part] << 40 | first[part]),
        )

    def _grow(self, n_slots: int) -> None:
        """Make room for one block that is longer than all slots together."""
        while self._encoding:
            self._write_oldest()
        more = np.empty((n_slots, *self._chunks.shape[1:]), dtype=np.uint8)
        more[: len(self._chunks)] = self._chunks
        self._free += list(range(len(self._chunks), n_slots))
        self._chunks = more

    def _slots_of(self, keys: list[_Key]) -> NDArray[np.int64]:
        """Slots of chunks, which are opened if they are not."""
        for key in keys:
            if key in self._open:
                self._open.move_to_end(key)
        slots = np.empty(len(keys), dtype=np.int64)
        for index, key in enumerate(keys):
            slot = self._open.get(key)
            if slot is None:
                slot = self._open_chunk(key)
            slots[index] = slot
        return slots

    def _open_chunk(self, key: _Key) -> int:
        while self._encoding and not self._free:
            self._write_oldest()
        while not self._free:
            self._close_oldest()
            # One of the threads may still be busy; the next chunk waits for the oldest.
            self._write_oldest()
        slot = self._free.pop()
        if key in self._written:
            # Blocks do not come in order: more chunks must wait for the rest of theirs.
            self._most_open = min(2 * self._most_open, len(self._chunks))
        # Empty, even if the chunk was written before: to read it back would cost more than to
        # merge both at the end, and leave its first version behind as waste.
        self._chunks[slot] = schema.NO_BLOCK
        self._open[key] = slot
        return slot

    def _close_oldest(self) -> None:
        key, slot = self._open.popitem(last=False)
        self._written.add(key)
        if self._executor is None:
            self._encoding.append((key, slot, self._encode(key, slot)))
        else:
            self._encoding.append((key, slot, self._executor.submit(self._encode, key, slot)))

    def _encode(self, key: _Key, slot: int) -> StoredChunk:
        bases = self._chunks[slot]
        if self._check is not None:
            self._check(key.contig, key.chunk, bases)
        return encoded(key.contig, key.chunk, bases, self._reference_index)

    def _write_oldest(self) -> None:
        _, slot, made = self._encoding.popleft()
        add_chunk(self._writer, made if isinstance(made, StoredChunk) else made.result())
        self._free.append(slot)


def encoded(contig: int, index: int, bases: NDArray[np.uint8], reference_index: int) -> StoredChunk:
    """A chunk, compressed, with its depth and checksum.

    Parameters
    ----------
    contig, index : int
    bases : uint8 array [S, CHUNK_LENGTH]
    reference_index : int
    """
    depth = np.zeros(schema.CHUNK_LENGTH, dtype=np.uint16)
    kernels.count_depth(bases, depth)
    return StoredChunk(
        contig,
        index,
        encode_values(bases),
        chunk_digest(bases),
        bases[reference_index].copy(),
        depth,
    )


def add_chunk(writer: PieceWriter, chunk: StoredChunk) -> None:
    """Append a chunk.

    It may be added several times, each time with other positions: the first that covers a
    position counts when the store is put together.
    """
    writer.add(
        chunk.blob,
        chunk.reference.tobytes(),
        chunk.depth.astype("<u2", copy=False).tobytes(),
        contig=chunk.contig,
        chunk=chunk.index,
        bases=len(chunk.blob),
        digest=np.void(chunk.digest),
    )


def read_chunk(piece: Piece, row: int, contig: int) -> StoredChunk:
    """The chunk of one row of a piece's index, under its contig's index in the store.

    Raises
    ------
    ValueError
        If the piece is damaged.
    """
    entry = piece.index[row]
    n_bases = int(entry["bases"])
    data = piece.read(int(entry["offset"]), n_bases + _SIDES_BYTES)
    sides = data[n_bases:]
    return StoredChunk(
        contig,
        int(entry["chunk"]),
        data[:n_bases],
        entry["digest"].tobytes(),
        np.frombuffer(sides, dtype=np.uint8, count=_REFERENCE_BYTES),
        np.frombuffer(sides, dtype="<u2", offset=_REFERENCE_BYTES),
    )
