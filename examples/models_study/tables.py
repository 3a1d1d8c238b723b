"""The tables of docs/models-study.md and of the cards, from what evaluate.sh wrote.

python tables.py areas areas.tsv [--models NAME...] [--scores NAME...]   Markdown
python tables.py types areas.tsv --comparison missense [--models ...]    by type of change
python tables.py likelihood likelihood.tsv [--stores ...]                Markdown
python tables.py metrics areas.tsv --models NAME > metrics.json          for a manifest
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path

from likelihood import BASELINE, Unit, summary

Row = dict[str, str]
BASELINES = ("column log-frequency", "class alone", "type alone", "phyloP", "table llr",
             "table rate-to-alt")  # fmt: skip


def read_rows(path: Path, models: list[str], scores: list[str]) -> list[Row]:
    """Rows of the baselines and of the models and scores asked for."""
    with path.open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))

    def is_wanted(score: str) -> bool:
        model, _, name = score.rpartition(" ")
        if score in BASELINES:
            return True
        return (not models or model in models) and (not scores or name in scores)

    return [row for row in rows if is_wanted(row["score"])]


def text(row: Row | None) -> str:
    return "" if row is None else "{:.3f} [{:.3f}, {:.3f}]".format(
        *(float(row[key]) for key in ("auroc", "low", "high")))  # fmt: skip


def print_table(rows: list[Row], columns: dict[str, Callable[[Row], bool]]) -> None:
    """A line a score; columns by what their rows have in common."""
    print("| score |", " | ".join(columns), "|")
    print("|" + "---|" * (len(columns) + 1))
    for score in dict.fromkeys(row["score"] for row in rows):
        own = [row for row in rows if row["score"] == score]
        cells = [next((row for row in own if chosen(row)), None) for chosen in columns.values()]
        print("|", score, "|", " | ".join(map(text, cells)), "|")


def print_areas(rows: list[Row]) -> None:
    """Every comparison, over all variants and within types."""
    columns = {}
    for comparison in dict.fromkeys(row["comparison"] for row in rows):
        for subset in ("all", "within types"):
            name = comparison if subset == "all" else f"{comparison}, {subset}"
            columns[name] = lambda row, c=comparison, s=subset: (
                (row["comparison"], row["subset"]) == (c, s)
            )
    print_table(rows, columns)
    counts = {r["comparison"]: (r["n_positive"], r["n_negative"])
              for r in rows if r["subset"] == "all"}  # fmt: skip
    print("\n" + "; ".join(f"{name} {a} against {b}" for name, (a, b) in counts.items()) + ".")


def print_types(rows: list[Row], comparison: str) -> None:
    """One comparison in all its subsets."""
    own = [row for row in rows if row["comparison"] == comparison]
    print_table(own, {
        subset: lambda row, s=subset: row["subset"] == s
        for subset in dict.fromkeys(row["subset"] for row in own)
    })  # fmt: skip


def print_metrics(rows: list[Row], model: str) -> None:
    """What a model's manifest says, beside the baselines."""
    found = [
        {
            "comparison": row["comparison"],
            "subset": row["subset"],
            "score": row["score"].removeprefix(f"{model} "),
            "positives": int(row["n_positive"]),
            "negatives": int(row["n_negative"]),
            "auroc": [round(float(row[key]), 3) for key in ("auroc", "low", "high")],
        }
        for row in rows
        if row["subset"] in ("all", "within types")
    ]
    lines = ",\n  ".join(json.dumps(row) for row in found)
    print(f'{{\n "made_by": "examples/models_study",\n "rows": [\n  {lines}\n ]\n}}')


def print_likelihood(path: Path) -> None:
    """Nats a column of each model in each store."""
    with path.open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    names = list(rows[0])[3:]
    units = [
        Unit(row["store"], row["gene"], int(row["columns"]),
             {name: float(row[name]) * int(row["columns"]) for name in names})
        for row in rows
    ]  # fmt: skip
    print(f"| store | model | drawn | columns | nats a column | minus the {BASELINE} |")
    print("|---|---|---|---|---|---|")
    for line in summary(units):
        print("|", " | ".join(line), "|")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=("areas", "types", "likelihood", "metrics"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--scores", nargs="*", default=[])
    parser.add_argument("--comparison", default="missense")
    given = parser.parse_args()
    if given.table == "likelihood":
        print_likelihood(given.path)
        return
    rows = read_rows(given.path, given.models, given.scores)
    if given.table == "areas":
        print_areas(rows)
    elif given.table == "types":
        print_types(rows, given.comparison)
    else:
        print_metrics(rows, given.models[0])


if __name__ == "__main__":
    main()
