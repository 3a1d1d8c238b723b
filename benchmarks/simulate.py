"""The simulator: evolution against sampling branch by branch, and the whole command.

python benchmarks/simulate.py TREE.nh [LENGTH]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from paired import compare

from phylotools.phylogeny.simulation import evolve_columns
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick

COLUMNS = 4096


def branch_by_branch(theta: torch.Tensor, tree: Tree, model: SubstitutionModel) -> np.ndarray:
    """The usual way: from parent to child by the transition probabilities of each branch."""
    rng = np.random.default_rng(1)
    states = np.empty((len(tree.names), len(theta)), dtype=np.int64)
    with torch.inference_mode():
        pi = model.log_equilibrium_frequencies(theta).exp().numpy()
        states[0] = (rng.random((len(theta), 1)) > pi.cumsum(axis=1)).sum(axis=1).clip(max=3)
        for node in tree.postorder[::-1][1:].tolist():
            chances = model.transition_probabilities(theta, float(tree.branch_length[node]))
            own = np.take_along_axis(
                chances.numpy(), states[tree.parent[node]][:, None, None], axis=1
            )[:, 0]
            draws = rng.random((len(theta), 1)) > own.cumsum(axis=1)
            states[node] = draws.sum(axis=1).clip(max=3)
    return states[tree.tip_nodes].T


def whole_command(tree: str, length: int, *options: str) -> None:
    """Time the command as a user gives it."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "phylotools", "simulate", tree, "--length", str(length), "-q",
             *(option.format(folder) for option in options)],
            check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"  {' '.join(options):60s} {seconds:6.1f} s, {length / seconds:9,.0f} columns/s, "
        f"{size / 1e6:.0f} MB, at most {memory:.0f} MB of memory so far"
    )


def main() -> None:
    torch.set_num_threads(1)
    path = sys.argv[1]
    length = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    tree = parse_newick(Path(path).read_text(), path=path)
    print(f"{Path(path).name}: {tree.n_tips} species, total length {tree.total_length:.2f}")
    for name in ("f81", "hky", "mutation-selection"):
        model = make_substitution_model(name).requires_grad_(False)
        theta = torch.zeros(COLUMNS, 4, dtype=torch.float64)
        theta = model.with_log_rate(theta, model.neutral_log_rate)
        print(name)
        ways = {
            "branch by branch": partial(branch_by_branch, theta, tree, model),
            "simulator": partial(evolve_columns, theta, tree, model),
        }
        compare(ways, work=COLUMNS, unit="columns/s", runs=3)
    for options in (
        ("-o", "{}/a.maf", "-@", "1"),
        ("-o", "{}/a.maf.gz", "-@", "1"),
        ("-o", "{}/a.maf.gz", "--truth", "{}/t.tsv.gz", "--output-fasta", "{}/r.fa"),
    ):
        whole_command(path, length // 10, *options)
        whole_command(path, length, *options)


if __name__ == "__main__":
    main()
