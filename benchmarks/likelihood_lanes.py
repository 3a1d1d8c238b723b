"""Columns per block of the compiled kernel, one thread, float32.

python benchmarks/likelihood_lanes.py TREE.nh [TREE.nh ...]
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
from paired import compare

from phylotools.phylogeny.kernels import cpu
from phylotools.phylogeny.kernels.plan import PruningPlan, make_plan
from phylotools.phylogeny.tree import parse_newick

COLUMNS = 2048


def with_lanes(lanes: int, states: np.ndarray, theta: np.ndarray, plan: PruningPlan) -> Callable:
    """The kernel compiled anew, without the cache, for another block size."""
    module = importlib.reload(cpu)
    module.LANES = lanes
    for name, function in vars(module).items():
        if name.startswith("_") and hasattr(function, "py_func"):
            function._cache = numba.core.caching.NullCache()
    kernel = module.f81_log_likelihood_and_gradient
    return lambda: kernel(states, theta, plan)


def main() -> None:
    numba.set_num_threads(1)
    rng = np.random.default_rng(0)
    for path in sys.argv[1:]:
        tree = parse_newick(Path(path).read_text(), path=path).with_minimum_branch_length(1e-6)
        plan = make_plan(tree)
        states = rng.integers(0, 6, (COLUMNS, tree.n_tips), dtype=np.uint8)
        theta = rng.normal(size=(COLUMNS, 4)).astype(np.float32)
        print(f"{Path(path).name}: {tree.n_tips} species, {COLUMNS} columns")
        ways = {}
        for lanes in (16, 32, 64, 128):
            ways[f"{lanes} lanes"] = way = with_lanes(lanes, states, theta, plan)
            way()  # compiles, while the module still has this number of lanes
        compare(ways, work=COLUMNS, unit="columns/s")


if __name__ == "__main__":
    main()
