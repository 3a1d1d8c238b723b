from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from phylotools.evaluate.separation import PlacedClasses, separation_of


def windows(vectors, classes, *, width=10, step=10, contigs=None):
    n = len(vectors)
    start = np.arange(n) * step
    names = tuple(sorted(set(classes)))
    return PlacedClasses(
        np.asarray(vectors, dtype=float),
        names,
        np.array([names.index(each) for each in classes]),
        np.zeros(n, dtype=int) if contigs is None else np.asarray(contigs),
        start,
        start + width,
    )


def test_purity_by_hand():
    # On a line: a a b | a b b; the nearest of each (k = 1).
    found = separation_of(
        windows([[0], [1], [2.5], [10], [10.5], [12]], list("aababb")), k=1, shifts=9
    )
    # a: 0 -> 1 (a), 1 -> 0 (a), 10 -> 10.5 (b); b: 2.5 -> 1 (a), 10.5 -> 10 (a), 12 -> 10.5 (b).
    assert found.by_class["a"].value == pytest.approx(2 / 3)
    assert found.by_class["b"].value == pytest.approx(1 / 3)
    assert found.purity.value == pytest.approx(0.5)
    assert found.counts == (3, 3)


def test_silhouette_is_that_of_scikit_learn():
    random = np.random.default_rng(1)
    classes = random.choice(list("abc"), 120)
    vectors = random.normal(size=(120, 5)) + 2 * (classes == "a")[:, None]
    found = separation_of(windows(vectors, classes), shifts=3)
    assert found.silhouette.value == pytest.approx(silhouette_score(vectors, classes), abs=1e-5)


def test_neighbours_on_the_genome_do_not_count():
    """A random walk: all are like those beside them, and classes are stretches of it."""
    random = np.random.default_rng(2)
    walk = np.cumsum(random.normal(size=(400, 20)), axis=0)
    classes = np.repeat(list("ab" * 10), 20)
    near = separation_of(windows(walk, classes), k=5, shifts=200)
    assert near.purity.value > 0.85
    # Moved classes are as pure: what looks like knowledge is nearness.
    assert near.purity.p > 0.05
    far = separation_of(windows(walk, classes), k=5, apart=500, shifts=200)
    assert far.purity.value < near.purity.value
    other = separation_of(windows(walk, classes, contigs=np.arange(400)), k=5, apart=500, shifts=9)
    assert other.purity.value == near.purity.value


@pytest.mark.parametrize("is_told", [True, False])
def test_the_null_says_what_chance_reaches(is_told):
    random = np.random.default_rng(3)
    classes = np.repeat(list("ababab"), [13, 61, 24, 37, 47, 18])
    vectors = random.normal(size=(200, 4))
    if is_told:
        vectors[classes == "b"] += 3
    found = separation_of(windows(vectors, classes), shifts=300)
    assert (found.purity.p < 0.05) == is_told
    assert (found.purity.value > found.purity.high) == is_told
    assert found.purity.null == pytest.approx(0.5, abs=0.25)


def test_what_cannot_be_compared():
    assert separation_of(windows([[0], [1], [2]], list("aab"))) is None
    found = separation_of(windows([[0], [1], [2], [3], [9]], list("aabbc")), k=50, shifts=4)
    assert found.names == ("a", "b")
    assert found.k == 1


def test_the_same_seed_gives_the_same_figures():
    random = np.random.default_rng(4)
    made = windows(random.normal(size=(90, 3)), random.choice(list("ab"), 90))
    one, same, other = (separation_of(made, shifts=50, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.purity.value == other.purity.value
    assert one.purity.low != other.purity.low or one.purity.null != other.purity.null
