"""What makes one doubt a run: said once while it trains, and again on the model's card."""

from __future__ import annotations

import math

from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.substitution.base import PAIRS
from phylotools.training.checkpoint import Progress

#: A fall of the held-out log-likelihood, as a part of its best value, beyond what single
#: evaluations scatter.
_CLEAR_FALL = 0.01
#: The rarest base that mutation alone is thought to leave. With both strands alike A is as frequent
#: as T, so that two bases would share less than a tenth; exons drifted to 0.042, and a virus to
#: 0.0002, where the shipped model of mitochondria, whose strands differ, has 0.09.
_RAREST, _RAREST_OF_TWO_STRANDS = 0.02, 0.05
#: Largest ratio of two exchangeabilities: three times that of the shipped model of mitochondria,
#: with their bias to transitions. One that ran away on a virus was 2,413.
_LARGEST_RATIO = 50.0
_BASES = "ACGT"


def doubts_of_figures(
    progress: Progress, held_out: float | None, *, is_settled: bool, keeps_best: bool
) -> dict[str, str]:
    """Doubts of the log-likelihood of held-out columns, by kind.

    Parameters
    ----------
    progress : Progress
        With the best figure and those of the null models.
    held_out : float or None
        The figure of the latest evaluation.
    is_settled : bool
        The weights have stopped becoming better: only then a null model should have been beaten.
    keeps_best : bool
        The weights that predict held-out columns best become the model.
    """
    best = progress.best_held_out
    if held_out is None or best is None:
        return {}
    found = {}
    if held_out < best - _CLEAR_FALL * abs(best):
        found["fall"] = (
            f"the log-likelihood of held-out columns fell from {best:.4f} at step "
            f"{progress.best_held_out_step} to {held_out:.4f} at step {progress.step}: the network "
            "learns its training columns by heart; "
            + ("the best weights are kept" if keeps_best else "other weights are kept")
        )
    nulls = {"constants": progress.null_constants, "tree": progress.null_tree}
    constants = "constants for each reference base"
    if progress.null_tree is None:
        constants = "the composition of the bases"
    names = {"constants": constants, "tree": "the neutral tree"}
    for kind, value in nulls.items():
        if is_settled and value is not None and best < value:
            found[kind] = (
                f"the log-likelihood of held-out columns, {best:.4f} at best, is below that of "
                f"{names[kind]}, {value:.4f}: more steps, more data, fewer parameters or more "
                "weight decay are needed"
            )
    return found


def doubts_of_substitution(model: SubstitutionModel) -> dict[str, str]:
    """Doubts of the parameters that all sites share, by kind."""
    settings = model.settings()
    found = {}
    frequencies = settings.get("mutation_frequencies")
    if isinstance(frequencies, list):
        rarest = min(range(4), key=frequencies.__getitem__)
        limit = _RAREST_OF_TWO_STRANDS if settings.get("strand_symmetric") else _RAREST
        if frequencies[rarest] < limit:
            found["frequencies"] = (
                f"mutation alone would leave {frequencies[rarest]:.3g} of {_BASES[rarest]}, less "
                f"than {limit:g}, which is implausible: scores of fitness carry base composition; "
                "see substitution.learn"
            )
    s = model.exchangeabilities().detach()
    pairs = {_BASES[a] + _BASES[b]: s[a, b].item() for a, b in PAIRS}
    high, low = max(pairs, key=pairs.__getitem__), min(pairs, key=pairs.__getitem__)
    ratio = pairs[high] / pairs[low] if pairs[low] > 0 else math.inf
    if ratio > _LARGEST_RATIO:
        found["exchangeabilities"] = (
            f"the exchangeability of {high} is {ratio:.3g} times that of {low}, more than "
            f"{_LARGEST_RATIO:g}, which is implausible; see substitution.learn"
        )
    return found
