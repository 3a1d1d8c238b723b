"""Definitions of an indel's score against what evolution and people tolerate in mitochondrial DNA.

    python mtdna.py genes > genes.tsv
    python mtdna.py carriers --model WORK/chrM26 > carriers.tsv

`genes`: deletions of each codon of the 13 protein-coding genes of humans, scored by the shipped
model. Tolerated: at least 0.5 % of 671 mammals have no base there. Not: none lacks it. Gaps are no
part of what the model was trained on: they count as missing data in its loss.

`carriers`: every insertion and deletion of one base outside of those genes, scored by a model of
the whole genome (train.sh). Tolerated: gnomAD v3.1 has a homoplasmic carrier. Not: it has none,
with or without heteroplasmy. Compared only within strata of the same locus kind, change and length
of the run of equal bases, since runs gain and lose bases often, whatever comes of it.

In both, AUROC above 0.5 says that tolerated changes score higher.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from definitions import difference_from_first, score
from likelihoods import reference_log_odds
from numpy.typing import NDArray

from phylotools.annotate.haplotypes import Change, HaplotypeScorer
from phylotools.evaluate.metrics import compare_scores
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.registry import load_model
from phylotools.scoring.scorer import Scorer

DATA = Path(__file__).parents[1] / "human_mtdna" / "data"
CONTIG, LENGTH = "chrM", 16569
#: Least share of species without a codon that counts as tolerance of its loss.
TOLERATED = 0.005
MIN_SPECIES = 300
#: Codons at either end of a gene that are left out: start, stop, and alignment ends.
_MARGIN = 30
REPLICATES = 1000


class Study:
    """A model on chrM, and the scores of changes there by every definition."""

    def __init__(self, model_name: str | None) -> None:
        model = load_model(model_name)
        self.genome = ReferenceGenome.open(DATA / "chrM.fa")
        self.scorer = Scorer(model, self.genome, threads=1)
        self.haplotypes = HaplotypeScorer(self.scorer)
        whole = Region(CONTIG, 0, LENGTH)
        codes = self.genome.fetch(whole) & 7
        self.sequence = bytes(b"ACGTN"[code] for code in codes)
        self.track = reference_log_odds(self.scorer, whole)
        theta = torch.from_numpy(self.scorer.theta(whole)).double()
        with torch.inference_mode():
            self.log_rate = model.substitution.site_rate(theta).log().numpy()

    def scores(self, changes: list[Change]) -> dict[str, NDArray[np.float64]]:
        """Definition -> float64 [K]."""
        table = score(self.scorer, changes, self.track)
        aligned = [self.haplotypes.left_aligned(change) for change in changes]
        table["log rate"] = np.array(
            [self.log_rate[c.start : c.start + max(1, len(c.ref))].mean() for c in aligned]
        )
        return table


def gaps() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Species that lack each base of chrM, and species aligned there, int64 [LENGTH] each."""
    lacking, present = np.zeros((2, LENGTH), dtype=np.int64)
    for rows in _blocks(DATA / "mammals671_mtCDS_hg38_chrM.maf.gz"):
        texts = np.array([list(row[6].encode()) for row in rows], dtype=np.uint8)
        texts = texts[:, texts[0] != ord("-")]
        start = int(rows[0][2])
        place = slice(start, start + texts.shape[1])
        lacking[place] += (texts[1:] == ord("-")).sum(axis=0)
        present[place] += len(texts) - 1
    return lacking, present


def _blocks(path: Path) -> Iterator[list[list[str]]]:
    rows: list[list[str]] = []
    with gzip.open(path, "rt") as handle:
        for line in handle:
            if line.startswith("a") and rows:
                yield rows
                rows = []
            elif line.startswith("s"):
                rows.append(line.split())
    if rows:
        yield rows


def codon_deletions(study: Study) -> tuple[list[Change], NDArray[np.bool_], NDArray[np.int64]]:
    """Deletions of codons, whether other mammals lack them, and one stratum for all."""
    lacking, present = gaps()
    changes, tolerated = [], []
    for line in (DATA / "genes.bed").read_text().splitlines():
        _, start, end = line.split()[:3]
        for place in range(int(start) + _MARGIN, int(end) - _MARGIN - 2, 3):
            codon = slice(place, place + 3)
            share = lacking[codon].min() / present[codon].max()
            if present[codon].min() < MIN_SPECIES or 0 < share < TOLERATED:
                continue
            if share == 0 and lacking[codon].any():
                continue
            changes.append(Change(CONTIG, place, study.sequence[codon], b""))
            tolerated.append(share >= TOLERATED)
    return changes, np.array(tolerated), np.zeros(len(changes), dtype=np.int64)


def single_base_changes(study: Study) -> tuple[list[Change], NDArray[np.bool_], NDArray[np.int64]]:
    """Indels of one base outside the genes, whether carried homoplasmically, and their strata."""
    kinds = locus_kinds()
    carried = set()
    with gzip.open(DATA / "gnomad_v3.1_chrM.vcf.gz", "rt") as handle:
        for line in handle:
            if line.startswith("#"):
                continue
            _, pos, _, ref, alt, _, quality, info = line.rstrip("\n").split("\t")[:8]
            counts = dict(entry.split("=") for entry in info.split(";"))
            if quality == "PASS" and int(counts["AC_hom"]) and len(ref) != len(alt):
                change = Change(CONTIG, int(pos) - 1, ref.encode(), alt.encode())
                carried.add(study.haplotypes.left_aligned(change))
    found: dict[Change, tuple[str, str, int]] = {}
    for place in range(100, LENGTH - 100):
        base = study.sequence[place : place + 1]
        if place not in kinds or b"N" in study.sequence[place - 1 : place + 1]:
            continue
        for ref, alt in [(base, b"")] + [(b"", letter.encode()) for letter in "ACGT"]:
            change = study.haplotypes.left_aligned(Change(CONTIG, place, ref, alt))
            run = run_length(study.sequence, change.start, ref or alt)
            found.setdefault(change, (kinds[place], "del" if ref else "ins", min(run, 5)))
    changes = sorted(found)
    names = sorted(set(found.values()))
    strata = np.array([names.index(found[change]) for change in changes])
    return changes, np.array([change in carried for change in changes]), strata


def locus_kinds() -> dict[int, str]:
    """Position -> tRNA, rRNA or control region; the shortest locus of a position counts."""
    kinds = {}
    with gzip.open(DATA / "chrM_all_snvs_labels.tsv.gz", "rt") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            gene, place = row["gene"], int(row["pos"]) - 1
            if gene.startswith("MT-T"):
                kinds[place] = "tRNA"
            elif gene.startswith("MT-R"):
                kinds[place] = "rRNA"
            elif place < 576 or place >= 16023:
                kinds[place] = "control"
    return kinds


def run_length(sequence: bytes, start: int, base: bytes) -> int:
    """Bases equal to `base` in a row from `start` on."""
    return len(sequence[start : start + 60]) - len(sequence[start : start + 60].lstrip(base))


def stratified(
    scores: NDArray[np.float64], tolerated: NDArray[np.bool_], strata: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Ranks within strata, float64 [K], made comparable: their share of the other class below.

    Each positive gets its AUROC within its stratum, so that the mean over positives is the
    stratified AUROC, weighted by positives.
    """
    result = np.full(len(scores), np.nan)
    for stratum in np.unique(strata[tolerated]):
        negatives = np.sort(scores[(strata == stratum) & ~tolerated])
        chosen = (strata == stratum) & tolerated
        if len(negatives) >= 5:
            below = np.searchsorted(negatives, scores[chosen], side="left")
            at_most = np.searchsorted(negatives, scores[chosen], side="right")
            result[chosen] = (below + at_most) / (2 * len(negatives))
    return result


def report_strata(
    label: str,
    table: dict[str, NDArray[np.float64]],
    tolerated: NDArray[np.bool_],
    strata: NDArray[np.int64],
) -> None:
    """A line for each definition: the mean within strata, and its interval over positives."""
    rng = np.random.default_rng(1)
    shares = np.stack([stratified(values, tolerated, strata) for values in table.values()])
    shares = shares[:, ~np.isnan(shares).any(axis=0)]
    drawn = rng.integers(shares.shape[1], size=(REPLICATES, shares.shape[1]))
    for (name, values), row in zip(table.items(), shares, strict=True):
        counts = (shares.shape[1], int((~tolerated).sum()))
        estimates = []
        for quantity in (row, row - shares[0]):
            means = quantity[drawn].mean(axis=1)
            estimates += [quantity.mean(), *np.percentile(means, [2.5, 97.5])]
        numbers = (f"{n:.3f}" for n in estimates)
        means = (f"{values[t].mean():.2f}" for t in (tolerated, ~tolerated))
        print(label, name, *counts, *numbers, *means, sep="\t")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=["genes", "carriers"])
    parser.add_argument("--model", help="default: the shipped one")
    arguments = parser.parse_args()
    study = Study(arguments.model)
    columns = """set definition n_tolerated n_not AUROC low high difference difference_low
        difference_high mean_tolerated mean_not"""
    print(*columns.split(), sep="\t")
    if arguments.experiment == "genes":
        changes, tolerated, strata = codon_deletions(study)
        report_genes(study.scores(changes), changes, tolerated)
        return
    changes, tolerated, strata = single_base_changes(study)
    table = study.scores(changes)
    report_strata("all", table, tolerated, strata)
    kinds = locus_kinds()
    for kind in ("tRNA", "rRNA", "control"):
        chosen = np.array([kinds.get(change.start) == kind for change in changes])
        part = {name: values[chosen] for name, values in table.items()}
        report_strata(kind, part, tolerated[chosen], strata[chosen])


def report_genes(
    table: dict[str, NDArray[np.float64]], changes: list[Change], tolerated: NDArray[np.bool_]
) -> None:
    """A line for each definition; intervals by resampling stretches of 30 bases."""
    values = np.stack(list(table.values()))
    stretches = np.array([change.start // 30 for change in changes])
    found = compare_scores(values, tolerated, stretches, replicates=REPLICATES)
    for name, numbers_of, metrics in zip(table, values, found.metrics, strict=True):
        auroc = metrics.auroc
        estimates = [auroc.value, auroc.low, auroc.high, *difference_from_first(metrics)]
        numbers = (f"{n:.3f}" for n in estimates)
        means = (f"{numbers_of[t].mean():.2f}" for t in (tolerated, ~tolerated))
        counts = (found.n_positive, found.n_negative)
        print("codon deletions", name, *counts, *numbers, *means, sep="\t")


if __name__ == "__main__":
    main()
