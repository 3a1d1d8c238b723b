from __future__ import annotations

import subprocess
import sys

import pytest

#: No folder can be written, as in a read-only container: numba then finds no place for a cache.
CODE = """
import logging
logging.basicConfig(level=logging.INFO)
from numba.core import caching
def refuse(self):
    raise PermissionError(13, "read-only")
caching._CacheLocator.ensure_cache_path = refuse
from phylotools import compiling
from phylotools.phylogeny.kernels import cpu
assert not compiling.can_cache()
"""

#: A plain install has no scipy, which numba's own matrix products import when they run.
WITHOUT_SCIPY = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scipy":
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Refuse())
import torch
from phylotools.phylogeny.likelihood import column_log_likelihood, make_plan
from phylotools.phylogeny.simulation import evolve_columns
from phylotools.phylogeny.site_fit import fit_sites, learn_shared_parameters, rate_test
from phylotools.phylogeny.site_fit import neutral_theta
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS
from phylotools.phylogeny.tree import parse_newick
tree = parse_newick("((a:0.3,b:0.2):0.1,(c:0.5,d:0.1):0.1,e:0.3);")
plan = make_plan(tree)
theta = torch.full((20, 4), -1.0).requires_grad_()
for kind in SUBSTITUTION_MODELS.values():
    model = kind()
    with torch.no_grad():
        states = torch.from_numpy(evolve_columns(theta, tree, model).states)
    column_log_likelihood(states, theta, plan, model).sum().backward()
    found = fit_sites(states, states[:, 0], plan, model=model)
    learn_shared_parameters(states, states[:, 0], plan, model)
    rate_test(states, plan, neutral_theta(torch.zeros(4), model), model)
    assert torch.isfinite(found).all() and torch.isfinite(theta.grad).all()
assert "scipy" not in sys.modules
"""

#: Numba would look for scipy by importing it, a fifth of what a process takes to start.
WITH_SCIPY = """
import sys
import numpy as np
from phylotools.store.chunks import columns_of
columns_of(np.zeros((3, 2048), np.uint8), 0, np.empty((9, 3), np.uint8))
assert "numba.np.arraymath" in sys.modules and "scipy.linalg" not in sys.modules
import numba
assert (numba.njit(lambda a: a @ a)(np.eye(2)) == np.eye(2)).all()
assert (numba.njit(lambda a: np.cov(a))(np.eye(2)) == np.cov(np.eye(2))).all()
"""


def test_no_kernel_imports_scipy():
    pytest.importorskip("scipy")
    done = subprocess.run(
        [sys.executable, "-c", WITH_SCIPY], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_no_kernel_needs_scipy():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SCIPY], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_kernels_load_where_nothing_can_be_written():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "set NUMBA_CACHE_DIR to a private folder" in done.stderr
