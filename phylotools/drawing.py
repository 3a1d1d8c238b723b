"""How every picture looks: colours, fonts, names that fit."""

from __future__ import annotations

import contextlib
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

#: Okabe and Ito 2008: told apart with every kind of colour vision; yellow left out on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"
#: Look of a thin line beside the data: a zero, a diagonal, chance.
GUIDE: Any = {"color": GREY, "linewidth": 0.7, "linestyle": (0, (4, 3)), "zorder": 1}
#: Every other row of a list.
PALE = "#f3f4f6"
#: Marks beside the colours, for points that belong together.
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
#: Stands between the facts of a footer.
SEPARATOR = "   ·   "
_FOOTER_LETTERS_PER_INCH = 21
#: How the lines at the foot look.
FOOTER_LOOK: Any = {"fontsize": 6.5, "color": "#666666", "linespacing": 1.35}
#: Formats of pictures, by suffix.
PICTURE_KINDS = ("svg", "png")
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


@contextlib.contextmanager
def picture_style(*, svg_text: str = "none") -> Iterator[None]:
    """The house look, whatever the user's matplotlibrc says.

    Text in SVG stays text, or becomes shapes with ``svg_text="path"``.
    A letter that the font lacks is drawn as a box in PNG, without a warning: tables have it.
    """
    import matplotlib.style

    look = {**STYLE, "svg.fonttype": svg_text}
    with matplotlib.style.context(["default", look]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(width: float, height: float, *, is_arranged: bool = True) -> Any:
    """A figure of so many inches that no window shows.

    Parameters
    ----------
    width, height : float
    is_arranged : bool
        Whether matplotlib makes room for labels; else the caller places everything.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1) if is_arranged else None
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def figure_with_footer(width: float, height: float, lines: Sequence[str]) -> Any:
    """An arranged figure with small grey lines below: what made it, what was left out.

    `height` is that of the figure without the lines, which are broken to fit.
    """
    text = wrapped(lines, width)
    figure = new_figure(width, height + 0.13 * len(text))
    figure.supxlabel("\n".join(text), x=0.012, ha="left", **FOOTER_LOOK)
    return figure


def fitting_name(name: str, longest: int = 26) -> str:
    """A name that fits, safe from mathtext (``$``) and from the legend's rule for ``_``."""
    name = name if len(name) <= longest else name[: longest - 1] + "…"
    name = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return " " + name if name.startswith("_") else name


def lightened(colour: str, part: float = 0.6) -> str:
    """A colour mixed with so much white, opaque."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 * part + (1 - part) * value):02x}" for value in channels)


def wrapped(lines: Sequence[str], width: float) -> list[str]:
    """Lines of a footer, broken at `SEPARATOR` so that they fit a figure of so many inches."""
    most = max(int(width * _FOOTER_LETTERS_PER_INCH), 20)
    fitting: list[str] = []
    for line in lines:
        begun = ""
        for part in line.split(SEPARATOR):
            if begun and len(begun) + len(SEPARATOR) + len(part) > most:
                fitting.append(begun)
                begun = ""
            begun += (SEPARATOR if begun else "") + part
        fitting += textwrap.wrap(begun, most)
    return fitting


def save_figure(figure: Any, paths: Sequence[Path], *, dpi: int = 200) -> None:
    """Save one figure under each path, in the format of its suffix; no date in it."""
    for path in paths:
        save_picture(figure, path, path.suffix[1:], dpi=dpi)


def save_picture(figure: Any, path: Path | IO[bytes], kind: str, *, dpi: int = 200) -> None:
    """Save a figure as one of `PICTURE_KINDS`, whatever the file is called; no date in it."""
    metadata = {"Date": None} if kind == "svg" else {"Software": "phylotools"}
    figure.savefig(path, format=kind, dpi=dpi, facecolor="white", metadata=metadata)
