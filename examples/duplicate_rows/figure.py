"""The picture of docs/duplicates.md."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito 2008: told apart with every kind of colour vision.
_STYLES = {
    "drop": {"color": "#222222", "marker": "v"},
    "best-identity": {"color": "#0072B2", "marker": "o"},
    "first": {"color": "#D55E00", "marker": "D"},
    "consensus": {"color": "#009E73", "marker": "s"},
    "block-consensus": {"color": "#56B4E9", "marker": "^", "ls": (0, (3, 2)), "mfc": "white"},
    "column-consensus": {"color": "#CC79A7", "marker": "P", "ls": (0, (3, 2)), "mfc": "white"},
}
_LABELS = {
    "block-consensus": "most like the block (mafDuplicateFilter)",
    "column-consensus": "consensus with the column (maf_stream)",
}
_KINDS = {
    "mixed": "mixed",
    "haplotype": "haplotypes",
    "recent": "recent copies",
    "pseudogene": "pseudogenes",
    "old": "old paralogues",
    "pieces": "one row in two pieces",
}
#: Measure -> label, the most that is drawn.
_MEASURES = {
    "lost": ("lost bases (%)", 100, None),
    "wrong": ("wrong bases (%)", 100, 12.0),
    "rate_neutral": ("rate at neutral\nsites (x)", 1, 1.4),
    "llr_error_conserved": ("error of LLR at\nconserved sites (nats)", 1, 0.5),
}


def draw(table: list[dict[str, str]], path: Path) -> None:
    """Damage by kind of copy, length of blocks and policy, on simulated mammals."""
    rows = [
        row
        for row in table
        if row["alignment"] == "mammals, simulated" and float(row["share"]) > 0.1
    ]
    mpl.rcParams.update(
        {"font.size": 9, "axes.titlesize": 9.5, "axes.titleweight": "bold",
         "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    )  # fmt: skip
    figure = Figure(figsize=(11.5, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    kinds = {kind: title for kind, title in _KINDS.items() if any(r["kind"] == kind for r in rows)}
    axes = figure.subplots(len(_MEASURES), len(kinds), sharex=True, sharey="row")
    for (measure, (label, unit, most)), line in zip(_MEASURES.items(), axes, strict=True):
        for (kind, title), panel in zip(kinds.items(), line, strict=True):
            for policy, style in _STYLES.items():
                chosen = [r for r in rows if r["kind"] == kind and r["policy"] == policy]
                length = np.array([float(row["block"]) for row in chosen])
                value = np.array([float(row[measure]) for row in chosen]) * unit
                panel.plot(
                    length, value if most is None else np.minimum(value, most),
                    ms=4.5, lw=1.2, label=_LABELS.get(policy, policy), clip_on=False, **style,
                )  # fmt: skip
            if measure == "rate_neutral":
                panel.axhline(1, color="#9a9a9a", lw=0.8, zorder=0)
            panel.set_xscale("log")
            panel.minorticks_off()
            panel.set_xticks([10, 80, 1000], ["10", "80", "1000"])
            if measure == "lost":
                panel.set_title(title)
        line[0].set_ylabel(label)
    figure.supxlabel("mean length of the blocks (columns)", fontsize=9)
    figure.legend(*axes[0][0].get_legend_handles_labels(), ncols=3, loc="outside upper center")
    figure.set_dpi(130)
    figure.canvas.draw()
    # A palette makes a third of the size; the figure has few colours.
    pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    pixels.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
