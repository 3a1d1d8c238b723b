"""The measurements behind the model card and the rate chapter of docs/method.md.

    python study.py sites STORE RESULTS      per-site fits: rate free, with a prior, fixed
    python study.py networks STORE RESULTS   the network of select.toml, and with one thing changed
    python study.py models STORE RESULTS     that network under every substitution model

Each writes RESULTS/<name>.tsv.gz with scores of every SNV, RESULTS/<name>.npy with the held-out
species' log-likelihood of each column, and a row of RESULTS/likelihood.tsv.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.registry import load_model
from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.substitution import F81, SubstitutionModel
from phylotools.scoring.scorer import Scorer
from phylotools.store.schema import CODE_MASK, NO_BLOCK
from phylotools.threads import set_threads as set_likelihood_threads
from phylotools.training.config import TrainingConfig
from phylotools.training.config_file import parse_config
from phylotools.training.dataset import TrainingData
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer

HERE = Path(__file__).parent
BASES = "ACGT"
SCORES = ("llr", "log_frequency_ratio", "log_total_rate", "log_site_rate", "entropy")


#: Theta of every column, and what reads it.
Fit = tuple[torch.Tensor, SubstitutionModel]


class Columns:
    """Every column of the store, with and without the held-out species."""

    def __init__(self, config: TrainingConfig) -> None:
        windows = TrainingData(config).stores[0]
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

    def likelihoods(self, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
        """Nats a column: species in the loss given the reference; held-out ones given those."""
        theta, model = fit
        with torch.no_grad():
            shown = column_log_likelihood(self.shown, theta, self.plan, model)
            everything = column_log_likelihood(self.all, theta, self.plan, model)
            given = shown - log_reference_frequency(self.reference, theta, model)
        return given.numpy(), (everything - shown).numpy()

    def frequencies(self) -> torch.Tensor:
        """Log column frequencies with half a count added: the simplest score."""
        counts = torch.stack([(self.all == base).sum(1) for base in range(4)], dim=1)
        return (counts + 0.5).log()


def write_scores(path: Path, columns: Columns, fit: Fit) -> None:
    """Every SNV: the LLR, the ratio of frequencies, and three numbers low at conserved sites."""
    theta, model = fit
    with torch.no_grad():
        score, log_pi = model.allele_scores(theta), model.log_equilibrium_frequencies(theta)
        site = torch.stack([model.log_rate(theta), model.site_rate(theta).log()], dim=1)
        site = torch.cat([site, model.entropy(theta).unsqueeze(1)], dim=1)
    with gzip.open(path, "wt") as handle:
        handle.write("contig\tpos\tref\talt\t" + "\t".join(SCORES) + "\n")
        for row, position in enumerate(columns.position):
            ref = int(columns.reference[row])
            for alt in range(4):
                if ref > 3 or alt == ref:
                    continue
                ratios = [(values[row, alt] - values[row, ref]) for values in (score, log_pi)]
                numbers = "\t".join(f"{value:.5f}" for value in [*ratios, *site[row]])
                handle.write(
                    f"{columns.contig}\t{position + 1}\t{BASES[ref]}\t{BASES[alt]}\t{numbers}\n"
                )


def note(results: Path, name: str, columns: Columns, fit: Fit) -> None:
    """Append one row to the table of likelihoods and print it."""
    path = results / "likelihood.tsv"
    if not path.exists():
        path.write_text("fit\tshown\theld_out_species\tmean_log_R\tsd_log_R\tshared\n")
    theta, model = fit
    shown, held_out = columns.likelihoods(fit)
    np.save(results / f"{name}.npy", held_out)
    rate = model.log_rate(theta).detach()
    figures = (shown.mean(), held_out.mean(), rate.mean(), rate.std())
    shared = json.dumps(
        {k: np.round(v, 4).tolist() for k, v in model.settings().items() if k != "strand_symmetric"}
    )
    row = "\t".join([name, *(f"{value:.4f}" for value in figures), shared])
    with path.open("a") as handle:
        handle.write(row + "\n")
    print(row, flush=True)


def study_sites(config: TrainingConfig, results: Path) -> None:
    """Fit each site by itself, select by held-out species, score with all of them."""
    columns = Columns(config)
    write_scores(results / "frequency.tsv.gz", columns, (columns.frequencies(), F81()))
    mean = config.rate.mean
    priors = {
        "sites-free": SitePrior(log_rate_sd=np.inf),
        "sites-prior": SitePrior(mean, 1.0),
        "sites-fixed": SitePrior(mean, 0.0),
    }
    for name, prior in priors.items():
        theta = fit_sites(columns.shown, columns.reference, columns.plan, prior)
        note(results, name, columns, (theta, F81()))
        theta = fit_sites(columns.all, columns.reference, columns.plan, prior)
        write_scores(results / f"{name}.tsv.gz", columns, (theta, F81()))


def train(config: TrainingConfig, columns: Columns) -> Fit:
    """Train as `config` says and predict theta at every column."""
    with tempfile.TemporaryDirectory() as folder:
        run, path = Path(folder) / "run", Path(folder) / "model"
        Trainer(config, run, torch.device("cpu")).run()
        export_model(run, path, ExportRequest("study"))
        model = load_model(str(path))
        with ReferenceGenome.open(HERE / "data" / "chrM.fa") as genome:
            scorer = Scorer(model, genome, threads=torch.get_num_threads())
            whole = Region(columns.contig, 0, genome.contigs[columns.contig])
            return torch.from_numpy(scorer.theta(whole)[columns.position]), model.substitution


Tables = dict[str, dict[str, Any]]

#: What is changed in select.toml, table by table.
VARIATIONS: dict[str, Tables] = {
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


def _model(name: str, rate: dict[str, Any], **settings: Any) -> Tables:
    return {"substitution": {"model": name, **settings}, "rate": rate}


_PRIOR = {"treatment": "prior", "sd": 2.0}
_FIXED = {"treatment": "fixed"}
_LEARNED = {"treatment": "fixed", "learn": True}
_STRANDS = {"strand_symmetric": False}
#: Substitution models; the strands of the mitochondrion mutate differently.
MODELS: dict[str, Tables] = {
    "f81": _model("f81", _PRIOR),
    "hky": _model("hky", _PRIOR),
    "gtr": _model("gtr", _PRIOR, **_STRANDS),
    "gtr-symmetric": _model("gtr", _PRIOR),
    "mutsel-fixed": _model("mutation-selection", _FIXED, **_STRANDS),
    "mutsel-fixed-learned": _model("mutation-selection", _LEARNED, **_STRANDS),
    "mutsel-prior": _model("mutation-selection", _PRIOR, **_STRANDS),
    "mutsel-prior-symmetric": _model("mutation-selection", _PRIOR),
    "mutsel-prior-sd-1": _model("mutation-selection", _PRIOR | {"sd": 1.0}, **_STRANDS),
    "mutsel-prior-fitted": _model(
        "mutation-selection", {"learn": True, "treatment": "prior", "sd": None}, **_STRANDS
    ),
    "mutsel-free": _model("mutation-selection", {"treatment": "free"}, **_STRANDS),
}


class Study:
    """Configurations that differ from one in a few values, and one set of held-out species.

    Parameters
    ----------
    tables : dict
        Of the configuration file.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.config = self.changed({})
        source = TrainingData(self.config).stores[0]
        self._held_out = [source.store.species[i] for i in source.held_out_species]

    def changed(self, changes: Tables) -> TrainingConfig:
        """The configuration with some tables' values replaced, or left out where None."""
        merged = {
            name: {
                key: value
                for key, value in {**self._tables.get(name, {}), **changes.get(name, {})}.items()
                if value is not None
            }
            for name in self._tables.keys() | changes.keys()
        }
        config, errors = parse_config(merged, HERE)
        if config is None:
            raise SystemExit("; ".join(errors))
        return config

    def seeded(self, changes: Tables, seed: int) -> TrainingConfig:
        """Likewise with another seed, which does not change the species that are held out."""
        data = {"held_out_species": self._held_out, "held_out_species_fraction": 0.0}
        return self.changed(changes | {"data": data, "run": {"seed": seed}})


def study_networks(
    study: Study, results: Path, candidates: dict[str, Tables], seeds: list[int]
) -> None:
    """Train every candidate; the likelihood of the held-out species says which is best."""
    columns = Columns(study.config)
    for seed in seeds:
        for name, changes in candidates.items():
            label = f"network-{name}" + (f"-seed{seed}" if seed != 1 else "")
            fit = train(study.seeded(changes, seed), columns)
            note(results, label, columns, fit)
            write_scores(results / f"{label}.tsv.gz", columns, fit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["sites", "networks", "models"])
    parser.add_argument("store", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--config", type=Path, default=HERE / "select.toml")
    parser.add_argument("--only", nargs="*", choices=[*VARIATIONS, *MODELS], help="of the networks")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1], help="of the networks")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(arguments.threads)
    set_likelihood_threads(arguments.threads)
    arguments.results.mkdir(parents=True, exist_ok=True)
    tables = tomllib.loads(arguments.config.read_text())
    tables["data"]["stores"] = [str(arguments.store.absolute())]
    study = Study(tables)
    if arguments.part == "sites":
        study_sites(study.config, arguments.results)
    else:
        candidates = MODELS if arguments.part == "models" else VARIATIONS
        names = arguments.only or list(candidates)
        chosen = {name: candidates[name] for name in names if name in candidates}
        study_networks(study, arguments.results, chosen, arguments.seeds)


if __name__ == "__main__":
    main()
