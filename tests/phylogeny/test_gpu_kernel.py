"""The Triton kernel: on a GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from likelihood_cases import MODELS, make_model, random_columns

from phylotools.errors import PhylotoolsError
from phylotools.phylogeny.kernels.gpu import dispatch
from phylotools.phylogeny.kernels.gpu.layout import traversal_layout
from phylotools.phylogeny.likelihood import column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import HKY
from phylotools.phylogeny.tree import Tree, parse_newick

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if find_spec("triton") is None:
    pytest.skip("no Triton here", allow_module_level=True)
if DEVICE == "cpu":
    # Triton reads it when it is imported, which no module does before its kernel is launched.
    os.environ.setdefault("TRITON_INTERPRET", "1")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Columns that leave the range of float32 do so on purpose.
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
]

#: A polytomy, a node with one child, branches of length zero and nearly so.
ODD = "((a:1,b:0.2):0.3,(c:0.1,(d:2,g:1e-6):0):0.4,(e:0.7):0.1,(f:0.2,h:0.4,i:0.1,j:0.3):0.2);"
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}


def run(kernel, states, theta, tree, model, device):
    """Log-likelihoods; gradients of their weighted sum with respect to theta and parameters."""
    model = model.to(device)
    theta = theta.to(device).requires_grad_()
    value = column_log_likelihood(states.to(device), theta, tree, model, kernel=kernel)
    weights = torch.linspace(0.5, 2, len(theta), dtype=theta.dtype, device=device)
    weighted = torch.where(value.isfinite(), value, 0) * weights
    gradients = torch.autograd.grad(weighted.sum(), [theta, *model.parameters()])
    return value.detach().cpu(), [gradient.cpu() for gradient in gradients]


def check(states, theta, tree, name="f81", model=None):
    """The kernel against the reference in float64, at the same theta; gives the reference."""
    tolerance = TOLERANCE[theta.dtype]
    made = make_model(name) if model is None else model
    value, gradients = run("gpu", states, theta.clone(), tree, made, DEVICE)
    exact, wanted = run("reference", states, theta.double(), tree, made, "cpu")
    assert value.dtype == gradients[0].dtype == theta.dtype
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)
    assert len(gradients) == len(wanted) == 1 + len(list(made.parameters()))
    scale = 1 + wanted[0].abs().amax(dim=1, keepdim=True)
    np.testing.assert_allclose(gradients[0] / scale, wanted[0] / scale, atol=tolerance)
    for found, shared in zip(gradients[1:], wanted[1:], strict=True):
        largest = 1 + float(shared.abs().max())
        np.testing.assert_allclose(found / largest, shared / largest, atol=tolerance)
    return exact


def sites(rng, columns, dtype, spread=1.0):
    return torch.from_numpy(rng.normal(-0.5, spread, (columns, 4))).to(dtype)


# the same numbers as the reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_agrees_with_the_reference(name, dtype):
    tree = parse_newick(ODD)
    rng = np.random.default_rng(1)
    states = random_columns(rng, 20, tree)
    states[3] = 5
    states[4, 1:] = 6
    exact = check(states, sites(rng, 20, dtype), tree, name)
    assert exact[3] == 0
    assert exact.min() < -10


def test_birds(data):
    tree = parse_newick((data / "birds53" / "53birds.nh").read_text())
    rng = np.random.default_rng(2)
    states = random_columns(rng, 32, tree)
    states[:, 9:20] = 4
    check(states, sites(rng, 32, torch.float32, 2), tree)


def test_many_tips_never_underflow_float32(mammals):
    # In the interpreter every branch costs a second; slow sites make up for fewer.
    tree = mammals.prune(mammals.tips[::14])
    rng = np.random.default_rng(3)
    states = torch.from_numpy(rng.integers(0, 4, (2, tree.n_tips)).astype(np.uint8))
    assert check(states, sites(rng, 2, torch.float32) - 3, tree).max() < -90


@pytest.mark.parametrize("columns", [0, 1, 31, 33])
def test_any_number_of_columns(columns):
    tree = parse_newick("(a:0.1,b:0.3,c:0.2);")
    rng = np.random.default_rng(columns)
    check(random_columns(rng, columns, tree), sites(rng, columns, torch.float32), tree)


def test_columns_that_are_views():
    tree = parse_newick("(a:0.1,b:0.3,c:0.2);")
    rng = np.random.default_rng(4)
    states = random_columns(rng, 21, tree).T.contiguous().T[1:]
    theta = sites(rng, 40, torch.float32)[::2]
    check(states, theta, tree)


# species that a block lacks


def test_every_block_prunes_the_tree_to_its_species():
    """Programs do several blocks each: what one leaves behind must not be seen by the next."""
    tree = parse_newick(ODD)
    rng = np.random.default_rng(5)
    blocks = [
        "abcdefghij", "", "d", "ab", "dg", "cdg", "aj", "fhij", "cij", "abdj", "bcdghij", "e",
        "acdefghij",
    ]  # fmt: skip
    parts = []
    for present in blocks:
        part = random_columns(rng, 32, tree)
        part[:, [tip not in present for tip in tree.tips]] = 7
        parts.append(part)
    states = torch.cat(parts)[:-9]
    check(states, sites(rng, len(states), torch.float64), tree)


@pytest.mark.parametrize("seed", range(2))
def test_random_trees_and_species(seed):
    rng = np.random.default_rng(10 + seed)
    tree = random_tree(rng, 7)
    states = random_columns(rng, 12, tree, missing=0.1)
    states[:, rng.random(7) < 0.4] = 5
    check(states, sites(rng, 12, torch.float64), tree, "gtr" if seed == 0 else "f81")


def random_tree(rng, n_tips: int) -> Tree:
    parts = [f"t{i}:{rng.exponential():.4f}" for i in range(n_tips)]
    while len(parts) > 1:
        rng.shuffle(parts)
        taken = int(rng.integers(2, min(4, len(parts)) + 1))
        length = 0 if rng.random() < 0.3 else rng.exponential()
        parts = [*parts[taken:], f"({','.join(parts[:taken])}):{length:.4f}"]
    return parse_newick(parts[0] + ";")


@pytest.mark.parametrize("text", [ODD, "(a:1,b:2);", "(((a:1,b:1):1,c:1):1,(d:1,e:1):1);"])
def test_the_layout_is_depth_first(text):
    plan = make_plan(parse_newick(text))
    layout = traversal_layout(plan)
    n_merges = len(plan.child)
    assert sorted(layout.tip.tolist()) == list(range(plan.n_tips))
    low, middle, high = layout.clade.T
    assert (low < middle).all()
    assert (middle < high).all()
    assert low[-1] == 0
    assert high[-1] == plan.n_tips
    for merge in range(n_merges):
        assert middle[merge] - low[merge] >= high[merge] - middle[merge]
        first, second = layout.first_merge[merge], merge - 1
        if middle[merge] - low[merge] > 1:
            assert (low[first], high[first]) == (low[merge], middle[merge])
        if high[merge] - middle[merge] > 1:
            assert (low[second], high[second]) == (middle[merge], high[merge])


# the ends of the range


def test_impossible_columns():
    tree = parse_newick("((a:0,b:0):0.1,c:0.2);")
    states = torch.tensor([[0, 1, 2], [0, 0, 2], [3, 3, 3]], dtype=torch.uint8)
    theta = torch.zeros(3, 4)
    value, gradients = run("gpu", states, theta, tree, make_model("f81"), DEVICE)
    assert value[0] == -torch.inf
    assert gradients[0][0].abs().max() == 0
    check(states[1:], theta[1:], tree)


def test_products_that_leave_float32_are_done_again():
    """Half of a star has A, half C: products for either base are tiny until the other's come."""
    tree = parse_newick("(" + ",".join(f"t{i}:0.0001" for i in range(16)) + ");")
    states = torch.zeros(2, 16, dtype=torch.uint8)
    states[0, 8:] = 1
    states[1, 2:] = 4
    theta = torch.tensor([[0.2, 0.0, -0.4, -1.0]] * 2) - 30
    assert check(states, theta, tree)[0] < -80
    lost = dispatch._pruned(states.to(DEVICE), theta.to(DEVICE), make_plan(tree), make_model("f81"))
    assert lost.isnan().tolist() == [True, False]


def test_rare_bases_under_an_eigendecomposition():
    """Where a rare base replaces another the sum over eigenvectors cancels in float32."""
    tree = parse_newick("((a:1,b:0.2):0.3,(c:0.1,d:2):0.4,e:0.01);")
    rng = np.random.default_rng(6)
    states = torch.from_numpy(rng.integers(0, 4, (24, 5)).astype(np.uint8))
    theta = sites(rng, 24, torch.float32, 8)
    check(states, theta, tree, "gtr")
    model = make_model("gtr").to(DEVICE)
    lost = dispatch._pruned(states.to(DEVICE), theta.to(DEVICE), make_plan(tree), model)
    assert 0 < lost.isnan().sum() < 24


def test_transitions_much_rarer_than_transversions():
    tree = parse_newick("((a:1,b:0.2):0.3,c:4,d:0.1);")
    rng = np.random.default_rng(7)
    states = random_columns(rng, 8, tree)
    check(states, sites(rng, 8, torch.float32), tree, model=HKY(kappa=0.001).double())


# where it runs


def test_layouts_live_as_long_as_their_plan():
    plan = make_plan(parse_newick("(a:0.1,b:0.3);"))
    states, theta = torch.zeros(1, 2, dtype=torch.uint8), torch.zeros(1, 4)
    before = len(dispatch._LAYOUTS)
    for _ in range(2):
        column_log_likelihood(states.to(DEVICE), theta.to(DEVICE), plan, kernel="gpu")
    assert len(dispatch._LAYOUTS) == before + 1
    del plan
    gc.collect()
    assert len(dispatch._LAYOUTS) == before


def test_tensors_that_are_on_no_gpu(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    states, theta = torch.zeros(1, 2, dtype=torch.uint8), torch.zeros(1, 4)
    tree = parse_newick("(a:0.1,b:0.3);")
    assert not dispatch.available(torch.device("cpu"))
    with pytest.raises(PhylotoolsError, match="needs an NVIDIA GPU"):
        column_log_likelihood(states, theta, tree, kernel="gpu")
