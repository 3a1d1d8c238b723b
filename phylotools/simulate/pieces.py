"""One piece of a contig: its sites evolved along the tree, as text of the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from phylotools.io.bases import LETTER_OF_CODE, base_codes
from phylotools.io.regions import Region
from phylotools.phylogeny.simulation import TreeWalk, evolve_along, stream_key
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.simulate.maf import Blocks, MafText
from phylotools.simulate.outputs import FinishedPiece, encode, truth_lines
from phylotools.simulate.sources import SiteSource

#: Contigs are worked on in pieces of so many positions, and no block crosses their borders: small
#: enough to bound memory, large enough that what a piece costs by itself does not matter.
PIECE = 1 << 14


@dataclass(frozen=True, eq=False)
class UnfinishedPiece:
    """A piece of a contig to be simulated."""

    region: Region
    theta: Tensor
    letters: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class PieceMaker:
    """Simulates one piece; called from several threads.

    Attributes
    ----------
    walk : TreeWalk
    model : SubstitutionModel
    missing : MissingData
    seed : int
    contigs : dict of str to int
        Name -> length.
    packs_alignment : bool
        Whether the alignment comes as BGZF blocks, not as text.
    packs_truth : bool or None
        The same of the table of the truth; None where there is none.
    """

    walk: TreeWalk
    model: SubstitutionModel
    missing: MissingData
    seed: int
    contigs: dict[str, int]
    packs_alignment: bool
    packs_truth: bool | None
    _texts: dict[str, MafText] = field(default_factory=dict)

    def __call__(self, piece: UnfinishedPiece) -> FinishedPiece:
        region = piece.region
        key = stream_key(self.seed, region.contig)
        given = None if piece.letters is None else base_codes(piece.letters)
        columns = evolve_along(
            self.walk,
            piece.theta,
            self.model,
            key=key,
            start=region.start,
            start_states=np.full(len(region), 4, dtype=np.uint8) if given is None else given,
        )
        rows = np.ascontiguousarray(columns.states.T)
        if given is not None:
            rows[0] = given
        letters = LETTER_OF_CODE[rows[0]] if piece.letters is None else piece.letters
        self.missing.cut_gaps(self.walk, key, region.start, rows)
        blocks = self._blocks(region, key, rows, letters)
        if region.contig not in self._texts:
            length = self.contigs[region.contig]
            self._texts[region.contig] = MafText(self.walk, region.contig, length)
        n_bases = blocks.n_bases
        truth = b""
        if self.packs_truth is not None:
            lines = truth_lines(
                region.contig,
                region.start,
                letters,
                piece.theta,
                self.model,
                columns.substitutions,
                blocks.has_base().sum(axis=0),
            )
            truth = encode(lines, self.packs_truth)
        return FinishedPiece(
            region.contig,
            len(region),
            len(n_bases),
            int(columns.substitutions.sum()),
            int(n_bases.sum()),
            encode(self._texts[region.contig].blocks(blocks), self.packs_alignment),
            truth,
            letters.tobytes(),
        )

    def _blocks(
        self, region: Region, key: np.uint64, rows: NDArray[np.uint8], letters: NDArray[np.uint8]
    ) -> Blocks:
        # Blocks of the whole piece: a region has those of the contig, cut at its ends.
        first = region.start - region.start % PIECE
        starts = self.missing.block_starts(key, first, first + PIECE)
        absent = self.missing.absences(self.walk, key, starts)
        shown = np.searchsorted(starts, [region.start, region.end - 1], side="right") - 1
        used = slice(shown[0], shown[1] + 1)
        bounds = np.append(np.maximum(starts[used], region.start), region.end) - region.start
        return Blocks(region.start, bounds, rows, absent[used], letters)


def unfinished_pieces(source: SiteSource, regions: Iterable[Region]) -> Iterator[UnfinishedPiece]:
    """Regions cut at multiples of `PIECE`, with their sites."""
    for region in regions:
        start = region.start
        while start < region.end:
            end = min(start - start % PIECE + PIECE, region.end)
            part = Region(region.contig, start, end)
            yield UnfinishedPiece(part, source.theta(part), source.reference(part))
            start = end
