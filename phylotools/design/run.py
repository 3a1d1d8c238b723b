"""Designs of all starts: sampled, or searched for, with what the model says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from phylotools.design.conditionals import (
    SiteConditionals,
    pseudo_log_likelihoods,
    seen_log_likelihoods,
)
from phylotools.design.designs import (
    LIKELIHOOD,
    Design,
    Designs,
    Likelihoods,
    TraceTable,
    edits_of,
)
from phylotools.design.gibbs import GibbsSettings, Samples, sample
from phylotools.design.problem import Problem
from phylotools.design.search import (
    Found,
    Objective,
    Penalties,
    SearchSettings,
    anneal,
    greedy,
    put,
)
from phylotools.design.targets import Aim, Target
from phylotools.errors import UsageError, counted, shown
from phylotools.io.bases import BASES

#: Bases of all sequences that are sampled, sweeps of all chains, and bases of the sequences that a
#: search compares at a time: what is kept of each takes some tens or hundreds of bytes.
MOST_BASES, MOST_SWEEPS, MOST_SEARCHED = 5_000_000, 10_000_000, 100_000
#: Sequences whose likelihoods are computed at once.
_TOGETHER = 64


def sample_designs(
    problems: Sequence[Problem],
    conditionals: SiteConditionals,
    settings: GibbsSettings,
    *,
    on_sweep: Callable[[int], None] = lambda n_sequences: None,
) -> Designs:
    """Sample sequences from every start.

    Parameters
    ----------
    problems : sequence of Problem
    conditionals : SiteConditionals
    settings : GibbsSettings
    on_sweep : callable
        Gets the number of chains after each sweep.
    """
    _require_room(problems, settings)
    designs: list[Design] = []
    trace: list[tuple[object, ...]] = []
    first = 0
    for problem in problems:
        drawn = sample(problem, conditionals, settings, number=first, on_sweep=on_sweep)
        first += len(problem.starts)
        designs += _sampled(problem, conditionals, drawn, settings)
        for sweep, (means, edits) in enumerate(zip(drawn.trace, drawn.edits, strict=True), start=1):
            names = _chain_names(problem, settings.chains)
            trace += zip(names, [sweep] * len(names), means.tolist(), edits.tolist(), strict=True)
    trace.sort(key=lambda row: str(row[0]))
    columns = ("chain", "sweep", "mean_log_frequency", "edits")
    return Designs(designs, TraceTable(columns, trace), own_base=str(conditionals.own_base))


def _require_room(problems: Sequence[Problem], settings: GibbsSettings) -> None:
    per_start = settings.chains * settings.per_chain
    n_bases = sum(problem.codes.size for problem in problems) * per_start
    n_chains = sum(len(problem.starts) for problem in problems) * settings.chains
    if n_bases > MOST_BASES:
        raise UsageError(
            f"{n_bases:,} bases in all are more than the {MOST_BASES:,} that are sampled at once; "
            "ask for fewer or shorter sequences"
        )
    if n_chains * settings.n_sweeps > MOST_SWEEPS:
        raise UsageError(
            f"{counted(n_chains, 'chain')} of {settings.n_sweeps:,} sweeps are more than "
            f"{MOST_SWEEPS:,} sweeps in all; ask for fewer"
        )


def _chain_names(problem: Problem, chains: int) -> list[str]:
    if chains == 1:
        return [start.name for start in problem.starts]
    return [f"{start.name}_{k + 1}" for start in problem.starts for k in range(chains)]


def _sampled(
    problem: Problem,
    conditionals: SiteConditionals,
    drawn: Samples,
    settings: GibbsSettings,
) -> list[Design]:
    rows = np.arange(len(problem.starts))
    at_start, _ = likelihoods(problem, conditionals, problem.codes, rows)
    found, frequencies = likelihoods(problem, conditionals, drawn.codes, drawn.rows)
    designs = []
    for k, row in enumerate(drawn.rows.tolist()):
        start = problem.starts[row]
        chain = int(drawn.chains[k]) % settings.chains
        name = start.name
        if settings.chains * settings.per_chain > 1:
            name += f"_{chain * settings.per_chain + k % settings.per_chain + 1}"
        designs.append(
            Design(
                name,
                start,
                drawn.codes[k],
                chain + 1,
                int(drawn.sweeps[k]),
                found[k],
                at_start[row],
                edits_of(start.codes, drawn.codes[k], frequencies[k]),
            )
        )
    return designs


def likelihoods(
    problem: Problem,
    conditionals: SiteConditionals,
    codes: NDArray[np.uint8],
    rows: NDArray[np.int64],
) -> tuple[list[Likelihoods], NDArray[np.float64]]:
    """Log-likelihoods of sequences, and the conditionals of their positions, [K, L, 4].

    Parameters
    ----------
    problem : Problem
    conditionals : SiteConditionals
    codes : uint8 array [K, L]
    rows : int64 array [K]
        The start of each.
    """
    found: list[Likelihoods] = []
    frequencies = np.empty((*codes.shape, len(BASES)))
    for begin in range(0, len(codes), _TOGETHER):
        part = slice(begin, begin + _TOGETHER)
        tokens = problem.tokens(codes[part], rows[part])
        pseudo, frequencies[part] = pseudo_log_likelihoods(conditionals, tokens)
        seen = seen_log_likelihoods(conditionals.scorer, tokens)
        found += map(Likelihoods, seen.tolist(), pseudo.tolist())
    return found, frequencies


def edit_designs(
    problems: Sequence[Problem],
    conditionals: SiteConditionals,
    target: Target | None,
    aim: Aim,
    penalties: Penalties,
    settings: SearchSettings,
    *,
    on_step: Callable[[int], None] = lambda n_compared: None,
) -> Designs:
    """Edit every start towards a target.

    Parameters
    ----------
    problems : sequence of Problem
        Of one start each.
    conditionals : SiteConditionals
        Of the model whose likelihood counts.
    target : Target or None
        None for that likelihood itself.
    aim : Aim
    penalties : Penalties
    settings : SearchSettings
    on_step : callable
        Gets how many edits each step compared.
    """
    designs: list[Design] = []
    trace: list[tuple[object, ...]] = []
    for number, problem in enumerate(problems):
        start = problem.starts[0]
        together = max(settings.beam, settings.chains)
        if together * len(start) > MOST_SEARCHED:
            raise UsageError(
                f"{shown(start.name)}: {together:,} times {len(start):,} bases are more than the "
                f"{MOST_SEARCHED:,} that are compared at a time"
            )
        objective = Objective(problem, conditionals, target, aim, penalties)
        if settings.steps:
            found = anneal(objective, settings, number=number, on_step=on_step)
        else:
            most = problem.constraint.most_edits
            # An edit may be taken back for a better one: twice as many steps as edits.
            limit = 2 * (len(start) if most is None else most)
            found = [greedy(objective, settings, most_steps=limit, on_step=on_step)]
        rows = np.zeros(1, dtype=np.int64)
        (of_start,), _ = likelihoods(problem, conditionals, problem.codes, rows)
        for k, each in enumerate(found):
            name = f"{start.name}_{k + 1}" if len(found) > 1 else start.name
            (own,), frequencies = likelihoods(problem, conditionals, each.codes[None], rows)
            designs.append(_edited(name, problem, objective, each, own, of_start, frequencies[0]))
            trace += [
                (
                    name,
                    row.step,
                    row.value,
                    row.log_ratio,
                    row.edits,
                    None if row.position is None else row.position + 1,
                    None if row.base is None else BASES[row.base],
                )
                for row in each.trace
            ]
    what = LIKELIHOOD if target is None else target.what
    columns = ("name", "step", "value", "log_ratio", "edits", "position", "base")
    return Designs(designs, TraceTable(columns, trace), what, aim.text, str(conditionals.own_base))


def _edited(
    name: str,
    problem: Problem,
    objective: Objective,
    found: Found,
    own: Likelihoods,
    of_start: Likelihoods,
    frequencies: NDArray[np.float64],
) -> Design:
    start = problem.starts[0]
    places = np.flatnonzero(start.codes != found.codes)
    effects = np.zeros(0)
    value = float(found.standing.values[0])
    if len(places):
        rows = np.zeros(len(places), dtype=np.int64)
        without = put(found.codes[None], rows, places, start.codes[places])
        effects = value - objective.standing(without).values
    return Design(
        name,
        start,
        found.codes,
        1,
        found.trace[-1].step,
        own,
        of_start,
        edits_of(start.codes, found.codes, frequencies, effects),
        value,
        float(found.at_start.values[0]),
        float(found.standing.log_ratios[0]),
        found.why,
    )
