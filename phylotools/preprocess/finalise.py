"""Pieces -> the store: chunks that were written several times are merged, the others copied."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.alignment.counts import RowCounts
from phylotools.io.files import atomic_folder
from phylotools.io.pipeline import in_order
from phylotools.io.staging import outputs_together
from phylotools.jobs.piece import Piece
from phylotools.jobs.work_folder import WorkFolder
from phylotools.phylogeny.tree import Tree
from phylotools.preprocess import projection_kernels as kernels
from phylotools.preprocess.plan import Plan
from phylotools.preprocess.projection import encoded, read_chunk
from phylotools.preprocess.reference import CheckedReference
from phylotools.store import schema
from phylotools.store.assemble import assemble_store
from phylotools.store.chunks import StoredChunk, decode_values
from phylotools.store.read import open_store
from phylotools.store.tree_scale import warn_of_scale

logger = logging.getLogger("phylotools")

#: Chunks that each thread may be ahead of the writer.
_READ_AHEAD = 8
#: Parts of a chunk on average from which on threads merge them.
_MANY_LAYERS = 2
#: Contig of a chunk, and where its parts are: piece and row of its index.
_Group = tuple[int, list[tuple[int, int]]]
_DUPLICATE_NOTES = {
    "best-identity": "dropped, the most similar to the reference kept",
    "first": "dropped, the first kept",
    "consensus": "merged into a consensus",
    "drop": "dropped with the others of that species",
}


@dataclass(frozen=True)
class BuildSummary:
    """What was stored, for the log and `--summary-json`."""

    blocks: int
    covered_positions: int
    overlapping_positions: int
    contigs: int
    species: int
    species_with_rows: int
    mean_species_per_column: float
    reference_species: str
    alignment_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


def finalise(
    work: WorkFolder[Plan],
    plan: Plan,
    output: str | os.PathLike[str],
    *,
    genome: CheckedReference | None = None,
    threads: int = 1,
    force: bool = False,
    on_store: Callable[[Path], None] | None = None,
) -> BuildSummary:
    """Make the store of a plan whose partitions are finished; it appears whole or not at all.

    Parameters
    ----------
    work : WorkFolder
        Nothing in it changes.
    plan : Plan
    output : str or PathLike
        Folder to make.
    genome : CheckedReference, optional
        What the partitions were checked with, if the plan has a FASTA.
    threads : int
        Read and merge pieces while one writes.
    force : bool
        Replace an existing store.
    on_store : callable, optional
        Gets the whole store before it has its name, and judges it: without, a warning says
        whether the branch lengths can be those of the columns. What it makes appears with the
        store, and nothing appears if it fails.

    Raises
    ------
    PhylotoolsError
        If partitions are missing or damaged.
    InputError
        If the pieces contradict each other, or nothing is left to store.
    OutputError
        If `output` exists and `force` is false.
    """
    work.require_all(plan)
    joined = _JoinedPieces(plan, [work.open_piece(index) for index in range(plan.n_partitions)])
    if genome is not None:
        for name, length in joined.contigs.items():
            genome.add_contig(name, length)
    joined.log_warnings()
    with (
        outputs_together(),
        atomic_folder(output, force=force, contents=schema.FOLDER) as folder,
    ):
        statistics = assemble_store(
            folder,
            tree=joined.tree,
            reference_species=joined.reference,
            contigs=list(joined.contigs.items()),
            chunks=joined.chunks(threads),
            reference=None if genome is None else genome.codes,
            weights=plan.settings.weight_table(),
            statistics=joined.statistics(),
            run=plan.run,
        )
        if statistics["covered_positions"] == 0:
            raise InputError(
                "no column is left to store",
                path=plan.extents[0].path,
                remedy="check regions, excluded regions and --minimum-species",
            )
        if on_store is None:
            warn_of_scale(open_store(folder), name=output)
        else:
            on_store(folder)
    return BuildSummary(
        blocks=joined.counts.blocks_with_reference,
        covered_positions=statistics["covered_positions"],
        overlapping_positions=joined.n_overlapping,
        contigs=len(joined.contigs),
        species=joined.tree.n_tips,
        species_with_rows=joined.tree.n_tips - len(joined.missing),
        mean_species_per_column=statistics["mean_species_per_column"],
        reference_species=joined.reference,
        alignment_bytes=joined.n_text_bytes,
    )


class _JoinedPieces:
    """All pieces of a plan, in order."""

    def __init__(self, plan: Plan, pieces: Sequence[Piece]) -> None:
        self._plan, self._pieces = plan, pieces
        self.tree: Tree = plan.tree
        self.contigs: dict[str, int] = {}
        self.counts = RowCounts.zero(self.tree.n_tips)
        self.n_overlapping = self.n_text_bytes = 0
        self._contig_indices: list[NDArray[np.int64]] = []
        references = set()
        for piece, span in zip(pieces, plan.extents, strict=True):
            summary = piece.summary
            self.n_overlapping += summary["overlapping_positions"]
            self.n_text_bytes += summary["text_bytes"]
            if summary["reference"] is not None:
                references.add(summary["reference"])
            self.counts.add(RowCounts.from_dict(summary["counts"]), span.path)
            self._contig_indices.append(self._add_contigs(summary["contigs"], span.path))
        rows = self.counts.of_species(self.tree.tips)
        self.missing = [name for name, found in rows.items() if not found["rows"]]
        self._check_blocks(references)
        self.reference: str = references.pop()
        self._reference_index = self.tree.tips.index(self.reference)
        self.n_overlapping += self._count_overlaps()

    def _add_contigs(self, contigs: list[list[Any]], path: str) -> NDArray[np.int64]:
        """Indices in the store of a piece's contigs."""
        for name, length in contigs:
            if self.contigs.setdefault(name, length) != length:
                raise InputError(
                    f"contig {name} has the source size {length}, but {self.contigs[name]} before",
                    path=path,
                    remedy="do not join alignments of different assemblies",
                )
        index_of = {name: index for index, name in enumerate(self.contigs)}
        return np.array([index_of[name] for name, _ in contigs], dtype=np.int64)

    def _check_blocks(self, references: set[str]) -> None:
        path = self._plan.extents[0].path
        if self.counts.blocks == 0:
            raise InputError(
                "holds no alignment block",
                path=path,
                remedy="give a MAF, TAF or aligned FASTA file (plain, gzip or bgzip)",
            )
        named = ", ".join(sorted(references)) or self._plan.settings.reference
        used = self.counts.blocks_with_reference
        if used == 0 or len(references) != 1:
            raise InputError(
                f"no block has bases of the reference {named}",
                path=path,
                remedy="give --reference a species that the alignment is projected on",
            )
        if self._plan.is_guessed and 2 * used < self.counts.blocks:
            raise InputError(
                f"only {used} of {self.counts.blocks} blocks have bases of {named}, the species "
                "of the first row",
                path=path,
                remedy="give --reference",
            )
        if len(self.missing) >= self.tree.n_tips - 1:
            raise InputError(
                f"of the tree's tips only the reference {named} has rows",
                path=path,
                remedy="check that tree and alignment name their species alike",
            )

    def log_warnings(self) -> None:
        """Log each kind of oddity once."""
        settings = self._plan.settings
        for text in self.counts.warnings(_DUPLICATE_NOTES[settings.duplicates]):
            logger.warning("%s", text)
        if self.n_overlapping:
            logger.warning(
                "%d reference positions lie in more than one block: the first block was kept",
                self.n_overlapping,
            )
        if self.missing:
            logger.warning(
                "%d of the tree's %d tips have no row in the alignment (first: %s)",
                len(self.missing),
                self.tree.n_tips,
                self.missing[0],
            )
        unmatched = settings.wanted().unmatched(self.contigs)
        if unmatched:
            logger.warning(
                "%d contigs of the regions are not in the alignment (first: %s)",
                len(unmatched),
                unmatched[0],
            )

    def statistics(self) -> dict[str, Any]:
        """What only the pieces know, for the store's attributes."""
        return {
            "blocks": self.counts.blocks_with_reference,
            "blocks_without_reference": self.counts.blocks - self.counts.blocks_with_reference,
            "overlapping_positions": self.n_overlapping,
            "duplicates_policy": self._plan.settings.duplicates,
            "rows": self.counts.of_species(self.tree.tips),
            "unknown_sources": dict(self.counts.unknown_rows),
        }

    def chunks(self, threads: int) -> Iterator[StoredChunk]:
        """All chunks in the order of the store; the first piece counts where several cover."""
        n_chunks = sum(1 for _ in self._groups())
        n_parts = sum(len(piece.index) for piece in self._pieces)
        # To copy chunks is so little work that threads cost more than they do (measured: 1.6
        # times the time); to merge the layers of blocks in random order is not.
        if threads == 1 or n_parts < _MANY_LAYERS * n_chunks:
            yield from map(self._joined, self._groups())
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="join") as pool:
            yield from in_order(pool, self._joined, self._groups(), _READ_AHEAD * threads)

    def _joined(self, group: _Group) -> StoredChunk:
        contig, places = group
        parts = [read_chunk(self._pieces[piece], row, contig) for piece, row in places]
        return self._filtered(parts[0] if len(parts) == 1 else self._merged(parts))

    def _count_overlaps(self) -> int:
        """Positions that several pieces, or several layers of one, cover."""
        n_overlapping = 0
        for contig, places in self._groups():
            if len(places) == 1:
                continue
            is_covered = np.zeros(schema.CHUNK_LENGTH, dtype=bool)
            for piece, row in places:
                part = read_chunk(self._pieces[piece], row, contig)
                n_overlapping += int((is_covered & (part.reference != schema.NO_BLOCK)).sum())
                is_covered |= part.reference != schema.NO_BLOCK
        return n_overlapping

    def _groups(self) -> Iterator[_Group]:
        """Contig and places (piece, row of its index) of every chunk, in the store's order."""
        sizes = [len(piece.index) for piece in self._pieces]
        piece = np.repeat(np.arange(len(sizes)), sizes)
        row = np.concatenate([np.arange(size) for size in sizes])
        chunk = np.concatenate([part.index["chunk"] for part in self._pieces])
        contig = np.concatenate(
            [
                indices[part.index["contig"]]
                for indices, part in zip(self._contig_indices, self._pieces, strict=True)
            ]
        )
        order = np.lexsort((row, piece, chunk, contig))
        piece, row, contig, chunk = piece[order], row[order], contig[order], chunk[order]
        changes = np.flatnonzero((np.diff(contig) != 0) | (np.diff(chunk) != 0)) + 1
        start = 0
        for end in [*changes.tolist(), len(order)]:
            if end > start:
                places = zip(piece[start:end].tolist(), row[start:end].tolist(), strict=True)
                yield int(contig[start]), list(places)
            start = end

    def _merged(self, parts: Sequence[StoredChunk]) -> StoredChunk:
        merged = self._decoded(parts[0])
        scratch = np.empty(schema.CHUNK_LENGTH, dtype=np.bool_)
        for part in parts[1:]:
            kernels.fill_free(merged, self._reference_index, self._decoded(part), scratch)
        return encoded(parts[0].contig, parts[0].index, merged, self._reference_index)

    def _filtered(self, chunk: StoredChunk) -> StoredChunk:
        """The chunk without columns that have too few species."""
        minimum = self._plan.settings.minimum_species
        is_shallow = (chunk.depth < minimum) & (chunk.reference != schema.NO_BLOCK)
        if not is_shallow.any():
            return chunk
        bases = self._decoded(chunk)
        bases[:, is_shallow] = schema.NO_BLOCK
        return encoded(chunk.contig, chunk.index, bases, self._reference_index)

    def _decoded(self, chunk: StoredChunk) -> NDArray[np.uint8]:
        bases = np.empty((self.tree.n_tips, schema.CHUNK_LENGTH), dtype=np.uint8)
        decode_values(chunk.blob, bases)
        return bases
