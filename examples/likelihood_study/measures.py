"""What is read off fitted sites, and how it compares with the truth."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.evaluate.metrics import compare_scores
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.tree import Tree

Floats = NDArray[np.float64]
#: Rows of a table, with the same columns each.
Table = list[dict[str, str | int | float]]


@dataclass(frozen=True, eq=False)
class Sites:
    """Numbers of C sites, in nats or natural logarithms.

    Attributes
    ----------
    allele_score : float64[C, 4]
        About the mean of the four.
    llr : float64[C, 3]
        Scores of the three alternatives minus that of the reference base.
    alternative : int64[C, 3]
        Which bases those are.
    log_rate : float64[C]
        log R.
    log_site_rate : float64[C]
        Of the substitutions expected per neutral one.
    """

    allele_score: Floats
    llr: Floats
    alternative: NDArray[np.int64]
    log_rate: Floats
    log_site_rate: Floats


def read_sites(model: SubstitutionModel, theta: Tensor, reference: Tensor) -> Sites:
    """The numbers that theta, (C, A), means under a model, given the reference bases (C,)."""
    with torch.no_grad():
        theta = theta.double()
        score = model.allele_scores(theta)
        score = (score - score.mean(dim=1, keepdim=True)).numpy()
        log_rate, site_rate = model.log_rate(theta).numpy(), model.site_rate(theta).numpy()
    own = reference.numpy().astype(np.int64)[:, None]
    alternative = (own + np.arange(1, 4)) % 4
    llr = np.take_along_axis(score, alternative, 1) - np.take_along_axis(score, own, 1)
    return Sites(score, llr, alternative, log_rate, np.log(site_rate))


def rmse(truth: Floats, estimate: Floats) -> float:
    """Square root of the mean squared error."""
    return float(np.sqrt(np.mean((estimate - truth) ** 2)))


def correlation(truth: Floats, estimate: Floats) -> float:
    """Pearson's; NaN where either does not vary."""
    truth, estimate = truth.ravel(), estimate.ravel()
    if min(np.ptp(truth), np.ptp(estimate)) < 1e-3:
        return float("nan")
    return float(np.corrcoef(truth, estimate)[0, 1])


def rank_correlation(truth: Floats, estimate: Floats) -> float:
    """Spearman's, equal values sharing their mean rank."""
    return correlation(_ranks(truth), _ranks(estimate))


def _ranks(values: Floats) -> Floats:
    _, place, count = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def area_under_roc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative; a tie counts one half."""
    sites = np.arange(score.size)
    found = compare_scores(score.reshape(1, -1), positive.ravel(), sites, replicates=0)
    return found.metrics[0].auroc.value


@dataclass(frozen=True)
class Misordering:
    """Pairs of alleles whose estimated LLRs are in the wrong order.

    Attributes
    ----------
    share : float
        Of the pairs, a tie counting one half; 1/2 is chance.
    true_nats, estimated_nats : float
        Mean difference of the LLRs of misordered pairs: how much really lies between them, and by
        how much the estimate says the opposite.
    """

    share: float
    true_nats: float
    estimated_nats: float


def misordering(
    truth: Floats,
    estimate: Floats,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    pairs: int = 200_000,
    least: float = 1.0,
) -> Misordering:
    """Compare random pairs of LLRs that truly differ by more than `least` nats.

    Parameters
    ----------
    truth, estimate : float64[M]
    first, second : int64[N]
        Places of the alleles that either of a pair is drawn from.
    rng : Generator
    """
    a, b = rng.choice(first, pairs), rng.choice(second, pairs)
    is_clear = np.abs(truth[a] - truth[b]) > least
    a, b = a[is_clear], b[is_clear]
    real, said = truth[a] - truth[b], estimate[a] - estimate[b]
    wrong = real * said < 0
    share = float(np.mean(wrong + 0.5 * (said == 0)))
    return Misordering(share, *(float(np.abs(x[wrong]).mean()) for x in (real, said)))


def substitutions_seen(states: Tensor, tree: Tree) -> NDArray[np.int64]:
    """Fewest substitutions that explain each column (Fitch 1971); int64[C]."""
    sets = np.where(states < 4, 1 << states.clamp(max=3).numpy(), 15).astype(np.uint8)
    below = {node: sets[:, tip] for tip, node in enumerate(tree.tip_nodes.tolist())}
    count = np.zeros(len(sets), dtype=np.int64)
    for node in tree.postorder.tolist():
        for child in tree.children[node]:
            other = below.pop(child)
            own = below.get(node, np.full_like(other, 15))
            shared = own & other
            count += shared == 0
            below[node] = np.where(shared > 0, shared, own | other)
    return count


def write_table(path: Path, table: Table) -> None:
    """Tab-separated, with a header; numbers to four digits after the point."""
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(table[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in table:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})


def read_table(path: Path) -> Table:
    """What `write_table` wrote."""
    with path.open(newline="") as handle:
        return [
            {key: _number(text) for key, text in row.items()}
            for row in csv.DictReader(handle, delimiter="\t")
        ]


def _number(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
