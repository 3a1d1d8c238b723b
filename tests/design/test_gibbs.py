"""Gibbs sampling: what is known of toy models, what is held, and what nothing depends on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from toy_designs import (
    COUPLING,
    PI,
    Chain,
    OwnBaseAlone,
    SameEverywhere,
    conditionals_of,
    problem_of,
)
from toy_scoring import model_of

from phylotools.design.conditionals import (
    OwnBase,
    SiteConditionals,
    pseudo_log_likelihoods,
    seen_log_likelihoods,
)
from phylotools.design.constraints import CodingFrame, Constraint, single_edits
from phylotools.design.gibbs import GibbsSettings, draw, independent_blocks, sample
from phylotools.design.log_ratios import LogRatios
from phylotools.design.starts import random_starts
from phylotools.errors import UsageError
from phylotools.model.presets import PAD_TOKEN, ModelSpec
from phylotools.scoring.scorer import Scorer


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("own_base", [OwnBase.AVERAGED, OwnBase.HIDDEN, OwnBase.SEEN])
def test_independent_sites_have_their_frequencies(temperature: float, own_base: OwnBase):
    chosen = GibbsSettings(temperature, burn_in=1, chains=200, seed=4)
    found = sample(problem_of("A" * 20), conditionals_of(SameEverywhere(), own_base), chosen)
    expected = PI ** (1 / temperature)
    counts = np.bincount(found.codes.ravel(), minlength=4)
    assert chisquare(counts, counts.sum() * expected / expected.sum()).pvalue > 0.01


def test_a_joint_distribution_is_sampled():
    """Where conditionals are those of a joint distribution, that is what is sampled."""
    chosen = GibbsSettings(burn_in=20, sweeps=3, per_chain=20, chains=200, seed=2)
    found = sample(problem_of("ACGT"), conditionals_of(Chain()), chosen)
    states = np.array(list(itertools.product(range(4), repeat=4)))
    weights = np.exp(COUPLING * (states[:, 1:] == states[:, :-1]).sum(axis=1))
    counts = np.bincount(found.codes @ (64, 16, 4, 1), minlength=256)
    assert chisquare(counts, counts.sum() * weights / weights.sum()).pvalue > 0.01


def test_log_ratios_are_those_of_the_joint_distribution():
    problem = problem_of("ACGTAA")
    ratios = LogRatios(problem, conditionals_of(Chain()))
    codes = np.random.default_rng(1).integers(0, 4, (20, 6)).astype(np.uint8)

    def energy(each: np.ndarray) -> np.ndarray:
        return COUPLING * (each[:, 1:] == each[:, :-1]).sum(axis=1)

    assert ratios.of(codes) == pytest.approx(energy(codes) - energy(problem.codes), abs=1e-5)
    rows, positions, bases = single_edits(problem.constraint.repeated(np.zeros(20, int)), codes)
    changed = codes[rows]
    changed[np.arange(len(rows)), positions] = bases
    added = ratios.edited(codes, rows, positions, bases)
    assert added == pytest.approx(energy(changed) - energy(codes[rows]), abs=1e-5)


def test_what_a_conditional_is():
    tokens = np.array([[PAD_TOKEN, 0, 1, 2, PAD_TOKEN]], dtype=np.uint8)
    place = np.array([0]), np.array([1])
    of = {own: conditionals_of(OwnBaseAlone(), own) for own in OwnBase}
    assert np.exp(of[OwnBase.AVERAGED].log_frequencies(tokens, *place)) == pytest.approx(0.25)
    seen = np.exp(of[OwnBase.SEEN].log_frequencies(tokens, *place))[0]
    assert seen == pytest.approx([0.1 / 3, 0.9, 0.1 / 3, 0.1 / 3])
    totals, frequencies = pseudo_log_likelihoods(of[OwnBase.AVERAGED], tokens)
    assert totals == pytest.approx(3 * np.log(0.25))
    assert frequencies.shape == (1, 3, 4)
    assert seen_log_likelihoods(of[OwnBase.SEEN].scorer, tokens) == pytest.approx(3 * np.log(0.9))


def test_averaging_by_hand(one_thread):
    """The mean over the four bases, each in a window of its own."""
    model = model_of(ModelSpec(channels=12, bottleneck=6, dilations=(1, 5)))
    conditionals = SiteConditionals(Scorer(model, threads=1))
    half = model.receptive_field // 2
    tokens = np.random.default_rng(3).integers(0, 4, (2, 7 + 2 * half)).astype(np.uint8)
    found = conditionals.log_frequencies(tokens, np.array([1]), np.array([4]))
    total = np.zeros(4)
    for base in range(4):
        changed = tokens[1:2].copy()
        changed[0, 4 + half] = base
        theta = conditionals.scorer.values_of(changed)[0, 4].astype(np.float64)
        total += np.exp(theta - np.logaddexp.reduce(theta)) / 4
    assert np.exp(found[0]) == pytest.approx(total, rel=1e-5)


@pytest.fixture(scope="module")
def conditionals(one_thread) -> SiteConditionals:
    return SiteConditionals(
        Scorer(model_of(ModelSpec(channels=12, bottleneck=6, dilations=(1, 5))), threads=1)
    )


GENE = "ATGGCTCGTAAAGATCTTTCTTGGTAA"


def run(conditionals, problem, **changes):
    return sample(problem, conditionals, GibbsSettings(**{"burn_in": 4, "chains": 3} | changes))


@pytest.mark.parametrize(
    ("limits", "holds"),
    [
        ({"fixed": ("1-3", "25-27")}, lambda s: s[:3] == "ATG" and s[24:] == "TAA"),
        ({"fixed": ("s:4-27",)}, lambda s: s[3:] == GENE[3:]),
        ({"keep_protein": "1"}, lambda s: Seq(s).translate() == Seq(GENE).translate()),
        (
            {"keep_protein": "2"},
            lambda s: (
                Seq(s[1:25]).translate() == Seq(GENE[1:25]).translate()
                and s[0] + s[25:] == GENE[0] + GENE[25:]
            ),
        ),
        (
            {"template": GENE[:10] + "N" * 16 + "R"},
            lambda s: s[:10] == GENE[:10] and s[26] in "AG",
        ),
        ({"most_edits": 2}, lambda s: sum(map(str.__ne__, s, GENE)) <= 2),
        (
            {"most_edits": 3, "keep_protein": "1"},
            lambda s: (
                sum(map(str.__ne__, s, GENE)) <= 3 and Seq(s).translate() == Seq(GENE).translate()
            ),
        ),
    ],
)
def test_limits_are_held(conditionals, limits, holds):
    problem = problem_of(GENE, conditionals.half_window, **limits)
    found = run(conditionals, problem, per_chain=3, sweeps=1)
    letters = ["".join("ACGT"[code] for code in row) for row in found.codes]
    assert all(map(holds, letters))
    assert len(set(letters)) > 3
    assert found.edits[-1].tolist() == [sum(map(str.__ne__, text, GENE)) for text in letters[2::3]]


def test_the_other_strand_keeps_its_protein(conditionals):
    text = str(Seq(GENE).reverse_complement())
    found = run(conditionals, problem_of(text, conditionals.half_window, keep_protein="-1"))
    for row in found.codes:
        letters = "".join("ACGT"[code] for code in row)
        assert Seq(letters).reverse_complement().translate() == Seq(GENE).translate()
        assert letters != text


def test_a_seed_says_everything(conditionals):
    problem = problem_of(GENE, conditionals.half_window)
    first = run(conditionals, problem)
    assert np.array_equal(first.codes, run(conditionals, problem).codes)
    assert not np.array_equal(first.codes, run(conditionals, problem, seed=2).codes)
    # Neither how many are sampled together, nor threads.
    assert np.array_equal(first.codes, run(conditionals, problem, chains=7).codes[:3])
    two = SiteConditionals(Scorer(conditionals.scorer.model, threads=2))
    assert np.array_equal(first.codes, run(two, problem).codes)
    # A chain that goes on is the same up to there.
    longer = run(conditionals, problem, per_chain=2, sweeps=3)
    assert np.array_equal(longer.codes[::2], first.codes)
    assert longer.sweeps.tolist() == [4, 7] * 3


def test_random_starts_do_not_depend_on_their_number():
    few, many = (random_starts("NNRYACGTNN" * 3, 0.3, n, 1, seed=5) for n in (2, 9))
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(few, many, strict=False))
    for start in many:
        assert set(start.codes[2::10].tolist()) <= {0, 2}
        assert start.codes[4:8].tolist() == [0, 1, 2, 3]
    (poor,) = random_starts("N" * 2000, 0.0, 1, 1, seed=1)
    assert set(poor.codes.tolist()) == {0, 3}
    (gc,) = random_starts("N" * 2000, 0.7, 1, 1, seed=1)
    assert np.isin(gc.codes, (1, 2)).mean() == pytest.approx(0.7, abs=0.05)


@given(st.integers(1, 60), st.integers(0, 30), st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_two_of_a_block_see_each_other(length: int, half_window: int, has_codons: bool):
    codes = np.zeros((1, length), dtype=np.uint8)
    frames = []
    if has_codons and length >= 3:
        frames = [CodingFrame(np.arange(length // 3 * 3).reshape(-1, 3), False, 1)]
    constraint = Constraint(codes, np.ones((length, 4), dtype=bool), frames)
    blocks = independent_blocks(constraint, half_window)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(length))
    for block in blocks:
        gaps = np.diff(np.sort(block))
        assert (gaps > half_window).all()
        if frames:
            inside = block[block < length // 3 * 3] // 3
            assert len(set(inside.tolist())) == len(inside)


@given(st.lists(st.integers(0, 3), min_size=9, max_size=9), st.integers(0, 2), st.data())
@settings(max_examples=40, deadline=None)
def test_allowed_bases_are_those_of_a_plain_search(start, most_edits, data):
    start = np.array(start, dtype=np.uint8)
    frames = [
        CodingFrame(np.arange(9).reshape(-1, 3), False, 1),
        CodingFrame(np.arange(7, 1, -1).reshape(-1, 3), True, 2),
    ][: data.draw(st.integers(0, 2))]
    mask = np.ones((9, 4), dtype=bool)
    mask[4] = np.arange(4) == start[4]
    constraint = Constraint(start[None], mask, frames, most_edits)

    def keeps(codes: np.ndarray) -> bool:
        text = "".join("ACGT"[code] for code in codes)
        own = "".join("ACGT"[code] for code in start)
        other, others = Seq(text[2:8]).reverse_complement(), Seq(own[2:8]).reverse_complement()
        return (
            codes[4] == start[4]
            and (codes != start).sum() <= most_edits
            and (len(frames) < 1 or Seq(text).translate() == Seq(own).translate())
            and (len(frames) < 2 or other.translate(2) == others.translate(2))
        )

    codes = start.copy()
    for _ in range(4):
        position = data.draw(st.integers(0, 8))
        allowed = constraint.allowed(codes[None], position)[0]
        for base in range(4):
            changed = codes.copy()
            changed[position] = base
            assert allowed[base] == keeps(changed)
        codes[position] = data.draw(st.sampled_from(np.flatnonzero(allowed).tolist()))


def test_a_draw_takes_what_is_allowed():
    logs = np.log(np.array([[0.1, 0.2, 0.3, 0.4]] * 4))
    allowed = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=bool)
    for uniform in (0.0, 0.5, 1 - 1e-16):
        chosen = draw(logs, allowed, np.full(4, uniform))
        assert allowed[np.arange(4), chosen].all()
    assert draw(logs, allowed, np.full(4, 0.34)).tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), 1e-9])
def test_no_such_temperature(temperature: float):
    with pytest.raises(UsageError, match="temperature"):
        GibbsSettings(temperature)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"fixed": ("1-27",)}, "every position is fixed"),
        ({"most_edits": 0}, "nothing to change"),
        ({"template": GENE}, "every position is fixed"),
        ({"template": "N" * 28}, "28 letters"),
        ({"template": "N" * 26 + "!"}, "letter 27"),
        ({"keep_protein": "nowhere.gff3"}, "cannot read"),
    ],
)
def test_nothing_to_do(limits, message):
    with pytest.raises(Exception, match=message):
        problem_of(GENE, **limits)


def test_methionine_has_one_codon():
    with pytest.raises(UsageError, match="without changing the protein"):
        problem_of("ATGTGGATG", keep_protein="1")
    with pytest.raises(Exception, match="2 stop codons within the frame, the first at 1"):
        problem_of("TAATGAATG", keep_protein="1")
