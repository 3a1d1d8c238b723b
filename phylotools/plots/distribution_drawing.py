"""The picture of a score by class: violins, boxes, or cumulative curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phylotools.drawing import (
    COLOURS,
    GUIDE,
    PALE,
    SEPARATOR,
    figure_with_footer,
    fitting_name,
    lightened,
)
from phylotools.plots.distribution import ClassDistributions
from phylotools.plots.sampling import Tally

Style = Literal["violin", "box", "ecdf"]
_MOST_ROWS, _MOST_CURVES = 24, 8
#: Fewer numbers are drawn one by one.
_FEWEST_FOR_SHAPE = 10
_GRID = 256
_WIDTH = 7.4
_LETTER_POINTS = 4.9
#: Longer labels of curves stand one below the other.
_LONGEST_ABREAST = 44
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)))
#: The axis is cut where it would be so many times as long as the middle 99 % of the scores.
_CUT = 3.0


def draw_distributions(found: ClassDistributions, style: Style, label: str, footer: str) -> Any:
    """Draw the scores of each class in one figure.

    Parameters
    ----------
    found : ClassDistributions
    style : Style
    label : str
        Of the score's axis, with its unit.
    footer : str
    """
    most = _MOST_CURVES if style == "ecdf" else _MOST_ROWS
    largest = sorted(found.tallies, key=lambda name: -found.tallies[name].n)[:most]
    shown = {name: tally for name, tally in found.tallies.items() if name in largest}
    samples = {name: tally.sample for name, tally in shown.items()}
    low, high, n_outside = _limits(list(samples.values()))
    lines = [footer, SEPARATOR.join(_notes(found, len(shown), n_outside, style))]
    draw = _draw_curves if style == "ecdf" else _draw_rows
    height = 4.2 if style == "ecdf" else 0.95 + 0.36 * len(shown)
    figure = figure_with_footer(_WIDTH, height, lines)
    axes = figure.subplots()
    draw(axes, shown, samples, (low, high), style)
    axes.set_xlim(low, high)
    axes.set_xlabel(label)
    return figure


def _limits(samples: Sequence[NDArray[np.float64]]) -> tuple[float, float, int]:
    """Ends of the axis, and how many sampled numbers lie beyond."""
    together = np.concatenate(samples)
    low, high = float(together.min()), float(together.max())
    inner_low, inner_high = (float(x) for x in np.quantile(together, [0.005, 0.995]))
    inner = inner_high - inner_low
    if inner > 0 and high - low > _CUT * inner:
        low, high = max(low, inner_low - inner / 2), min(high, inner_high + inner / 2)
    n_outside = int(((together < low) | (together > high)).sum())
    margin = 0.03 * (high - low) or max(abs(high) * 0.05, 0.5)
    return low - margin, high + margin, n_outside


def _notes(found: ClassDistributions, n_shown: int, n_outside: int, style: Style) -> list[str]:
    notes = []
    if style != "ecdf":
        notes.append("bar: quartiles; line: 5th to 95th percentile; black: median")
    if found.class_source != "no classes":
        notes.append(f"classes: {fitting_name(found.class_source, 60)}")
    if left_out := len(found.tallies) - n_shown:
        notes.append(f"the {n_shown} largest classes; {left_out:,} more in the table")
    if n_outside:
        notes.append(f"{n_outside:,} scores beyond the axis")
    sampled = [tally for tally in found.tallies.values() if tally.n > len(tally.sample)]
    if sampled:
        notes.append(f"shapes from {len(sampled[0].sample):,} scores of a class, drawn evenly")
    return notes


def _draw_rows(
    axes: Any,
    shown: dict[str, Tally],
    samples: dict[str, NDArray[np.float64]],
    limits: tuple[float, float],
    style: Style,
) -> None:
    for place, (name, tally) in enumerate(shown.items()):
        colour = COLOURS[place % 6] if len(shown) <= 6 else COLOURS[0]
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color=PALE, linewidth=0, zorder=0)
        _draw_row(axes, place, samples[name], tally, colour, style, limits)
    names = [fitting_name(name, 34) for name in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    if limits[0] < 0 < limits[1]:
        axes.axvline(0, **GUIDE)
    # Two columns of numbers stand right of the panel, as a table would.
    points = 4.0
    for head, texts in (
        ("n", [f"{tally.n:,}" for tally in shown.values()]),
        ("median", [_number(tally.median) for tally in shown.values()]),
    ):
        points += 12 + _LETTER_POINTS * max(len(text) for text in (head, *texts))
        _write_column(axes, points, head, texts)


def _write_column(axes: Any, points: float, head: str, texts: Sequence[str]) -> None:
    """Text right-aligned so many points right of the panel, a line for each row."""
    look: dict[str, Any] = {
        "textcoords": "offset points",
        "ha": "right",
        "fontsize": 8,
        "annotation_clip": False,
    }
    axes.annotate(head, (1, 1), xycoords="axes fraction", xytext=(points, 2), weight="bold", **look)
    for place, text in enumerate(texts):
        axes.annotate(
            text,
            (1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(points, 0),
            va="center",
            **look,
        )


def _number(value: float) -> str:
    """A number with a true minus sign, as axes have it."""
    size = abs(value)
    text = f"{value:.2f}" if size < 1000 else f"{value:,.0f}" if size < 1e6 else f"{value:.3g}"
    return ("0.00" if text == "-0.00" else text).replace("-", "\N{MINUS SIGN}")


def _draw_row(
    axes: Any,
    place: int,
    sample: NDArray[np.float64],
    tally: Tally,
    colour: str,
    style: Style,
    limits: tuple[float, float],
) -> None:
    low, lower, median, upper, high = tally.quantiles()
    if len(sample) < _FEWEST_FOR_SHAPE:
        axes.plot(sample, np.full(len(sample), place), "o", color=colour, markersize=3.5, zorder=4)
    elif style == "violin":
        grid, density = smooth_density(sample, limits)
        height = 0.42 * density / max(float(density.max()), 1e-300)
        axes.fill_between(
            grid, place - height, place + height, color=colour, alpha=0.45, linewidth=0, zorder=2
        )
    if len(sample) >= _FEWEST_FOR_SHAPE:
        axes.plot([low, high], [place, place], color=colour, linewidth=1.1, zorder=3)
        is_box = style == "box"
        axes.barh(
            place,
            upper - lower,
            left=lower,
            height=0.5 if is_box else 0.12,
            facecolor=lightened(colour) if is_box else colour,
            edgecolor=colour,
            linewidth=1.1 if is_box else 0,
            zorder=3,
        )
    half = 0.25 if style == "box" else 0.22
    axes.plot([median, median], [place - half, place + half], color="black", lw=1.6, zorder=5)


def smooth_density(
    sample: NDArray[np.float64], limits: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian kernel density with Silverman's bandwidth, within the sample's own range.

    Parameters
    ----------
    sample : float64[N], sorted
    limits : (float, float)
        Of the axis.

    Returns
    -------
    grid, density : float64[G]
        Equal numbers give a spike as wide as a step of the grid.
    """
    grid = np.linspace(*limits, _GRID)
    step = grid[1] - grid[0]
    counts, _ = np.histogram(sample, bins=np.append(grid - step / 2, grid[-1] + step / 2))
    quarter = float(np.diff(np.quantile(sample, [0.25, 0.75]))[0])
    spread = min(float(sample.std()), quarter / 1.349) or float(sample.std())
    bandwidth = max(0.9 * spread * len(sample) ** -0.2, step / 2)
    reach = int(min(np.ceil(4 * bandwidth / step), _GRID))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / bandwidth) ** 2)
    kernel /= kernel.sum()
    density = np.convolve(counts, kernel, mode="full")[reach : reach + _GRID]
    density /= len(sample) * step
    inside = (grid >= sample[0] - step) & (grid <= sample[-1] + step)
    return grid[inside], density[inside]


def _draw_curves(
    axes: Any,
    shown: dict[str, Tally],
    samples: dict[str, NDArray[np.float64]],
    limits: tuple[float, float],
    style: Style,
) -> None:
    for place, (name, tally) in enumerate(shown.items()):
        sample = samples[name]
        at = np.linspace(*limits, 4 * _GRID) if len(sample) > 4 * _GRID else np.unique(sample)
        at = np.concatenate([[limits[0]], at, [limits[1]]])
        axes.plot(
            at,
            np.searchsorted(sample, at, side="right") / len(sample),
            drawstyle="steps-post",
            color=COLOURS[place % len(COLOURS)],
            linestyle=_DASHES[place // len(COLOURS) % 2],
            linewidth=1.6,
            label=f"{fitting_name(name)}  (n = {tally.n:,}, median {_number(tally.median)})",
        )
    axes.axhline(0.5, **GUIDE)
    axes.set(ylim=(-0.01, 1.01), ylabel="Fraction of alleles at or below")
    longest = max(len(line.get_label()) for line in axes.get_lines()[: len(shown)])
    is_abreast = len(shown) > 2 and longest <= _LONGEST_ABREAST
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=2 if is_abreast else 1,
        fontsize=7.5,
    )
