"""Alignment blocks, in any order -> a column store."""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.io.alignments import AlignmentBlock
from phylotools.phylogeny.tree import Tree
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.assemble import ReferenceSource, assemble_store, check_species
from phylotools.store.chunks import StoredChunk, chunk_digest, decode_chunk, encode_chunk

#: Bytes of chunks held in memory; blocks may come in any order.
BUFFER_BYTES = 256 << 20

#: Index of the contig, and of the chunk within it.
_Key = tuple[int, int]


class StoreWriter:
    """Write blocks, in any order, to a column store; then `finish` it.

    Memory stays bounded: chunks are put aside, compressed, when the buffer is full, and read back
    if a later block touches them again.

    Parameters
    ----------
    folder : str or PathLike
        Empty or absent; see `phylotools.io.files.atomic_folder`.
    tree : Tree
        Its tips are the species of the store, in their order.
    reference_species : str
        A tip.

    Raises
    ------
    InputError
        If the tree has no such tip, or more tips than a depth can count.
    """

    def __init__(self, folder: str | os.PathLike[str], tree: Tree, reference_species: str) -> None:
        check_species(tree, reference_species)
        self.tree = tree
        self.reference_species = reference_species
        self.n_blocks = 0
        #: Positions that an earlier block had already covered: the first block wins.
        self.n_overlapping = 0
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._species_index = {name: index for index, name in enumerate(tree.tips)}
        self._reference_index = self._species_index[reference_species]
        self._contigs: dict[str, tuple[int, int]] = {}
        self._held: OrderedDict[_Key, NDArray[np.uint8]] = OrderedDict()
        self._most_held = max(2, BUFFER_BYTES // (schema.CHUNK_LENGTH * tree.n_tips))
        self._aside: dict[_Key, tuple[int, int]] = {}
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `finish`

    def add(self, block: AlignmentBlock) -> None:
        """Add one block.

        Where an earlier block covers a position, that block stays.

        Parameters
        ----------
        block : AlignmentBlock
            Its species must be tips of the tree, the reference among them.
        """
        name = block.region.contig
        contig, _ = self._contigs.setdefault(name, (len(self._contigs), block.contig_length))
        self.n_blocks += 1
        rows = [self._species_index[name] for name in block.species]
        start, end = block.region.start, block.region.end
        size = schema.CHUNK_LENGTH
        for index in range(start // size, -(-end // size)):
            first, last = max(start, index * size), min(end, (index + 1) * size)
            held = self._chunk((contig, index))[:, first - index * size : last - index * size]
            is_free = held[self._reference_index] == schema.NO_BLOCK
            self.n_overlapping += int((~is_free).sum())
            bases = block.bases[:, first - start : last - start]
            held[rows] = np.where(is_free, bases, held[rows])

    def finish(self, run: RunRecord, reference: ReferenceSource | None = None) -> dict[str, Any]:
        """Write the store.

        Parameters
        ----------
        run : RunRecord
            Its inputs become the checksums of the inputs.
        reference : callable, optional
            Gives the reference codes of any region; without it they come from the alignment,
            and are N where no block lies.

        Returns
        -------
        dict
            The statistics that stand in the attributes.
        """
        with self._file:
            return assemble_store(
                self._folder,
                tree=self.tree,
                reference_species=self.reference_species,
                contigs=[(name, length) for name, (_, length) in self._contigs.items()],
                chunks=self._chunks(),
                reference=reference,
                statistics={"blocks": self.n_blocks},
                run=run,
            )

    def _chunk(self, key: _Key) -> NDArray[np.uint8]:
        """A chunk to be changed; uint8 [S, CHUNK_LENGTH]."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        if len(self._held) >= self._most_held:
            oldest, bases = self._held.popitem(last=False)
            self._aside[oldest] = (
                self._file.seek(0, os.SEEK_END),
                self._file.write(encode_chunk(bases)),
            )
        self._held[key] = self._from_aside(key)
        return self._held[key]

    def _from_aside(self, key: _Key) -> NDArray[np.uint8]:
        shape = (self.tree.n_tips, schema.CHUNK_LENGTH)
        if key not in self._aside:
            return np.full(shape, schema.NO_BLOCK, dtype=np.uint8)
        start, n_bytes = self._aside.pop(key)
        self._file.seek(start)
        bases = np.empty(shape, dtype=np.uint8)
        decode_chunk(self._file.read(n_bytes), bases)
        return bases

    def _chunks(self) -> Iterator[StoredChunk]:
        for contig, index in sorted(self._held.keys() | self._aside.keys()):
            key = (contig, index)
            bases = self._held.pop(key) if key in self._held else self._from_aside(key)
            yield StoredChunk(
                contig,
                index,
                encode_chunk(bases),
                chunk_digest(bases),
                bases[self._reference_index],
                ((bases & schema.CODE_MASK) < schema.N).sum(axis=0, dtype=np.uint16),
            )
