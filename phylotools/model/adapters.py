"""Low-rank updates of a network's 1x1 convolutions: W + B A in place of W (LoRA; Hu et al. 2021).

The effective weight of a convolution is symmetrised whatever its parameter is, so a network with
adapters is as reverse-complement-equivariant as without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from phylotools.errors import InputError
from phylotools.model.network import ByteNet, EquivariantConv
from phylotools.model.weights import check_tensor

_DOWN, _UP = ".down", ".up"


class Adapter(NamedTuple):
    """An update of one convolution: ``up @ down``.

    Attributes
    ----------
    down : Tensor (rank, H in)
    up : Tensor (H out, rank)
    """

    down: Tensor
    up: Tensor

    @property
    def update(self) -> Tensor:
        """What is added to the weight, (H out, H in, 1)."""
        return (self.up @ self.down).unsqueeze(-1)


class _LowRank(nn.Module):
    """A weight plus its update, which is zero at first."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs, _ = weight.shape
        start = torch.randn(rank, inputs, generator=generator) / math.sqrt(inputs)
        self.down = nn.Parameter(start.to(weight.device))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + Adapter(self.down, self.up).update


def adapted_convolutions(network: ByteNet) -> Iterator[tuple[str, EquivariantConv]]:
    """The convolutions that get adapters, by name: those of one tap within the blocks."""
    for name, module in network.blocks.named_modules():
        if isinstance(module, EquivariantConv) and module.weight.shape[2] == 1:
            yield f"blocks.{name}", module


def add_adapters(network: ByteNet, rank: int, seed: int) -> list[nn.Parameter]:
    """Give a network adapters to train; every other parameter is held.

    Parameters
    ----------
    network : ByteNet
        Not frozen. Says the same as before, to the last bit.
    rank : int
    seed : int

    Returns
    -------
    list of Parameter
        Those of the adapters.
    """
    network.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    found: list[nn.Parameter] = []
    for _, convolution in list(adapted_convolutions(network)):
        update = _LowRank(convolution.weight, rank, generator)
        parametrize.register_parametrization(convolution, "weight", update)
        found += list(update.parameters())
    return found


def adapters_of(network: ByteNet) -> dict[str, Adapter]:
    """The adapters of a network, by convolution, on the CPU and apart from it."""
    found = {}
    for name, convolution in adapted_convolutions(network):
        update = next(m for m in convolution.modules() if isinstance(m, _LowRank))
        down, up = (tensor.detach().cpu().clone() for tensor in (update.down, update.up))
        found[name] = Adapter(down, up)
    return found


def merge_adapters(network: ByteNet, adapters: Mapping[str, Adapter]) -> None:
    """Add updates to the weights of a network that has no adapters and is not frozen."""
    convolutions = dict(adapted_convolutions(network))
    with torch.no_grad():
        for name, adapter in adapters.items():
            weight = convolutions[name].weight
            weight.add_(adapter.update.to(weight.device))


def adapter_tensors(adapters: Mapping[str, Adapter]) -> dict[str, Tensor]:
    """Adapters as tensors with names."""
    parts: dict[str, Tensor] = {}
    for name, adapter in adapters.items():
        parts |= {name + _DOWN: adapter.down, name + _UP: adapter.up}
    return parts


def read_adapters(
    tensors: Mapping[str, Tensor], network: ByteNet, rank: int, path: Path
) -> dict[str, Adapter]:
    """Inverse of `adapter_tensors`.

    Raises
    ------
    InputError
        If they are not exactly those of a network of this shape.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    names = []
    for name, convolution in adapted_convolutions(network):
        outputs, inputs, _ = convolution.weight.shape
        shapes |= {name + _DOWN: (rank, inputs), name + _UP: (outputs, rank)}
        names.append(name)
    if shapes.keys() != tensors.keys():
        raise InputError("its adapters are those of another network", path=path)
    for name, shape in shapes.items():
        check_tensor(name, tensors[name], shape, path)
    return {name: Adapter(tensors[name + _DOWN], tensors[name + _UP]) for name in names}
