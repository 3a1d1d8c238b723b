"""Reading a column store."""

from __future__ import annotations

import itertools
import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.intervals import cut_intervals, merge_intervals, runs_of, windows_of
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.provenance import sha256_text
from phylotools.store import schema
from phylotools.store.chunks import ArrayDigest, DamagedError, chunk_digest, intervals_digest
from phylotools.store.opening import DAMAGED, RESTORE, checked_length, read_attributes, read_layouts
from phylotools.store.schema import ArrayLayout
from phylotools.store.shards import ShardReader

#: Positions whose depths are looked at together.
_DEPTHS = 1 << 18
#: Windows of the checksums that are looked at together.
_VERIFIED = 128


class ColumnStore:
    """Alignment columns in reference coordinates; open one with `open_store`.

    Any number of threads may read. Instances can be pickled: each process opens the store for
    itself.

    Attributes
    ----------
    path : Path
    attributes : dict
        Root attributes as docs/store-format.md describes them.
    tree : Tree
    species : tuple of str
        Tree-tip order: the order of the columns' second axis.
    reference_species : str
    reference_index : int
        Index of the reference in `species`.
    contigs : dict of str to int
        Name -> length in bases, in the order of the store.
    chunk_length : int
        Positions that are decompressed together.
    shard_length : int
        Positions of the arrays in one file of `bases`.
    """

    def __init__(
        self, path: Path, attributes: dict[str, Any], tree: Tree, layouts: Iterable[ArrayLayout]
    ) -> None:
        self.path = path
        self.attributes = attributes
        self.tree = tree
        self.species = tree.tips
        self.reference_species: str = attributes["reference_species"]
        self.reference_index = self.species.index(self.reference_species)
        self.contigs: dict[str, int] = {c["name"]: c["length"] for c in attributes["contigs"]}
        self.chunk_length = schema.CHUNK_LENGTH
        self.arrays = {
            layout.name: ShardReader(path, layout, partial(self._required, layout))
            for layout in layouts
        }
        self.shard_length = self.arrays[schema.BASES].layout.shard_length
        self._offsets: dict[str, int] = {c["name"]: c["offset"] for c in attributes["contigs"]}

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_store, (self.path,)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the store's content, the same whoever made it and when."""
        keys = ("format_version", "reference_species", "species", "tree", "contigs", "sha256")
        return sha256_text(json.dumps({k: self.attributes[k] for k in keys}, sort_keys=True))

    def bases(self, region: Region, *, threads: int = 1) -> NDArray[np.uint8]:
        """Codes of every species over a region.

        Parameters
        ----------
        region : Region
        threads : int
            Chunks decoded at once, which helps where the region has many.

        Returns
        -------
        uint8 array [L, S]
            Codes of `phylotools.store.schema`; the soft-mask bit is set where lower case.

        Raises
        ------
        InputError
            If the region is not within a contig of the store, or the store is damaged.
        """
        return self._read(region, schema.BASES, threads)

    def reference(self, region: Region) -> NDArray[np.uint8]:
        """Reference sequence over a region; uint8 [L], soft-mask bit kept, N where unknown."""
        codes = self._read(region, schema.REFERENCE)
        if len(codes) and (codes & schema.CODE_MASK).max() > schema.N:
            raise self._damaged(schema.REFERENCE, region.contig)
        return codes

    def depth(self, region: Region) -> NDArray[np.uint16]:
        """Number of species with A, C, G or T at each position; uint16 [L]."""
        return self._read(region, schema.DEPTH)

    def weight(self, region: Region) -> NDArray[np.float32] | None:
        """Training weight of each position; float32 [L], None if the store has no weights."""
        if schema.WEIGHT not in self.arrays:
            return None
        weights = self._read(region, schema.WEIGHT)
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise self._damaged(schema.WEIGHT, region.contig)
        return weights

    def covered_regions(self, min_species: int = 1) -> list[Region]:
        """Maximal intervals whose every position has enough species with A, C, G or T.

        Parameters
        ----------
        min_species : int
            The reference counts. 0 gives every position that a block covers.

        Returns
        -------
        list of Region
            In contig order, then by position.
        """
        runs = self._intervals if min_species < 1 else self._deep_intervals(min_species)
        names, offsets = [*self._offsets], np.array([*self._offsets.values()], dtype=np.int64)
        contig = np.searchsorted(offsets, runs[:, 0], side="right") - 1
        within = (runs - offsets[contig, None]).tolist()
        return [
            Region(names[index], start, end)
            for index, (start, end) in zip(contig.tolist(), within, strict=True)
        ]

    def shard_regions(self) -> list[Region]:
        """The parts of contigs that lie in one file of `bases` each, in the order of the files.

        Files that hold no block are left out. Reading by these regions reads every file once.
        """
        regions = []
        for contig, length in self.contigs.items():
            offset = self._offsets[contig]
            whole = self.intervals(contig) + offset
            for start, end in windows_of(whole, offset + length, self.shard_length):
                regions.append(Region(contig, max(start - offset, 0), end - offset))
        return regions

    def intervals(self, contig: str) -> NDArray[np.int64]:
        """Start and end of every run of positions that blocks cover; int64 [K, 2]."""
        offset = self._offsets[contig]
        first, last = np.searchsorted(self._starts, [offset, offset + self.contigs[contig]])
        return self._intervals[first:last] - offset

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Of all intervals, side by side: a search would otherwise copy them each time."""
        return np.ascontiguousarray(self._intervals[:, 0])

    @cached_property
    def _intervals(self) -> NDArray[np.int64]:
        """All intervals, in positions of the arrays."""
        reader = self.arrays[schema.INTERVALS]
        offsets = np.array([*self._offsets.values(), schema.MOST_POSITIONS + 1])
        ends = offsets[:-1] + np.array([*self.contigs.values()])
        found, reached, size = [np.empty((0, 2), dtype=np.int64)], -1, reader.layout.chunk_length
        # By the chunk, since what a damaged store says of their number may not fit into memory.
        for start in range(0, reader.layout.length, size):
            with self._reading(schema.INTERVALS):
                part = reader.read(start, min(start + size, reader.layout.length))
            rises = (np.diff(part.ravel(), prepend=reached) >= 0).all()
            if not rises or (part[:, 0] >= part[:, 1]).any() or part[0, 0] < 0:
                raise self._damaged(schema.INTERVALS)
            contig = np.searchsorted(offsets, part[:, 0], side="right") - 1
            if contig[-1] >= len(ends) or (part[:, 1] > ends[contig]).any():
                raise self._damaged(schema.INTERVALS)
            is_joined = part[1:, 0] == part[:-1, 1]
            if (is_joined & (contig[1:] == contig[:-1])).any():
                raise self._damaged(schema.INTERVALS)
            reached = int(part[-1, 1])
            found.append(part)
        intervals = np.concatenate(found)
        # Their number is said in a file without a checksum of its own.
        if intervals_digest(intervals) != self.attributes["sha256"].get(schema.INTERVALS):
            raise self._damaged(schema.INTERVALS)
        return intervals

    def _required(self, layout: ArrayLayout) -> NDArray[np.int64]:
        """Rows of an array that must be stored, as ranges; int64 [K, 2]."""
        is_fasta = self.attributes["reference_source"] == schema.FROM_FASTA
        if layout.name == schema.INTERVALS or (layout.name == schema.REFERENCE and is_fasta):
            return np.array([[0, layout.length]] if layout.length else [], np.int64).reshape(-1, 2)
        return self._intervals

    def _deep_intervals(self, min_species: int) -> NDArray[np.int64]:
        """As `_intervals`, of the positions with enough species."""
        reader = self.arrays[schema.DEPTH]
        runs: list[NDArray[np.int64]] = [np.empty((0, 2), dtype=np.int64)]
        # Not by the contig: of a draft genome, many lie in one chunk.
        for start, end in windows_of(self._intervals, reader.layout.length, _DEPTHS):
            with self._reading(schema.DEPTH):
                depth = reader.read(start, end)
            runs.append(runs_of(depth >= min_species, start))
        offsets = np.array([*self._offsets.values()], dtype=np.int64)
        return cut_intervals(merge_intervals(np.concatenate(runs)), offsets)

    def verify(self, *, threads: int = 1) -> None:
        """Compare every array with the checksums made when the store was built.

        Parameters
        ----------
        threads : int
            Chunks decoded at once.

        Raises
        ------
        InputError
            Naming the first array that differs.
        """
        for name, digest in self._digests(threads):
            if digest != self.attributes["sha256"].get(name):
                raise InputError(
                    f"the checksum of array {name} is wrong: the store is damaged",
                    path=self.path,
                    remedy=RESTORE,
                )

    def _digests(self, threads: int) -> Iterator[tuple[str, str]]:
        """Name and checksum of every array."""
        yield schema.INTERVALS, intervals_digest(self._intervals)
        size, length = schema.CHUNK_LENGTH, self.arrays[schema.BASES].layout.length
        covered = [start // size for start, _ in windows_of(self._intervals, length, size)]
        yield schema.BASES, self._bases_digest(covered, threads)
        is_whole = self.attributes["reference_source"] == schema.FROM_FASTA
        for name in (schema.REFERENCE, schema.DEPTH, schema.WEIGHT):
            if name in self.arrays:
                wanted = range(length // size) if is_whole and name == schema.REFERENCE else covered
                yield name, self._line_digest(name, wanted)

    def _bases_digest(self, windows: Sequence[int], threads: int) -> str:
        reader = self.arrays[schema.BASES]

        def digest_of(window: int) -> bytes:
            bases = np.empty(reader.layout.chunk_shape, dtype=np.uint8)
            with self._reading(schema.BASES, self._contig_at(window)):
                reader.read_chunk(window, bases)
            return chunk_digest(bases)

        whole = ArrayDigest()
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(windows), _VERIFIED):
                some = windows[start : start + _VERIFIED]
                for window, digest in zip(some, pool.map(digest_of, some), strict=True):
                    whole.add(window, digest)
        return whole.hexadecimal()

    def _line_digest(self, name: str, windows: Iterable[int]) -> str:
        reader, size, whole = self.arrays[name], schema.CHUNK_LENGTH, ArrayDigest()
        for group, some in itertools.groupby(windows, lambda window: window // _VERIFIED):
            start = group * _VERIFIED * size
            end = min(start + _VERIFIED * size, reader.layout.length)
            with self._reading(name):
                values = reader.read(start, end)
            for window in some:
                first = window * size - start
                whole.add_values(window, values[first : first + size])
        return whole.hexadecimal()

    def _contig_at(self, window: int) -> str:
        offsets = [*self._offsets.values()]
        index = bisect_right(offsets, window * schema.CHUNK_LENGTH) - 1
        return [*self.contigs][index]

    def _read(self, region: Region, name: str, threads: int = 1) -> NDArray[Any]:
        length = self.contigs.get(region.contig)
        if length is None:
            raise InputError(
                f"has no contig {region.contig!r}",
                path=self.path,
                remedy="`phylotools inspect` lists its contigs",
            )
        if not 0 <= region.start <= region.end <= length:
            raise InputError(
                f"{region} is not within the contig (1-{length})",
                path=self.path,
                remedy="check that coordinates and store are of one assembly",
            )
        offset = self._offsets[region.contig]
        start, end = offset + region.start, offset + region.end
        with self._reading(name, region.contig):
            return self.arrays[name].read(start, end, threads=threads)

    @contextmanager
    def _reading(self, name: str, contig: str | None = None) -> Iterator[None]:
        """Turn what goes wrong with files into an `InputError` that names the array."""
        try:
            yield
        except DamagedError as error:
            raise self._damaged(name, contig) from error
        except OSError as error:
            problem = f"cannot read array {name}: {error.strerror}"
            raise InputError(problem, path=self.path) from error

    def _damaged(self, name: str, contig: str | None = None) -> InputError:
        where = "" if contig is None else f" of contig {contig}"
        return InputError(
            f"array {name}{where} cannot be read: the store is damaged",
            path=self.path,
            remedy=RESTORE,
        )


def open_store(path: str | os.PathLike[str]) -> ColumnStore:
    """Open a column store and check the chunk index of each of its files.

    What is missing or cut is so noticed before anything is computed (12,000 files of 447 mammals
    take half a second); damaged values are when they are read.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    ColumnStore

    Raises
    ------
    InputError
        If the path is no column store, is of another format version, or lacks a part of a file.
    """
    store = _open_store(path)
    for name, reader in store.arrays.items():
        with store._reading(name):
            reader.check_files()
    return store


def _open_store(path: str | os.PathLike[str]) -> ColumnStore:
    folder = Path(path)
    attributes = read_attributes(folder)
    tree = parse_newick(attributes["tree"], path=f"{path} (its tree)")
    if list(tree.tips) != attributes["species"] or (
        attributes["reference_species"] not in tree.tips
    ):
        raise InputError("species and tree do not agree", path=path, remedy=DAMAGED)
    length = checked_length(folder, attributes["contigs"])
    return ColumnStore(folder, attributes, tree, read_layouts(folder, length, attributes))
