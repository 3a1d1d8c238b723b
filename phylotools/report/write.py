"""The folder of a report: tables, JSON, picture and page."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phylotools.io.bases import BASES_AND_N
from phylotools.io.delimited import tsv_lines
from phylotools.io.documents import json_ready
from phylotools.io.files import atomic_folder, refuse_existing_folder
from phylotools.provenance import RunRecord
from phylotools.report.findings import Finding, find_problems
from phylotools.report.page import report_page
from phylotools.report.quality import AlignmentQuality, measure_quality
from phylotools.store.read import ColumnStore

#: Files of a report.
REPORT = (
    "report.html",
    "report.png",
    "report.svg",
    "species.tsv",
    "depth.tsv",
    "contigs.tsv",
    "report.json",
)


@dataclass(frozen=True)
class ReportSummary:
    """Totals and findings of a report.

    Attributes
    ----------
    columns : int
        Covered reference positions.
    species, species_with_rows, contigs : int
    mean_species : float
        Species with A, C, G or T in a covered column.
    findings : tuple of Finding
        Warnings first, then notes.
    """

    columns: int
    species: int
    species_with_rows: int
    contigs: int
    mean_species: float
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Texts of the warnings, each with its likely cause and remedy."""
        return tuple(str(finding) for finding in self.findings if finding.is_warning)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "columns": self.columns,
            "species": self.species,
            "species_with_rows": self.species_with_rows,
            "contigs": self.contigs,
            "mean_species_per_column": json_ready(self.mean_species),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def write_report(
    store: ColumnStore,
    folder: str | os.PathLike[str],
    *,
    force: bool = False,
    threads: int = 1,
    name: str | None = None,
) -> ReportSummary:
    """Measure a store and write what was found; the folder appears whole or not at all.

    Parameters
    ----------
    store : ColumnStore
    folder : str or PathLike
        Folder to make; it will hold the files of `REPORT`.
    force : bool
        Replace an earlier report (no folder that holds anything else).
    threads : int
        No number in the report depends on it.
    name : str, optional
        What the report calls the store; by default its path.

    Returns
    -------
    ReportSummary

    Raises
    ------
    InputError
        If the store is damaged.
    OutputError
        If `folder` exists and may not be replaced, or cannot be written.
    """
    refuse_existing_folder(folder, force, REPORT)
    quality = measure_quality(store, threads=threads)
    quality = dataclasses.replace(quality, path=name or quality.path)
    findings = find_problems(quality)
    summary = ReportSummary(
        columns=quality.columns,
        species=len(quality.species),
        species_with_rows=sum(not row.is_absent for row in quality.species),
        contigs=len(quality.contigs),
        mean_species=quality.mean_species,
        findings=findings,
    )
    with atomic_folder(folder, force=force, contents=REPORT) as made:
        _write_files(made, quality, summary, store)
    return summary


def _write_files(
    folder: Path, quality: AlignmentQuality, summary: ReportSummary, store: ColumnStore
) -> None:
    from phylotools.report.figure import draw_report

    species = _species_rows(quality)
    species_table = tuple(species[0]), [tuple(row.values()) for row in species]
    tables = {
        "species.tsv": species_table,
        "depth.tsv": (
            ("species", "columns"),
            [(n, int(columns)) for n, columns in enumerate(quality.depth) if n],
        ),
        "contigs.tsv": (
            ("contig", "length", "covered", "mean_species"),
            [(c.name, c.length, c.covered, c.mean_species) for c in quality.contigs],
        ),
    }
    for name, (header, rows) in tables.items():
        (folder / name).write_text("".join(tsv_lines(header, rows)), encoding="utf-8")
    content = _report_json(quality, summary, store)
    text = json.dumps(content, indent=2, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    draw_report(quality, [folder / "report.png", folder / "report.svg"])
    page = report_page(
        quality,
        summary.findings,
        species_table,
        picture=(folder / "report.svg").read_text(encoding="utf-8"),
        fingerprint=store.fingerprint,
    )
    (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")


def _species_rows(quality: AlignmentQuality) -> list[dict[str, Any]]:
    """Rows of ``species.tsv`` by column; None and nan where there is no number."""
    return [
        {
            "species": row.name,
            "distance": row.distance,
            "rows": row.rows,
            "duplicate_rows": row.duplicate_rows,
            "aligned_bases": row.bases,
            "coverage": row.coverage,
            "identity": row.identity,
            "expected_identity": quality.divergence.expected(row.distance),
            "gap_fraction": row.gap_fraction,
            "n_fraction": row.unknown_fraction,
            "soft_masked_fraction": row.masked_fraction,
            "no_block_fraction": row.absent_fraction,
        }
        for row in quality.species
    ]


def _report_json(
    quality: AlignmentQuality, summary: ReportSummary, store: ColumnStore
) -> dict[str, Any]:
    divergence = quality.divergence
    return {
        "format": "phylotools alignment report 1",
        "store": {
            "path": quality.path,
            "fingerprint": store.fingerprint,
            "reference_species": quality.reference_species,
        },
        **summary.to_dict(),
        "expected_identity": {
            "chance": divergence.chance_identity,
            "scale": divergence.scale,
            "shape": json_ready(divergence.shape),
            "fitted": divergence.is_fitted,
            "tolerance": divergence.tolerance,
        },
        "reference_bases": dict(zip(BASES_AND_N, quality.reference.tolist(), strict=True)),
        "by_species": json_ready(_species_rows(quality)),
        "recorded": json_ready(quality.statistics),
        "run": RunRecord(inputs={}, parameters={}).to_dict(),
    }
