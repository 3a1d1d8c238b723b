"""Summaries of runs as custom content of MultiQC, whose report has many samples in a table."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: What MultiQC looks for: files that end so are custom content.
SUFFIX = "_mqc.json"

_PARENT = {
    "parent_id": "phylotools",
    "parent_name": "phylotools",
    "parent_description": "Genomic language models trained by phylogenetic likelihood.",
}

Summary = Mapping[str, Any]
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    key, title, description : str
    format : str or None
        Of its numbers, as Python writes them; None for text.
    bounds : (float, float), optional
        Where the colours of its cells begin and end.
    suffix : str
    """

    key: str
    title: str
    description: str
    format: str | None = "{:,.0f}"
    bounds: tuple[float, float] | None = None
    suffix: str = ""

    def header(self) -> dict[str, Any]:
        """What MultiQC is told of it."""
        found: dict[str, Any] = {
            "title": self.title,
            "description": self.description,
            "suffix": self.suffix,
        }
        if self.format is not None:
            found["format"] = self.format
        if self.bounds is not None:
            found |= {"min": self.bounds[0], "max": self.bounds[1]}
        return found


_SECONDS = Column("seconds", "Seconds", "How long it took", "{:,.1f}")
_WARNINGS = Column("warnings", "Warnings", "Warnings of the run")


def _per_cent(key: str, title: str, description: str) -> Column:
    return Column(key, title, description, "{:,.1f}", (0.0, 100.0), " %")


def _part(summary: Summary, part: str, whole: str) -> float | None:
    """Per cent."""
    counts = summary["counts"]
    return 100 * counts[part] / counts[whole] if counts.get(whole) else None


def _annotate_row(summary: Summary) -> dict[str, Any]:
    checked = summary["counts"].get("ref_checked")
    mismatches = summary["counts"].get("ref_mismatches", 0)
    return {
        "model": summary.get("model"),
        **_picked(summary, "records", "alleles"),
        "scored": _part(summary, "alleles_scored", "alleles"),
        "ref_differs": 100 * mismatches / checked if checked else None,
    }


def _preprocess_row(summary: Summary) -> dict[str, Any]:
    return {
        **_picked(summary, "covered_positions", "blocks", "species_with_rows", "species"),
        "mean_species": summary.get("mean_species_per_column"),
    }


def _train_row(summary: Summary) -> dict[str, Any]:
    held_out = summary.get("held_out", {})
    best, null = held_out.get("best"), held_out.get("null_tree")
    return {
        **_picked(summary, "steps", "selected"),
        "best": best,
        "gain": None if best is None or null is None else best - null,
        "stopped": summary.get("stopped"),
    }


def _picked(summary: Summary, *keys: str) -> dict[str, Any]:
    return {key: summary["counts"].get(key) for key in keys}


#: Verb -> its columns, and a row of them out of a summary.
_TABLES: dict[str, tuple[tuple[Column, ...], Callable[[Summary], dict[str, Any]]]] = {
    "annotate": (
        (
            Column("model", "Model", "Model that the scores are of", None),
            Column("records", "Records", "Records of the file"),
            Column("alleles", "Alleles", "ALT alleles"),
            _per_cent("scored", "Scored", "Part of the alleles that have a score"),
            _per_cent(
                "ref_differs",
                "REF differs",
                "Part of the REF alleles that are not what stands in the reference",
            ),
        ),
        _annotate_row,
    ),
    "preprocess": (
        (
            Column("covered_positions", "Columns", "Positions of the reference with a column"),
            Column("blocks", "Blocks", "Blocks of the alignment"),
            Column("species_with_rows", "Species", "Species of the tree that have rows"),
            Column("species", "Tips", "Species of the tree"),
            Column("mean_species", "Species a column", "On average", "{:,.1f}"),
        ),
        _preprocess_row,
    ),
    "train": (
        (
            Column("steps", "Steps", "Steps of the optimiser"),
            Column("selected", "Kept step", "Step whose weights were kept"),
            Column("best", "Held out", "Best log-likelihood of held-out columns, nats", "{:,.4f}"),
            Column("gain", "Over the tree", "The same above the neutral tree's, nats", "{:,.4f}"),
            Column("stopped", "Ended", "Why training ended", None),
        ),
        _train_row,
    ),
}

_MEASURES = {
    "auroc": Column("auroc", "AUROC", "Area under the ROC curve", "{:,.3f}", (0.0, 1.0)),
    "auprc": Column("auprc", "AUPRC", "Average precision", "{:,.3f}", (0.0, 1.0)),
    "c_index": Column("c_index", "c-index", "Pairs in the right order", "{:,.3f}", (0.0, 1.0)),
    **{
        key: Column(key, key.capitalize(), "Correlation with the labels", "{:,.3f}", (-1.0, 1.0))
        for key in ("spearman", "kendall", "pearson")
    },
}


def sections(sample: str, summary: Summary) -> dict[str, dict[str, Any]]:
    """A summary of `--summary-json` as documents of MultiQC, a section each.

    Parameters
    ----------
    sample : str
        What the row is called.
    summary : mapping
        With `verb`, `seconds`, `warnings` and `counts`.

    Returns
    -------
    dict of str to dict
        Name of a file -> its contents, JSON-ready. A table of the verb, of `annotate` also what
        became of the alleles, of `train` its learning curves.

    Raises
    ------
    ValueError
        If it is none, or something is not what it is in one.
    """
    verb = plain_verb(str(summary["verb"]))
    try:
        found = [_table(verb, sample, summary)]
        if verb == "annotate":
            found.append(_statuses(sample, summary))
        if verb == "train":
            found.append(_curves(sample, summary))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"its {verb} is not as it should be ({error})") from None
    return {f"{each['id']}{SUFFIX}": each for each in found if each["data"]}


def joined(of_samples: Iterable[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """`sections` of several samples in one: all rows, all columns."""
    found: dict[str, dict[str, Any]] = {}
    for documents in of_samples:
        for name, document in documents.items():
            there = found.setdefault(name, document)
            for part in ("headers", "data"):
                if part in document:
                    there[part] = {**there[part], **document[part]}
    return found


def plain_verb(verb: str) -> str:
    """What a verb is called whose last stage this is."""
    return verb.removesuffix("-finalise")


def _table(verb: str, sample: str, summary: Summary) -> dict[str, Any]:
    columns, rows = _rows(verb, sample, summary)
    return {
        **_section(verb, "", f"What <code>phylotools {verb}</code> did."),
        "plot_type": "table",
        "pconfig": {"id": f"{_identifier(verb)}_table", "title": f"phylotools: {verb}"},
        "headers": {column.key: column.header() for column in columns},
        "data": {
            name: {key: _cell(value) for key, value in row.items() if value is not None}
            for name, row in rows.items()
        },
    }


def _rows(verb: str, sample: str, summary: Summary) -> tuple[tuple[Column, ...], Rows]:
    if verb == "evaluate":
        return _evaluation(sample, summary)
    if verb in _TABLES:
        columns, row_of = _TABLES[verb]
        row = row_of(summary)
    else:
        row = dict(summary["counts"])
        columns = tuple(Column(key, _words(key), _words(key)) for key in row)
    row |= {"seconds": summary["seconds"], "warnings": len(summary["warnings"])}
    return (*columns, _SECONDS, _WARNINGS), {sample: row}


def _evaluation(sample: str, summary: Summary) -> tuple[tuple[Column, ...], Rows]:
    """A row of each score, a column of each measure."""
    keys = summary["measures"]
    columns = tuple(
        _MEASURES.get(key, Column(key, _words(key), _words(key), "{:,.3f}")) for key in keys
    )
    rows: Rows = {}
    for key in keys:
        for score, value in summary[key].items():
            rows.setdefault(f"{sample}: {score}", {})[key] = value
    return columns, rows


def _cell(value: Any) -> Any:
    """A value as a cell may have it: MultiQC takes text for HTML."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, (int, float)):
        return value
    raise ValueError(f"{value!r} is no value of a table")


def _statuses(sample: str, summary: Summary) -> dict[str, Any]:
    """What became of the alleles, as bars."""
    name = "What became of the alleles"
    counts = {str(status): int(count) for status, count in summary["alleles_by_status"].items()}
    return {
        **_section("annotate statuses", name, "Alleles by their status; ok: they have a score."),
        "plot_type": "bargraph",
        "pconfig": {
            "id": f"{_identifier('annotate statuses')}_plot",
            "title": f"phylotools: {name}",
            "ylab": "Alleles",
        },
        "data": {sample: counts} if counts else {},
    }


def _curves(sample: str, summary: Summary) -> dict[str, Any]:
    """Learning curves, as lines."""
    name = "Learning curves"
    return {
        **_section("train curves", name, "Mean log-likelihood of columns, in nats."),
        "plot_type": "linegraph",
        "pconfig": {
            "id": f"{_identifier('train curves')}_plot",
            "title": f"phylotools: {name}",
            "xlab": "Step",
            "ylab": "Nats a column",
        },
        "data": {
            f"{sample}: {curve}": {str(int(step)): float(value) for step, value in points}
            for curve, points in summary["curves"].items()
        },
    }


def _section(what: str, name: str, description: str) -> dict[str, Any]:
    return {
        **_PARENT,
        "id": _identifier(what),
        "section_name": name or what,
        "description": description,
    }


def _identifier(what: str) -> str:
    return "phylotools_" + what.replace(" ", "_").replace("-", "_")


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()
