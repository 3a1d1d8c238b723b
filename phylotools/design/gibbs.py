"""Gibbs sampling of sequences under a model's conditionals.

Positions are visited in blocks: no two of a block lie within half a receptive field of each other,
so that neither's conditional depends on the other's base, and all are asked for together. Blocks
are visited in an order drawn for each sweep.

The conditionals of a network are not those of a joint distribution that could be written down: two
of them need not agree on how strongly two positions depend on each other. What is run is a
pseudo-Gibbs sampler (a dependency network, Heckerman and others 2000): a Markov chain that can
reach every sequence that single changes lead to, with one stationary distribution, which depends a
little on the order of visits. Where conditionals do not depend on other positions it is exactly
their product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.design.conditionals import SiteConditionals
from phylotools.design.constraints import Constraint
from phylotools.design.problem import Problem
from phylotools.errors import UsageError

#: Distinguish the streams of random numbers: of starts, of orders, of chains.
_ORDER, _CHAIN = 1, 2


@dataclass(frozen=True)
class GibbsSettings:
    """How sequences are sampled.

    Attributes
    ----------
    temperature : float
        Frequencies are raised to its inverse: below 1 likely bases become likelier.
    burn_in : int
        Sweeps before the first sequence of a chain is kept.
    sweeps : int
        From one that is kept to the next of the same chain.
    per_chain : int
        Sequences that each chain gives.
    chains : int
        From each start.
    seed : int

    Raises
    ------
    UsageError
    """

    temperature: float = 1.0
    burn_in: int = 50
    sweeps: int = 10
    per_chain: int = 1
    chains: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        # Also false of what is no number.
        if not 1e-3 <= self.temperature <= 1e3:
            raise UsageError("--temperature must lie between 0.001 and 1000")

    @property
    def n_sweeps(self) -> int:
        """Of each chain, in all."""
        return self.burn_in + self.sweeps * (self.per_chain - 1)


@dataclass(frozen=True)
class Samples:
    """Sequences that chains gave.

    Attributes
    ----------
    codes : uint8 array [K, L]
        By chain, those of one chain in the order in which they were kept.
    rows : int64 array [K]
        The start of each.
    chains : int64 array [K]
        The chain of each.
    sweeps : int64 array [K]
        How many there were before it was kept.
    trace : float64 array [S, chains]
        Mean log frequency of the bases drawn in each sweep, given the others then.
    edits : int64 array [S, chains]
        Positions that differ from the start after each sweep.
    """

    codes: NDArray[np.uint8]
    rows: NDArray[np.int64]
    chains: NDArray[np.int64]
    sweeps: NDArray[np.int64]
    trace: NDArray[np.float64]
    edits: NDArray[np.int64]


def sample(
    problem: Problem,
    conditionals: SiteConditionals,
    settings: GibbsSettings,
    *,
    number: int = 0,
    on_sweep: Callable[[int], None] = lambda n_sequences: None,
) -> Samples:
    """Run chains from each start.

    The random numbers of a chain follow from the seed, from which of all starts it is, and from
    which chain: not from what else is sampled, nor from threads.

    Parameters
    ----------
    problem : Problem
    conditionals : SiteConditionals
    settings : GibbsSettings
    number : int
        Number of the problem's first start among all.
    on_sweep : callable
        Gets the number of chains after each sweep.
    """
    n_starts = len(problem.starts)
    rows = np.repeat(np.arange(n_starts), settings.chains)
    within = np.tile(np.arange(settings.chains), n_starts)
    constraint = problem.constraint.repeated(rows)
    codes = constraint.start.copy()
    streams = [
        _stream(settings.seed, _CHAIN, number + row, chain)
        for row, chain in zip(rows.tolist(), within.tolist(), strict=True)
    ]
    blocks = independent_blocks(constraint, conditionals.half_window)
    kept, kept_at, trace, edits = [], [], [], []
    for sweep in range(1, settings.n_sweeps + 1):
        drawn = np.stack([stream.random(codes.shape[1]) for stream in streams])
        order = _stream(settings.seed, _ORDER, sweep).permutation(len(blocks))
        total = np.zeros(len(codes))
        count = np.zeros(len(codes))
        for block in (blocks[k] for k in order.tolist()):
            own = _visit(problem, rows, constraint, conditionals, codes, block, drawn, settings)
            total += own[0]
            count += own[1]
        trace.append(total / np.maximum(count, 1))
        edits.append((codes != constraint.start).sum(axis=1))
        after = sweep - settings.burn_in
        if after >= 0 and after % settings.sweeps == 0:
            kept.append(codes.copy())
            kept_at.append(sweep)
        on_sweep(len(codes))
    whole = np.stack(kept, axis=1).reshape(-1, codes.shape[1])
    return Samples(
        whole,
        np.repeat(rows, len(kept)),
        np.repeat(np.arange(len(rows)), len(kept)),
        np.tile(np.array(kept_at), len(rows)),
        np.array(trace),
        np.array(edits),
    )


def independent_blocks(constraint: Constraint, half_window: int) -> list[NDArray[np.int64]]:
    """Free positions in blocks that can be drawn together.

    No two of a block are within `half_window` of each other, nor in one codon.
    """
    blocks: list[NDArray[np.int64]] = []
    for remainder in range(half_window + 1):
        chosen = constraint.free[constraint.free % (half_window + 1) == remainder]
        blocks += _apart(constraint, chosen)
    return blocks


def _apart(constraint: Constraint, positions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Positions in lists, no two of one codon in the same."""
    seen: dict[tuple[int, int], int] = {}
    lists: dict[int, list[int]] = {}
    for position in positions.tolist():
        codons = [(frame, codon) for frame, codon, _ in constraint.codons_at[position]]
        turn = max((seen.get(codon, 0) for codon in codons), default=0)
        seen.update((codon, turn + 1) for codon in codons)
        lists.setdefault(turn, []).append(position)
    return [np.array(lists[turn], dtype=np.int64) for turn in sorted(lists)]


def _visit(
    problem: Problem,
    rows: NDArray[np.int64],
    constraint: Constraint,
    conditionals: SiteConditionals,
    codes: NDArray[np.uint8],
    block: NDArray[np.int64],
    drawn: NDArray[np.float64],
    settings: GibbsSettings,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw the bases of a block anew, in place.

    Returns
    -------
    total, count : arrays [B]
        Sum of the log frequencies of what was drawn, and of how many positions.
    """
    can_change = np.stack(
        [constraint.unlimited(codes, k).sum(axis=1) > 1 for k in block.tolist()], axis=1
    )
    which, column = np.nonzero(can_change)
    total, count = np.zeros(len(codes)), can_change.sum(axis=1)
    if not len(which):
        return total, count
    tokens = problem.tokens(codes, rows)
    found = np.zeros((*can_change.shape, 4))
    found[which, column] = conditionals.log_frequencies(tokens, which, block[column])
    # One by one: how many edits are left depends on the others of the block.
    for k, position in enumerate(block.tolist()):
        here = np.flatnonzero(can_change[:, k])
        allowed = constraint.allowed(codes, position)[here]
        bases = draw(found[here, k] / settings.temperature, allowed, drawn[here, position])
        codes[here, position] = bases
        total[here] += found[here, k][np.arange(len(here)), bases]
    return total, count


def draw(
    log_weights: NDArray[np.float64], allowed: NDArray[np.bool_], uniform: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """One base for each row, with probabilities in proportion to the weights of those allowed.

    Parameters
    ----------
    log_weights : float64 array [K, 4]
    allowed : bool array [K, 4]
        At least one in each row.
    uniform : float64 array [K]
        From 0 to 1: what decides.
    """
    masked = np.where(allowed, log_weights, -np.inf)
    weights = np.exp(masked - masked.max(axis=1, keepdims=True))
    shares = np.cumsum(weights, axis=1)
    chosen = (uniform[:, None] * shares[:, -1:] >= shares).sum(axis=1)
    last = 3 - allowed[:, ::-1].argmax(axis=1)
    return np.minimum(chosen, last).astype(np.uint8)


def _stream(seed: int, *place: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))
