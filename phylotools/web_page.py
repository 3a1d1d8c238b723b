"""How a report becomes one HTML page that needs nothing from the net and runs no script.

Whatever comes out of a file goes through `escaped`; functions that take markup say so.
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from phylotools.version import __version__

#: Neither scripts nor anything from elsewhere, whatever slips into a page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 76rem;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
td, th { padding: 2px 9px; text-align: right; border-bottom: 1px solid #e4e4e4; }
td:first-child, th:first-child { text-align: left; }
th { position: sticky; top: 0; background: #fff; vertical-align: bottom; }
.facts td { text-align: left; }
.scroll { overflow: auto; max-height: 40rem; border: 1px solid #e4e4e4; }
.scroll td { white-space: nowrap; }
.picture { overflow: auto; } .picture svg { height: auto; max-width: none; }
.picture img { max-width: 100%; height: auto; }
.finding { border-left: 5px solid #E69F00; background: #fdf7ea; padding: .5rem .9rem;
           margin: .6rem 0; }
.note { border-color: #56B4E9; background: #eff7fd; }
.finding p { margin: .15rem 0; } .key { color: #666; }
pre { background: #f3f4f6; padding: .5rem .9rem; white-space: pre-wrap;
      overflow-wrap: anywhere; font-size: 13px; }
"""
# Of smaller numbers four decimals would show nothing.
_SMALL = 0.001
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


def page(title: str, body: Iterable[str]) -> str:
    """Text of a page.

    Parameters
    ----------
    title : str
        Any text.
    body : iterable of str
        Markup.
    """
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            *body,
            f'<p class="key">phylotools {escaped(__version__)}</p>\n</body>\n</html>\n',
        ]
    )


def escaped(text: str) -> str:
    """Any text as markup that shows it; what cannot be printed is a question mark."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return html.escape(shown)


def facts(values: Mapping[str, str]) -> str:
    """A table of two columns: what, and its text."""
    rows = "".join(
        f'<tr><td class="key">{escaped(key)}</td><td>{escaped(value)}</td></tr>'
        for key, value in values.items()
    )
    return f'<table class="facts">{rows}</table>'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table that scrolls if it is long; floats get four decimals, None and NaN are ``n/a``."""
    head = "".join(f"<th>{escaped(name.replace('_', ' '))}</th>" for name in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escaped(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'


def finding(paragraphs: Mapping[str, str], *, is_warning: bool) -> str:
    """A box of paragraphs, each behind a word that says what it is: ``Warning``, ``Remedy``."""
    lines = [
        f'<p><b class="key">{escaped(key)}:</b> {escaped(text)}</p>'
        for key, text in paragraphs.items()
    ]
    return f'<div class="finding{"" if is_warning else " note"}">{"".join(lines)}</div>'


def inlined(picture: str) -> str:
    """A picture as the page's own markup: an SVG document without its head and metadata."""
    element = picture[picture.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", element, count=1, flags=re.DOTALL)


def embedded(picture: Path, description: str) -> str:
    """A picture file (SVG, PNG) inside the page, by itself: nothing in it touches the page."""
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    kind = _KINDS[picture.suffix]
    image = f'<img alt="{escaped(description)}" src="data:{kind};base64,{data}">'
    return f'<div class="picture">{image}</div>'


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if isinstance(value, float):
        return f"{value:.2g}" if 0 < abs(value) < _SMALL else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
