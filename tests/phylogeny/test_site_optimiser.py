from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.phylogeny.site_fit.optimiser import maximise

pytestmark = pytest.mark.usefixtures("one_thread")


class Quadratics:
    """Value -1/2 (x - m)' A (x - m) + c with its own A, m and c in each row."""

    def __init__(self, seed: int, rows: int, size: int) -> None:
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(rows, size, size))
        scale = 10 ** rng.uniform(-2, 3, size=(rows, 1, 1))
        self.a = torch.from_numpy(scale * (root @ root.transpose(0, 2, 1) + 0.1 * np.eye(size)))
        self.centre = torch.from_numpy(rng.normal(0, 3, size=(rows, size)))
        self.top = torch.from_numpy(rng.normal(0, 100, size=rows))
        self.calls: list[int] = []

    def __call__(self, rows, point):
        self.calls.append(len(rows))
        distance = point - self.centre[rows]
        force = (self.a[rows] @ distance.unsqueeze(2)).squeeze(2)
        return self.top[rows] - (distance * force).sum(dim=1) / 2, -force


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_tops_of_parabolas_are_found(seed, rows, size):
    problem = Quadratics(seed, rows, size)
    found = maximise(problem, torch.zeros(rows, size), tolerance=1e-6)
    assert (problem.top - found.value).max() < 1e-4
    assert torch.allclose(found.value, problem(torch.arange(rows), found.point)[0])


def test_rows_do_not_know_of_each_other():
    together = Quadratics(5, 20, 4)
    found = maximise(together, torch.zeros(20, 4)).point
    for row in (0, 7, 19):
        alone = maximise(
            lambda _, point, row=row: together(torch.tensor([row]), point), torch.zeros(1, 4)
        )
        assert torch.allclose(alone.point[0], found[row], atol=1e-9)


def test_finished_rows_leave_and_searches_are_short():
    problem = Quadratics(2, 200, 4)
    maximise(problem, problem.centre + 0.5)
    assert problem.calls[-1] < 100
    assert sum(problem.calls) < 25 * 200


def test_a_curved_valley_is_followed():
    def rosenbrock(rows, point):
        x, y = point[:, 0], point[:, 1]
        value = -((1 - x) ** 2) - 20 * (y - x * x) ** 2
        slope = torch.stack([2 * (1 - x) + 80 * x * (y - x * x), -40 * (y - x * x)], dim=1)
        return value, slope

    start = torch.tensor([[-1.2, 1.0], [2.0, -2.0], [0.0, 0.0]])
    found = maximise(rosenbrock, start, tolerance=1e-9)
    assert torch.allclose(found.point, torch.ones(3, 2).double(), atol=1e-3)


def test_flat_and_unbounded_rows_end():
    def sides(rows, point):
        # Row 0 is flat, row 1 rises for ever towards 0, row 2 has its top at 1.
        x = point[:, 0]
        values = torch.stack([0 * x, -torch.exp(-x), -((x - 1) ** 2)], dim=1)
        slopes = torch.stack([0 * x, torch.exp(-x), -2 * (x - 1)], dim=1)
        pick = rows.unsqueeze(1)
        return values.gather(1, pick).squeeze(1), slopes.gather(1, pick)

    found = maximise(sides, torch.zeros(3, 1), tolerance=1e-6)
    assert found.point[0, 0] == 0
    assert math.isclose(found.value[1], 0, abs_tol=1e-4)
    assert math.isclose(found.point[2, 0], 1, abs_tol=1e-3)


def test_no_rows():
    def never(rows, point):
        return point.sum(dim=1), point

    assert maximise(never, torch.zeros(0, 4)).point.shape == (0, 4)
