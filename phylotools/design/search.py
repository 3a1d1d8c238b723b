"""Edits one at a time: the best of all (greedy, or with a beam), or annealed.

What a step compares is computed together: all single edits of the sequences at hand, or one of each
chain that is annealed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.design.conditionals import SiteConditionals
from phylotools.design.constraints import Constraint, put, single_edits
from phylotools.design.log_ratios import LogRatios
from phylotools.design.problem import Problem
from phylotools.design.targets import Aim, Target
from phylotools.errors import UsageError

#: Less is rounding.
_LEAST_GAIN = 1e-6
_ANNEAL = 3
#: How far the temperature of annealing falls, and how many edits say where it begins.
_COOLING, _SAMPLED = 100.0, 64


@dataclass(frozen=True)
class Penalties:
    """What is taken from the closeness to the aim.

    Attributes
    ----------
    edit : float
        For each position that differs from the start.
    likelihood : float
        For each nat by which the log ratio to the start is below 0.
    """

    edit: float = 0.0
    likelihood: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (
            ("--edit-penalty", self.edit),
            ("--likelihood-penalty", self.likelihood),
        ):
            if not 0 <= value < 1e12:
                raise UsageError(f"{name} must be a number from 0 on")


@dataclass(frozen=True)
class SearchSettings:
    """How edits are searched for.

    Attributes
    ----------
    beam : int
        Sequences that a greedy search goes on with; 1 for the best alone.
    steps : int
        Of annealing; 0 for a greedy search.
    chains : int
        Annealed from each start.
    temperature : float, optional
        At which annealing begins; by default the spread of what single edits gain.
    seed : int
    """

    beam: int = 1
    steps: int = 0
    chains: int = 1
    temperature: float | None = None
    seed: int = 1


@dataclass(frozen=True)
class Standing:
    """Sequences with what they are worth.

    Attributes
    ----------
    values : float64 array [B]
        Of the target.
    log_ratios : float64 array [B]
        `LogRatios` to the start.
    edits : int64 array [B]
        Positions that differ from the start.
    totals : float64 array [B]
        What is to be as large as possible: closeness less penalties.
    """

    values: NDArray[np.float64]
    log_ratios: NDArray[np.float64]
    edits: NDArray[np.int64]
    totals: NDArray[np.float64]

    def of(self, rows: NDArray[np.int64] | list[int]) -> Standing:
        """Some of them."""
        return Standing(
            self.values[rows], self.log_ratios[rows], self.edits[rows], self.totals[rows]
        )


@dataclass(frozen=True)
class TraceRow:
    """A step of a search, of one sequence.

    Attributes
    ----------
    step : int
        0 is the start.
    value, log_ratio : float
    edits : int
    position : int or None
        Where the step put another base; None where it did nothing.
    base : int or None
    """

    step: int
    value: float
    log_ratio: float
    edits: int
    position: int | None = None
    base: int | None = None


@dataclass(frozen=True)
class Found:
    """A designed sequence.

    Attributes
    ----------
    codes : uint8 array [L]
    standing, at_start : Standing
        Of one row each.
    trace : sequence of TraceRow
    why : str
        Why the search ended.
    """

    codes: NDArray[np.uint8]
    standing: Standing
    at_start: Standing
    trace: list[TraceRow]
    why: str


class Objective:
    """What sequences of one start are worth, and their single edits.

    Parameters
    ----------
    problem : Problem
        Of one start.
    conditionals : SiteConditionals
        What likelihood is reckoned by.
    target : Target or None
        None for the likelihood itself: the log ratio to the start.
    aim : Aim
    penalties : Penalties
    """

    def __init__(
        self,
        problem: Problem,
        conditionals: SiteConditionals,
        target: Target | None,
        aim: Aim,
        penalties: Penalties,
    ) -> None:
        self._problem, self._target = problem, target
        self._aim, self._penalties = aim, penalties
        self._ratios = LogRatios(problem, conditionals)
        self.constraint: Constraint = problem.constraint
        self.start = problem.codes[0]
        self.at_start = self.standing(problem.codes)

    def standing(self, codes: NDArray[np.uint8]) -> Standing:
        """What sequences [B, L] are worth."""
        ratios, edits = self._ratios.of(codes), (codes != self.start).sum(axis=1)
        if self._target is None:
            return self._standing(ratios, ratios, edits)
        values = self._target.values(self._tokens(codes), codes)
        return self._standing(values, ratios, edits)

    def edited(
        self,
        codes: NDArray[np.uint8],
        standing: Standing,
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> Standing:
        """What sequences are worth with one base changed, of C changes.

        Log ratios are those of the sequences and what the change adds to them as they stand; 0
        where nothing depends on them.

        Parameters
        ----------
        codes : uint8 array [B, L]
        standing : Standing
            Of these.
        rows, positions : int64 arrays [C]
        bases : uint8 array [C]
        """
        change = rows, positions, bases
        ratios = np.zeros(len(rows))
        if self._target is None or self._penalties.likelihood:
            ratios = standing.log_ratios[rows] + self._ratios.edited(codes, *change)
        values = ratios
        if self._target is not None:
            values = self._target.edited(self._tokens(codes), codes, *change)
        start = self.start[positions]
        edits = standing.edits[rows] + (bases != start) - (codes[rows, positions] != start)
        return self._standing(values, ratios, edits)

    def constraint_of(self, number: int) -> Constraint:
        """The constraint for so many sequences of the start."""
        return self.constraint.repeated(np.zeros(number, dtype=np.int64))

    def _tokens(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._problem.tokens(codes, np.zeros(len(codes), dtype=np.int64))

    def _standing(
        self,
        values: NDArray[np.float64],
        ratios: NDArray[np.float64],
        edits: NDArray[np.int64],
    ) -> Standing:
        lost = np.maximum(-ratios, 0)
        penalty = self._penalties.edit * edits + self._penalties.likelihood * lost
        return Standing(values, ratios, edits, self._aim.closeness(values) - penalty)


def greedy(
    objective: Objective,
    settings: SearchSettings,
    *,
    most_steps: int,
    on_step: Callable[[int], None] = lambda n_compared: None,
) -> Found:
    """The best single edit, again and again, until none is better.

    With a beam the best few sequences are gone on with, each step's all of different edits. Of
    edits that are worth the same the first by position and base is taken.

    Parameters
    ----------
    objective : Objective
    settings : SearchSettings
    most_steps : int
    on_step : callable
        Gets how many edits a step compared.
    """
    beam, standing = objective.start[None].copy(), objective.at_start
    traces = [[_row(0, standing, 0)]]
    best = Found(beam[0], standing, standing, traces[0], "the limit of steps")
    for step in range(1, most_steps + 1):
        rows, positions, bases = single_edits(objective.constraint_of(len(beam)), beam)
        if not len(rows):
            return replace(best, why="no edit is allowed")
        worth = objective.edited(beam, standing, rows, positions, bases)
        on_step(len(rows))
        chosen = _best_distinct(worth.totals, beam, rows, positions, bases, settings.beam)
        beam = put(beam, rows[chosen], positions[chosen], bases[chosen])
        standing = objective.standing(beam)
        traces = [
            [*traces[rows[k]], _row(step, standing, number, int(positions[k]), int(bases[k]))]
            for number, k in enumerate(chosen.tolist())
        ]
        top = int(standing.totals.argmax())
        if standing.totals[top] <= best.standing.totals[0] + _LEAST_GAIN:
            is_full = int(best.standing.edits[0]) == objective.constraint.most_edits
            return replace(best, why="no edit is better" + " within --edits" * is_full)
        best = replace(best, codes=beam[top], standing=standing.of([top]), trace=traces[top])
    return best


def _best_distinct(
    totals: NDArray[np.float64],
    codes: NDArray[np.uint8],
    rows: NDArray[np.int64],
    positions: NDArray[np.int64],
    bases: NDArray[np.uint8],
    number: int,
) -> NDArray[np.int64]:
    """The best changes of sequences, the first of equal results and of equal totals."""
    chosen: list[int] = []
    seen: set[bytes] = set()
    for k in np.argsort(-totals, kind="stable").tolist():
        one = slice(k, k + 1)
        text = put(codes, rows[one], positions[one], bases[one]).tobytes()
        if text not in seen:
            seen.add(text)
            chosen.append(k)
        if len(chosen) == number:
            break
    return np.array(chosen, dtype=np.int64)


def anneal(
    objective: Objective,
    settings: SearchSettings,
    *,
    number: int = 0,
    on_step: Callable[[int], None] = lambda n_compared: None,
) -> list[Found]:
    """Simulated annealing: a random edit a step, taken if it is better or, by chance, if it is not.

    The temperature falls in equal ratios to a hundredth. Each chain gives the best sequence that it
    met; its random numbers follow from the seed, the start's number and its own.

    Parameters
    ----------
    objective : Objective
    settings : SearchSettings
    number : int
        Of the start, among all.
    on_step : callable
        Gets how many edits a step compared.
    """
    n_chains = settings.chains
    constraint = objective.constraint_of(n_chains)
    streams = [
        np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(_ANNEAL, number, k)))
        for k in range(n_chains)
    ]
    first = settings.temperature or _spread(objective, settings.seed)
    codes = np.repeat(objective.start[None], n_chains, axis=0)
    totals = np.repeat(objective.at_start.totals, n_chains)
    best, best_totals = codes.copy(), totals.copy()
    traces = [[_row(0, objective.at_start, 0)] for _ in range(n_chains)]
    for step in range(1, settings.steps + 1):
        temperature = first * _COOLING ** -((step - 1) / max(settings.steps - 1, 1))
        rows, positions, bases = _proposals(constraint, codes, streams)
        if not len(rows):
            break
        changed = put(codes, rows, positions, bases)
        worth = objective.standing(changed)
        on_step(len(rows))
        chances = np.array([streams[row].random() for row in rows.tolist()])
        gains = worth.totals - totals[rows]
        taken = chances < np.exp(np.minimum(gains / temperature, 0))
        for k in np.flatnonzero(taken).tolist():
            row = int(rows[k])
            codes[row], totals[row] = changed[k], worth.totals[k]
            traces[row].append(_row(step, worth, k, int(positions[k]), int(bases[k])))
            if worth.totals[k] > best_totals[row]:
                best[row], best_totals[row] = changed[k], worth.totals[k]
    final = objective.standing(best)
    return [
        Found(best[k], final.of(np.array([k])), objective.at_start, traces[k], "all steps done")
        for k in range(n_chains)
    ]


def _proposals(
    constraint: Constraint, codes: NDArray[np.uint8], streams: list[np.random.Generator]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """One allowed edit of each sequence, all of them equally likely; none where none is allowed."""
    rows, positions, bases = single_edits(constraint, codes)
    counts = np.bincount(rows, minlength=len(codes))
    first = np.cumsum(counts) - counts
    chosen = [
        int(first[k] + streams[k].integers(counts[k])) for k in range(len(codes)) if counts[k]
    ]
    picked = np.array(chosen, dtype=np.int64)
    return rows[picked], positions[picked], bases[picked]


def _spread(objective: Objective, seed: int) -> float:
    """Standard deviation of what single edits of the start gain."""
    rows, positions, bases = single_edits(objective.constraint, objective.start[None])
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ANNEAL,)))
    if len(rows) > _SAMPLED:
        some = np.sort(rng.choice(len(rows), _SAMPLED, replace=False))
        rows, positions, bases = rows[some], positions[some], bases[some]
    worth = objective.edited(objective.start[None], objective.at_start, rows, positions, bases)
    return max(float(worth.totals.std()), 1e-9)


def _row(
    step: int, standing: Standing, k: int, position: int | None = None, base: int | None = None
) -> TraceRow:
    return TraceRow(
        step,
        float(standing.values[k]),
        float(standing.log_ratios[k]),
        int(standing.edits[k]),
        position,
        base,
    )
