"""Principal components of embeddings, in two passes over rows that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Components:
    """The directions in which vectors differ most.

    Attributes
    ----------
    mean : float64 array [H]
    axes : float64 array [K, H]
        Orthonormal; of each, the number of largest size is positive.
    variance : float64 array [K]
        Of the rows along each axis (divided by N - 1).
    explained : float64 array [K]
        The same as a share of all variance.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variance: NDArray[np.float64]
    explained: NDArray[np.float64]

    def project(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Coordinates along the axes, float64 [N, K], of rows [N, H]."""
        coordinates: NDArray[np.float64] = (rows - self.mean) @ self.axes.T
        return coordinates


def fit_components(blocks: Iterable[NDArray[np.floating]], n_components: int) -> Components:
    """Principal components of all rows.

    Parameters
    ----------
    blocks : iterable of arrays [N, H]
    n_components : int
        At most so many axes; no more than H, or rows less one.

    Returns
    -------
    Components
    """
    n_rows = 0
    mean: NDArray[np.float64] = np.zeros(0)
    scatter: NDArray[np.float64] = np.zeros((0, 0))
    for block in blocks:
        values = block.astype(np.float64)
        own_mean = values.mean(axis=0)
        values -= own_mean
        own_scatter = values.T @ values
        if not n_rows:
            n_rows, mean, scatter = len(values), own_mean, own_scatter
            continue
        # Means and scatters of parts combine without the loss of digits of sums of squares.
        total = n_rows + len(values)
        step = own_mean - mean
        scatter += own_scatter + np.outer(step, step) * (n_rows * len(values) / total)
        mean = mean + step * (len(values) / total)
        n_rows = total
    covariance = scatter / max(n_rows - 1, 1)
    values, vectors = np.linalg.eigh(covariance)
    kept = max(1, min(n_components, len(mean), n_rows - 1))
    axes = vectors[:, ::-1][:, :kept].T
    signs = np.sign(axes[np.arange(kept), np.abs(axes).argmax(axis=1)])
    variance = np.maximum(values[::-1][:kept], 0)
    total_variance = np.trace(covariance)
    explained = variance / total_variance if total_variance > 0 else np.zeros(kept)
    return Components(mean, axes * signs[:, None], variance, explained)
