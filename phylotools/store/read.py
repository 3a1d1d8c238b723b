"""Reading a column store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.regions import MAX_COORDINATE, Region
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.provenance import sha256_text
from phylotools.store import schema

_REMEDY = "give a folder that `phylotools preprocess` made"
_DAMAGED = "restore it or make it again; `phylotools inspect --verify` names the damaged part"
_REQUIRED = {
    "reference_species": str,
    "reference_source": str,
    "species": list,
    "tree": str,
    "contigs": list,
    "inputs": dict,
    "statistics": dict,
    "run": dict,
}


class ColumnStore:
    """Alignment columns in reference coordinates; open one with `open_store`.

    Instances can be pickled: each process opens the store for itself. Do not share one across
    ``fork``, because zarr runs its reads in a thread.

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
        Name -> length in bases, in order of first appearance.
    """

    def __init__(self, path: Path, attributes: dict[str, Any], tree: Tree) -> None:
        self.path = path
        self.attributes = attributes
        self.tree = tree
        self.species = tree.tips
        self.reference_species: str = attributes["reference_species"]
        self.reference_index = self.species.index(self.reference_species)
        self.contigs: dict[str, int] = {c["name"]: c["length"] for c in attributes["contigs"]}
        self._index = {name: index for index, name in enumerate(self.contigs)}
        self._arrays: dict[tuple[int, str], Any] = {}
        self._intervals: dict[str, NDArray[np.int64]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self.path,)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides what a reader sees, whoever made it and when."""
        keys = ("format_version", "reference_species", "species", "tree", "contigs")
        return sha256_text(json.dumps({k: self.attributes[k] for k in keys}, sort_keys=True))

    def bases(self, region: Region) -> NDArray[np.uint8]:
        """Codes of every species over a region.

        Parameters
        ----------
        region : Region

        Returns
        -------
        uint8 array [L, S]
            Codes of `phylotools.store.schema`; the soft-mask bit is set where lower case.

        Raises
        ------
        InputError
            If the region is not within a contig of the store, or the store is damaged.
        """
        bases = self._read(region, schema.BASES)
        absent = np.flatnonzero(bases[:, self.reference_index] == schema.NO_BLOCK) + region.start
        # A lost chunk reads as fill values; but the reference has a base in every block.
        if len(absent) and self._is_covered(region.contig, absent).any():
            raise self._damaged(region.contig, schema.BASES)
        return bases

    def reference(self, region: Region) -> NDArray[np.uint8]:
        """Reference sequence over a region; uint8 [L], soft-mask bit kept, N where unknown."""
        codes = self._read(region, schema.REFERENCE)
        if len(codes) and (codes & schema.CODE_MASK).max() > schema.N:
            raise self._damaged(region.contig, schema.REFERENCE)
        return codes

    def depth(self, region: Region) -> NDArray[np.uint16]:
        """Number of species with A, C, G or T at each position; uint16 [L]."""
        return self._read(region, schema.DEPTH)

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
        regions = []
        for contig in self.contigs:
            intervals = self.intervals(contig)
            if min_species > 0:
                intervals = self._deep_intervals(contig, intervals, min_species)
            regions += [Region(contig, start, end) for start, end in intervals.tolist()]
        return regions

    def intervals(self, contig: str) -> NDArray[np.int64]:
        """Start and end of every run of positions that blocks cover; int64 [K, 2]."""
        if contig not in self._intervals:
            array = self._array(contig, schema.INTERVALS)
            intervals = self._load(array, slice(None), contig, schema.INTERVALS).reshape(-1, 2)
            bounds = intervals.ravel()
            in_order = (np.diff(bounds) > 0).all()
            if len(bounds) and not (
                in_order and bounds[0] >= 0 and bounds[-1] <= self.contigs[contig]
            ):
                raise self._damaged(contig, schema.INTERVALS)
            self._intervals[contig] = intervals
        return self._intervals[contig]

    def _is_covered(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        bounds = self.intervals(contig).ravel()
        return np.searchsorted(bounds, positions, side="right") % 2 == 1

    def _deep_intervals(
        self, contig: str, intervals: NDArray[np.int64], min_species: int
    ) -> NDArray[np.int64]:
        runs: list[NDArray[np.int64]] = []
        for start, end in windows_of(intervals, self.contigs[contig]):
            deep = self.depth(Region(contig, start, end)) >= min_species
            edges = np.flatnonzero(np.diff(deep, prepend=False, append=False))
            runs.append(edges.reshape(-1, 2).astype(np.int64) + start)
        return merge_intervals(np.concatenate(runs)) if runs else intervals

    def verify(self) -> None:
        """Compare every array with the checksums made when the store was built.

        Raises
        ------
        InputError
            Naming the first array that differs.
        """
        for contig, entry in zip(self.contigs, self.attributes["contigs"], strict=True):
            for name, digest in self._digests(contig).items():
                if digest != entry["sha256"].get(name):
                    raise InputError(
                        f"the checksum of array {name} of contig {contig} is wrong: the store is "
                        "damaged",
                        path=self.path,
                        remedy="restore it or make it again",
                    )

    def _digests(self, contig: str) -> dict[str, str]:
        intervals, length = self.intervals(contig), self.contigs[contig]
        digests = ArrayDigests(intervals)
        for start, end in windows_of(intervals, length):
            region = Region(contig, start, end)
            digests.add(schema.BASES, start, self.bases(region))
            digests.add(schema.DEPTH, start, self.depth(region))
        whole = self.attributes["reference_source"] == schema.FROM_FASTA
        for start, end in whole_windows(length) if whole else windows_of(intervals, length):
            digests.add(schema.REFERENCE, start, self.reference(Region(contig, start, end)))
        return digests.hexadecimal()

    def _array(self, contig: str, name: str) -> Any:
        index = self._index[contig]
        if (index, name) not in self._arrays:
            import zarr

            try:
                self._arrays[index, name] = zarr.open_array(
                    self.path / schema.contig_group(index) / name, mode="r"
                )
            except Exception as error:
                raise self._damaged(contig, name) from error
        return self._arrays[index, name]

    def _read(self, region: Region, name: str) -> NDArray[Any]:
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
        array = self._array(region.contig, name)
        return self._load(array, slice(region.start, region.end), region.contig, name)

    def _load(self, array: Any, where: slice, contig: str, name: str) -> NDArray[Any]:
        # Each codec raises what it likes for damaged bytes: any failure here is the store's.
        try:
            return np.asarray(array[where])
        except Exception as error:
            raise self._damaged(contig, name) from error

    def _damaged(self, contig: str, name: str) -> InputError:
        return InputError(
            f"array {name} of contig {contig} cannot be read: the store is damaged",
            path=self.path,
            remedy="restore it or make it again",
        )


class ArrayDigests:
    """SHA-256 of each array of a contig, over windows of `schema.WINDOW` positions."""

    def __init__(self, intervals: NDArray[np.int64]) -> None:
        self._hashes: dict[str, Any] = {
            name: hashlib.sha256() for name in (schema.BASES, schema.REFERENCE, schema.DEPTH)
        }
        data = np.ascontiguousarray(intervals, dtype="<i8").tobytes()
        self._hashes[schema.INTERVALS] = hashlib.sha256(data)

    def add(self, name: str, start: int, values: NDArray[Any]) -> None:
        """Take in the window that begins at `start`."""
        self._hashes[name].update(start.to_bytes(8, "little"))
        data = values.astype(values.dtype.newbyteorder("<"), copy=False)
        self._hashes[name].update(np.ascontiguousarray(data).data)

    def hexadecimal(self) -> dict[str, str]:
        """Array name -> hexadecimal SHA-256."""
        return {name: made.hexdigest() for name, made in self._hashes.items()}


def merge_intervals(intervals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Union of intervals: sorted, disjoint, touching ones joined.

    Parameters
    ----------
    intervals : int64 array [K, 2]
        Start and end of each.

    Returns
    -------
    int64 array [M, 2]
    """
    if not len(intervals):
        return intervals.reshape(0, 2)
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.flatnonzero(np.append(True, ordered[1:, 0] > reach[:-1]))
    last = np.append(first[1:] - 1, len(ordered) - 1)
    return np.stack([ordered[first, 0], reach[last]], axis=1)


def windows_of(intervals: NDArray[np.int64], length: int) -> Iterator[tuple[int, int]]:
    """Windows of `schema.WINDOW` positions that overlap an interval: (start, end), in order."""
    previous = -1
    for start, end in intervals.tolist():
        first = max(start // schema.WINDOW, previous + 1)
        previous = max(previous, (end - 1) // schema.WINDOW)
        for index in range(first, previous + 1):
            yield index * schema.WINDOW, min((index + 1) * schema.WINDOW, length)


def whole_windows(length: int) -> Iterator[tuple[int, int]]:
    """All windows of a contig: (start, end), in order."""
    for start in range(0, length, schema.WINDOW):
        yield start, min(start + schema.WINDOW, length)


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder with a zarr root, so that `open_store` should judge it."""
    return (Path(path) / "zarr.json").is_file()


def open_store(path: str | os.PathLike[str]) -> ColumnStore:
    """Open a column store.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    ColumnStore

    Raises
    ------
    InputError
        If the path is no column store, is of a later format version, or lacks a part.
    """
    folder = Path(path)
    attributes = _root_attributes(folder)
    if attributes.get("format") != schema.FORMAT:
        raise InputError("is no column store", path=path, remedy=_REMEDY)
    version = attributes.get("format_version")
    if version != schema.FORMAT_VERSION:
        raise InputError(
            f"is a column store of format version {version}; this phylotools reads version "
            f"{schema.FORMAT_VERSION}",
            path=path,
            remedy="use the phylotools version that made it, or make it again",
        )
    for key, kind in _REQUIRED.items():
        if not isinstance(attributes.get(key), kind):
            raise InputError(f"the attribute {key} is missing", path=path, remedy=_DAMAGED)
    tree = parse_newick(attributes["tree"], path=f"{path} (its tree)")
    if list(tree.tips) != attributes["species"] or (
        attributes["reference_species"] not in tree.tips
    ):
        raise InputError("species and tree do not agree", path=path, remedy=_DAMAGED)
    for index, entry in enumerate(attributes["contigs"]):
        _check_arrays(folder, index, entry, tree.n_tips)
    if len({entry["name"] for entry in attributes["contigs"]}) < len(attributes["contigs"]):
        raise InputError("two contigs have one name", path=path, remedy=_DAMAGED)
    return ColumnStore(folder, attributes, tree)


def _root_attributes(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise InputError("does not exist", path=folder, remedy=_REMEDY)
    metadata = _json_object(folder / "zarr.json")
    attributes = None if metadata is None else metadata.get("attributes")
    if not isinstance(attributes, dict):
        raise InputError("is no column store", path=folder, remedy=_REMEDY)
    return attributes


def _check_arrays(folder: Path, index: int, entry: Any, n_species: int) -> None:
    is_complete = (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and type(entry.get("length")) is int
        and 0 < entry["length"] <= MAX_COORDINATE
        and isinstance(entry.get("sha256"), dict)
    )
    if not is_complete:
        raise InputError(f"contig {index} is not described", path=folder, remedy=_DAMAGED)
    expected = schema.array_specifications(entry["length"], n_species, n_intervals=0)
    for name, wanted in expected.items():
        found = _json_object(folder / schema.contig_group(index) / name / "zarr.json") or {}
        shape = found.get("shape")
        if name == schema.INTERVALS:
            fits = isinstance(shape, list) and len(shape) == 2 and shape[1] == 2
        else:
            fits = shape == list(wanted["shape"])
        if not fits or found.get("data_type") != wanted["dtype"]:
            raise InputError(
                f"array {name} of contig {entry['name']} is missing or of the wrong shape",
                path=folder,
                remedy=_DAMAGED,
            )


def _json_object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():  # nor a pipe, which would be waited for
        return None
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
