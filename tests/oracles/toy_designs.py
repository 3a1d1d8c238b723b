"""Networks whose conditionals are known, and small problems of design."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from toy_scoring import NEIGHBOURS, ToyModel

from phylotools.design.conditionals import OwnBase, SiteConditionals
from phylotools.design.problem import Limits, Problem, make_problems
from phylotools.design.starts import alone
from phylotools.io.bases import base_codes
from phylotools.scoring.scorer import Scorer

PI = np.array([0.1, 0.2, 0.3, 0.4])
COUPLING = 0.8


class SameEverywhere(nn.Module):
    """Every site has the frequencies `PI`, whatever stands where."""

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        return torch.log(torch.tensor(PI)).float().expand(len(tokens), tokens.shape[1] - 2, 4)


class Chain(nn.Module):
    """A base is likelier where its neighbours are the same: a Potts chain's conditionals."""

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        bases = torch.arange(4)
        left, right = tokens[:, :-2, None] == bases, tokens[:, 2:, None] == bases
        return COUPLING * (left.float() + right.float())


class OwnBaseAlone(nn.Module):
    """What stands at a position stays, with nine of ten."""

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        own = tokens[:, 1:-1, None] == torch.arange(4)
        return torch.log(torch.where(own, 0.9, 0.1 / 3))


def conditionals_of(network: nn.Module, own_base: OwnBase = OwnBase.AVERAGED) -> SiteConditionals:
    return SiteConditionals(Scorer(ToyModel(network, NEIGHBOURS), threads=1), own_base)


def codes_of(text: str) -> np.ndarray:
    return base_codes(np.frombuffer(text.encode(), dtype=np.uint8))


def problem_of(text: str, half_window: int = 1, **limits) -> Problem:
    (problem,) = make_problems([alone("s", codes_of(text), half_window)], Limits(**limits))
    return problem
