"""What a fit of a tree found: numbers, lines of text, a table of branches, warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import counted
from phylotools.phylogeny.tree import Tree
from phylotools.tree_fit.run import TreeFit

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Branches that are named as having moved most, and the substitutions that the sample must have on
#: a branch, before or after, for its ratio to be more than noise.
_MOST_NAMED, _ENOUGH_SUBSTITUTIONS = 5, 10.0
#: Above this length a branch of the mean site is saturated for most of its sites.
_SATURATED = 1.0
#: A factor beyond these limits is one of units.
_OTHER_UNIT = 10.0
_FEW_COLUMNS = 500
#: Columns of the table of branches.
BRANCH_COLUMNS = (
    "branch", "n_tips", "given", "fitted", "ratio", "ratio_to_factor", "informative_columns",
    "substitutions",
)  # fmt: skip


def branch_names(tree: Tree) -> list[str]:
    """Names of the branches above all nodes: tip, label, or ``MRCA(first tip,last tip)``."""
    first, last = list(tree.names), list(tree.names)
    for node in tree.postorder.tolist():
        below = tree.children[node]
        if below:
            first[node], last[node] = first[below[0]], last[below[-1]]
    return [
        name if not below else f"MRCA({a},{b})"
        for name, below, a, b in zip(tree.names, tree.children, first, last, strict=True)
    ]


def branch_table(found: TreeFit) -> Iterator[tuple[Any, ...]]:
    """Rows of `BRANCH_COLUMNS` for every branch, None where a ratio has no meaning."""
    tree = found.tree
    n_tips = np.zeros(len(tree.names), dtype=np.int64)
    n_tips[tree.tip_nodes] = 1
    for node in tree.postorder.tolist():
        if node:
            n_tips[tree.parent[node]] += n_tips[node]
    substitutions = found.informative * found.fit.branch_length
    for node, name in enumerate(branch_names(tree)):
        if node:
            given, fitted = float(found.given.branch_length[node]), float(tree.branch_length[node])
            ratio = fitted / given if given > 0 else None
            yield (
                name, int(n_tips[node]), given, fitted, ratio,
                fitted / float(found.scaled[node]), int(found.informative[node]),
                float(substitutions[node]),
            )  # fmt: skip


def describe_fit(found: TreeFit) -> dict[str, Any]:
    """Everything in numbers, JSON-ready."""
    settings, classes = found.settings, found.fit.classes
    model = classes.model
    return {
        "mode": "scale" if found.one_factor else "lengths",
        "unit": settings.unit,
        "columns": found.n_columns,
        "held_out_columns": found.n_held_out,
        "species": found.tree.n_tips,
        "branches": len(found.tree.names) - 1,
        "tree_length": {"given": found.given.total_length, "fitted": found.tree.total_length},
        "factor": _number(found.factor),
        "ratio_quantiles": dict(
            zip(map(str, _QUANTILES), map(_number, _ratio_quantiles(found)), strict=True)
        ),
        "moved_most": [
            {"branch": name, "given": given, "fitted": fitted, "scaled": scaled}
            for name, given, fitted, scaled in moved_most(found)
        ],
        "log_likelihood": found.fit.log_likelihood / found.n_columns,
        "held_out_log_likelihood": {
            name: {
                "mean": _number(judged.log_likelihood),
                "gain": _number(judged.gain),
                "gain_sd": _number(judged.gain_sd),
            }
            for name, judged in found.judged.items()
        },
        "substitution": {"name": settings.substitution, **model.settings()},
        "background": classes.log_frequencies.exp().tolist(),
        "rates": sorted(classes.rates.tolist()),
        "species_without_data": list(found.species_without_data),
        "branches_without_data": int((found.informative[1:] == 0).sum()),
        "warnings": list(warnings_of(found)),
    }


def report_lines(found: TreeFit) -> Iterator[str]:
    """The report as text, a line a fact."""
    given, fitted = found.given.total_length, found.tree.total_length
    low, _, median, _, high = _ratio_quantiles(found)
    unit = "the mean site" if found.settings.unit == "mean" else "the fastest class of sites"
    yield (
        f"tree length {fitted:.4g} substitutions at {unit} (given: {given:.4g}); one factor for "
        f"all branches: {found.factor:.4g}; fitted over given lengths: median {median:.4g}, "
        f"90 % within {low:.4g} to {high:.4g}"
    )
    if found.judged:
        names = {"given": "given tree", "factor": "one factor", "lengths": "all lengths"}
        parts = []
        for name, judged in found.judged.items():
            gain = "" if name == "given" else f" ({judged.gain:+.3f} +- {judged.gain_sd:.3f})"
            parts.append(f"{names[name]} {judged.log_likelihood:.3f}{gain}")
        yield (
            f"log-likelihood of {counted(found.n_held_out, 'column')} not used for the fit, nats a "
            f"column: {', '.join(parts)}"
        )
    rates = ", ".join(f"{rate:.3g}" for rate in sorted(found.fit.classes.rates.tolist()))
    yield f"rates of {len(found.fit.classes.log_rates)} equally large classes of sites: {rates}"
    for name, before, after, scaled in moved_most(found):
        yield f"moved: {name} from {before:.4g} to {after:.4g} (one factor: {scaled:.4g})"


def moved_most(found: TreeFit) -> list[tuple[str, float, float, float]]:
    """Branches whose length differs most from its share of the given tree: name, given, fitted,
    given times the factor.
    """
    fitted, scaled = found.tree.branch_length, found.scaled
    mean_site = found.fit.branch_length * found.informative
    before = mean_site * _ratio(scaled, fitted)
    is_sure = np.maximum(mean_site, before) >= _ENOUGH_SUBSTITUTIONS
    change = np.abs(np.log(np.maximum(_ratio(fitted, scaled), 1e-300)))
    change[~is_sure] = 0.0
    change[0] = 0.0
    names = branch_names(found.tree)
    return [
        (
            names[node], float(found.given.branch_length[node]), float(fitted[node]),
            float(scaled[node]),
        )
        for node in np.argsort(-change, kind="stable")[:_MOST_NAMED].tolist()
        if change[node] > 0.01
    ]  # fmt: skip


def warnings_of(found: TreeFit) -> Iterator[str]:
    """What a user should know before using the tree."""
    n_branches = len(found.tree.names) - 1
    if found.n_columns < _FEW_COLUMNS:
        yield (
            f"fitted to {counted(found.n_columns, 'column')} only: lengths are rough; "
            "use more columns, or --scale"
        )
    yield from _verdicts(found)
    if found.species_without_data:
        names = ", ".join(found.species_without_data[:3])
        yield (
            f"{counted(len(found.species_without_data), 'species', 'species')} without a base in "
            f"the sample ({names}): their branches keep their share of the given tree"
        )
    n_zero = int((found.given.branch_length[1:] == 0).sum())
    if n_zero:
        yield (
            f"{counted(n_zero, 'branch', 'branches')} of {n_branches:,} had no length or length 0"
        )
    if not 1 / _OTHER_UNIT <= found.factor <= _OTHER_UNIT and not math.isnan(found.factor):
        yield (
            f"the given lengths times {found.factor:.4g} are substitutions per site: they were "
            "times or of another unit"
        )
    n_saturated = int((found.fit.branch_length > _SATURATED).sum())
    if n_saturated:
        yield (
            f"{counted(n_saturated, 'branch', 'branches')} longer than {_SATURATED:g} substitution "
            "at the mean site: such lengths are uncertain"
        )


def _verdicts(found: TreeFit) -> Iterator[str]:
    """Where columns that were not used are told worse."""
    judged = found.judged
    if "lengths" in judged and judged["lengths"].gain < judged["factor"].gain:
        done = "so one factor was taken" if found.one_factor else "--scale takes that"
        yield (
            "one factor tells columns that were not used better than all branch lengths do, "
            f"{done}: too few columns (--sample) for so many branches, or a tree that was fitted "
            "to these very columns"
        )
    mode = "factor" if found.one_factor else "lengths"
    if mode in judged and judged[mode].gain < 0:
        yield (
            "the given tree tells columns that were not used better than the fitted one; it may "
            "have been fitted to these very columns"
        )


def _ratio_quantiles(found: TreeFit) -> list[float]:
    given = found.given.branch_length[1:]
    ratio = found.tree.branch_length[1:][given > 0] / given[given > 0]
    if not len(ratio):
        return [math.nan] * len(_QUANTILES)
    return [float(value) for value in np.quantile(ratio, _QUANTILES)]


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotients; 1 where the denominator is 0."""
    return np.divide(above, below, out=np.ones_like(above), where=below > 0)


def _number(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None
