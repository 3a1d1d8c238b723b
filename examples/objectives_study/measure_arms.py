"""AUROC of every arm on every set, and differences of arms, over seeds.

    python measure_arms.py WORK [--sets ...] -o FOLDER

Writes areas.tsv and differences.tsv, in which sets that are not measured now stay. A figure is
the mean over seeds. Its interval is 95 %, of replicates that draw genes or stretches, the same for
all arms, and then seeds, the same for both sides of a difference. Beside it stand the figures of
the single seeds.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from areas import Comparison, Draws, areas_of, subsets
from arms import ARMS, LONGER, is_masked
from grid import BASELINES
from measure import Labels
from numpy.typing import NDArray
from predictions_file import Predictions
from scores import class_alone, column_log_frequency, type_alone, variant_scores
from sets import SETS, SITE, StudySet, site_means

from phylotools.evaluate.metrics import INTERVAL

#: Of arms that have a rate: the default, what masked ones have too, and the rate alone.
SCORES = ("fixation", "llr", "site-rate")
#: The same for all changes of a site.
SITE_SCORE = "site-rate"
MASKED_SCORES = ("llr",)
#: What is told apart: the phylogenetic loss and masking, each with its own default score; both
#: with the same one; and what the two together add.
PAIRS = (
    ("mutsel fixation", "mlm llr"),
    ("mutsel llr", "mlm llr"),
    ("f81-prior fixation", "mlm llr"),
    ("f81-prior llr", "mlm llr"),
    ("mutsel-any-row fixation", "mlm-any-row llr"),
    ("mutsel-any-row llr", "mlm-any-row llr"),
    ("mutsel-any-row fixation", "mlm-any-row-x4 llr"),
    ("mutsel-any-row-x4 fixation", "mlm-any-row-x4 llr"),
    ("mutsel fixation", "mlm-any-row llr"),
    ("both fixation", "mutsel fixation"),
    ("both fixation", "mlm llr"),
    ("both-any-row fixation", "mutsel-any-row fixation"),
    ("both-any-row fixation", "mlm-any-row llr"),
    ("mutsel fixation", "f81-prior fixation"),
    ("f81-prior fixation", "f81-free fixation"),
    ("f81-prior fixation", "f81-fixed fixation"),
    ("mutsel-any-row fixation", "mutsel fixation"),
    ("mlm-any-row llr", "mlm llr"),
    ("mutsel fixation", "site-fits fixation"),
    ("mutsel fixation", "table rate-to-alt"),
)
#: Seeds of one score -> AUROC of the set and of each replicate.
BySeed = dict[int, NDArray[np.float64]]


class Measured(NamedTuple):
    """AUROC of every score of a set on one subset of one comparison."""

    comparison: str
    subset: str
    counts: tuple[int, int]
    scores: dict[str, BySeed]


def baseline_scores(given: StudySet, labels: Labels, work: Path) -> dict[str, NDArray[np.float64]]:
    """Scores that need no model."""
    counts = given.counts(labels, work)
    ref, alt = labels["ref"], labels["alt"]
    found = {
        "column log-frequency": column_log_frequency(counts, ref, alt),
        "class alone": class_alone(labels["consequence"]),
        "type alone": type_alone(labels["type"], counts, ref, alt),
    }
    if (labels["phylop"] != ".").any():
        found["phyloP"] = -labels["phylop"].astype(float)
    return found


def predicted_scores(
    labels: Labels, parts: list[Predictions], arm: str
) -> dict[str, NDArray[np.float64]]:
    """Scores of an arm with one seed, by their names."""
    names = MASKED_SCORES if is_masked(arm) else SCORES
    names = ("llr", "rate-to-alt") if arm == "table" else names
    found = {name: np.full(len(labels["pos"]), np.nan) for name in names}
    for part in parts:
        theta = part.at(labels["chrom"], labels["position"])
        rows = np.flatnonzero(np.isfinite(theta).all(axis=1))
        scores = variant_scores(
            part.substitution, theta[rows], labels["ref"][rows], labels["alt"][rows]
        )
        for name in names:
            found[name][rows] = scores[name]
    return found


def all_scores(
    given: StudySet, labels: Labels, work: Path
) -> dict[str, dict[int, NDArray[np.float64]]]:
    """``arm score`` -> seed -> score of every label; seed 0 where there is no seed."""
    found: dict[str, dict[int, NDArray[np.float64]]] = {
        name: {0: values} for name, values in baseline_scores(given, labels, work).items()
    }
    for arm in (*ARMS, *LONGER, *BASELINES):
        for seed, parts in given.layers(work, arm).items():
            for name, values in predicted_scores(labels, parts, arm).items():
                found.setdefault(f"{arm} {name}", {})[seed] = values
    return found


def measured(
    labels: Labels,
    comparison: Comparison,
    scores: dict[str, dict[int, NDArray[np.float64]]],
    draws: Draws,
) -> list[Measured]:
    """Over all variants, and within types of change."""
    parts = list(subsets(comparison, labels["type"], labels["transition"] == 1, labels["cpg"] == 1))
    is_of_sites = comparison.name.startswith(SITE)
    parts = [
        (name, own) for name, own in parts if name == "all" or (">" in name and not is_of_sites)
    ]
    found: dict[str, Measured] = {}
    for name, by_seed in scores.items():
        if name.endswith(SITE_SCORE) and not is_of_sites:
            continue
        for seed, values in by_seed.items():
            ranked = site_means(labels, values) if is_of_sites else values
            for subset, counts, areas in areas_of(comparison, ranked, parts, draws):
                if ">" not in subset:
                    new = Measured(comparison.name, subset, counts, {})
                    here = found.setdefault(subset, new)
                    here.scores.setdefault(name, {})[seed] = areas
    return list(found.values())


def over_seeds(by_seed: BySeed, seed: int = 1) -> NDArray[np.float64]:
    """The mean over seeds: of the set, and of each replicate with seeds drawn for it."""
    stacked = np.stack(list(by_seed.values()))
    n_seeds, n_replicates = stacked.shape[0], stacked.shape[1] - 1
    drawn = np.random.default_rng(seed).integers(n_seeds, size=(n_seeds, n_replicates))
    replicates = stacked[drawn, np.arange(n_replicates) + 1].mean(axis=0)
    return np.append(stacked[:, 0].mean(), replicates)


def difference(one: BySeed, other: BySeed) -> BySeed:
    """Seed by seed; a side without seeds stands against each of the other's."""
    if 0 in other and 0 not in one:
        return {seed: values - other[0] for seed, values in one.items()}
    return {seed: one[seed] - other[seed] for seed in one if seed in other}


def figures(by_seed: BySeed) -> list[str]:
    """Value, interval, and the single seeds."""
    found = over_seeds(by_seed)
    low, high = np.nanpercentile(found[1:], INTERVAL)
    single = " ".join(f"{values[0]:.4f}" for values in by_seed.values())
    return [*(f"{value:.4f}" for value in (found[0], low, high)), single]


FIELDS = ("set", "comparison", "subset", "score", "positives", "negatives")
VALUES = ("value", "low", "high", "seeds")


def rows(given: StudySet, work: Path, replicates: int) -> Iterator[tuple[str, list[str]]]:
    """``areas`` or ``differences``, and a line of that table."""
    labels = given.labels(work)
    scores = all_scores(given, labels, work)
    draws = given.draws(labels, replicates)
    for comparison in given.comparisons(labels):
        for found in measured(labels, comparison, scores, draws):
            common = [given.name, found.comparison, found.subset]
            counts = list(map(str, found.counts))
            for name, by_seed in found.scores.items():
                yield "areas", [*common, name, *counts, *figures(by_seed)]
            for one, other in PAIRS:
                if one in found.scores and other in found.scores:
                    both = difference(found.scores[one], found.scores[other])
                    if both:
                        name = f"{one} - {other}"
                        yield "differences", [*common, name, *counts, *figures(both)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--sets", nargs="*", choices=[*SETS], default=[*SETS])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.output.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[list[str]]] = {"areas": [], "differences": []}
    for name in given.sets:
        for table, line in rows(SETS[name], given.work, given.replicates):
            lines[table].append(line)
    for table, found in lines.items():
        path = given.output / f"{table}.tsv"
        write_table(path, [*FIELDS, *VALUES], [*kept_lines(path, given.sets), *found])


def kept_lines(path: Path, sets: list[str]) -> list[list[str]]:
    """Lines of a table that are of other sets than those that are measured now."""
    if not path.exists():
        return []
    with path.open() as handle:
        return [
            line for line in csv.reader(handle, delimiter="\t") if line[0] not in (*sets, "set")
        ]


def write_table(path: Path, header: list[str], lines: list[list[str]]) -> None:
    with path.open("w") as handle:
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


if __name__ == "__main__":
    main()
