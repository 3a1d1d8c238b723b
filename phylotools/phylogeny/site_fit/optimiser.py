"""Many small maximisations at once: BFGS over a batch, in which no row waits for another.

Every evaluation is one call for all rows that are still at work. A row whose step rose takes it
and turns to the next; a row whose step fell tries a shorter one; a finished row leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

logger = logging.getLogger("phylotools")

#: Row numbers (K,) and points (K, D) -> values (K,) and gradients (K, D), float64.
Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

#: Part of the rise foretold by the slope that a step must bring (Armijo's rule).
_SUFFICIENT = 1e-4
#: A value is sure to this fraction: float32 sums of logarithms.
_VALUE_NOISE = 3e-7
#: Largest change of a coordinate in one step; the coordinates are logarithms.
_LONGEST_STEP = 2.0
_FIRST_STEP = 0.5
#: A shorter step is this part of the rejected one, at least and at most.
_SHORTEN = (0.1, 0.5)
#: Below this gradient there is no way up.
_FLAT = 1e-7
_MOST_EVALUATIONS = 200


@dataclass
class _Rows:
    """The state of the rows at work; first axis K in each."""

    number: Tensor
    point: Tensor
    value: Tensor
    gradient: Tensor
    inverse: Tensor  # of minus the Hessian, as estimated
    is_scaled: Tensor  # whether `inverse` has seen any curvature
    direction: Tensor
    step: Tensor

    @property
    def slope(self) -> Tensor:
        """Along the direction; the rise foretold is half of it once `inverse` is right."""
        return (self.direction * self.gradient).sum(dim=1)

    @property
    def is_flat(self) -> Tensor:
        return self.gradient.abs().amax(dim=1) < _FLAT

    def keep(self, chosen: Tensor) -> _Rows:
        return _Rows(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class Maximum:
    """What a search found: points, float64 (C, D), and the values there, float64 (C,)."""

    point: Tensor
    value: Tensor


def maximise(objective: Objective, start: Tensor, *, tolerance: float = 1e-6) -> Maximum:
    """Find a maximum from each row's start by BFGS with Armijo backtracking.

    The search ends where the next step foretells a rise below `tolerance` (half the Newton
    decrement), judged by gradients, since values in float32 are too coarse; or after 200
    evaluations. It finds a local maximum.

    Parameters
    ----------
    objective : callable
        From row numbers, int64 (K,), and points, float64 (K, D), to values (K,) and gradients
        (K, D). Finite.
    start : Tensor, shape (C, D)
    tolerance : float
        In the units of the values.

    Returns
    -------
    Maximum
    """
    rows = _begin(objective, start.detach().double())
    found = Maximum(rows.point.clone(), rows.value.clone())
    evaluations = 1
    while len(rows.number) and evaluations < _MOST_EVALUATIONS:
        trial = rows.point + rows.step.unsqueeze(1) * rows.direction
        accepted = _take(rows, trial, *objective(rows.number, trial))
        evaluations += 1
        # A rejected step of no promise: rounding hides what is left to gain.
        is_done = torch.where(
            accepted,
            (rows.is_scaled & (rows.slope < 2 * tolerance)) | rows.is_flat,
            rows.step * rows.slope < tolerance / 100,
        )
        if bool(is_done.any()):
            _record(found, rows.keep(is_done))
            rows = rows.keep(~is_done)
    if len(rows.number):
        logger.debug("%d of %d searches ended by their limit", len(rows.number), len(start))
        _record(found, rows)
    return found


def _record(found: Maximum, rows: _Rows) -> None:
    found.point[rows.number] = rows.point
    found.value[rows.number] = rows.value


def _begin(objective: Objective, point: Tensor) -> _Rows:
    number = torch.arange(len(point), device=point.device)
    value, gradient = objective(number, point)
    identity = torch.eye(point.shape[1], dtype=point.dtype, device=point.device)
    rows = _Rows(
        number,
        point,
        value,
        gradient,
        identity.repeat(len(point), 1, 1),
        torch.zeros_like(number, dtype=torch.bool),
        _short(gradient),
        torch.ones_like(value),
    )
    _limit_step(rows)
    return rows


def _take(rows: _Rows, trial: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """Move the rows whose trial rose, and set every row's next step; which moved, bool (K,)."""
    foretold = rows.step * rows.slope
    accepted = value >= rows.value + _SUFFICIENT * foretold - _VALUE_NOISE * rows.value.abs()
    _learn_curvature(rows, trial - rows.point, rows.gradient - gradient, accepted)
    # The maximum of the parabola through the value and slope here and the value there.
    fall = (foretold + rows.value - value).clamp(min=1e-300)
    shorter = (foretold / (2 * fall)).clamp(*_SHORTEN) * rows.step
    rows.step = torch.where(accepted, torch.ones_like(shorter), shorter)
    moved = accepted.unsqueeze(1)
    rows.point = torch.where(moved, trial, rows.point)
    rows.value = torch.where(accepted, value, rows.value)
    rows.gradient = torch.where(moved, gradient, rows.gradient)
    newton = (rows.inverse @ rows.gradient.unsqueeze(2)).squeeze(2)
    ahead = torch.where(rows.is_scaled.unsqueeze(1), newton, _short(rows.gradient))
    rows.direction = torch.where(moved, ahead, rows.direction)
    _limit_step(rows)
    return accepted


def _learn_curvature(rows: _Rows, step: Tensor, change: Tensor, accepted: Tensor) -> None:
    """BFGS update of `inverse` from a step and minus the change of gradient along it.

    Left out where the curvature along the step is not that of a maximum: the estimate stays
    positive definite.
    """
    curvature = (step * change).sum(dim=1)
    size = change.square().sum(dim=1)
    is_usable = accepted & (curvature > 1e-8 * (step.square().sum(dim=1) * size).sqrt())
    if not bool(is_usable.any()):
        return
    first = is_usable & ~rows.is_scaled
    rows.inverse[first] *= (curvature / size)[first, None, None]
    rows.is_scaled |= is_usable
    step, change, curvature = step[is_usable], change[is_usable], curvature[is_usable]
    inverse = rows.inverse[is_usable]
    moved = (inverse @ change.unsqueeze(2)).squeeze(2)
    outer = step.unsqueeze(2) * moved.unsqueeze(1)
    factor = (1 + (change * moved).sum(dim=1) / curvature) / curvature
    rows.inverse[is_usable] = (
        inverse
        + factor[:, None, None] * (step.unsqueeze(2) * step.unsqueeze(1))
        - (outer + outer.mT) / curvature[:, None, None]
    )


def _short(gradient: Tensor) -> Tensor:
    """A cautious first step uphill, while nothing is known of the curvature."""
    return gradient * (_FIRST_STEP / gradient.norm(dim=1, keepdim=True).clamp(min=1.0))


def _limit_step(rows: _Rows) -> None:
    reach = (rows.step.unsqueeze(1) * rows.direction).abs().amax(dim=1)
    rows.step = rows.step * (_LONGEST_STEP / reach.clamp(min=_LONGEST_STEP))
