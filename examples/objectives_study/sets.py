"""What each set of the study asks: labels, comparisons, and what is drawn together."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from areas import Comparison, Draws
from genes import base_counts
from grid import BASELINES, SEEDS, Job
from make_labels import FEWEST_CARRIERS, FEWEST_ROWS
from measure import COMPARISONS, Labels, Sites, Wanted, comparisons, read_labels
from numpy.typing import NDArray
from predictions_file import Predictions, read_predictions
from splits import HERE, MTDNA, SPLITS, Split

from phylotools.io.regions import Region
from phylotools.store.read import ColumnStore

MODELS_STUDY = HERE.parent / "models_study"
REPLICATES = 1000
#: Comparisons of sites begin with it: a site's score is the mean over its three changes.
SITE = "site: "
_CODON: Wanted = (
    SITE + "codon place",
    (("first", "yes", True), ("place_in_codon", ".", False)),
    *("place_in_codon", "1 or 2", "3"),
)
PLACES = ("coding", "intron", "intergenic")


def _in_place(place: str) -> tuple[Wanted, ...]:
    here = ("place", place, True)
    return (
        (f"unseen, {place}", (here,), "label", "unseen", "seen"),
        (
            f"{SITE}conserved, {place}",
            (here, ("first", "yes", True)),
            *("conservation", "conserved", "variable"),
        ),
    )


_MTDNA: tuple[Wanted, ...] = (
    *(wanted for wanted in COMPARISONS if not wanted[0].startswith("unseen")),
    ("unseen", (), "column", "unseen", "seen"),
    ("unseen missense", (("consequence", "missense", True),), "column", "unseen", "seen"),
    _CODON,
)
_CODING = tuple(wanted for wanted in COMPARISONS if wanted[0] != "unseen")
_BIRDS = tuple(wanted for place in PLACES for wanted in _in_place(place))


class StudySet(NamedTuple):
    """A table of labels and what is asked of it.

    Attributes
    ----------
    name : str
    wanted : tuple
        Comparisons, as those of `measure`.
    stretch : int
        Positions that are drawn together; 0 for genes.
    """

    name: str
    wanted: tuple[Wanted, ...] = (*COMPARISONS, _CODON)
    stretch: int = 0

    @property
    def splits(self) -> list[Split]:
        return [split for split in SPLITS.values() if split.set == self.name]

    def labels(self, work: Path) -> Labels:
        """Every variant at the tested positions; made where they are not there yet."""
        path = work / "labels" / f"{self.name}.tsv"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            made = subprocess.run(
                [sys.executable, *self._command(work)], check=True, capture_output=True
            )
            path.write_bytes(made.stdout)
        test = work / "labels" / f"{self.name}.bed"
        test.write_text("".join(split.test.read_text() for split in self.splits))
        labels = read_labels(path, str(test))
        site = np.char.add(np.char.add(labels["chrom"], ":"), labels["pos"].astype(str))
        _, first, labels["site"] = np.unique(site, return_index=True, return_inverse=True)
        labels["first"] = np.full(len(site), "no", "U3")
        labels["first"][first] = "yes"
        place = labels["codon_place"]
        counts = self.counts(labels, work)
        rows = np.arange(len(site))
        carriers, deep = counts[rows, labels["alt"]], counts.sum(axis=1) >= FEWEST_ROWS
        labels["column"] = np.select(
            [carriers >= FEWEST_CARRIERS, (carriers == 0) & deep], ["seen", "unseen"], "."
        )
        labels["place_in_codon"] = np.select([place == 0, place == 3], [".", "3"], "1 or 2")
        return labels

    def counts(self, labels: Labels, work: Path) -> NDArray[np.int64]:
        """Species with each base at the site of every label, int64 [M, 4]."""
        sites = Sites(labels, self.splits[0].stores(work))
        tested = [region for split in self.splits for region in split.regions()]
        return sites.gathered(partial(_counts_in, tested), 4).astype(np.int64)

    def _command(self, work: Path) -> list[str]:
        split = self.splits[0]
        stores = [str(store.path) for store in split.stores(work)]
        if self.name == "birds":
            bed = work / "labels" / "birds.all.bed"
            bed.write_text("".join(split.test.read_text() for split in self.splits))
            annotation = str(HERE / "data" / "galGal6_ncbiRefSeq.gff3.gz")
            return [str(HERE / "bird_labels.py"), annotation, str(bed), *stores]
        name = "mtdna" if self.name.startswith("mtdna") else self.name
        given = [str(split.test)] if name == "mammals" else [str(split.genes)]
        if name == "mtdna":
            given.append(str(MTDNA / "chrM_all_snvs_labels.tsv.gz"))
        return [str(MODELS_STUDY / "make_labels.py"), name, *given, *stores]

    def comparisons(self, labels: Labels) -> list[Comparison]:
        return list(comparisons(labels, self.wanted))

    def draws(self, labels: Labels, replicates: int = REPLICATES) -> Draws:
        """How often each gene or stretch is in each bootstrap replicate."""
        return Draws(self.clusters(labels), replicates)

    def clusters(self, labels: Labels) -> NDArray[np.str_]:
        if not self.stretch:
            return labels["gene"]
        number = (labels["pos"] // self.stretch).astype(str)
        return np.char.add(np.char.add(labels["chrom"], ":"), number)

    def jobs(self, work: Path, arm: str) -> dict[int, list[Job]]:
        """Finished jobs that cover all tested positions, by seed; 0 where none was drawn.

        The birds have one: each of their chromosomes was held out by another seed.
        """
        seeds = {seed: [seed] * len(self.splits) for seed in (0, *SEEDS)}
        if self.name == "birds" and arm not in BASELINES:
            seeds = {0: [*SEEDS]}
        found = {
            seed: [Job(split, arm, s) for split, s in zip(self.splits, own, strict=True)]
            for seed, own in seeds.items()
        }
        return {
            seed: own for seed, own in found.items() if all(job.path(work).exists() for job in own)
        }

    def layers(self, work: Path, arm: str) -> dict[int, list[Predictions]]:
        """What those jobs predicted."""
        return {
            seed: [read_predictions(job.path(work)) for job in own]
            for seed, own in self.jobs(work, arm).items()
        }


def _counts_in(tested: list[Region], store: ColumnStore, contig: str) -> NDArray[np.int64]:
    """Bases of the columns of some regions of a contig, 0 elsewhere."""
    found = np.zeros((store.contigs[contig], 4), np.int64)
    for region in tested:
        if region.contig == contig:
            found[region.start : region.end] = base_counts(store, region)
    return found


SETS = {
    given.name: given
    for given in (
        StudySet("mammals"),
        StudySet("mtdna-left-out", _MTDNA, stretch=100),
        StudySet("mtdna", _MTDNA, stretch=100),
        StudySet("dengue", stretch=100),
        StudySet("birds", (*_CODING, *_BIRDS), stretch=500),
    )
}


def site_means(labels: Labels, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the changes of a site, at each of them."""
    sums = np.bincount(labels["site"], values)
    return (sums / np.bincount(labels["site"]))[labels["site"]]
