"""A head for regions as a torch module that reads one-hot sequences, as `one_hot` has networks."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from phylotools.errors import UsageError
from phylotools.model.tuned_head import REGIONS
from phylotools.scoring.layers import is_equivariant
from phylotools.scoring.one_hot import EMBEDDING, THETA, OneHotModule
from phylotools.scoring.site_numbers import LOWEST_RATE

if TYPE_CHECKING:
    from phylotools.model.folder import Model

HEAD = "head"


class OneHotHead(nn.Module):
    """One-hot sequences, float (B, 4, L), to the value of a head of each whole sequence, (B, 1).

    Parameters
    ----------
    model : Model
        With a head that was fitted to labels of regions.

    Raises
    ------
    UsageError
        If it has none.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        tuned = model.tuned
        if tuned is None or tuned.of != REGIONS:
            has = "no head" if tuned is None else "a head for variants"
            raise UsageError(f"model {model.name} has {has}; this needs a head for regions")
        self.sites = OneHotModule(model, THETA)
        self.vectors = OneHotModule(model, EMBEDDING)
        if tuned.adapters:
            self.vectors.site_model = copy.deepcopy(tuned.adapted_model(model).site_model)
        self._mirrors = is_equivariant(model.spec)
        head = tuned.head
        for name, numbers in (("weights", head.weights), ("centre", head.centre),
                              ("scale", head.scale)):  # fmt: skip
            self.register_buffer(name, torch.from_numpy(numbers).float())
        self.bias = head.bias
        self.to(model.device)

    def forward(self, x: Tensor) -> Tensor:
        """Values, (B, 1), of x, (B, 4, L); nothing is known beyond its ends."""
        substitution = self.sites.site_model.substitution
        theta = self.sites(x)
        log_rate = substitution.site_rate(theta).clamp(min=LOWEST_RATE).log()
        numbers = torch.stack([log_rate, substitution.entropy(theta)], dim=-1).mean(dim=1)
        forward = self.vectors(x).mean(dim=1)
        other = forward.flip(1) if self._mirrors else self.vectors(x.flip(1, 2)).mean(dim=1)
        half = forward.shape[1] // 2
        a, b = forward[:, :half], other[:, :half]
        features = torch.cat([numbers, (a + b) / 2, (a - b).abs() / 2], dim=1)
        units = (features - self.get_buffer("centre")) / self.get_buffer("scale")
        return (units * self.get_buffer("weights")).sum(dim=1, keepdim=True) + self.bias
