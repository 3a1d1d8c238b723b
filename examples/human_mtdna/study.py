"""The measurements behind the model card and the rate chapter of docs/method.md.

    python study.py sites STORE RESULTS      per-site fits: rate free, with a prior, fixed
    python study.py networks STORE RESULTS   the network of select.toml, and with one thing changed
    python study.py genes STORE RESULTS      the network without a gene, tested on that gene

Each writes RESULTS/<name>.tsv.gz with scores of every SNV and a row of RESULTS/likelihood.tsv.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import logging
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, read_bed
from phylotools.model.registry import load_model
from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.substitution import (
    log_equilibrium_frequencies,
    log_total_rate,
    site_rate,
)
from phylotools.predict.scorer import Scorer
from phylotools.store.schema import CODE_MASK, NO_BLOCK
from phylotools.training.config import TrainingConfig
from phylotools.training.config_file import parse_config
from phylotools.training.dataset import StoreWindows
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer

HERE = Path(__file__).parent
BASES = "ACGT"


class Columns:
    """Every column of the store, with and without the held-out species."""

    def __init__(self, config: TrainingConfig) -> None:
        windows = StoreWindows(config.store_paths()[0], config)
        self.plan = windows.plan
        regions = windows.store.covered_regions(min_species=config.data.minimum_species)
        self.contig = regions[0].contig
        self.position = np.concatenate([np.arange(r.start, r.end) for r in regions])
        bases = np.concatenate([windows.store.bases(r) for r in regions]) & CODE_MASK
        own = np.concatenate([windows.store.reference(r) for r in regions]) & CODE_MASK
        self.all = torch.from_numpy(bases)
        self.shown = self.all.clone()
        self.shown[:, torch.from_numpy(windows.held_out_species)] = NO_BLOCK
        self.reference = torch.from_numpy(own)

    def likelihoods(self, theta: torch.Tensor) -> tuple[float, float]:
        """Nats a column: species in the loss given the reference; held-out ones given those."""
        with torch.no_grad():
            shown = column_log_likelihood(self.shown, theta, self.plan)
            everything = column_log_likelihood(self.all, theta, self.plan)
            given = shown - log_reference_frequency(self.reference, theta)
        return given.mean().item(), (everything - shown).mean().item()

    def frequencies(self) -> torch.Tensor:
        """Log column frequencies with half a count added: the simplest score."""
        counts = torch.stack([(self.all == base).sum(1) for base in range(4)], dim=1)
        return (counts + 0.5).log()


def write_scores(path: Path, columns: Columns, theta: torch.Tensor, keep: np.ndarray) -> None:
    """Every SNV of the kept columns: LLR and two rates, low where a site is conserved."""
    log_pi = log_equilibrium_frequencies(theta)
    rate, substitutions = log_total_rate(theta), site_rate(theta).log()
    with gzip.open(path, "wt") as handle:
        handle.write("contig\tpos\tref\talt\tllr\tlog_total_rate\tlog_site_rate\n")
        for site in np.flatnonzero(keep):
            reference = int(columns.reference[site])
            for alternative in range(4):
                if reference > 3 or alternative == reference:
                    continue
                llr = log_pi[site, alternative] - log_pi[site, reference]
                handle.write(
                    f"{columns.contig}\t{columns.position[site] + 1}\t{BASES[reference]}\t"
                    f"{BASES[alternative]}\t{llr:.5f}\t{rate[site]:.5f}\t"
                    f"{substitutions[site]:.5f}\n"
                )


def note(results: Path, name: str, shown: float, held_out: float, theta: torch.Tensor) -> None:
    """Append one row to the table of likelihoods and print it."""
    path = results / "likelihood.tsv"
    if not path.exists():
        path.write_text("fit\tshown\theld_out_species\tmean_log_R\tsd_log_R\n")
    rate = log_total_rate(theta)
    row = f"{name}\t{shown:.4f}\t{held_out:.4f}\t{rate.mean():.3f}\t{rate.std():.3f}"
    with path.open("a") as handle:
        handle.write(row + "\n")
    print(row, flush=True)


def study_sites(config: TrainingConfig, results: Path) -> None:
    """Fit each site by itself, select by held-out species, score with all of them."""
    columns = Columns(config)
    everything = np.ones(len(columns.position), dtype=bool)
    write_scores(results / "frequency.tsv.gz", columns, columns.frequencies(), everything)
    mean = config.rate.mean
    priors = {
        "sites-free": SitePrior(log_rate_sd=np.inf),
        "sites-prior": SitePrior(mean, 1.0),
        "sites-fixed": SitePrior(mean, 1e-3),
    }
    for name, prior in priors.items():
        theta = fit_sites(columns.shown, columns.reference, columns.plan, prior)
        note(results, name, *columns.likelihoods(theta), theta)
        theta = fit_sites(columns.all, columns.reference, columns.plan, prior)
        write_scores(results / f"{name}.tsv.gz", columns, theta, everything)


def train_theta(config: TrainingConfig, columns: Columns) -> torch.Tensor:
    """Train as `config` says and predict theta at every column."""
    with tempfile.TemporaryDirectory() as folder:
        run, model = Path(folder) / "run", Path(folder) / "model"
        Trainer(config, run, torch.device("cpu")).run()
        export_model(run, model, ExportRequest("study"))
        with ReferenceGenome.open(HERE / "data" / "chrM.fa") as genome:
            scorer = Scorer(load_model(str(model)), genome, threads=torch.get_num_threads())
            whole = Region(columns.contig, 0, genome.contigs[columns.contig])
            return torch.from_numpy(scorer.log_rates(whole)[columns.position])


#: What is changed in select.toml, table by table.
VARIATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "base": {},
    "rate-free": {"rate": {"treatment": "free"}},
    "rate-fixed": {"rate": {"treatment": "fixed"}},
    "prior-sd-0.5": {"rate": {"sd": 0.5}},
    "prior-sd-2": {"rate": {"sd": 2.0}},
    "weight-decay-0.01": {"optimiser": {"weight_decay": 0.01}},
    "weight-decay-2": {"optimiser": {"weight_decay": 2.0}},
    "steps-500": {"optimiser": {"steps": 500}},
    "steps-2000": {"optimiser": {"steps": 2000}},
    "narrow": {"network": {"channels": 64, "bottleneck": 32}},
    "deep": {"network": {"dilations": [1, 5] * 8}},
}


def study_networks(config: TrainingConfig, results: Path, names: list[str]) -> None:
    """Train every variation; the likelihood of the held-out species says which is best."""
    columns = Columns(config)
    everything = np.ones(len(columns.position), dtype=bool)
    for name in names:
        changes = {
            table: dataclasses.replace(getattr(config, table), **values)
            for table, values in VARIATIONS[name].items()
        }
        theta = train_theta(dataclasses.replace(config, **changes), columns)
        note(results, f"network-{name}", *columns.likelihoods(theta), theta)
        write_scores(results / f"network-{name}.tsv.gz", columns, theta, everything)


def study_genes(config: TrainingConfig, results: Path, steps: int) -> None:
    """Train without each gene in turn; score that gene. One table of all genes together."""
    columns = Columns(config)
    merged = torch.zeros(len(columns.position), 4)
    for region in read_bed(HERE / "data" / "genes.bed"):
        changed = dataclasses.replace(
            config,
            data=dataclasses.replace(
                config.data, held_out_regions=[str(region)], held_out_species_fraction=0.0
            ),
            optimiser=dataclasses.replace(config.optimiser, steps=steps),
            run=dataclasses.replace(config.run, select_by="last"),
        )
        inside = (columns.position >= region.start) & (columns.position < region.end)
        merged[inside] = train_theta(changed, columns)[inside]
        print("left out", region, flush=True)
    note(results, "network-leave-gene-out", *columns.likelihoods(merged), merged)
    everything = np.ones(len(columns.position), dtype=bool)
    write_scores(results / "network-leave-gene-out.tsv.gz", columns, merged, everything)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["sites", "networks", "genes"])
    parser.add_argument("store", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--config", type=Path, default=HERE / "select.toml")
    parser.add_argument("--only", nargs="*", choices=list(VARIATIONS), help="of the networks")
    parser.add_argument("--steps", type=int, default=250, help="of a leave-gene-out training")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(arguments.threads)
    numba.set_num_threads(arguments.threads)
    arguments.results.mkdir(parents=True, exist_ok=True)
    values = tomllib.loads(arguments.config.read_text())
    values["data"]["stores"] = [str(arguments.store.absolute())]
    config, errors = parse_config(values, HERE)
    if config is None:
        parser.error("; ".join(errors))
    if arguments.part == "sites":
        study_sites(config, arguments.results)
    elif arguments.part == "networks":
        study_networks(config, arguments.results, arguments.only or list(VARIATIONS))
    else:
        study_genes(config, arguments.results, arguments.steps)


if __name__ == "__main__":
    main()
