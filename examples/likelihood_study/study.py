"""The likelihood study of docs/study.md: python study.py OUT [--quick] [-@ THREADS] [--seed N]

Writes OUT/*.tsv and OUT/study_*.png. Nothing but numbers drawn at random goes in, and the tree.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import figures
import misfit
import rate
import recovery
import torch
from measures import write_table

from phylotools.phylogeny.threads import n_cores, set_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="small numbers: a minute, no more")
    parser.add_argument("-@", "--threads", type=int, default=n_cores())
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the fits' own tensors are small
    set_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    run(arguments.out, quick=arguments.quick, seed=arguments.seed)


def run(out: Path, *, quick: bool, seed: int) -> None:
    """Every table and figure."""
    began = time.monotonic()

    def said(part: str) -> None:
        print(f"{part}: {time.monotonic() - began:.0f} s", flush=True)

    size = recovery.QUICK if quick else recovery.FULL
    errors, shared = recovery.study_recovery(size, seed), recovery.study_shared(size, seed)
    write_table(out / "recovery.tsv", errors)
    write_table(out / "shared.tsv", shared)
    figures.draw_recovery(errors, out / "study_recovery.png")
    figures.draw_shared(shared, out / "study_shared.png")
    said("recovery")
    surfaces = rate.study_confound()
    treatments, sites = rate.study_rate(rate.QUICK if quick else rate.FULL, seed)
    write_table(out / "confound.tsv", surfaces)
    write_table(out / "rate.tsv", treatments)
    write_table(out / "rate_sites.tsv", sites)
    figures.draw_confound(surfaces, out / "study_confound.png")
    figures.draw_sites(sites, out / "study_sites.png")
    figures.draw_misordering(treatments, out / "study_misordering.png")
    said("rate")
    fits = misfit.study_misfit(misfit.QUICK if quick else misfit.FULL, seed)
    write_table(out / "misfit.tsv", fits)
    figures.draw_misfit(fits, out / "study_misfit.png")
    said("misfit")


if __name__ == "__main__":
    main()
