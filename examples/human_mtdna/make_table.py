"""AUROC of every result of study.py against the labels, with intervals, as a table.

    python make_table.py RESULTS > table.tsv

The LLR points to pathogenic variants when it is low, and so do both rates of a site.
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
from pathlib import Path

import numpy as np

from phylotools.evaluate.metrics import Estimate, compare_scores

DATA = Path(__file__).parent / "data"
Variant = tuple[str, str, str]


def read_labels() -> dict[Variant, tuple[bool, str]]:
    """Position, REF and ALT of each labelled SNV -> pathogenic or not, phyloP."""
    with gzip.open(DATA / "chrM_all_snvs_labels.tsv.gz", "rt") as handle:
        return {
            (row["pos"], row["ref"], row["alt"]): (
                row["label"] == "pathogenic",
                row["phyloP100way"],
            )
            for row in csv.DictReader(handle, delimiter="\t")
            if row["label"] != "."
        }


def read_scores(path: Path) -> dict[Variant, dict[str, str]]:
    """Position, REF and ALT -> the row of a results file."""
    with gzip.open(path, "rt") as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        return {(row["pos"], row["ref"], row["alt"]): row for row in rows}


def text(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def main() -> None:
    results = Path(sys.argv[1])
    tables = {
        path.name.removesuffix(".tsv.gz"): read_scores(path)
        for path in sorted(results.glob("*.tsv.gz"))
    }
    likelihoods = {}
    with (results / "likelihood.tsv").open() as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            likelihoods[row["fit"]] = row
    labels = read_labels()
    variants = [v for v in labels if all(v in table for table in tables.values())]
    positive = np.array([labels[v][0] for v in variants])
    sites = np.array([int(v[0]) for v in variants])

    names, scores = ["phyloP100way"], [[float(labels[v][1]) for v in variants]]
    columns = ("llr", "log_total_rate", "log_site_rate")
    for name, table in tables.items():
        for column in columns:
            names.append(f"{name} {column}")
            values = [float(table[v][column]) for v in variants]
            # A score that is the same everywhere but for rounding knows nothing.
            scores.append([-round(value, 4) for value in values])
    compared = compare_scores(np.array(scores), positive, sites, replicates=2000, seed=1)

    print("fit\tcolumn\tAUROC\tAUPRC\tminus phyloP\theld-out species (nats a column)\tmean log R")
    for name, metrics in zip(names, compared.metrics, strict=True):
        fit, _, column = name.partition(" ")
        row = likelihoods.get(fit, {})
        difference = metrics.auroc_difference
        shown = "" if difference is None or math.isnan(difference.value) else text(difference)
        print(
            fit, column, text(metrics.auroc), text(metrics.auprc), shown,
            row.get("held_out_species", ""), row.get("mean_log_R", ""), sep="\t",
        )  # fmt: skip
    print(f"# {positive.sum()} pathogenic, {(~positive).sum()} common", file=sys.stderr)


if __name__ == "__main__":
    main()
