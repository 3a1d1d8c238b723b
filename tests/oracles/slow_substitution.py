"""Rate matrices of the substitution models the slow and obvious way, entry by entry in float64.

Nothing here uses phylotools.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PAIRS = [(a, b) for a in range(4) for b in range(a + 1, 4)]
TRANSITIONS = {(0, 2), (1, 3)}


def _normalised(values) -> np.ndarray:
    return np.asarray(values, dtype=np.float64) / np.sum(values)


def _symmetric(name: str, settings: dict[str, Any]) -> np.ndarray:
    if name == "hky":
        pairs = [settings["kappa"] if pair in TRANSITIONS else 1.0 for pair in PAIRS]
    else:
        pairs = settings.get("exchangeabilities", [1.0] * 6)
    s = np.zeros((4, 4))
    for (a, b), value in zip(PAIRS, pairs, strict=True):
        s[a, b] = s[b, a] = value
    return s


def _fixation(s: float) -> float:
    """Chance of fixation relative to a neutral mutation, S / (1 - exp(-S))."""
    if abs(s) < 1e-7:
        return 1 + s / 2
    return s / -math.expm1(-s) if s > -700 else 0.0


def rate_matrix(name: str, settings: dict[str, Any], theta) -> np.ndarray:
    """Q of one site; rows sum to zero.

    Parameters
    ----------
    name : {'f81', 'hky', 'gtr', 'mutation-selection'}
    settings : dict
        All the model's shared parameters.
    theta : sequence of float, length 4
    """
    s, theta = _symmetric(name, settings), np.asarray(theta, dtype=np.float64)
    key = "mutation_frequencies" if name == "mutation-selection" else "background"
    weights = _normalised(settings.get(key, [1.0] * 4))
    mean = sum(weights[a] * s[a, b] * weights[b] for a in range(4) for b in range(4))
    q = np.zeros((4, 4))
    for a in range(4):
        for b in range(4):
            if a == b:
                continue
            if name == "mutation-selection":
                rate = sum(weights * np.exp(theta))
                q[a, b] = rate * s[a, b] / mean * weights[b] * _fixation(theta[b] - theta[a])
            else:
                q[a, b] = 0.75 * s[a, b] / mean * math.exp(theta[b])
    return q - np.diag(q.sum(axis=1))


def frequencies(name: str, settings: dict[str, Any], theta) -> np.ndarray:
    """Equilibrium frequencies of one site."""
    weights = np.exp(np.asarray(theta, dtype=np.float64))
    if name == "mutation-selection":
        weights = weights * settings["mutation_frequencies"]
    return _normalised(weights)
