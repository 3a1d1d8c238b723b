"""F81 pruning for the CPU: log-likelihood and gradient in one pass, compiled by numba.

Columns are taken in blocks of `LANES`; every inner loop runs over the lanes of a block, so that
the compiler vectorises it. Memory is one workspace per thread, whatever the number of columns.
"""

from __future__ import annotations

import logging
import math

import numba
import numpy as np

from phylotools.phylogeny.kernels.plan import PruningPlan

logger = logging.getLogger("phylotools")

#: Columns per block. Measured on 671 tips, float32, one core: 16 lanes 20, 32 lanes 30, 64 and 128
#: lanes 36 thousand columns/s (benchmarks/RESULTS.md).
LANES = 64

#: Rescale a block once the largest partial of a lane falls below this; far above the smallest
#: float32 (1e-38), since one merge multiplies two such numbers.
SMALL = 1e-12

#: log R beyond which every branch is saturated; keeps R * 0 from becoming inf * 0.
MAX_LOG_RATE = 60.0


def f81_log_likelihood_and_gradient(
    states: np.ndarray, theta: np.ndarray, plan: PruningPlan
) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood of each column and its gradient with respect to theta.

    Parameters
    ----------
    states : ndarray of uint8, shape (C, S)
        0..3 are A, C, G, T; anything else is missing data.
    theta : ndarray of float32 or float64, shape (C, A)
        Log rates, finite.
    plan : PruningPlan

    Returns
    -------
    log_likelihood : ndarray, shape (C,)
        -inf (with gradient 0) where branches of length zero join different bases.
    gradient : ndarray, shape (C, A)
    """
    states, theta = np.ascontiguousarray(states), np.ascontiguousarray(theta)
    log_likelihood, gradient = _run(states, theta, plan)
    if theta.dtype == np.float32:
        # Rates near exp(-30) and below leave the range of float32, in value or in gradient.
        lost = ~(np.isfinite(log_likelihood) & np.isfinite(gradient).all(axis=1))
        if lost.any():
            log_likelihood[lost], gradient[lost] = _run(
                states[lost], theta[lost].astype(np.float64), plan
            )
    return log_likelihood, gradient


def _run(states: np.ndarray, theta: np.ndarray, plan: PruningPlan) -> tuple[np.ndarray, np.ndarray]:
    """The compiled pass, in the precision of theta."""
    log_likelihood = np.empty(len(theta), dtype=theta.dtype)
    gradient = np.empty_like(theta)
    blocks = -(-len(theta) // LANES)
    share = -(-blocks // numba.get_num_threads())
    run = _prune_parallel if blocks > 1 and numba.get_num_threads() > 1 else _prune_serial
    run(
        states,
        theta,
        plan.child,
        plan.branch_length.astype(theta.dtype),
        plan.n_tips,
        max(share, 1),
        log_likelihood,
        gradient,
    )
    return log_likelihood, gradient


def _can_cache() -> bool:
    """Whether numba finds a folder for compiled code; a read-only container may have none."""
    try:
        numba.njit(cache=True)(lambda: None)
    except RuntimeError:
        logger.info(
            "no writable folder for compiled code: it is compiled anew each time; "
            "set NUMBA_CACHE_DIR to a private folder to keep it"
        )
        return False
    return True


_CACHE = _can_cache()

# No fastmath: it gains nothing here (42 against 41 thousand columns/s on 671 tips), and lets the
# serial and the parallel build differ in the last bit, so that losses depend on --threads.
_jit = numba.njit(nogil=True, cache=_CACHE)


@_jit
def _forward_child(slot, t, n_tips, tip_state, partial, rate, pi, decay, mean, contribution):
    """Carry one child's partials over its branch: contribution = (1-e) (pi . L) + e L."""
    for w in range(LANES):
        decay[w] = math.expm1(-rate[w] * t)  # e - 1
    if slot < n_tips:
        for w in range(LANES):
            state = tip_state[slot, w]
            if state < 4:
                mean[w] = pi[state, w]
            else:
                mean[w] = 1.0
        for a in range(4):
            for w in range(LANES):
                state = tip_state[slot, w]
                own = (1.0 + decay[w]) if (state == a or state > 3) else 0.0 * decay[w]
                contribution[a, w] = own - decay[w] * mean[w]
    else:
        below = partial[slot - n_tips]
        for w in range(LANES):
            mean[w] = (
                pi[0, w] * below[0, w]
                + pi[1, w] * below[1, w]
                + pi[2, w] * below[2, w]
                + pi[3, w] * below[3, w]
            )
        for a in range(4):
            for w in range(LANES):
                contribution[a, w] = below[a, w] + decay[w] * (below[a, w] - mean[w])


@_jit
def _backward_child(
    slot, t, n_tips, tip_state, partial, adjoint, rate, pi, decay, mean, outer, grad_pi, grad_rate
):
    """Send the adjoint of a contribution (in `outer`) to the child, to pi and to R."""
    tip = slot < n_tips
    for w in range(LANES):
        total = outer[0, w] + outer[1, w] + outer[2, w] + outer[3, w]
        grad_mean = -decay[w] * total
        grad_decay = -mean[w] * total
        keep = 1.0 + decay[w]
        if tip:
            state = tip_state[slot, w]
            if state < 4:
                grad_decay += outer[state, w]
                grad_pi[state, w] += grad_mean
            else:
                # A missing tip contributes 1 whatever theta: the terms below cancel.
                grad_decay += total
                for a in range(4):
                    grad_pi[a, w] += grad_mean
        else:
            below = partial[slot - n_tips]
            send = adjoint[slot - n_tips]
            for a in range(4):
                grad_decay += outer[a, w] * below[a, w]
                grad_pi[a, w] += grad_mean * below[a, w]
                send[a, w] = keep * outer[a, w] + grad_mean * pi[a, w]
        grad_rate[w] -= grad_decay * t * keep


@_jit
def _prune_block(
    tip_state, theta, child, length, n_tips, pi, rate, partial, adjoint, contribution,
    decay, mean, scale, outer, grad_pi, grad_rate, log_scale, log_likelihood, gradient,
):  # fmt: skip
    merges = child.shape[0]
    for w in range(LANES):
        log_scale[w] = 0.0
        grad_rate[w] = 0.0
        top = max(max(theta[0, w], theta[1, w]), max(theta[2, w], theta[3, w]))
        total = 0.0 * top
        for a in range(4):
            pi[a, w] = math.exp(theta[a, w] - top)
            total += pi[a, w]
            grad_pi[a, w] = 0.0
        for a in range(4):
            pi[a, w] /= total
        rate[w] = math.exp(min(top + math.log(total), MAX_LOG_RATE))

    for m in range(merges):
        for side in range(2):
            _forward_child(
                child[m, side], length[m, side], n_tips, tip_state, partial, rate, pi,
                decay[m, side], mean[m, side], contribution[m, side],
            )  # fmt: skip
        smallest = 1.0 + 0.0 * rate[0]
        for w in range(LANES):
            largest = 0.0 * rate[0]
            for a in range(4):
                value = contribution[m, 0, a, w] * contribution[m, 1, a, w]
                partial[m, a, w] = value
                largest = max(largest, value)
            scale[m, w] = largest
            smallest = min(smallest, largest)
        if smallest < SMALL:
            for w in range(LANES):
                largest = scale[m, w]
                if largest > 0.0:
                    log_scale[w] += math.log(largest)
                    scale[m, w] = 1.0 / largest
                else:
                    scale[m, w] = 1.0
            for a in range(4):
                for w in range(LANES):
                    partial[m, a, w] *= scale[m, w]
        else:
            for w in range(LANES):
                scale[m, w] = 1.0

    for w in range(LANES):
        total = 0.0 * rate[0]
        for a in range(4):
            total += pi[a, w] * partial[merges - 1, a, w]
        possible = 0.0 < total < np.inf
        log_likelihood[w] = math.log(total) + log_scale[w] if possible else -np.inf
        inverse = 1.0 / total if possible else 0.0 * rate[0]
        for a in range(4):
            adjoint[merges - 1, a, w] = pi[a, w] * inverse
            grad_pi[a, w] = partial[merges - 1, a, w] * inverse

    for m in range(merges - 1, -1, -1):
        for side in range(2):
            for a in range(4):
                for w in range(LANES):
                    outer[a, w] = adjoint[m, a, w] * scale[m, w] * contribution[m, 1 - side, a, w]
            _backward_child(
                child[m, side], length[m, side], n_tips, tip_state, partial, adjoint, rate, pi,
                decay[m, side], mean[m, side], outer, grad_pi, grad_rate,
            )  # fmt: skip

    # dR/dtheta_b = R pi_b; dpi_a/dtheta_b = pi_a ([a = b] - pi_b)
    for w in range(LANES):
        centre = 0.0 * rate[0]
        for a in range(4):
            centre += grad_pi[a, w] * pi[a, w]
        for b in range(4):
            gradient[b, w] = pi[b, w] * (grad_rate[w] * rate[w] + grad_pi[b, w] - centre)


@_jit
def _prune_share(first, last, states, theta, child, length, n_tips, log_likelihood, gradient):
    """Prune the blocks first..last-1 with one workspace."""
    merges, columns, kind = child.shape[0], theta.shape[0], theta.dtype
    tip_state = np.empty((n_tips, LANES), dtype=np.uint8)
    lane_theta = np.empty((4, LANES), dtype=kind)
    pi = np.empty((4, LANES), dtype=kind)
    rate = np.empty(LANES, dtype=kind)
    partial = np.empty((merges, 4, LANES), dtype=kind)
    adjoint = np.empty((merges, 4, LANES), dtype=kind)
    contribution = np.empty((merges, 2, 4, LANES), dtype=kind)
    decay = np.empty((merges, 2, LANES), dtype=kind)
    mean = np.empty((merges, 2, LANES), dtype=kind)
    scale = np.empty((merges, LANES), dtype=kind)
    outer = np.empty((4, LANES), dtype=kind)
    grad_pi = np.empty((4, LANES), dtype=kind)
    grad_rate = np.empty(LANES, dtype=kind)
    log_scale = np.empty(LANES, dtype=kind)
    lane_likelihood = np.empty(LANES, dtype=kind)
    lane_gradient = np.empty((4, LANES), dtype=kind)
    for block in range(first, last):
        start = block * LANES
        used = min(LANES, columns - start)
        for w in range(LANES):
            column = start + min(w, used - 1)
            for s in range(n_tips):
                tip_state[s, w] = states[column, s]
            for a in range(4):
                lane_theta[a, w] = theta[column, a]
        _prune_block(
            tip_state, lane_theta, child, length, n_tips, pi, rate, partial, adjoint,
            contribution, decay, mean, scale, outer, grad_pi, grad_rate, log_scale,
            lane_likelihood, lane_gradient,
        )  # fmt: skip
        for w in range(used):
            log_likelihood[start + w] = lane_likelihood[w]
            for a in range(4):
                gradient[start + w, a] = lane_gradient[a, w]


@_jit
def _prune_serial(states, theta, child, length, n_tips, share, log_likelihood, gradient):
    blocks = (theta.shape[0] + LANES - 1) // LANES
    _prune_share(0, blocks, states, theta, child, length, n_tips, log_likelihood, gradient)


@numba.njit(nogil=True, cache=_CACHE, parallel=True)
def _prune_parallel(states, theta, child, length, n_tips, share, log_likelihood, gradient):
    blocks = (theta.shape[0] + LANES - 1) // LANES
    for part in numba.prange((blocks + share - 1) // share):
        first = part * share
        last = min(first + share, blocks)
        _prune_share(first, last, states, theta, child, length, n_tips, log_likelihood, gradient)
