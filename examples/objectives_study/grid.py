"""Train every arm on every split with every seed, and keep what it says of the tested positions.

    python grid.py WORK [--splits ...] [--arms ...] [--seeds ...] [--preset small] [--steps N]

Makes WORK/theta/SPLIT/ARM-seedN.npz, one after the other; those that are there are kept, and a run
that was interrupted goes on. Without --splits, --arms and --seeds the whole plan of the study is
run, what matters most first. Per-site fits and the table, which need no training, come with it.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from arms import ARMS, LONGER, settings
from configurations import Tables, changed, parsed
from genes import reference_bases, species_bases
from measure import table_theta
from null_models import fit, plan_of, training_samples
from numpy.typing import NDArray
from predictions import open_predictor
from predictions_file import Predictions
from splits import BIRD_CHROMOSOMES, HERE, SPLITS, Split

from phylotools.io.bed import read_bed
from phylotools.io.regions import Region, RegionSet
from phylotools.phylogeny.change_scores import NEUTRAL_LOG_RATE
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.substitution import F81
from phylotools.scoring.scorer import Scorer
from phylotools.store.read import ColumnStore
from phylotools.store.reference_genome import reference_genome_of
from phylotools.threads import set_threads as set_likelihood_threads
from phylotools.training.loop import Trainer
from phylotools.training.workers import set_threads

SEEDS = (1, 2, 3)
#: Trained first, with every seed.
MAIN_ARMS = ("mutsel", "mlm", "mutsel-any-row", "mlm-any-row", "f81-prior", "both")
#: Models without a network.
BASELINES = ("site-fits", "table")


class Job(NamedTuple):
    """One training, or one model without a network."""

    split: Split
    arm: str
    seed: int

    def path(self, work: Path) -> Path:
        return work / "theta" / self.split.name / f"{self.arm}-seed{self.seed}.npz"


def plan() -> Iterator[Job]:
    """Every job of the study, what matters most first."""
    for split in SPLITS.values():
        yield Job(split, "site-fits", 0)
        if split.genes or split.set == "mammals":
            yield Job(split, "table", 0)
    yield from _trainings(MAIN_ARMS)
    for arm in LONGER:
        yield Job(SPLITS["mammals"], arm, 1)
    yield from _trainings([arm for arm in ARMS if arm not in MAIN_ARMS])


def _trainings(arms: Iterable[str]) -> Iterator[Job]:
    for seed in SEEDS:
        for split in SPLITS.values():
            # Every chromosome of the birds is held out once, by another seed each.
            if split.set != "birds" or split.name == f"birds-{BIRD_CHROMOSOMES[seed - 1]}":
                for arm in arms:
                    yield Job(split, arm, seed)


def configuration(
    job: Job, work: Path, preset: str, steps: int | None, more: Tables | None = None
) -> Tables:
    """Tables of the configuration of a training; `more` is changed last."""
    changes, n_steps = settings(job.arm, job.split.steps if steps is None else steps)
    stores = [str(store.path.absolute()) for store in job.split.stores(work)]
    common: Tables = {
        "data": {"stores": stores},
        "network": {"preset": preset},
        "optimiser": {"steps": n_steps, "schedule": "cosine"},
        "run": {"seed": job.seed, "site_fits": False},
    }
    return changed(common, job.split.tables or {}, changes, more or {})


def train(
    job: Job, work: Path, preset: str, steps: int | None, more: Tables | None = None
) -> Predictions:
    """Train, or go on, and score the tested positions with the weights that are kept."""
    run = work / "runs" / job.split.name / f"{job.arm}-seed{job.seed}"
    run.parent.mkdir(parents=True, exist_ok=True)
    tables = configuration(job, work, preset, steps, more)
    began, cpu = time.perf_counter(), time.process_time()
    trainer = Trainer(parsed(tables, HERE), run, torch.device("cpu"), resume=run.exists())
    progress = trainer.run()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    model = open_predictor(str(run))
    began = time.perf_counter()
    regions, theta = [], []
    for store in job.split.stores(work):
        with reference_genome_of(store) as genome:
            scorer = Scorer(model, genome, threads=1)
            for region in tested(store, job.split):
                regions.append(region)
                theta.append(scorer.theta(region))
    facts = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "scoring_seconds": time.perf_counter() - began,
        "steps": progress.step,
        "selected_step": progress.selected_step,
        "best": progress.best_metric,
        "preset": preset,
    }
    return Predictions(tuple(regions), tuple(theta), model.substitution, facts)


def tested(store: ColumnStore, split: Split) -> list[Region]:
    """The regions of a split that lie in a store."""
    return [region for region in split.regions() if region.contig in store.contigs]


def site_fits(split: Split, work: Path) -> Predictions:
    """Theta fitted to every tested column by itself: it sees what is to be predicted."""
    prior, substitution = SitePrior(NEUTRAL_LOG_RATE, 1.0), F81()
    regions, theta = [], []
    began = time.perf_counter()
    for store in split.stores(work):
        plan = plan_of(store)
        for region in tested(store, split):
            states = torch.from_numpy(species_bases(store, region))
            own = torch.from_numpy(reference_bases(store, region))
            regions.append(region)
            theta.append(fit_sites(states, own, plan, prior, substitution).numpy())
    facts = {"seconds": time.perf_counter() - began}
    return Predictions(tuple(regions), tuple(theta), substitution, facts)


def table(split: Split, work: Path) -> Predictions:
    """Four numbers for each codon and place in it, fitted to the columns that are not hidden."""
    began = time.perf_counter()
    stores, genes = split.stores(work), str(split.genes) if split.genes else None
    hidden = read_bed(split.test) if split.is_hidden else RegionSet.of([])
    fitted = fit("table", training_samples(stores, genes, hidden), "mutation-selection")
    regions: list[Region] = []
    theta: list[NDArray[np.float32]] = []
    for store in stores:
        for region in tested(store, split):
            values = table_theta(fitted, genes, store, region.contig)
            regions.append(region)
            theta.append(values[region.start : region.end])
    facts = {"seconds": time.perf_counter() - began}
    return Predictions(tuple(regions), tuple(theta), fitted.substitution, facts)


def run(
    job: Job,
    work: Path,
    preset: str = "small",
    steps: int | None = None,
    more: Tables | None = None,
) -> None:
    """Do a job, unless its result is there."""
    path = job.path(work)
    if path.exists():
        return
    if job.arm == "site-fits":
        found = site_fits(job.split, work)
    elif job.arm == "table":
        found = table(job.split, work)
    else:
        found = train(job, work, preset, steps, more)
    facts = {"split": job.split.name, "arm": job.arm, "seed": job.seed, "commit": commit()}
    found._replace(facts=facts | found.facts).write(path)
    print(time.strftime("%H:%M:%S"), job.split.name, job.arm, job.seed, found.facts, flush=True)


def commit() -> str:
    """The commit that these files are of."""
    command = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    arms = [*ARMS, *LONGER, *BASELINES]
    parser.add_argument("--splits", nargs="*", choices=[*SPLITS], default=[*SPLITS])
    parser.add_argument("--arms", nargs="*", choices=arms, default=arms)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, *SEEDS])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--steps", type=int, help="instead of each split's own")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    set_threads(1)
    set_likelihood_threads(1)
    for job in plan():
        wanted = job.arm in given.arms and job.split.name in given.splits
        if wanted and job.seed in given.seeds:
            run(job, given.work, given.preset, given.steps)


if __name__ == "__main__":
    main()
