"""The whole way from a tree and sites to an alignment, its reference and the truth."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import UsageError
from phylotools.io.bases import LETTER_OF_CODE, base_codes
from phylotools.io.pipeline import in_order
from phylotools.io.regions import Region
from phylotools.io.staging import outputs_together
from phylotools.phylogeny.simulation import TreeWalk, evolve_along, make_walk, stream_key
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.tree import Tree
from phylotools.provenance import sha256_text
from phylotools.simulate.maf import Blocks, MafText, check_names
from phylotools.simulate.outputs import (
    TRUTH_COLUMNS,
    FastaWriter,
    Sink,
    encode,
    is_compressed,
    open_sink,
    open_table,
    truth_lines,
)
from phylotools.simulate.sources import SiteSource
from phylotools.version import __version__

#: Contigs are worked on in pieces of so many positions, and no block crosses their borders: small
#: enough to bound memory, large enough that what a piece costs by itself does not matter.
PIECE = 1 << 14


@dataclass(frozen=True)
class SimulationOutputs:
    """Names of the files to write.

    Attributes
    ----------
    alignment : str
        MAF; ``-`` is stdout.
    truth : str, optional
        Table of the sites.
    fasta : str, optional
        The reference species' sequence, where the simulation draws it.
    force : bool
        Replace existing ones.
    """

    alignment: str
    truth: str | None = None
    fasta: str | None = None
    force: bool = False

    @property
    def paths(self) -> list[str]:
        return [path for path in (self.alignment, self.truth, self.fasta) if path is not None]


@dataclass(frozen=True)
class SimulationSummary:
    """What was written, for the log and `--summary-json`."""

    columns: int
    species: int
    blocks: int
    substitutions: int
    bases: int
    reference_species: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


def simulate_alignment(
    tree: Tree,
    source: SiteSource,
    outputs: SimulationOutputs,
    *,
    reference: str | None = None,
    missing: MissingData | None = None,
    seed: int = 1,
    threads: int = 1,
    on_piece: Callable[[int], None] = lambda n_columns: None,
) -> SimulationSummary:
    """Simulate an alignment; its files appear whole or not at all.

    What is drawn at a position depends on the seed, the tree, the settings, the contig's name and
    the position: not on threads, nor on which other regions are asked for.

    Parameters
    ----------
    tree : Tree
    source : SiteSource
    outputs : SimulationOutputs
    reference : str, optional
        Species whose coordinates are used; by default the first of the tree.
    missing : MissingData, optional
    seed : int
    threads : int
    on_piece : callable
        Gets the number of columns of every piece written.

    Raises
    ------
    InputError, UsageError, OutputError
    """
    if outputs.truth == "-" or outputs.fasta == "-":
        raise UsageError("only the alignment can go to stdout")
    missing = missing or MissingData()
    walk = make_walk(tree, reference)
    for contig in {region.contig for region in source.regions}:
        check_names(walk, set(tree.names) - set(tree.tips), contig)
    worker = _Worker(walk, source.model, missing, seed, source.contigs, outputs)
    header = _settings(tree, source, walk.species[0], missing, seed)
    with outputs_together(), contextlib.ExitStack() as stack:
        writer = _Writer(stack, outputs, header, max(source.contigs.values()))
        jobs = (
            _Piece(region, source.theta(region), source.reference(region))
            for region in _pieces(source.regions)
        )
        pool = ThreadPoolExecutor(threads, thread_name_prefix="simulate")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        for piece in in_order(pool, worker, jobs, threads):
            writer.write(piece)
            on_piece(piece.columns)
        writer.finish()
    return SimulationSummary(
        writer.columns,
        walk.n_species,
        writer.blocks,
        writer.substitutions,
        writer.bases,
        walk.species[0],
    )


@dataclass(frozen=True, eq=False)
class _Piece:
    """A piece of a contig to be simulated."""

    region: Region
    theta: Tensor
    letters: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class _FinishedPiece:
    """Encoded text of a piece, and what it holds."""

    contig: str
    columns: int
    blocks: int
    substitutions: int
    bases: int
    alignment: bytes
    truth: bytes
    letters: bytes


@dataclass(frozen=True, eq=False)
class _Worker:
    """Simulates one piece; called from several threads."""

    walk: TreeWalk
    model: SubstitutionModel
    missing: MissingData
    seed: int
    contigs: dict[str, int]
    outputs: SimulationOutputs
    _texts: dict[str, MafText] = field(default_factory=dict)

    def __call__(self, piece: _Piece) -> _FinishedPiece:
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
        if self.outputs.truth is not None:
            lines = truth_lines(
                region.contig,
                region.start,
                letters,
                piece.theta,
                self.model,
                columns.substitutions,
                blocks.has_base().sum(axis=0),
            )
            truth = encode(lines, is_compressed(self.outputs.truth))
        return _FinishedPiece(
            region.contig,
            len(region),
            len(n_bases),
            int(columns.substitutions.sum()),
            int(n_bases.sum()),
            encode(
                self._texts[region.contig].blocks(blocks), is_compressed(self.outputs.alignment)
            ),
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


def _pieces(regions: list[Region]) -> Iterator[Region]:
    """Cut regions at multiples of `PIECE`."""
    for region in regions:
        start = region.start
        while start < region.end:
            end = min(start - start % PIECE + PIECE, region.end)
            yield Region(region.contig, start, end)
            start = end


class _Writer:
    """Opens the outputs and writes finished pieces."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        outputs: SimulationOutputs,
        settings: dict[str, Any],
        longest_contig: int,
    ) -> None:
        force = outputs.force
        lines = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
        self._alignment = stack.enter_context(open_sink(outputs.alignment, force=force))
        self._truth: Sink | None = None
        self._fasta: Sink | None = None
        if outputs.truth is not None:
            self._truth = stack.enter_context(
                open_table(outputs.truth, force=force, longest_contig=longest_contig)
            )
            header = [*(f"##{line}" for line in lines), "\t".join(TRUTH_COLUMNS)]
            self._truth.write_text(("\n".join(header) + "\n").encode())
        if outputs.fasta is not None:
            self._fasta = stack.enter_context(open_sink(outputs.fasta, force=force))
        comments = "".join(f"# {line}\n" for line in lines)
        self._alignment.write_text(f"##maf version=1 scoring=none\n{comments}\n".encode())
        self._contig: str | None = None
        self._sequence: FastaWriter | None = None
        self.columns = self.blocks = self.substitutions = self.bases = 0

    def write(self, piece: _FinishedPiece) -> None:
        self._alignment.write_encoded(piece.alignment)
        if self._truth is not None:
            self._truth.write_encoded(piece.truth)
        if self._fasta is not None:
            if self._sequence is None or piece.contig != self._contig:
                self.finish()
                self._contig = piece.contig
                self._sequence = FastaWriter(self._fasta.write_text, piece.contig)
            self._sequence.add(piece.letters)
        self.columns += piece.columns
        self.blocks += piece.blocks
        self.substitutions += piece.substitutions
        self.bases += piece.bases

    def finish(self) -> None:
        if self._sequence is not None:
            self._sequence.finish()


def _settings(
    tree: Tree, source: SiteSource, reference: str, missing: MissingData, seed: int
) -> dict[str, Any]:
    """Settings that decide the files, for their headers: the same for the same simulation."""
    return {
        "phylotools_simulate": __version__,
        "seed": seed,
        "tree_sha256": sha256_text(tree.to_newick()),
        "reference_species": reference,
        "substitution": {"model": source.model.name, **source.model.settings()},
        **source.describe(),
        "missing": asdict(missing),
    }
