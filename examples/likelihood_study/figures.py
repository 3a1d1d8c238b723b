"""The study's figures, each drawn from its table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from measures import Table
from PIL import Image
from rate import LLR_GRID, RATE_GRID, VARIABLE_LLR

# Okabe and Ito 2008: told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, PINK, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#222222",
)  # fmt: skip
GREY = "#9a9a9a"
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_CLASSES = {
    "neutral": {"color": BLUE, "marker": "o"},
    "constrained": {"color": GREEN, "marker": "s"},
    "conserved": {"color": ORANGE, "marker": "D"},
}
_TRUTHS = {
    "one rate": {"color": BLUE, "marker": "o"},
    "varying rates": {"color": ORANGE, "marker": "D"},
    "cold sites": {"color": BLACK, "marker": "v"},
}
_TREATMENTS = {
    "maximum likelihood": PINK,
    "free": ORANGE,
    "prior": BLUE,
    "fixed": GREEN,
}
_HEADINGS = {
    "maximum likelihood": "maximum likelihood",
    "free": "R free",
    "prior": "prior on R",
    "fixed": "R fixed",
}


def draw_recovery(table: Table, path: Path) -> None:
    """Errors against the length of the tree, by model, quantity and class of site."""
    rows = {
        "llr": "LLR",
        "log_site_rate": "log site rate",
        "log_rate": "log R",
    }
    models = list(dict.fromkeys(row["model"] for row in table))
    figure, axes = _grid(len(rows), len(models), (2.15, 1.9), sharex=True, sharey="row")
    for (quantity, name), line in zip(rows.items(), axes, strict=True):
        for model, panel in zip(models, line, strict=True):
            if quantity == "log_rate" and model.endswith("R = 1"):
                panel.text(0.5, 0.5, "R is given", transform=panel.transAxes, ha="center")
                continue
            for kind, style in _CLASSES.items():
                chosen = _where(table, model=model, quantity=quantity, **{"class": kind})
                length, error = (_values(chosen, key) for key in ("tree_length", "rmse"))
                is_real = _values(chosen, "species") < 448
                panel.plot(length, error, color=style["color"], lw=1.2)
                for shown, fill in ((is_real, style["color"]), (~is_real, "white")):
                    panel.plot(
                        length[shown], error[shown], ls="none", ms=4, mfc=fill, label=kind, **style
                    )
                panel.axhline(chosen[0]["rmse_without_data"], color=style["color"], lw=0.8, ls=":")
            panel.set_xscale("log")
        line[0].set_ylabel(f"RMSE of {name} (nats)")
        line[0].set_ylim(bottom=0)
    for model, panel in zip(models, axes[0], strict=True):
        panel.set_title(model.replace(", ", ",\n"))
    ticks = {row["species"]: row["tree_length"] for row in table}
    ticks = {n: x for n, x in ticks.items() if n in (8, 32, 447) or n > 447}
    for panel in axes[-1]:
        panel.minorticks_off()
        panel.set_xticks(
            list(ticks.values()),
            [str(n) if n <= 447 else f"x{n // 447}" for n in ticks],
        )
    figure.supxlabel(
        "species, spaced by the length of the tree that they span (substitutions per neutral site, "
        "log scale)",
        fontsize=9,
    )
    handles, labels = axes[0][0].get_legend_handles_labels()
    handles, labels = handles[::2], labels[::2]
    handles.append(Line2D([], [], color=GREY, ls=":"))
    figure.legend(
        handles, [f"{label} sites" for label in labels] + ["without data"],
        ncols=4, loc="outside upper center",
    )  # fmt: skip
    _save(figure, path)


def draw_shared(table: Table, path: Path) -> None:
    """Errors of shared parameters by number of species and of columns."""
    models = {"hky": (BLUE, "o"), "gtr": (GREEN, "s"), "mutation-selection": (ORANGE, "D")}
    figure, (axes,) = _grid(1, 2, (3.9, 3.2), sharey=True)
    most = max(row["species"] for row in table)
    at = sorted({row["columns"] for row in table})[-2]
    for panel, varied, fixed in (
        (axes[0], "species", {"columns": at}),
        (axes[1], "columns", {"species": most}),
    ):
        for model, (colour, marker) in models.items():
            for kind, dashes in (("neutral", "-"), ("all", (0, (4, 2)))):
                chosen = _where(table, model=model, sites=kind, **fixed)
                places = sorted({row[varied] for row in chosen})
                errors = [_values(_where(chosen, **{varied: x}), "log_error") for x in places]
                panel.plot(
                    places, [e.mean() for e in errors], color=colour, ls=dashes, marker=marker,
                    ms=4.5, mfc=colour if kind == "neutral" else "white", lw=1.3,
                    label=f"{_name(model)}, {kind} sites",
                )  # fmt: skip
        panel.set(xscale="log", yscale="log")
        panel.minorticks_off()
        panel.set_xticks(places, [f"{x:,}" for x in places])
    axes[0].set(xlabel=f"species ({at:,} columns)", ylabel="RMSE of log shared parameters")
    ticks = (0.01, 0.02, 0.05, 0.1, 0.2)
    axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[1].set_xlabel(f"columns ({most} species)")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside upper center")
    _save(figure, path)


def draw_confound(table: Table, path: Path) -> None:
    """Surfaces over LLR and log R: where a conserved column leaves a ridge."""
    panels = (
        ("Conserved column:\nlikelihood", "conserved", 0.0),
        ("Conserved column:\nlikelihood and prior", "conserved", 1.0),
        ("Variable column:\nlikelihood", "variable", 0.0),
    )
    models = list(dict.fromkeys(row["model"] for row in table))
    figure, axes = _grid(len(models), len(panels), (2.6, 2.35), sharex=True, sharey=True)
    depths = [0, 0.5, 2, 5, 10, 20, 1e9]
    colours = ["#08519c", "#3787c0", "#7ab6d9", "#b0d2e7", "#dbe9f6", "#f7fbff"]
    for model, line in zip(models, axes, strict=True):
        for (title, kind, weight), panel in zip(panels, line, strict=True):
            chosen = _where(table, model=model, column=kind)
            height = _values(chosen, "log_likelihood") + weight * _values(chosen, "log_prior")
            depth = (height.max() - height).reshape(len(RATE_GRID), len(LLR_GRID))
            filled = panel.contourf(LLR_GRID, RATE_GRID, depth, levels=depths, colors=colours)
            panel.axhline(0, color=ORANGE, lw=1.1, ls=(0, (4, 2)))
            if kind == "variable":
                panel.plot(
                    VARIABLE_LLR, 0, marker="o", mfc="none", mec=ORANGE, ms=8, mew=1.5, zorder=3
                )
            if weight or kind == "variable":
                top = np.unravel_index(depth.argmin(), depth.shape)
                panel.plot(LLR_GRID[top[1]], RATE_GRID[top[0]], marker="x", color="white", mew=2)
            if model == models[0]:
                panel.set_title(title)
        line[0].set_ylabel(f"{_name(model)}\nlog R (0 = neutral)")
    for panel in axes[-1]:
        panel.set_xlabel("LLR of the alternatives (nats)")
    bar = figure.colorbar(filled, ax=axes, shrink=0.8, ticks=depths[:-1])
    bar.ax.invert_yaxis()
    bar.set_label("nats below the maximum")
    axes[0][2].annotate("R fixed", (-11.7, 0.25), color=ORANGE, fontsize=8.5)
    axes[0][2].annotate("truth", (-2.7, -1.5), color=ORANGE, fontsize=8.5)
    _save(figure, path)


def draw_sites(table: Table, path: Path) -> None:
    """Estimates against the truth, site by site, for four treatments of the rate and two models."""
    columns = [("f81", treatment) for treatment in _TREATMENTS] + [("mutation-selection", "fixed")]
    rows = {"llr": ("LLR (nats)", -11, 3), "log_rate": ("log R", -6, 4)}
    figure, axes = _grid(len(rows), len(columns), (2.0, 2.15))
    for (quantity, (name, low, high)), line in zip(rows.items(), axes, strict=True):
        for (model, treatment), panel in zip(columns, line, strict=True):
            chosen = _where(table, model=model, rate=treatment)
            conserved = _values(chosen, "conserved") > 0
            true = _values(chosen, f"true_{quantity}")
            estimate = _values(chosen, quantity).clip(low + 0.1, high - 0.1)
            for shown, colour, size, order in (
                (~conserved, GREY, 5, 2),
                (conserved, _TREATMENTS[treatment], 9, 3),
            ):
                panel.scatter(
                    true[shown], estimate[shown], s=size, color=colour, alpha=0.45, lw=0,
                    zorder=order,
                )  # fmt: skip
            panel.plot([low, high], [low, high], color=BLACK, lw=0.8, ls=":", zorder=1)
            limits = (low, high) if quantity == "llr" else (-2.5, 2.5)
            panel.set(xlim=limits, ylim=(low, high))
            panel.set_xlabel(f"true {name}")
        line[0].set_ylabel(f"estimated {name}")
    handles = [
        Line2D([], [], ls="none", marker="o", ms=4, color=colour)
        for colour in (*_TREATMENTS.values(), GREY)
    ]
    figure.legend(
        [tuple(handles[:-1]), handles[-1]],
        ["conserved columns (at most one substitution)", "other columns"],
        handler_map={tuple: HandlerTuple(ndivide=None)},
        ncols=2, loc="outside upper center",
    )  # fmt: skip
    for (model, treatment), panel in zip(columns, axes[0], strict=True):
        panel.set_title(f"{_name(model)}:\n{_HEADINGS[treatment]}")
    _save(figure, path)


def draw_misordering(table: Table, path: Path) -> None:
    """How often and by how much LLRs stand in the wrong order, and what the likelihood says."""
    columns = {
        "misordered": "misordered pairs (%)",
        "misordered_true_nats": "true difference of\nmisordered pairs (nats)",
        "auroc": "AUROC, strong against\nweak selection",
        "held_out_nats": "held-out species,\nnats a column below the best",
    }
    models = list(dict.fromkeys(row["model"] for row in table))
    treatments = list(dict.fromkeys(row["rate"] for row in table))
    figure, axes = _grid(len(models), len(columns), (2.3, 2.3), sharey=True, sharex="col")
    for model, line in zip(models, axes, strict=True):
        for (key, name), panel in zip(columns.items(), line, strict=True):
            for step, truth in enumerate(dict.fromkeys(row["truth"] for row in table)):
                chosen, style = _where(table, model=model, truth=truth), _TRUTHS[truth]
                values = _values(chosen, key) * (100 if key == "misordered" else 1)
                if key == "held_out_nats":
                    values = values.max() - values
                places = np.arange(len(values)) + 0.2 * (step - 1)
                panel.plot(values, places, ls="none", ms=5, label=truth, **style)
            _rows(panel, treatments)
            if model == models[-1]:
                panel.set_xlabel(name)
            if key in ("misordered", "auroc"):
                panel.axvline(50 if key == "misordered" else 0.5, color=GREY, lw=0.8, ls=":")
        line[0].set_title(_name(model))
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles, [f"truth: {label}" for label in labels], ncols=3, loc="outside upper center"
    )
    _save(figure, path)


def draw_misfit(table: Table, path: Path) -> None:
    """Bias and ranking of every model under every truth."""
    truths = list(dict.fromkeys(row["truth"] for row in table))
    fits = list(dict.fromkeys(row["fit"] for row in table))
    panels = (
        (
            "bias of LLR at neutral sites (nats)",
            {"transition": "transition", "transversion": "transversion",
             "gc_to_at": "GC to AT", "at_to_gc": "AT to GC"},
            "neutral_bias_",
        ),
        (
            "rank correlation of LLR\nwith the truth",
            {"transition": "transition", "transversion": "transversion", "all": "all"},
            "rank_correlation_",
        ),
        ("held-out species,\nnats a column below the best", {"": "all"}, "held_out_nats"),
    )  # fmt: skip
    styles = {
        "transition": {"color": ORANGE, "marker": "D"},
        "transversion": {"color": BLUE, "marker": "o"},
        "GC to AT": {"color": PINK, "marker": "<"},
        "AT to GC": {"color": GREEN, "marker": ">"},
        "all": {"color": BLACK, "marker": "s"},
    }
    figure, axes = _grid(
        len(truths), len(panels), (2.9, 1.85), sharey=True, sharex="col", width_ratios=(1.3, 1, 1)
    )
    for truth, line in zip(truths, axes, strict=True):
        chosen = _where(table, truth=truth)
        for (name, kinds, prefix), panel in zip(panels, line, strict=True):
            for kind, label in kinds.items():
                values = _values(chosen, prefix + kind)
                if prefix == "held_out_nats":
                    values = values.max() - values
                panel.plot(
                    values, range(len(fits)), ls="none", ms=5.5, alpha=0.9, label=label,
                    **styles[label],
                )  # fmt: skip
            _rows(panel, fits)
            if truth == truths[-1]:
                panel.set_xlabel(name)
        line[0].axvline(0, color=GREY, lw=0.8)
        line[0].set_title(f"truth: {truth}")
    handles = {}
    for panel in axes[0]:
        handles.update(dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True)))
    figure.legend(handles.values(), handles.keys(), ncols=5, loc="outside upper center")
    _save(figure, path)


def _grid(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure with panels of about such a size in inches, shape (rows, columns)."""
    mpl.rcParams.update(_STYLE)
    figure = Figure(figsize=(size[0] * columns + 0.6, size[1] * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _rows(panel: Any, labels: list[str]) -> None:
    """Name the rows of a dot plot and tell them apart by bands."""
    panel.set_yticks(range(len(labels)), [_short(label) for label in labels])
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    for place in range(0, len(labels), 2):
        panel.axhspan(place - 0.5, place + 0.5, color="#f3f4f6", lw=0, zorder=0)


def _name(model: str) -> str:
    return model if model == "mutation-selection" else model.upper()


def _short(label: str) -> str:
    return {"maximum likelihood": "max. likelihood"}.get(label, label)


def _where(table: Table, **wanted: Any) -> Table:
    return [row for row in table if all(row[key] == value for key, value in wanted.items())]


def _values(rows: Iterable[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([row[key] for row in rows], dtype=float)


def _save(figure: Figure, path: Path) -> None:
    figure.set_dpi(150)
    figure.canvas.draw()
    # A palette makes a third of the size; the figures have few colours.
    pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    pixels.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
