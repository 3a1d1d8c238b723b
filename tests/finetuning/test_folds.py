"""Groups are never torn apart, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.finetuning.folds import (
    Clusters,
    draw_folds,
    join_groups,
    n_with_near_neighbours,
)
from phylotools.finetuning.items import LabelledItems


def items_at(starts, groups, *, lengths=1, contigs=None, links=()) -> LabelledItems:
    n = len(starts)
    names = tuple(f"g{k}" for k in range(max(groups, default=0) + 1))
    starts = np.array(starts, dtype=np.int64)
    return LabelledItems(
        contigs=("a", "b"),
        contig=np.array(contigs or [0] * n, dtype=np.int32),
        start=starts,
        end=starts + lengths,
        labels=np.zeros(n),
        groups=names,
        group=np.array(groups, dtype=np.int32),
        classes=(".",),
        class_of=np.zeros(n, dtype=np.int32),
        is_held_out=np.zeros(n, dtype=bool),
        links=frozenset(links),
    )


def clusters_of(numbers) -> Clusters:
    numbers = np.asarray(numbers)
    return Clusters(tuple(f"c{k}" for k in range(numbers.max() + 1)), numbers)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=80),
    st.integers(2, 6),
    st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_folds_divide_what_there_is_by_whole_clusters(pairs, n_folds, seed):
    numbers = np.unique([cluster for cluster, _ in pairs], return_inverse=True)[1]
    labels = np.array([float(label) for _, label in pairs])
    clusters, rows = clusters_of(numbers), np.arange(len(pairs))
    try:
        folds = draw_folds(rows, clusters, labels, n_folds, seed)
    except InputError:
        by_class = [len(set(numbers[labels == label])) for label in (0, 1)]
        # Never where there are enough: each class in a cluster more than one fold can hold.
        assert min(by_class) < 2 or len(set(numbers)) < 2 * n_folds
        return
    assert len(folds) <= min(n_folds, len(clusters))
    assert sorted(np.concatenate([fold.test for fold in folds])) == rows.tolist()
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == rows.tolist()
        assert not set(numbers[fold.train]) & set(numbers[fold.test])
        assert len(set(labels[fold.train])) == 2


def test_folds_follow_from_names_and_sizes_not_from_the_order():
    rng = np.random.default_rng(3)
    numbers, labels = rng.integers(0, 12, 300), rng.integers(0, 2, 300).astype(float)
    folds = draw_folds(np.arange(300), clusters_of(numbers), labels, 4, 1)
    order = rng.permutation(300)
    shuffled = draw_folds(np.arange(300), clusters_of(numbers[order]), labels[order], 4, 1)
    for one, other in zip(folds, shuffled, strict=True):
        assert set(numbers[one.test]) == set(numbers[order][other.test])
    other_seed = draw_folds(np.arange(300), clusters_of(numbers // 3), labels, 2, 8)
    assert len(other_seed) == 2


def test_folds_are_balanced_in_number_and_class():
    rng = np.random.default_rng(2)
    numbers = rng.integers(0, 60, 3000)
    labels = (rng.random(3000) < 0.1).astype(float)
    folds = draw_folds(np.arange(3000), clusters_of(numbers), labels, 5, 1)
    assert [abs(len(fold.test) - 600) < 90 for fold in folds] == [True] * 5
    positives = labels.sum() / 5
    assert all(abs(labels[fold.test].sum() - positives) < 0.25 * positives for fold in folds)


def test_too_few_groups_and_one_class_are_a_line():
    labels = np.array([0.0, 1, 0, 1])
    with pytest.raises(InputError, match="too few groups: c0 would be on both sides"):
        draw_folds(np.arange(4), clusters_of([0, 0, 0, 0]), labels, 3, 1)
    with pytest.raises(InputError, match="without c0 nothing positive is left"):
        draw_folds(np.arange(4), clusters_of([1, 0, 2, 0]), labels, 3, 1)


def test_linked_groups_are_one():
    items = items_at([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], links=[(1, 3), (3, 4)])
    clusters = join_groups(items)
    assert clusters.names == ("g0", "g1+g3+g4", "g2")
    assert clusters.of.tolist() == [0, 1, 2, 1, 1]
    assert clusters.n_joined == 3


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 2), st.integers(0, 1), st.integers(1, 4)),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 8),
)
@settings(max_examples=50, deadline=None)
def test_near_neighbours_are_those_whose_windows_overlap(rows, reach):
    starts, folds, contigs, lengths = map(list, zip(*rows, strict=True))
    items = items_at(starts, folds, contigs=contigs, lengths=np.array(lengths))
    windows = [(contig, start - reach, start + length + reach) for start, _, contig, length in rows]
    expected = sum(
        any(
            fold != other_fold and c == d and low < other_high and other_low < high
            for (d, other_low, other_high), other_fold in zip(windows, folds, strict=True)
        )
        for (c, low, high), fold in zip(windows, folds, strict=True)
    )
    found = n_with_near_neighbours(items, np.array(folds), reach)
    assert found == expected
