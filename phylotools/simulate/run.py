"""The whole way from a tree and sites to an alignment, its reference and the truth."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from phylotools.io.pipeline import in_order
from phylotools.io.staging import outputs_together
from phylotools.phylogeny.simulation import TreeWalk, make_walk
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.phylogeny.tree import Tree
from phylotools.provenance import sha256_text
from phylotools.simulate.maf import check_names
from phylotools.simulate.outputs import (
    SimulationOutputs,
    SimulationSummary,
    SimulationWriter,
    is_compressed,
)
from phylotools.simulate.pieces import PieceMaker, unfinished_pieces
from phylotools.simulate.sources import SiteSource
from phylotools.version import __version__


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
    outputs.refuse_streams()
    missing = missing or MissingData()
    walk = checked_walk(tree, reference, {region.contig for region in source.regions})
    maker = PieceMaker(
        walk,
        source.model,
        missing,
        seed,
        source.contigs,
        is_compressed(outputs.alignment),
        None if outputs.truth is None else is_compressed(outputs.truth),
    )
    header = header_facts(tree, source, walk.species[0], missing, seed)
    with outputs_together(), contextlib.ExitStack() as stack:
        writer = SimulationWriter(stack, outputs, header, max(source.contigs.values()))
        pool = ThreadPoolExecutor(threads, thread_name_prefix="simulate")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        jobs = unfinished_pieces(source, source.regions)
        for piece in in_order(pool, maker, jobs, threads):
            writer.write(piece)
            on_piece(piece.columns)
        writer.finish()
    return writer.summary(walk.n_species, walk.species[0])


def checked_walk(tree: Tree, reference: str | None, contigs: Iterable[str]) -> TreeWalk:
    """The walk along a tree from a species whose names can be written beside those of contigs.

    Raises
    ------
    InputError
    """
    walk = make_walk(tree, reference)
    for contig in contigs:
        check_names(walk, set(tree.names) - set(tree.tips), contig)
    return walk


def header_facts(
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
