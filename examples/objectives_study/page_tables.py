"""The tables of docs/objectives-study.md, as Markdown.

python page_tables.py areas FOLDER --set mammals         AUROC of every arm and baseline
python page_tables.py differences FOLDER --set mammals   pairs of arms
python page_tables.py likelihood FOLDER                  nats a column
python page_tables.py seconds WORK                       time of each arm

FOLDER holds what measure_arms.py and likelihood_arms.py wrote.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from arms import ARMS, LABELS, LONGER, is_masked
from predictions_file import read_predictions
from sets import PLACES, SETS, SITE
from splits import SPLITS

Row = dict[str, str]
WITHIN = "within types"
_CODING = (
    ("missense", WITHIN),
    ("nonsense", WITHIN),
    ("radical", WITHIN),
    ("unseen missense", WITHIN),
)
#: Comparison and subset of each column.
COLUMNS = {
    "mammals": (*_CODING, (SITE + "codon place", "all")),
    "mtdna-left-out": (
        ("pathogenic outside CYB", "all"),
        ("pathogenic missense", "all"),
        *(column for column in _CODING if column[0] != "nonsense"),
    ),
    "mtdna": (
        ("pathogenic", "all"),
        ("pathogenic outside CYB", "all"),
        ("pathogenic missense", "all"),
        ("missense", WITHIN),
        ("unseen missense", WITHIN),
    ),
    "dengue": (*_CODING, (SITE + "codon place", "all")),
    "birds": (
        ("missense", WITHIN),
        ("unseen missense", WITHIN),
        *((f"unseen, {place}", WITHIN) for place in PLACES),
        *((f"{SITE}conserved, {place}", "all") for place in PLACES),
    ),
}
#: Scores of the shorter tables.
SCORES = (
    *("column log-frequency", "phyloP", "class alone", "type alone", "table rate-to-alt"),
    "site-fits fixation",
    *(
        f"{arm} {score}"
        for arm in (*ARMS, *LONGER)
        for score in (("llr",) if is_masked(arm) else ("fixation", "llr"))
    ),
)

#: Pairs of the page; differences.tsv has more.
PAIRS = (
    "mutsel fixation - mlm llr",
    "mutsel llr - mlm llr",
    "f81-prior llr - mlm llr",
    "mutsel-any-row fixation - mlm-any-row llr",
    "mutsel-any-row llr - mlm-any-row llr",
    "mutsel-any-row fixation - mlm-any-row-x4 llr",
    "both fixation - mutsel fixation",
    "mutsel-any-row fixation - mutsel fixation",
    "mlm-any-row llr - mlm llr",
    "mutsel fixation - f81-prior fixation",
    "mutsel fixation - table rate-to-alt",
    "mutsel fixation - site-fits fixation",
)


def read_rows(path: Path) -> list[Row]:
    with path.open() as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def in_words(score: str) -> str:
    """A score of an arm as the page calls it: ``masked, LLR``."""
    arm, _, kind = score.rpartition(" ")
    if arm not in LABELS:
        return f"*{score}*"
    kind = {"llr": "LLR"}.get(kind, f"`{kind}`")
    name = LABELS[arm]
    return f"*{name}*, {kind}" if arm in ("table", "site-fits") else f"{name}: {kind}"


def estimate(row: Row | None, prefix: str = "", sign: str = "") -> str:
    """A value with its interval; bold where a difference is away from 0."""
    if row is None or not row[f"{prefix}value"]:
        return ""
    value, low, high = (float(row[prefix + key]) for key in ("value", "low", "high"))
    text = f"{value:{sign}.3f} [{low:.3f}, {high:.3f}]"
    return f"**{text}**" if sign and (low > 0 or high < 0) else text


def table(rows: list[Row], name: str, scores: list[str], sign: str = "") -> Iterator[str]:
    """A line a score, a column a comparison."""
    columns = COLUMNS[name]
    heads = [c.removeprefix(SITE) + (", " + s if s == WITHIN else "") for c, s in columns]
    yield f"| {'difference' if sign else 'score'} | " + " | ".join(heads) + " |"
    yield "|" + "---|" * (len(columns) + 1)
    found = {(r["comparison"], r["subset"], r["score"]): r for r in rows if r["set"] == name}
    for score in scores:
        cells = [estimate(found.get((*column, score)), sign=sign) for column in columns]
        if any(cells):
            first, _, second = score.partition(" - ")
            label = in_words(first) + (f" less {in_words(second)}" if second else "")
            yield f"| {label} | " + " | ".join(cells) + " |"
    counts = [
        f"{head} {row['positives']} against {row['negatives']}"
        for head, column in zip(heads, columns, strict=True)
        for row in [next((r for k, r in found.items() if k[:2] == column), None)]
        if row is not None
    ]
    yield ""
    yield "; ".join(counts) + "."


def likelihood(rows: list[Row]) -> Iterator[str]:
    """Nats a column of every arm, and less those of the default."""
    names = list(dict.fromkeys(row["set"] for row in rows))
    yield "| arm | " + " | ".join(f"{name} | less the default" for name in names) + " |"
    yield "|" + "---|" * (2 * len(names) + 1)
    found = {(row["set"], row["arm"]): row for row in rows}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        cells = []
        for name in names:
            row = found.get((name, arm))
            cells += [estimate(row), estimate(row, "less_", "+") if arm != "mutsel" else ""]
        yield f"| {LABELS[arm]} | " + " | ".join(cells) + " |"


def seconds(work: Path) -> Iterator[str]:
    """Mean seconds of a training and of scoring, by arm and set."""
    names = list(dict.fromkeys(split.set for split in SPLITS.values()))
    yield "| arm | " + " | ".join(names) + " |"
    yield "|" + "---|" * (len(names) + 1)
    for arm in (*ARMS, *LONGER):
        cells = []
        for name in names:
            facts = [
                read_predictions(path).facts
                for split in SPLITS.values()
                if split.set == name
                for path in sorted((work / "theta" / split.name).glob(f"{arm}-seed*.npz"))
            ]
            if not facts:
                cells.append("")
                continue
            wall, cpu, scoring, kept = (
                float(np.mean([fact[key] for fact in facts]))
                for key in ("seconds", "cpu_seconds", "scoring_seconds", "selected_step")
            )
            cells.append(
                f"{len(facts)} x {cpu:.0f} s ({wall:.0f}), {scoring:.1f} s; "
                f"step {kept:.0f} of {facts[0]['steps']}"
            )
        if any(cells):
            yield f"| {LABELS[arm]} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=("areas", "differences", "likelihood", "seconds"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", choices=[*SETS], default="mammals")
    given = parser.parse_args()
    if given.table == "seconds":
        lines = seconds(given.folder)
    else:
        rows = read_rows(given.folder / f"{given.table}.tsv")
        if given.table == "likelihood":
            lines = likelihood(rows)
        elif given.table == "areas":
            lines = table(rows, given.set, list(SCORES))
        else:
            lines = table(rows, given.set, list(PAIRS), sign="+")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
