"""The report as one HTML page that needs nothing from the net."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phylotools.errors import counted
from phylotools.report.findings import Finding
from phylotools.report.quality import AlignmentQuality
from phylotools.version import __version__

#: A page with a hundred thousand contigs would not open; contigs.tsv has all.
_MOST_CONTIGS = 100
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 76rem;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
td, th { padding: 2px 9px; text-align: right; border-bottom: 1px solid #e4e4e4; }
td:first-child, th:first-child { text-align: left; }
th { position: sticky; top: 0; background: #fff; vertical-align: bottom; }
.scroll { overflow: auto; max-height: 40rem; border: 1px solid #e4e4e4; }
.picture { overflow: auto; } .picture svg { height: auto; max-width: none; }
.finding { border-left: 5px solid #E69F00; background: #fdf7ea; padding: .5rem .9rem;
           margin: .6rem 0; }
.note { border-color: #56B4E9; background: #eff7fd; }
.finding p { margin: .15rem 0; } .key { color: #666; }
"""


def report_page(
    quality: AlignmentQuality,
    findings: Sequence[Finding],
    table: tuple[Sequence[str], Sequence[Sequence[Any]]],
    *,
    picture: str,
    fingerprint: str,
) -> str:
    """Text of ``report.html``.

    Parameters
    ----------
    quality : AlignmentQuality
    findings : sequence of Finding
    table : (header, rows)
        Of the species.
    picture : str
        An SVG document.
    fingerprint : str
        Of the store.

    Returns
    -------
    str
    """
    contigs = sorted(quality.contigs, key=lambda contig: -contig.covered)[:_MOST_CONTIGS]
    name = _text(Path(quality.path).name)
    warnings = sum(finding.is_warning for finding in findings)
    notes = len(findings) - warnings
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name}: alignment report</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>Alignment report: {name}</h1>",
            _overview(quality, fingerprint),
            f"<h2>Findings: {counted(warnings, 'warning')}, {counted(notes, 'note')}</h2>",
            *(_finding(finding) for finding in findings),
            '<h2>Picture</h2>\n<div class="picture">',
            _inline(picture),
            "</div>",
            "<h2>Species</h2>",
            _table(*table),
            f"<h2>Contigs{'' if len(contigs) == len(quality.contigs) else _MOST_SHOWN}</h2>",
            _table(
                ("contig", "length", "covered", "mean species"),
                [(c.name, c.length, c.covered, c.mean_species) for c in contigs],
            ),
            f'<p class="key">phylotools {_text(__version__)}</p>\n</body>\n</html>\n',
        ]
    )


_MOST_SHOWN = f" (the {_MOST_CONTIGS} with most columns; contigs.tsv has all)"


def _overview(quality: AlignmentQuality, fingerprint: str) -> str:
    length = sum(contig.length for contig in quality.contigs)
    present = sum(not row.is_absent for row in quality.species)
    facts = {
        "reference": quality.reference_species,
        "covered columns": f"{quality.columns:,} of {length:,} reference bases "
        f"({quality.columns / max(length, 1):.2%})",
        "species with rows": f"{present:,} of {len(quality.species):,} tips",
        "species with a base in a column": f"{quality.mean_species:.2f} on average",
        "tree length": f"{quality.tree.total_length:.4g} substitutions per site",
        "store": f"{quality.path} (fingerprint {fingerprint[:16]})",
    }
    rows = "".join(
        f'<tr><td class="key">{_text(key)}</td><td style="text-align:left">{_text(value)}</td></tr>'
        for key, value in facts.items()
    )
    return f"<table>{rows}</table>"


def _finding(finding: Finding) -> str:
    kind, css = ("Warning", "finding") if finding.is_warning else ("Note", "finding note")
    return (
        f'<div class="{css}"><p><b>{kind}</b>: {_text(finding.problem)}.</p>'
        f'<p><span class="key">Likely cause:</span> {_text(finding.cause)}.</p>'
        f'<p><span class="key">Remedy:</span> {_text(finding.remedy)}.</p></div>'
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{_text(name.replace('_', ' '))}</th>" for name in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{_text(_cell(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _inline(picture: str) -> str:
    """The SVG element alone, without the document's head and metadata."""
    element = picture[picture.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", element, count=1, flags=re.DOTALL)


def _text(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return html.escape(shown)
