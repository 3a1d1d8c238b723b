"""Alignment blocks -> a column store."""

from __future__ import annotations

import os
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.alignments import AlignmentBlock
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import Tree
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.read import ArrayDigests, merge_intervals, whole_windows, windows_of

#: Unwritten chunk rows held in memory; blocks may come in any order.
BUFFER_BYTES = 256 << 20

#: Reference codes of a region, uint8 [L].
ReferenceSource = Callable[[Region], NDArray[np.uint8]]


@dataclass
class _Contig:
    """A contig that is being written."""

    name: str
    index: int
    length: int
    bases: Any
    intervals: array[int]


class StoreWriter:
    """Write blocks, in any order, to a column store; then `finish` it.

    Memory stays bounded: chunk rows are written when the buffer is full and read back if a later
    block touches them again.

    Parameters
    ----------
    folder : str or PathLike
        An empty folder; see `phylotools.io.files.atomic_folder`.
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
        import zarr

        if reference_species not in tree.tips:
            raise InputError(
                f"the tree has no tip called {reference_species}",
                remedy="give the reference the name that it has in the tree",
            )
        if tree.n_tips > np.iinfo(np.uint16).max:
            raise InputError(f"the tree has {tree.n_tips} tips; a store holds at most 65535")
        self.tree = tree
        self.reference_species = reference_species
        self.n_blocks = 0
        #: Positions that an earlier block had already covered: the first block wins.
        self.n_overlapping = 0
        self._species_index = {name: index for index, name in enumerate(tree.tips)}
        self._reference_index = self._species_index[reference_species]
        self._root: Any = zarr.create_group(Path(folder))
        self._contigs: dict[str, _Contig] = {}
        self._buffer: OrderedDict[tuple[str, int], NDArray[np.uint8]] = OrderedDict()
        self._written: set[tuple[str, int]] = set()
        row_bytes = schema.CHUNK_LENGTH * tree.n_tips
        self._max_buffered = max(2, BUFFER_BYTES // row_bytes)

    def add(self, block: AlignmentBlock) -> None:
        """Add one block.

        Where an earlier block covers a position, that block stays.

        Parameters
        ----------
        block : AlignmentBlock
            Its species must be tips of the tree, the reference among them.
        """
        contig = self._contig(block)
        self.n_blocks += 1
        rows = [self._species_index[name] for name in block.species]
        start, end = block.region.start, block.region.end
        contig.intervals.extend((start, end))
        for chunk in range(start // schema.CHUNK_LENGTH, -(-end // schema.CHUNK_LENGTH)):
            chunk_start = chunk * schema.CHUNK_LENGTH
            first, last = max(start, chunk_start), min(end, chunk_start + schema.CHUNK_LENGTH)
            held = self._chunk(contig, chunk)[first - chunk_start : last - chunk_start]
            free = held[:, self._reference_index] == schema.NO_BLOCK
            columns = np.full(held.shape, schema.NO_BLOCK, dtype=np.uint8)
            columns[:, rows] = block.bases[:, first - start : last - start].T
            n_free = int(free.sum())
            self.n_overlapping += len(held) - n_free
            if n_free == len(held):
                held[:] = columns
            else:
                held[free] = columns[free]

    def finish(
        self,
        run: RunRecord,
        reference: ReferenceSource | None = None,
    ) -> dict[str, Any]:
        """Write depth, reference, intervals and attributes.

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
        while self._buffer:
            self._write_oldest()
        contigs, n_covered, n_bases = [], 0, 0
        for contig in self._contigs.values():
            intervals = merge_intervals(np.array(contig.intervals, dtype=np.int64).reshape(-1, 2))
            digests, contig_bases = self._finish_contig(contig, intervals, reference)
            contigs.append({"name": contig.name, "length": contig.length, "sha256": digests})
            n_covered += int((intervals[:, 1] - intervals[:, 0]).sum())
            n_bases += contig_bases
        statistics = {
            "blocks": self.n_blocks,
            "covered_positions": n_covered,
            "mean_species_per_column": n_bases / n_covered if n_covered else 0.0,
        }
        source = schema.FROM_ALIGNMENT if reference is None else schema.FROM_FASTA
        self._root.attrs.update(
            {
                "format": schema.FORMAT,
                "format_version": schema.FORMAT_VERSION,
                "reference_species": self.reference_species,
                "reference_source": source,
                "species": list(self.tree.tips),
                "tree": self.tree.to_newick(),
                "contigs": contigs,
                "inputs": run.inputs,
                "statistics": statistics,
                "run": run.to_dict(),
            }
        )
        return statistics

    def _contig(self, block: AlignmentBlock) -> _Contig:
        name = block.region.contig
        if name not in self._contigs:
            index = len(self._contigs)
            made = self._create(index, schema.BASES, block.contig_length, 0)
            self._contigs[name] = _Contig(name, index, block.contig_length, made, array("q"))
        return self._contigs[name]

    def _create(self, index: int, name: str, length: int, n_intervals: int) -> Any:
        from zarr.codecs import ZstdCodec

        wanted = schema.array_specifications(length, self.tree.n_tips, n_intervals)[name]
        return self._root.create_array(
            f"{schema.contig_group(index)}/{name}",
            compressors=ZstdCodec(level=schema.ZSTD_LEVEL),
            **wanted,
        )

    def _chunk(self, contig: _Contig, chunk: int) -> NDArray[np.uint8]:
        key = (contig.name, chunk)
        if key in self._buffer:
            self._buffer.move_to_end(key)
            return self._buffer[key]
        if len(self._buffer) >= self._max_buffered:
            self._write_oldest()
        start = chunk * schema.CHUNK_LENGTH
        end = min(start + schema.CHUNK_LENGTH, contig.length)
        if key in self._written:
            rows = np.array(contig.bases[start:end])
        else:
            rows = np.full((end - start, self.tree.n_tips), schema.NO_BLOCK, dtype=np.uint8)
        self._buffer[key] = rows
        return rows

    def _write_oldest(self) -> None:
        key, rows = self._buffer.popitem(last=False)
        start = key[1] * schema.CHUNK_LENGTH
        self._contigs[key[0]].bases[start : start + len(rows)] = rows
        self._written.add(key)

    def _finish_contig(
        self,
        contig: _Contig,
        intervals: NDArray[np.int64],
        reference: ReferenceSource | None,
    ) -> tuple[dict[str, str], int]:
        """Derived arrays of one contig; returns its checksums and its number of bases."""
        made = {
            name: self._create(contig.index, name, contig.length, len(intervals))
            for name in (schema.REFERENCE, schema.DEPTH, schema.INTERVALS)
        }
        made[schema.INTERVALS][:] = intervals
        digests = ArrayDigests(intervals)
        n_bases = 0
        for start, end in windows_of(intervals, contig.length):
            bases = np.asarray(contig.bases[start:end])
            depth = schema.species_depth(bases)
            n_bases += int(depth.sum())
            made[schema.DEPTH][start:end] = depth
            digests.add(schema.BASES, start, bases)
            digests.add(schema.DEPTH, start, depth)
            if reference is None:
                codes = bases[:, self._reference_index]
                codes = np.where(codes == schema.NO_BLOCK, np.uint8(schema.N), codes)
                made[schema.REFERENCE][start:end] = codes
                digests.add(schema.REFERENCE, start, codes)
        if reference is not None:
            for start, end in whole_windows(contig.length):
                codes = reference(Region(contig.name, start, end))
                made[schema.REFERENCE][start:end] = codes
                digests.add(schema.REFERENCE, start, codes)
        return digests.hexadecimal(), n_bases
