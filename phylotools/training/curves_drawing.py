"""The picture of learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import (
    COLOURS,
    GREY,
    GUIDE,
    SEPARATOR,
    figure_with_footer,
    fitting_name,
    lightened,
)
from phylotools.errors import UsageError
from phylotools.training.curves import CONSTANTS, LearningCurves

MOST_RUNS = 2 * len(COLOURS)
_WIDTH = 7.4
#: Of a line in the picture; a longer curve shows the means of its neighbours.
_MOST_POINTS = 400
#: With fewer points, each is marked.
_FEW_POINTS = 40
_KEPT: Any = {"marker": "o", "markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.8}
_TRAINING, _COLUMNS = "evaluation_training", "evaluation_held_out_columns"
#: Panels from above: figure, label, height in inches.
_PANELS = (
    (_COLUMNS, "Held-out columns\n(nats a column)", 2.0),
    (_TRAINING, "Training columns\n(nats a column)", 1.5),
    ("evaluation_held_out_species", "Held-out species\n(nats a column)", 1.3),
    ("log_likelihood", "Training batches\n(nats a column)", 1.3),
    ("learning_rate", "Learning rate", 0.8),
    ("gradient_norm", "Norm of the\ngradient", 0.9),
)
_LIKELIHOODS = tuple(figure for figure, _, _ in _PANELS[:4])
#: Null models of the held-out columns: what they are called, and their dashes.
_NULLS = {
    "null_constants": ("constants", (0, (5, 2))),
    "null_tree": ("the neutral tree", (0, (1.5, 1.5))),
}

#: What likelihoods are of, by whether bases are masked.
_OF_KIND = {False: "given the reference base", True: "of masked bases"}


def draw_learning_curves(runs: Sequence[LearningCurves], footer: str) -> Any:
    """Draw the figures of runs against their steps, one panel above the other.

    The likelihoods of single batches are noise beside those of the fixed samples, and drawn only
    where there is none of these yet.

    Parameters
    ----------
    runs : sequence of LearningCurves
    footer : str

    Raises
    ------
    UsageError
        If there are too many runs to be told apart, or nothing to draw.
    """
    if len(runs) > MOST_RUNS:
        raise UsageError(f"{len(runs)} runs cannot be told apart; give at most {MOST_RUNS}")
    hidden = {"log_likelihood"} if _is_measured(runs, _TRAINING) else set()
    panels = [one for one in _PANELS if one[0] not in hidden and _is_measured(runs, one[0])]
    if not panels:
        raise UsageError("the runs have no figure that can be drawn yet; wait for their next rows")
    heights = [height for _, _, height in panels]
    # What lies beyond an axis is known before the figure is made, which has a line for it.
    axis = {figure: _limits(runs, figure) for figure, _, _ in panels if figure in _LIKELIHOODS}
    notes = SEPARATOR.join(_notes(runs, axis.get(_COLUMNS)))
    figure = figure_with_footer(_WIDTH, sum(heights) + 1.0, [footer, notes])
    rows = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (name, label, _) in zip(rows, panels, strict=True):
        axes.set_ylabel(label)
        if name == _COLUMNS:
            _draw_nulls(axes, runs)
        for index, run in enumerate(runs):
            _draw_curve(axes, run, name, _colour(index))
        if len(runs) == 1 and runs[0].kept_step is not None:
            axes.axvline(runs[0].kept_step, **GUIDE)
        if name in axis:
            axes.set_ylim(*axis[name])
        has_zeros = any((run.measured(name)[1] <= 0).any() for run in runs)
        _number_axis(axes, is_logarithmic=name == "gradient_norm" and not has_zeros)
    _show_legend(rows[0], runs)
    _show_steps(rows, runs)
    return figure


def _is_measured(runs: Sequence[LearningCurves], figure: str) -> bool:
    return any(len(run.measured(figure)[0]) for run in runs)


def _colour(index: int) -> str:
    colour = COLOURS[index % len(COLOURS)]
    return colour if index < len(COLOURS) else lightened(colour, 0.5)


def _draw_curve(axes: Any, run: LearningCurves, figure: str, colour: str) -> None:
    """One figure of one run, with a mark at the step that was kept."""
    steps, values = run.measured(figure)
    points = {"marker": ".", "markersize": 4} if len(steps) <= _FEW_POINTS else {}
    axes.plot(*_thinned(steps, values), color=colour, linewidth=1.3, zorder=3, gid=figure, **points)
    kept = run.value_at(figure, run.kept_step)
    if figure.startswith("evaluation_") and run.kept_step is not None and kept is not None:
        axes.plot([run.kept_step], [kept], color=colour, gid="kept", zorder=5, **_KEPT)


def _draw_nulls(axes: Any, runs: Sequence[LearningCurves]) -> None:
    """Lines of the null models; each once where the runs agree on it."""
    for figure, (_, dashes) in _NULLS.items():
        values = [run.value_at(figure, None) for run in runs]
        known = [value for value in values if value is not None]
        is_one = bool(known) and max(known) - min(known) <= 1e-4
        for index, value in enumerate(known[:1] if is_one else values):
            if value is not None:
                colour = GREY if is_one else _colour(index)
                look: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.1}
                axes.axhline(value, zorder=2, gid=figure, **look)


def _limits(runs: Sequence[LearningCurves], figure: str) -> tuple[float, float]:
    """Ends of the axis of a likelihood.

    A curve that rises from far below is cut off there; one that falls is shown to its end. Null
    models above the curves are always shown, those below where that does not flatten the curves.
    """
    values = np.concatenate([run.measured(figure)[1] for run in runs])
    high, low = float(values.max()), float(values.min())
    low = max(low, float(np.quantile(values, 0.25)) - 10 * (high - float(np.median(values))))
    span = max(high - low, 1e-3 * abs(high), 1e-6)
    if figure == _COLUMNS:
        nulls = _null_values(runs)
        high = max([high, *nulls])
        low = min([low, *(value for value in nulls if value > low - 2 * span)])
    margin = 0.07 * max(high - low, span)
    return low - margin, high + margin


def _null_values(runs: Sequence[LearningCurves]) -> list[float]:
    found = (run.value_at(figure, None) for run in runs for figure in _NULLS)
    return [value for value in found if value is not None]


def _number_axis(axes: Any, *, is_logarithmic: bool) -> None:
    """Plain numbers along an axis."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if not is_logarithmic:
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _show_legend(axes: Any, runs: Sequence[LearningCurves]) -> None:
    """Null models, the mark of the step kept, and whose the colours are, where there are any."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_colour(index), linewidth=2.5, label=fitting_name(run.name))
        for index, run in enumerate(runs)
        if len(runs) > 1
    ]
    for figure, (name, dashes) in _NULLS.items():
        if _is_measured(runs, figure):
            if figure == "null_constants" and len(kinds := {run.is_masked for run in runs}) == 1:
                name = CONSTANTS[kinds.pop()]
            look: Any = {"linestyle": dashes, "linewidth": 1.1}
            handles.append(Line2D([], [], color=GREY, label=f"null model: {name}", **look))
    if any(run.kept_step for run in runs):
        handles.append(Line2D([], [], linestyle="", color=GREY, label="step kept", **_KEPT))
    if handles:
        place = (0.5, 1.22 if _has_epochs(runs) else 1.0)
        axes.legend(handles=handles, loc="lower center", bbox_to_anchor=place, ncols=3)


def _has_epochs(runs: Sequence[LearningCurves]) -> bool:
    """Whether all runs say how long an epoch is, and it is one length."""
    lengths = [run.steps_per_epoch for run in runs]
    known = [length for length in lengths if length is not None]
    return len(known) == len(lengths) and max(known) <= 1.02 * min(known)


def _show_steps(rows: Any, runs: Sequence[LearningCurves]) -> None:
    rows[-1].set_xlabel("Step")
    rows[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    rows[-1].set_xlim(0, 1.02 * max(int(run.step[-1]) for run in runs))
    if _has_epochs(runs):
        length = runs[0].steps_per_epoch or 1.0
        above = rows[0].secondary_xaxis(
            "top", functions=(lambda step: step / length, lambda epoch: epoch * length)
        )
        above.set_xlabel("Epoch")


def _notes(runs: Sequence[LearningCurves], axis: tuple[float, float] | None) -> list[str]:
    """What the picture's lines say below it; `axis` is that of the held-out columns."""
    kinds = {run.is_masked for run in runs}
    notes = [f"log-likelihood {_OF_KIND[kind]}: the higher, the better" for kind in sorted(kinds)]
    if len(kinds) > 1:
        masked = ", ".join(fitting_name(run.name) for run in runs if run.is_masked)
        notes.append(f"of masked bases: {masked}; not on one scale with the others")
    if len(runs) == 1 and runs[0].kept_step is not None:
        notes.append(f"step kept: {runs[0].kept_step:,}")
    for run in runs:
        if not run.is_complete:
            notes.append(f"{fitting_name(run.name)} is at step {run.step[-1]:,} and not complete")
    below = sorted({value for value in _null_values(runs) if axis and value < axis[0]})
    notes += [f"a null model lies below the axis, at {value:.3f}" for value in below[:3]]
    return notes


def _thinned(
    steps: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of so many neighbours that few points are left."""
    size = max(-(-len(steps) // _MOST_POINTS), 1)
    firsts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(firsts, len(steps)))
    if not len(firsts):
        return steps.astype(float), values
    return np.add.reduceat(steps.astype(float), firsts) / counts, (
        np.add.reduceat(values, firsts) / counts
    )
