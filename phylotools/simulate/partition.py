"""One partition of a simulation: its pieces, as text that needs only be joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from phylotools.io.pipeline import in_order
from phylotools.jobs.job import Partition
from phylotools.jobs.piece import Piece
from phylotools.jobs.work_folder import WorkFolder
from phylotools.simulate.outputs import FinishedPiece
from phylotools.simulate.pieces import PieceMaker, unfinished_pieces
from phylotools.simulate.plan import Plan
from phylotools.simulate.run import checked_walk
from phylotools.simulate.sources import SiteSource
from phylotools.store.tree_file import read_tree

#: Contig, what was counted, where the text begins and its bytes: alignment and truth as BGZF
#: blocks, letters of the reference.
ENTRY = np.dtype(
    [
        ("offset", "<i8"),
        ("contig", "<i4"),
        ("columns", "<i8"),
        ("blocks", "<i8"),
        ("substitutions", "<i8"),
        ("bases", "<i8"),
        ("alignment", "<i8"),
        ("truth", "<i8"),
        ("letters", "<i8"),
    ]
)


def piece_maker(plan: Plan, source: SiteSource) -> PieceMaker:
    """What simulates the pieces of a plan.

    Raises
    ------
    InputError
        If the tree cannot be read.
    """
    walk = checked_walk(read_tree(plan.tree), plan.settings.reference, ())
    packs_truth = True if plan.settings.has_truth else None
    settings = plan.settings
    return PieceMaker(
        walk, source.model, settings.missing, settings.seed, plan.contigs, True, packs_truth
    )


@dataclass(frozen=True)
class PartitionRunner:
    """Runs partitions of a plan.

    Attributes
    ----------
    work : WorkFolder
    plan : Plan
    source : SiteSource
    maker : PieceMaker
    pool : ThreadPoolExecutor
        Where pieces are made.
    ahead : int
        Pieces that wait there.
    on_positions : callable
        Gets the number of positions of every finished piece.
    """

    work: WorkFolder[Plan]
    plan: Plan
    source: SiteSource
    maker: PieceMaker
    pool: ThreadPoolExecutor
    ahead: int
    on_positions: Callable[[int], None]

    def __call__(self, partition: Partition) -> None:
        """Make the piece of a partition; nothing is done if it is there."""
        if self.work.is_done(partition.index):
            return
        number = {contig: index for index, contig in enumerate(self.plan.contigs)}
        has_letters = self.plan.model is None
        with self.work.writing(partition, ENTRY) as writer:
            jobs = unfinished_pieces(self.source, partition.extent)
            for made in in_order(self.pool, self.maker, jobs, self.ahead):
                letters = made.letters if has_letters else b""
                writer.add(
                    made.alignment,
                    made.truth,
                    letters,
                    contig=number[made.contig],
                    columns=made.columns,
                    blocks=made.blocks,
                    substitutions=made.substitutions,
                    bases=made.bases,
                    alignment=len(made.alignment),
                    truth=len(made.truth),
                    letters=len(letters),
                )
                self.on_positions(made.columns)
            writer.finish({})


def finished_pieces(piece: Piece, contigs: list[str]) -> Iterator[FinishedPiece]:
    """What a partition left, in order; alignment and truth are BGZF blocks."""
    for entry in piece.index:
        sizes = [int(entry[name]) for name in ("alignment", "truth", "letters")]
        text = piece.read(int(entry["offset"]), sum(sizes))
        ends = np.cumsum(sizes)
        yield FinishedPiece(
            contigs[int(entry["contig"])],
            int(entry["columns"]),
            int(entry["blocks"]),
            int(entry["substitutions"]),
            int(entry["bases"]),
            text[: ends[0]],
            text[ends[0] : ends[1]],
            text[ends[1] :],
        )
