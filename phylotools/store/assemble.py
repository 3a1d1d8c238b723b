"""Write a column store from its chunks, in order."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.intervals import runs_of
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import Tree
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.chunks import ArrayDigest, StoredChunk, intervals_digest
from phylotools.store.shards import ShardWriter, ValueWriter

#: Reference codes of a region, uint8 [L].
ReferenceSource = Callable[[Region], NDArray[np.uint8]]
#: Weights of the positions of a region, float32 [L].
WeightSource = Callable[[Region], NDArray[np.float32]]

#: Positions of the reference sequence that are fetched at once; a multiple of CHUNK_LENGTH.
_FETCHED = 1 << 20


def assemble_store(
    folder: str | os.PathLike[str],
    *,
    tree: Tree,
    reference_species: str,
    contigs: Sequence[tuple[str, int]],
    chunks: Iterable[StoredChunk],
    reference: ReferenceSource | None = None,
    weights: WeightSource | None = None,
    statistics: dict[str, Any],
    run: RunRecord,
) -> dict[str, Any]:
    """Write a column store; memory does not depend on its size.

    Parameters
    ----------
    folder : str or PathLike
        Empty or absent; see `phylotools.io.files.atomic_folder`.
    tree : Tree
        Its tips are the species of the store, in their order.
    reference_species : str
        A tip.
    contigs : sequence of (str, int)
        Name and length in bases, in the order of the store.
    chunks : iterable of StoredChunk
        Sorted by contig, then index, each once.
    reference : callable, optional
        Gives the reference codes of any region; without it they come from the chunks, and are N
        where no block lies.
    weights : callable, optional
        Gives the weights of any region of a contig; they are kept where chunks are.
    statistics : dict
        Stands in the attributes, with what is counted here.
    run : RunRecord
        Its inputs become the checksums of the inputs.

    Returns
    -------
    dict
        `statistics` with ``covered_positions`` and ``mean_species_per_column``.

    Raises
    ------
    InputError
        If the tree has no such tip, or more tips than a depth can count, or the contigs are
        longer than a store can be.
    """
    check_species(tree, reference_species)
    offsets, length = schema.contig_offsets(length for _, length in contigs)
    if length > schema.MOST_POSITIONS:
        raise InputError(f"the contigs have {length} positions; a store holds at most 2^46")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    names = [schema.DEPTH]
    names += [schema.REFERENCE] if reference is None else []
    names += [schema.WEIGHT] if weights is not None else []
    with ExitStack() as stack:
        bases = stack.enter_context(ShardWriter(root, schema.bases_layout(length, tree.n_tips)))
        lines = {name: stack.enter_context(_LineWriter(root, name, length)) for name in names}
        parts = _Parts(contigs, offsets, bases, lines, weights)
        for chunk in chunks:
            parts.add(chunk)
    intervals = parts.intervals()
    with ValueWriter(root, schema.intervals_layout(len(intervals))) as writer:
        writer.put(0, intervals)
    digests = {
        schema.BASES: parts.digest.hexadecimal(),
        schema.INTERVALS: intervals_digest(intervals),
        **{name: line.digest.hexadecimal() for name, line in lines.items()},
    }
    if reference is not None:
        with _LineWriter(root, schema.REFERENCE, length) as line:
            _write_reference(line, contigs, offsets, reference)
        digests[schema.REFERENCE] = line.digest.hexadecimal()
    n_covered = int((intervals[:, 1] - intervals[:, 0]).sum())
    counted = {
        "covered_positions": n_covered,
        "mean_species_per_column": parts.n_bases / n_covered if n_covered else 0.0,
    }
    attributes = {
        "format": schema.FORMAT,
        "format_version": schema.FORMAT_VERSION,
        "reference_species": reference_species,
        "reference_source": schema.FROM_ALIGNMENT if reference is None else schema.FROM_FASTA,
        "species": list(tree.tips),
        "tree": tree.to_newick(),
        "contigs": [
            {"name": name, "length": length, "offset": offset}
            for (name, length), offset in zip(contigs, offsets, strict=True)
        ],
        "sha256": digests,
        "inputs": run.inputs,
        "statistics": {**statistics, **counted},
        "run": run.to_dict(),
    }
    attributes = json.loads(json.dumps(attributes, allow_nan=False))  # numbers as keys are texts
    attributes["checksum"] = schema.attributes_checksum(attributes)
    group = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    (root / "zarr.json").write_text(json.dumps(group, indent=2, allow_nan=False))
    return {**statistics, **counted}


def check_species(tree: Tree, reference_species: str) -> None:
    """Raise `InputError` unless a store can hold the species of a tree."""
    if reference_species not in tree.tips:
        raise InputError(
            f"the tree has no tip called {reference_species}",
            remedy="give the reference the name that it has in the tree",
        )
    if tree.n_tips > np.iinfo(np.uint16).max:
        raise InputError(f"the tree has {tree.n_tips} tips; a store holds at most 65535")


class _LineWriter(ValueWriter):
    """An array with one value per position, written by whole windows, with its digest."""

    def __init__(self, root: Path, name: str, length: int) -> None:
        super().__init__(root, schema.line_layout(name, length))
        self.digest = ArrayDigest()

    def put_window(self, index: int, values: NDArray[Any]) -> None:
        """Add the window of CHUNK_LENGTH values from position ``index * CHUNK_LENGTH``."""
        self.put(index * schema.CHUNK_LENGTH, values)
        self.digest.add_values(index, values)


class _Parts:
    """Write each array's share of the chunks, which come in order."""

    def __init__(
        self,
        contigs: Sequence[tuple[str, int]],
        offsets: Sequence[int],
        bases: ShardWriter,
        lines: dict[str, _LineWriter],
        weights: WeightSource | None,
    ) -> None:
        self._contigs = contigs
        self._offsets = offsets
        self._bases = bases
        self._lines = lines
        self._weights = weights
        self.digest = ArrayDigest()
        self.n_bases = 0
        self._bounds = array("q")
        self._contig = -1

    def add(self, chunk: StoredChunk) -> None:
        """Take in the next chunk."""
        is_covered = chunk.reference != schema.NO_BLOCK
        start = self._offsets[chunk.contig] + chunk.index * schema.CHUNK_LENGTH
        runs = runs_of(is_covered, start)
        if not len(runs):
            return
        index = start // schema.CHUNK_LENGTH
        self._bases.append(index, chunk.blob)
        self.digest.add(index, chunk.digest)
        self._add_runs(chunk.contig, runs)
        self.n_bases += int(chunk.depth.sum(dtype=np.int64))
        self._lines[schema.DEPTH].put_window(index, chunk.depth)
        if schema.REFERENCE in self._lines:
            codes = np.where(is_covered, chunk.reference, np.uint8(schema.N))
            self._lines[schema.REFERENCE].put_window(index, codes)
        if self._weights is not None:
            self._lines[schema.WEIGHT].put_window(index, self._weights_of(chunk, self._weights))

    def intervals(self) -> NDArray[np.int64]:
        """Start and end of each run of covered positions of the arrays; int64 [K, 2]."""
        return np.array(self._bounds, dtype=np.int64).reshape(-1, 2)

    def _add_runs(self, contig: int, runs: NDArray[np.int64]) -> None:
        bounds = runs.ravel().tolist()
        # Contigs may touch in the arrays; their intervals stay apart.
        if contig == self._contig and self._bounds[-1] == bounds[0]:
            self._bounds.pop()
            del bounds[0]
        self._bounds.extend(bounds)
        self._contig = contig

    def _weights_of(self, chunk: StoredChunk, weights: WeightSource) -> NDArray[np.float32]:
        name, length = self._contigs[chunk.contig]
        start = chunk.index * schema.CHUNK_LENGTH
        end = min(start + schema.CHUNK_LENGTH, length)
        values = np.ones(schema.CHUNK_LENGTH, dtype=np.float32)
        values[: end - start] = weights(Region(name, start, end))
        return values


def _write_reference(
    line: _LineWriter,
    contigs: Sequence[tuple[str, int]],
    offsets: Sequence[int],
    reference: ReferenceSource,
) -> None:
    """The reference sequence of whole contigs."""
    size = schema.CHUNK_LENGTH
    for (name, length), offset in zip(contigs, offsets, strict=True):
        for start in range(0, length, _FETCHED):
            end = min(start + _FETCHED, length)
            codes = reference(Region(name, start, end))
            n_windows = -(-len(codes) // size)
            windows = np.full((n_windows, size), schema.N, dtype=np.uint8)
            windows.ravel()[: len(codes)] = codes
            for index, window in enumerate(windows, start=(offset + start) // size):
                line.put_window(index, window)
