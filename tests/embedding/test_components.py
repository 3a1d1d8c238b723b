from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from phylotools.embedding.components import fit_components


def _rows(seed: int, n: int = 700) -> np.ndarray:
    rng = np.random.default_rng(seed)
    # Far from zero, where sums of squares would lose their digits.
    mixed = rng.normal(size=(n, 12)) * np.arange(1, 13) @ rng.normal(size=(12, 12))
    return (mixed + 1e4).astype(np.float32)


@pytest.mark.parametrize("block", [1, 64, 1000])
def test_components_are_those_of_scikit_learn(block: int) -> None:
    rows = _rows(1)
    found = fit_components((rows[k : k + block] for k in range(0, len(rows), block)), 4)
    oracle = PCA(4, svd_solver="full").fit(rows.astype(np.float64))
    np.testing.assert_allclose(found.variance, oracle.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(found.explained, oracle.explained_variance_ratio_, rtol=1e-6)
    signs = np.sign((found.axes * oracle.components_).sum(axis=1))
    np.testing.assert_allclose(found.axes * signs[:, None], oracle.components_, atol=1e-6)
    np.testing.assert_allclose(
        found.project(rows) * signs, oracle.transform(rows.astype(np.float64)), atol=1e-3
    )


def test_the_sign_is_fixed_by_the_largest_number() -> None:
    axes = fit_components([_rows(2)], 3).axes
    assert (axes[np.arange(3), np.abs(axes).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_rows_have_few_components(n: int) -> None:
    found = fit_components([_rows(3)[:n]], 100)
    assert found.axes.shape == (max(1, n - 1), 12)
    assert np.isfinite(found.explained).all()
    assert found.explained.sum() == pytest.approx(float(n > 1))


def test_equal_rows_have_no_variance() -> None:
    found = fit_components([np.ones((9, 4), dtype=np.float32)], 2)
    assert (found.variance == 0).all()
    assert (found.explained == 0).all()
