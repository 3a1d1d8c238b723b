"""Networks whose weights have no symmetry that a test could overlook."""

from __future__ import annotations

import torch

from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec


def random_network(spec: ModelSpec, seed: int = 0) -> ByteNet:
    """Norm scales and shifts random too, nothing symmetric; activations of about 1."""
    torch.manual_seed(seed)
    network = ByteNet(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() < 3:
                parameter.add_(torch.randn_like(parameter) * 0.5)
        network.output.weight.mul_(10)
    return network
