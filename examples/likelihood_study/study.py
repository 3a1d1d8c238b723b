"""The likelihood study of docs/study.md: python study.py OUT [--quick] [-@ N] [--seed N]

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
from measures import Table, read_table, write_table

from phylotools.threads import n_cores, set_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="small numbers: a minute, no more")
    parser.add_argument("--draw", action="store_true", help="only draw OUT's tables again")
    parser.add_argument("-@", "--threads", type=int, default=n_cores())
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the fits' own tensors are small
    set_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.draw:
        compute(arguments.out, quick=arguments.quick, seed=arguments.seed)
    draw(arguments.out)


def compute(out: Path, *, quick: bool, seed: int) -> None:
    """Every table."""
    began = time.monotonic()

    def write(**tables: Table) -> None:
        for name, table in tables.items():
            write_table(out / f"{name}.tsv", table)
        print(f"{', '.join(tables)}: {time.monotonic() - began:.0f} s", flush=True)

    size = recovery.QUICK if quick else recovery.FULL
    write(recovery=recovery.study_recovery(size, seed))
    write(shared=recovery.study_shared(size, seed))
    write(confound=rate.study_confound())
    treatments, sites = rate.study_rate(rate.QUICK if quick else rate.FULL, seed)
    write(rate=treatments, rate_sites=sites)
    write(misfit=misfit.study_misfit(misfit.QUICK if quick else misfit.FULL, seed))


def draw(out: Path) -> None:
    """Every figure, from the tables."""
    for name, table, draw_figure in (
        ("recovery", "recovery", figures.draw_recovery),
        ("shared", "shared", figures.draw_shared),
        ("confound", "confound", figures.draw_confound),
        ("sites", "rate_sites", figures.draw_sites),
        ("misordering", "rate", figures.draw_misordering),
        ("misfit", "misfit", figures.draw_misfit),
    ):
        draw_figure(read_table(out / f"{table}.tsv"), out / f"study_{name}.png")


if __name__ == "__main__":
    main()
