"""A column store against what it must hold."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import numpy as np
from slow_projection import NO_BLOCK, Projection, blocks_by_lines, owner

from phylotools.io.regions import Region
from phylotools.jobs.stages import Resources
from phylotools.preprocess.plan import Settings
from phylotools.preprocess.stages import build_store
from phylotools.store.read import ColumnStore, open_store

#: Positions looked at before and after each interval, where no block may be.
_AROUND = 3000


def store_of(
    alignments,
    tree,
    folder: Path,
    *,
    force: bool = False,
    threads: int = 1,
    partition_bytes: int | None = None,
    **settings,
) -> ColumnStore:
    """The store of one or several alignments, made in `folder`."""
    paths = alignments if isinstance(alignments, list) else [alignments]
    build_store(
        [str(path) for path in paths],
        str(tree),
        folder,
        Settings(**settings),
        force=force,
        resources=Resources(threads),
        partition_bytes=partition_bytes,
    )
    return open_store(folder)


def unpacked(path: Path, folder: Path) -> tuple[Path, str]:
    """An xz-packed alignment of the test data as a plain file in `folder`, and its text."""
    text = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    plain = folder / path.name.removesuffix(".xz")
    plain.write_bytes(text)
    return plain, text.decode("ascii")


def star_tree(text: str, path: Path) -> Path:
    """A star of the species of a MAF whose names hold no dot, in order of appearance."""
    names = dict.fromkeys(re.findall(r"(?m)^s[ \t]+([^.\s]+)", text))
    path.write_text("(" + ",".join(f"{name}:0.1" for name in names) + ");")
    return path


def contig_lengths(text: str, species: tuple[str, ...], reference: str) -> dict[str, int]:
    """Source sizes of the reference's contigs."""
    lengths = {}
    for rows in blocks_by_lines(text):
        for row in rows:
            found = owner(row.source, species)
            if found is not None and found[0] == reference:
                lengths[found[1]] = row.source_size
    return lengths


def assert_store_equals(store: ColumnStore, expected: Projection) -> None:
    """Every column that must be there is, and nothing else."""
    store.verify()
    regions = store.covered_regions(min_species=0)
    assert sorted(runs(expected)) == sorted((r.contig, r.start, r.end) for r in regions)
    reference = store.reference_index
    for region in regions:
        columns = expected[region.contig]
        wanted = np.frombuffer(
            b"".join(columns[position] for position in range(region.start, region.end)), np.uint8
        ).reshape(len(region), len(store.species))
        found = store.bases(region)
        if not np.array_equal(found, wanted):
            position, species = np.argwhere(found != wanted)[0].tolist()
            raise AssertionError(
                f"{region.contig}:{region.start + position}, {store.species[species]}: "
                f"{found[position, species]} is stored, {wanted[position, species]} expected"
            )
        np.testing.assert_array_equal(store.depth(region), (wanted % 8 < 4).sum(axis=1))
        if store.attributes["reference_source"] == "alignment":
            np.testing.assert_array_equal(store.reference(region), wanted[:, reference])
        length = store.contigs[region.contig]
        around = Region(
            region.contig, max(0, region.start - _AROUND), min(length, region.end + _AROUND)
        )
        present = np.array([p in columns for p in range(around.start, around.end)])
        assert (store.bases(around)[~present] == NO_BLOCK).all()
        assert not store.depth(around)[~present].any()


def runs(expected: Projection) -> list[tuple[str, int, int]]:
    """(contig, start, end) of every longest stretch of positions."""
    found = []
    for contig, columns in expected.items():
        positions = np.array(sorted(columns))
        breaks = np.flatnonzero(np.diff(positions) != 1)
        starts = positions[np.r_[0, breaks + 1]].tolist()
        ends = positions[np.r_[breaks, len(positions) - 1]].tolist()
        found += [(contig, start, end + 1) for start, end in zip(starts, ends, strict=True)]
    return found
