"""Columns evolve as the models say, from whichever tip and wherever the work is cut."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from likelihood_cases import MODELS, make_model, oracle, rate_matrix_and_frequencies
from scipy import stats
from scipy.linalg import expm

from phylotools.errors import InputError
from phylotools.phylogeny.likelihood import column_log_likelihood, make_plan
from phylotools.phylogeny.simulation import (
    evolve_along,
    evolve_columns,
    kernels,
    make_walk,
    stream_key,
)
from phylotools.phylogeny.simulation.sites import SiteDistribution
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS, make_substitution_model
from phylotools.phylogeny.tree import parse_newick

pytestmark = pytest.mark.usefixtures("one_thread")

THETA = [0.4, -1.1, -0.3, 0.2]
FOUR = parse_newick("((A:0.3,B:0.1):0.2,(C:0.5,D:0):0.05);")
every_model = pytest.mark.parametrize("name", MODELS)


def sites(n: int, theta=THETA) -> torch.Tensor:
    return torch.tensor([theta], dtype=torch.float64).expand(n, 4)


def p_value(counts: np.ndarray, chances: np.ndarray) -> float:
    """Chance of a chi-square as large; cells too rare to test are put together."""
    expected = chances * counts.sum()
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    used = expected > 0
    assert counts[~used].sum() == 0
    return stats.chisquare(
        counts[used], expected[used] * counts.sum() / expected[used].sum()
    ).pvalue


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        (0, (0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (2**64 - 1, (2**32 - 1,) * 4, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            0x299F31D0A4093822,
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_random_words_are_those_of_the_authors(key, counter, words):
    """The known answers of Random123 for philox4x32-10."""
    found = kernels.philox(np.uint64(key), *map(np.uint64, counter))
    assert " ".join(f"{int(word):08x}" for word in found) == words


def test_uniforms_are_uniform_and_unrelated():
    values = np.empty((50_000, 6))
    kernels.fill_uniforms(stream_key(3), kernels.SITE, 10**12, values)
    assert 0 <= values.min() < values.max() < 1
    for column in values.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    correlations = np.corrcoef(np.concatenate([values[1:], values[:-1]], axis=1).T)
    assert np.abs(correlations - np.eye(12)).max() < 0.02


@every_model
@pytest.mark.parametrize("lengths", [(0.05, 0.0), (0.1, 0.3)])
def test_pairs_are_distributed_as_the_matrix_exponential(name, lengths):
    tree = parse_newick("(A:{},B:{});".format(*lengths))
    states = evolve_columns(sites(500_000), tree, make_model(name), seed=5).states
    counts = np.bincount(states[:, 0] * 4 + states[:, 1], minlength=16)
    q, pi = rate_matrix_and_frequencies(name, THETA)
    assert p_value(counts, (pi[:, None] * expm(q * sum(lengths))).ravel()) > 1e-3
    # ... and of no other: a branch 5 % longer is noticed.
    assert p_value(counts, (pi[:, None] * expm(q * sum(lengths) * 1.05)).ravel()) < 1e-4


@every_model
@pytest.mark.parametrize("start", ["A", "D"])
def test_whole_columns_have_the_likelihood_of_the_oracle(name, start):
    """All 256 columns of four species, whether the start is drawn or given."""
    walk = make_walk(FOUR, start)
    n, first = 100_000, FOUR.tips.index(start)
    for given in (4, 2):
        drawn = evolve_along(
            walk, sites(n), make_model(name), key=stream_key(11), start=0,
            start_states=np.full(n, given, dtype=np.uint8),
        ).states  # fmt: skip
        states = np.empty_like(drawn)
        states[:, walk.tip_index] = drawn
        counts = np.bincount(states @ [64, 16, 4, 1], minlength=256)
        columns = list(itertools.product(range(4), repeat=4))
        chances = np.exp([oracle(FOUR, column, THETA, name) for column in columns])
        if given < 4:
            chances *= [column[first] == given for column in columns]
        assert p_value(counts, chances / chances.sum()) > 1e-3


@every_model
def test_substitutions_are_as_many_as_the_site_rate_says(name, mammals):
    """On a large tree, where a waiting time lasts over many branches and out of clades."""
    model = make_model(name)
    found = evolve_columns(sites(40_000), mammals, model, seed=2).substitutions
    expected = model.site_rate(sites(1))[0].item() * mammals.total_length
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(len(found))


@every_model
def test_the_likelihood_is_highest_near_the_truth(name, data):
    tree = parse_newick((data / "birds53" / "53birds.nh").read_text())
    plan, model = make_plan(tree), make_model(name)
    theta = sites(3000).clone()
    states = torch.from_numpy(evolve_columns(theta, tree, model, seed=4).states)

    def value(shift, at=model) -> float:
        moved = (theta + torch.tensor(shift, dtype=torch.float64)).contiguous()
        with torch.no_grad():
            return column_log_likelihood(states, moved, plan, at).sum().item()

    best = value([0.0] * 4)
    for direction in np.vstack([np.eye(4), np.ones((1, 4))]):
        assert value(list(0.1 * direction)) < best > value(list(-0.1 * direction))
    if name in ("hky", "gtr"):
        assert value([0.0] * 4, make_substitution_model("f81").double()) < best - 100


def test_columns_do_not_depend_on_where_the_work_is_cut():
    theta = torch.randn(300, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole = evolve_columns(theta, FOUR, seed=9)
    parts = [
        evolve_columns(theta[start:end], FOUR, seed=9, start=start)
        for start, end in ((0, 1), (1, 170), (170, 300))
    ]
    np.testing.assert_array_equal(np.concatenate([part.states for part in parts]), whole.states)
    assert np.concatenate([p.substitutions for p in parts]).tolist() == whole.substitutions.tolist()
    assert (evolve_columns(theta, FOUR, seed=10).states != whole.states).any()
    # With the other positions' draws the columns would be others.
    assert (evolve_columns(theta, FOUR, seed=9, start=1).states != whole.states).any()


@pytest.mark.parametrize("start", ["galGal6", "tinGut2", "corCor1"])
def test_a_walk_has_every_clade_as_seen_from_its_start(start, data):
    tree = parse_newick((data / "birds53" / "53birds.nh").read_text())
    walk = make_walk(tree, start)
    assert walk.species[0] == start
    assert walk.species == tuple(tree.tips[index] for index in walk.tip_index)
    assert sorted(walk.species) == sorted(tree.tips)
    assert walk.branch_length.sum() == pytest.approx(tree.total_length)
    ways = []
    for node in tree.tip_nodes.tolist():
        way = []
        while node >= 0:
            way.append(node)
            node = int(tree.parent[node])
        ways.append(set(way))
    first = ways[tree.tips.index(start)]
    for slot, index in enumerate(walk.tip_index.tolist()):
        between = first ^ ways[index]
        holding = [
            walk.first_tip[b] <= slot < walk.first_tip[walk.clade_end[b]]
            for b in range(len(walk.branch_length))
        ]
        expected = tree.branch_length[sorted(between)].sum()
        assert walk.branch_length[holding].sum() == pytest.approx(expected)
    assert walk.is_tip_branch.sum() == tree.n_tips - 1


def test_branches_of_length_zero_change_nothing():
    tree = parse_newick("((A:0,B:0):0,(C:1,D:0):0);")
    found = evolve_columns(sites(500), tree)
    assert (found.states[:, [1, 3]] == found.states[:, :1]).all()
    assert (found.states[:, 2] != found.states[:, 0]).any()


@pytest.mark.parametrize("theta", [[50.0, 0, 0, 0], [math.nan, 0, 0, 0], [math.inf, 0, 0, 0]])
def test_senseless_rates_are_refused(theta):
    with pytest.raises(InputError, match="site 8 has rates that are not finite, or expects more"):
        evolve_columns(torch.tensor([THETA, theta]), FOUR, start=6)


def test_trees_that_cannot_be_walked_are_refused():
    with pytest.raises(InputError, match="no tip called Z"):
        make_walk(FOUR, "Z")
    with pytest.raises(InputError, match="one tip only"):
        make_walk(parse_newick("A;"))


NONE = SiteDistribution(rate_sd=0, frequency_sd=0, conserved_fraction=0)


SETTINGS = {
    "hky": {"kappa": 4.0, "background": [0.4, 0.1, 0.2, 0.3]},
    "gtr": {"exchangeabilities": [1.0, 5.0, 0.3, 0.7, 9.0, 2.0]},
    "mutation-selection": {"mutation_frequencies": [0.4, 0.1, 0.2, 0.3]},
}


@pytest.mark.parametrize("name", SUBSTITUTION_MODELS)
class TestSites:
    def draw(self, name, distribution, n=20_000):
        model = make_substitution_model(name, **SETTINGS.get(name, {})).requires_grad_(False)
        return model, distribution.draw(model, stream_key(1), 0, n)

    def test_no_spread_is_a_neutral_site(self, name):
        model, theta = self.draw(name, NONE, 3)
        torch.testing.assert_close(model.site_rate(theta), torch.ones(3, dtype=torch.float64))
        scores = model.allele_scores(theta)
        torch.testing.assert_close(
            scores - scores[:, :1], torch.zeros_like(scores), atol=1e-6, rtol=0
        )

    def test_rates_and_scores_have_their_distributions(self, name):
        model, theta = self.draw(name, SiteDistribution(0.3, 0.7, 1.2, 0))
        log_rate = model.log_rate(theta) - model.neutral_log_rate
        assert stats.kstest(log_rate, stats.norm(0.3, 0.7).cdf).pvalue > 1e-3
        scores = model.allele_scores(theta)
        for a, b in itertools.combinations(range(4), 2):
            difference = (scores[:, a] - scores[:, b]) / math.sqrt(2)
            assert stats.kstest(difference, stats.norm(0, 1.2).cdf).pvalue > 1e-3

    def test_conserved_sites(self, name):
        distribution = SiteDistribution(0, 0, 0, 0.3, 4.0, 0.5)
        model, theta = self.draw(name, distribution)
        scores = model.allele_scores(theta)
        gain = scores.amax(dim=1) - scores.amin(dim=1)
        conserved = gain > 1
        assert stats.binomtest(int(conserved.sum()), len(gain), 0.3).pvalue > 1e-3
        torch.testing.assert_close(gain[conserved], torch.full_like(gain[conserved], 4.0))
        expected = model.neutral_log_rate + math.log(0.5) * conserved.double()
        torch.testing.assert_close(model.log_rate(theta), expected, atol=1e-6, rtol=0)
        neutral = self.draw(name, NONE, 1)[1]
        pi = model.log_equilibrium_frequencies(neutral)[0].exp().numpy()
        favoured = np.bincount(scores[conserved].argmax(dim=1), minlength=4)
        assert p_value(favoured, pi) > 1e-3

    def test_a_site_does_not_depend_on_the_others(self, name):
        model, theta = self.draw(name, SiteDistribution(), 100)
        part = SiteDistribution().draw(model, stream_key(1), 40, 60)
        torch.testing.assert_close(theta[40:60], part, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "wrong",
    [{"rate_sd": -1}, {"conserved_fraction": 1.1}, {"conserved_rate": 0}, {"rate_mean": math.nan}],
)
def test_site_distributions_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong)).replace('_', ' ')} must lie between"):
        SiteDistribution(**wrong)
