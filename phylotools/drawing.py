"""How every picture looks: colours, fonts, names that fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Okabe and Ito 2008: told apart with every kind of colour vision; yellow left out on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"
#: Settings for `matplotlib.rc_context`.
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": "#444444",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "legend.frameon": False,
    "legend.fontsize": 8,
    # Equal pictures for equal numbers.
    "svg.hashsalt": "phylotools",
}


def fitting_name(name: str, longest: int = 26) -> str:
    """A name that fits, safe from mathtext (``$``) and from the legend's rule for ``_``."""
    name = name if len(name) <= longest else name[: longest - 1] + "…"
    name = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return " " + name if name.startswith("_") else name


def save_figure(figure: Any, paths: Sequence[Path], *, dpi: int = 200) -> None:
    """Save one figure under each path, in the format of its suffix; no date in it."""
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": "phylotools"}
        figure.savefig(path, dpi=dpi, facecolor="white", metadata=metadata)
