"""The report as one HTML page that needs nothing from the net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phylotools import web_page
from phylotools.errors import counted
from phylotools.report.findings import Finding
from phylotools.report.quality import AlignmentQuality

#: A page with a hundred thousand contigs would not open; contigs.tsv has all.
_MOST_CONTIGS = 100
_MOST_SHOWN = f" (the {_MOST_CONTIGS} with most columns; contigs.tsv has all)"


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
    name = Path(quality.path).name
    warnings = sum(finding.is_warning for finding in findings)
    notes = len(findings) - warnings
    return web_page.page(
        f"{name}: alignment report",
        [
            f"<h1>Alignment report: {web_page.escaped(name)}</h1>",
            _overview(quality, fingerprint),
            f"<h2>Findings: {counted(warnings, 'warning')}, {counted(notes, 'note')}</h2>",
            *(_finding(each) for each in findings),
            '<h2>Picture</h2>\n<div class="picture">',
            web_page.inlined(picture),
            "</div>",
            "<h2>Species</h2>",
            web_page.table(*table),
            f"<h2>Contigs{'' if len(contigs) == len(quality.contigs) else _MOST_SHOWN}</h2>",
            web_page.table(
                ("contig", "length", "covered", "mean species"),
                [(c.name, c.length, c.covered, c.mean_species) for c in contigs],
            ),
        ],
    )


def _overview(quality: AlignmentQuality, fingerprint: str) -> str:
    length = sum(contig.length for contig in quality.contigs)
    present = sum(not row.is_absent for row in quality.species)
    told = {
        "reference": quality.reference_species,
        "covered columns": f"{quality.columns:,} of {length:,} reference bases "
        f"({quality.columns / max(length, 1):.2%})",
        "species with rows": f"{present:,} of {len(quality.species):,} tips",
        "species with a base in a column": f"{quality.mean_species:.2f} on average",
        "tree length": f"{quality.tree.total_length:.4g} substitutions per site",
        "store": f"{quality.path} (fingerprint {fingerprint[:16]})",
    }
    return web_page.facts(told)


def _finding(found: Finding) -> str:
    told = {"Warning" if found.is_warning else "Note": found.problem}
    told |= {"Likely cause": found.cause, "Remedy": found.remedy}
    paragraphs = {key: f"{text}." for key, text in told.items()}
    return web_page.finding(paragraphs, is_warning=found.is_warning)
