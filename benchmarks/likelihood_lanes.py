"""Columns per block of the compiled kernel, one thread, float32.

python benchmarks/likelihood_lanes.py TREE.nh [TREE.nh ...]
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
from paired import compare

from phylotools.phylogeny.kernels import cpu
from phylotools.phylogeny.kernels.plan import make_plan
from phylotools.phylogeny.tree import parse_newick

COLUMNS = 2048


def kernel_with_lanes(lanes: int) -> ModuleType:
    """A copy of the kernel's module with another block size, compiled without the shared cache."""
    spec = importlib.util.spec_from_file_location(f"cpu_{lanes}_lanes", cpu.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.LANES = lanes
    for name, function in vars(module).items():
        if name.startswith("_") and hasattr(function, "py_func"):
            function._cache = numba.core.caching.NullCache()
    return module


def main() -> None:
    numba.set_num_threads(1)
    rng = np.random.default_rng(0)
    modules = {lanes: kernel_with_lanes(lanes) for lanes in (16, 32, 64, 128)}
    for path in sys.argv[1:]:
        tree = parse_newick(Path(path).read_text(), path=path).with_minimum_branch_length(1e-6)
        plan = make_plan(tree)
        states = rng.integers(0, 6, (COLUMNS, tree.n_tips), dtype=np.uint8)
        theta = rng.normal(size=(COLUMNS, 4)).astype(np.float32)
        print(f"{Path(path).name}: {tree.n_tips} species, {COLUMNS} columns")
        ways = {
            f"{lanes} lanes": partial(module.f81_log_likelihood_and_gradient, states, theta, plan)
            for lanes, module in modules.items()
        }
        compare(ways, work=COLUMNS, unit="columns/s")


if __name__ == "__main__":
    main()
