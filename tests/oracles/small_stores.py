"""Small column stores for tests: from files, or from arrays without any alignment."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phylotools.io.regions import Region
from phylotools.preprocess import stages
from phylotools.preprocess.plan import Settings
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.assemble import assemble_store
from phylotools.store.chunks import StoredChunk, chunk_digest, encode_values
from phylotools.store.read import ColumnStore, open_store


def build_store(alignment, tree, output, *, fasta=None, force=False, **settings):
    """`phylotools.preprocess.stages.build_store` with paths and settings as keywords."""
    chosen = Settings(fasta=None if fasta is None else os.fspath(fasta), **settings)
    return stages.build_store([os.fspath(alignment)], os.fspath(tree), output, chosen, force=force)


@dataclass
class Block:
    """Codes of some species over a region; uint8 [species, L]."""

    region: Region
    species: tuple[str, ...]
    bases: np.ndarray
    contig_length: int


def write_store(folder, tree, reference: str, blocks: list[Block]) -> ColumnStore:
    """A store of blocks, position by position; where they overlap, the first counts."""
    contigs: dict[str, np.ndarray] = {}
    own = tree.tips.index(reference)
    for block in blocks:
        n_chunks = -(-block.contig_length // schema.CHUNK_LENGTH)
        shape = (tree.n_tips, n_chunks * schema.CHUNK_LENGTH)
        name = block.region.contig
        whole = contigs.setdefault(name, np.full(shape, schema.NO_BLOCK, dtype=np.uint8))
        rows = [tree.tips.index(name) for name in block.species]
        for offset in range(len(block.region)):
            if whole[own, block.region.start + offset] == schema.NO_BLOCK:
                whole[rows, block.region.start + offset] = block.bases[:, offset]
    lengths = {block.region.contig: block.contig_length for block in blocks}
    assemble_store(
        folder,
        tree=tree,
        reference_species=reference,
        contigs=[(name, lengths[name]) for name in contigs],
        chunks=[
            chunk_of(number, index, whole, own)
            for number, whole in enumerate(contigs.values())
            for index in range(whole.shape[1] // schema.CHUNK_LENGTH)
        ],
        statistics={"blocks": len(blocks)},
        run=RunRecord(),
    )
    return open_store(Path(folder))


def change_attributes(folder: Path, change) -> None:
    """Change the attributes of a store in place, with their checksum."""
    root = json.loads((folder / "zarr.json").read_text())
    change(root["attributes"])
    root["attributes"]["checksum"] = schema.attributes_checksum(root["attributes"])
    (folder / "zarr.json").write_text(json.dumps(root))


def chunk_of(contig: int, index: int, whole: np.ndarray, own: int) -> StoredChunk:
    """One chunk of a contig's codes, uint8 [S, positions]."""
    part = slice(index * schema.CHUNK_LENGTH, (index + 1) * schema.CHUNK_LENGTH)
    bases = np.ascontiguousarray(whole[:, part])
    depth = ((bases & schema.CODE_MASK) < schema.N).sum(axis=0, dtype=np.uint16)
    return StoredChunk(contig, index, encode_values(bases), chunk_digest(bases), bases[own], depth)
