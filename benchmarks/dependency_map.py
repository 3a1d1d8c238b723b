"""Dependency maps and in-silico mutagenesis beside the bare passes of the network that they need.

python benchmarks/dependency_map.py [--model mammals671-mtdna] [--region chrM:3307-3806]
    [--mutagenesis 100] [--runs 5]

Both sides run in turn in the same process, with one thread, by processor time: median, and ratios
run by run. "Whole region" is the network on every substituted copy of the region with its context,
as maps of language models are usually made; "what they reach" is the network on windows of what
each substitution reaches within the region. Neither copies, compares nor keeps anything. For
mutagenesis the dense scorer says what a position costs where all of a contig is predicted. The map
is first compared with one made from the copies.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray
from paired import compare

import phylotools
from phylotools.interpret.changes import log_probabilities, sequence_scorer
from phylotools.interpret.dependencies import dependency_map
from phylotools.interpret.mutagenesis import site_effects
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, resolve_region
from phylotools.scoring.scorer import Scorer

BATCH = 32


def substituted_copies(tokens: NDArray[np.uint8], half: int) -> NDArray[np.uint8]:
    """The region with its context, once for each substitution: uint8 [3 L, L + 2 half]."""
    rows = []
    for place in range(half, len(tokens) - half):
        for base in range(4):
            if base != tokens[place]:
                copy = tokens.copy()
                copy[place] = base
                rows.append(copy)
    return np.stack(rows)


def reached_windows(tokens: NDArray[np.uint8], half: int) -> list[NDArray[np.uint8]]:
    """For each substitution the sites within the region that it reaches, and their context."""
    copies, windows = substituted_copies(tokens, half), []
    n_bases = len(tokens) - 2 * half
    for row, copy in enumerate(copies):
        site = row // 3
        first, last = max(site - half, 0), min(site + half + 1, n_bases)
        windows.append(copy[first : last + 2 * half])
    return windows


def bare_passes(network: torch.nn.Module, copies: NDArray[np.uint8]) -> None:
    with torch.inference_mode():
        for first in range(0, len(copies), BATCH):
            network(torch.from_numpy(copies[first : first + BATCH]).long())


def check_map(scorer: Scorer, region: Region, copies: NDArray[np.uint8]) -> None:
    """Compare the map with one made of all copies, scored whole."""
    found = dependency_map(scorer, region).values
    n_bases, expected = len(region), np.zeros((len(region), len(region)))
    before = log_probabilities(scorer.model.substitution, scorer.theta(region))
    for row in range(0, 3 * n_bases, 3):
        after = log_probabilities(
            scorer.model.substitution, scorer.values_of(copies[row : row + 3])
        )
        expected[row // 3] = np.abs(after - before).max(axis=(0, 2))
    np.fill_diagonal(expected, 0)
    print(f"largest difference from brute force: {np.abs(found - expected).max():.1e} nats\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mammals671-mtdna")
    parser.add_argument("--region", default="chrM:3307-3806")
    parser.add_argument("--mutagenesis", type=int, default=100, help="bases of it")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = phylotools.load_model(options.model).from_sequence_alone()
    with ReferenceGenome.open(model.reference_fasta) as genome:
        region = resolve_region(options.region, genome.contigs)
        scorer = sequence_scorer(model, genome, threads=1)
        half = scorer.half_window
        tokens = scorer.tokens(region.contig, region.start - half, region.end + half)
        copies, windows = substituted_copies(tokens, half), reached_windows(tokens, half)
        check_map(scorer, region, copies)
        compare(
            {
                "dependency_map": lambda: dependency_map(scorer, region),
                "bare, what they reach": lambda: scorer.values_of_windows(windows),
                "bare, whole region": lambda: bare_passes(model.network, copies),
            },
            work=1,
            unit=f"maps of {len(region)} bases",
            runs=options.runs,
            clock=time.process_time,
        )
        part = Region(region.contig, region.start, region.start + options.mutagenesis)
        computed = 3 * options.mutagenesis * (2 * half + 1)
        dense = Region(region.contig, region.start, region.start + 4096)
        wide = scorer.tokens(region.contig, part.start - 2 * half, part.end + 2 * half)
        edited = [
            row[k : k + 4 * half + 1]
            for k, rows in enumerate(substituted_copies(wide, 2 * half).reshape(-1, 3, len(wide)))
            for row in rows
        ]
        compare(
            {
                "mutagenesis": lambda: list(site_effects(scorer, [part])),
                "bare windows": lambda: scorer.values_of_windows(edited),
                "dense scorer": lambda: sequence_scorer(model, genome, threads=1).theta(dense),
            },
            work={"mutagenesis": computed, "bare windows": computed, "dense scorer": len(dense)},
            unit="predicted positions",
            runs=options.runs,
            clock=time.process_time,
        )


if __name__ == "__main__":
    main()
