"""The two kinds of index within a bigWig: contigs by name, and blocks by place.

Both are trees of nodes with a header of four bytes, written level by level from the root; the
layout is that of Kent et al., Bioinformatics 26:2204 (2010), supplement.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

CONTIG_MAGIC, PLACE_MAGIC = 0x78CA8C91, 0x2468ACE0
#: Magic, entries of a node, bytes of a name, bytes of what it leads to, number of names, reserved.
CONTIG_HEAD = struct.Struct("<IIIIQQ")
#: Magic, entries of a node, number of blocks, first and last place (contig, position), end of the
#: data, items of a block, reserved.
PLACE_HEAD = struct.Struct("<IIQIIIIQII")
#: Entries of a node, as UCSC's tools choose.
_NODE_SIZE = 256
_HEADER = np.dtype([("is_leaf", "u1"), ("reserved", "u1"), ("count", "<u2")])
#: A block of compressed data: what it covers, and where it stands in the file.
BLOCK = np.dtype(
    [
        ("contig", "<u4"),
        ("start", "<u4"),
        ("last_contig", "<u4"),
        ("end", "<u4"),
        ("offset", "<u8"),
        ("size", "<u8"),
    ]
)
#: The same of a node below.
INNER = np.dtype(BLOCK.descr[:5])


def contig_tree(contigs: Mapping[str, int], offset: int) -> bytes:
    """Names and lengths of contigs, numbered in the order given.

    Parameters
    ----------
    contigs : mapping of str to int
        Name -> length, below 2^32.
    offset : int
        Where the tree will stand in the file.
    """
    numbered = sorted(
        (name.encode(), number, length) for number, (name, length) in enumerate(contigs.items())
    )
    width = max((len(name) for name, _, _ in numbered), default=1)
    size = min(_NODE_SIZE, max(len(numbered), 2))
    leaf, inner = contig_entries(width)
    levels: list[NDArray[np.void]] = [np.array(numbered, dtype=leaf)]
    while len(levels[0]) > size:
        parents = np.zeros(-(-len(levels[0]) // size), dtype=inner)
        parents["name"] = levels[0]["name"][::size]
        levels.insert(0, parents)
    head = CONTIG_HEAD.pack(CONTIG_MAGIC, size, width, 8, len(numbered), 0)
    return head + _written(levels, offset + len(head), size)


def contig_entries(width: int) -> tuple[np.dtype[np.void], np.dtype[np.void]]:
    """Entries of the contig tree's leaves and inner nodes, for names of so many bytes."""
    leaf = np.dtype([("name", f"S{width}"), ("number", "<u4"), ("length", "<u4")])
    return leaf, np.dtype([("name", f"S{width}"), ("offset", "<u8")])


def place_tree(blocks: NDArray[np.void], end_offset: int, offset: int, items: int) -> bytes:
    """Blocks by the place that they cover.

    Parameters
    ----------
    blocks : array of `BLOCK`
        Sorted by contig and start.
    end_offset : int
        Where the data end.
    offset : int
        Where the tree will stand in the file.
    items : int
        Entries of a block at most.
    """
    levels = [blocks]
    while len(levels[0]) > _NODE_SIZE:
        levels.insert(0, _parents(levels[0]))
    bounds = _parents(blocks, len(blocks)) if len(blocks) else np.zeros(1, dtype=INNER)
    places = [int(bounds[name][0]) for name in ("contig", "start", "last_contig", "end")]
    head = PLACE_HEAD.pack(PLACE_MAGIC, _NODE_SIZE, len(blocks), *places, end_offset, items, 0)
    return head + _written(levels, offset + len(head), _NODE_SIZE)


def _parents(children: NDArray[np.void], size: int = _NODE_SIZE) -> NDArray[np.void]:
    """Entries of the level above, which cover those of a node each."""
    firsts = np.arange(0, len(children), size)
    parents = np.zeros(len(firsts), dtype=INNER)
    for name in ("contig", "start"):
        parents[name] = children[name][firsts]
    ends = children["last_contig"].astype(np.uint64) << np.uint64(32)
    ends = np.maximum.reduceat(ends | children["end"], firsts)
    parents["last_contig"], parents["end"] = ends >> np.uint64(32), ends & np.uint64(0xFFFFFFFF)
    return parents


def _written(levels: list[NDArray[np.void]], offset: int, size: int) -> bytes:
    """Nodes of all levels, root first; fills in the offsets of the children."""
    starts = []
    for entries in levels:
        starts.append(offset)
        n_nodes = max(1, -(-len(entries) // size))
        offset += n_nodes * _HEADER.itemsize + entries.nbytes
    written = []
    for depth, entries in enumerate(levels):
        is_leaf = depth == len(levels) - 1
        if not is_leaf:
            child_bytes = _HEADER.itemsize + size * levels[depth + 1].dtype.itemsize
            children = np.arange(len(entries), dtype=np.uint64) * np.uint64(child_bytes)
            entries["offset"] = children + np.uint64(starts[depth + 1])
        for first in range(0, max(len(entries), 1), size):
            node = entries[first : first + size]
            written.append(struct.pack("<BBH", is_leaf, 0, len(node)) + node.tobytes())
    return b"".join(written)
