"""AUROC of every result of study.py against the labels, with intervals, as a table.

    python make_table.py RESULTS > table.tsv
    python make_table.py RESULTS --fits network-f81 network-hky --by-class > table.tsv

The LLR points to pathogenic variants when it is low, and so do a site's rates and its entropy.
Differences are paired and against the first fit: of AUROC in the LLR, with the intervals of
`phylotools evaluate`; of the held-out species' log-likelihood, with 95 % intervals by resampling
stretches of 100 columns.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from pathlib import Path

import numpy as np
from make_labelled_vcf import gene_class

from phylotools.evaluate.metrics import Estimate, compare_scores

DATA = Path(__file__).parent / "data"
Variant = tuple[str, str, str]
REPLICATES = 2000
STRETCH = 100


def read_labels() -> dict[Variant, tuple[bool, str, float]]:
    """Position, REF and ALT of each labelled SNV -> pathogenic or not, class, phyloP."""
    with gzip.open(DATA / "chrM_all_snvs_labels.tsv.gz", "rt") as handle:
        return {
            (row["pos"], row["ref"], row["alt"]): (
                row["label"] == "pathogenic",
                gene_class(row["gene"].replace(",", "/")),
                float(row["phyloP100way"]),
            )
            for row in csv.DictReader(handle, delimiter="\t")
            if row["label"] != "."
        }


def read_scores(path: Path) -> dict[Variant, dict[str, str]]:
    """Position, REF and ALT -> the row of a results file."""
    with gzip.open(path, "rt") as handle:
        rows = csv.DictReader(handle, delimiter="\t")
        return {(row["pos"], row["ref"], row["alt"]): row for row in rows}


def text(estimate: Estimate | None, digits: int = 3) -> str:
    if estimate is None or np.isnan(estimate.value):
        return ""
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def likelihood_difference(path: Path, base: Path) -> Estimate | None:
    """Mean of a fit's held-out log-likelihoods less another's, nats a column."""
    if path == base or not (path.exists() and base.exists()):
        return None
    difference = np.load(path).astype(np.float64) - np.load(base)
    stretches = np.array([part.mean() for part in np.array_split(
        difference, len(difference) // STRETCH)])  # fmt: skip
    rng = np.random.default_rng(1)
    drawn = rng.choice(stretches, size=(REPLICATES, len(stretches))).mean(axis=1)
    return Estimate(difference.mean(), *np.percentile(drawn, [2.5, 97.5]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--fits", nargs="*", help="which, the one compared with first")
    parser.add_argument("--by-class", action="store_true", help="each class of genes as well")
    arguments = parser.parse_args()
    results: Path = arguments.results
    names = arguments.fits or sorted(p.name[: -len(".tsv.gz")] for p in results.glob("*.tsv.gz"))
    tables = {name: read_scores(results / f"{name}.tsv.gz") for name in names}
    with (results / "likelihood.tsv").open() as handle:
        likelihoods = {row["fit"]: row for row in csv.DictReader(handle, delimiter="\t")}
    labels = read_labels()
    variants = [v for v in labels if all(v in table for table in tables.values())]
    positive = np.array([labels[v][0] for v in variants])
    classes = np.array([labels[v][1] for v in variants])
    sites = np.array([int(v[0]) for v in variants])

    scores = {}
    for name, table in tables.items():
        columns = list(next(iter(table.values())))[4:]
        for column in columns:
            # A score that is the same everywhere but for rounding knows nothing.
            scores[name, column] = [-round(float(table[v][column]), 4) for v in variants]
    scores["phyloP100way", ""] = [labels[v][2] for v in variants]
    values = np.array(list(scores.values()))
    base = results / f"{names[0]}.npy"

    print(
        "class", "fit", "score", "AUROC", "AUPRC", "AUROC minus first",
        "held-out species (nats a column)", "minus first", "mean log R", "shared", sep="\t",
    )  # fmt: skip
    for group in ["all", *(sorted(set(classes)) if arguments.by_class else [])]:
        inside = np.ones(len(variants), bool) if group == "all" else classes == group
        compared = compare_scores(
            values[:, inside], positive[inside], sites[inside], replicates=REPLICATES, seed=1
        )
        for (fit, column), metrics in zip(scores, compared.metrics, strict=True):
            row = likelihoods.get(fit, {}) if group == "all" and column == "llr" else {}
            difference = likelihood_difference(results / f"{fit}.npy", base) if row else None
            print(
                group, fit, column, text(metrics.auroc), text(metrics.auprc),
                text(metrics.auroc_difference), row.get("held_out_species", ""),
                text(difference, 4), row.get("mean_log_R", ""), row.get("shared", ""), sep="\t",
            )  # fmt: skip
        counts = f"{compared.n_positive} pathogenic, {compared.n_negative} common"
        print(f"# {group}: {counts}", file=sys.stderr)


if __name__ == "__main__":
    main()
