"""The layers of a network that are embeddings, and what they are on the other strand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import UsageError
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.site_model import SiteModel

LAST = "last"
TOKENS = "embedding"
_BLOCK = "block."
_Float = TypeVar("_Float", np.float32, np.float64)


@dataclass(frozen=True)
class Layer:
    """A place in a network.

    Attributes
    ----------
    name : str
        ``embedding``, ``block.1`` to ``block.N``, or ``last``.
    n_blocks : int
        Residual blocks before it.
    is_normed : bool
        Whether the output norm follows.
    """

    name: str
    n_blocks: int
    is_normed: bool


def find_layer(text: str, spec: ModelSpec) -> Layer:
    """The layer that a user names.

    Parameters
    ----------
    text : str
        ``last`` (after the output norm), ``embedding`` (of the tokens), ``block.K`` (after K
        blocks), or an index into these in order: 0 is ``embedding``, -1 is ``last``.
    spec : ModelSpec

    Raises
    ------
    UsageError
        If the network has no such layer.
    """
    n_blocks = len(spec.dilations)
    layers = [Layer(TOKENS, 0, False)]
    layers += [Layer(f"{_BLOCK}{k}", k, False) for k in range(1, n_blocks + 1)]
    layers += [Layer(LAST, n_blocks, True)]
    for layer in layers:
        if layer.name == text:
            return layer
    try:
        return layers[int(text)]
    except (ValueError, IndexError):
        raise UsageError(
            f"this network has no layer {text[:40]!r}; choose {LAST}, {TOKENS}, {_BLOCK}1 to "
            f"{_BLOCK}{n_blocks}, or an index from {-len(layers)} to {len(layers) - 1}"
        ) from None


def layer_values(network: ByteNet, tokens: Tensor, layer: Layer) -> Tensor:
    """Output of a layer at the positions whose whole context the tokens hold.

    Parameters
    ----------
    network : ByteNet
    tokens : int64 Tensor (B, L + receptive_field - 1)
    layer : Layer

    Returns
    -------
    Tensor (B, L, H)
    """
    return network.hidden(tokens, layer.n_blocks, is_normed=layer.is_normed)


def layer_forward(
    layer: Layer, *, with_reverse: bool
) -> Callable[[SiteModel, Tensor, Tensor | None], Tensor]:
    """Function that computes a layer, and maybe that of the other strand beside it.

    Parameters
    ----------
    layer : Layer
    with_reverse : bool
        Append the H channels that the network gives each base when it reads the reverse
        complement; in a network that is equivariant these are the first H, reversed.
    """

    def forward(model: SiteModel, tokens: Tensor, wanted: Tensor | None) -> Tensor:
        values = layer_values(model.network, tokens, layer)
        if not with_reverse:
            return values
        # By arithmetic: a table would have to be sent to a GPU, which no graph can record.
        complement = torch.where(tokens < 4, 3 - tokens, tokens)
        other = layer_values(model.network, complement.flip(1), layer)
        return torch.cat([values, other.flip(1)], dim=-1)

    return forward


def theta_and_last_forward(
    spec: ModelSpec, *, with_reverse: bool
) -> Callable[[SiteModel, Tensor, Tensor | None], Tensor]:
    """Function that computes theta and, behind it, the last layer: one pass for both.

    Parameters
    ----------
    spec : ModelSpec
    with_reverse : bool
        As for `layer_forward`.
    """
    last = layer_forward(find_layer(LAST, spec), with_reverse=with_reverse)

    def forward(model: SiteModel, tokens: Tensor, wanted: Tensor | None) -> Tensor:
        values = last(model, tokens, wanted)
        own = values[..., : spec.channels]
        theta = model.at_fixed_rate(model.network.theta_of_hidden(own))
        return torch.cat([theta, values], dim=-1)

    return forward


def is_equivariant(spec: ModelSpec) -> bool:
    """Whether the other strand's embedding is this strand's with its channels reversed."""
    return spec.tied_norm


def strand_invariant(forward: NDArray[_Float], reverse: NDArray[_Float]) -> NDArray[_Float]:
    """Half the channels of the strands' mean, then half those of half their absolute difference.

    The same for a sequence and its reverse complement.

    Parameters
    ----------
    forward, reverse : float array [K, H]
        What the network says when it reads one strand, and the other.

    Returns
    -------
    float array [K, H]
    """
    # Channel c of one strand is channel H - 1 - c of the other: half of them say everything.
    half = forward.shape[1] // 2
    a, b = forward[:, :half], reverse[:, :half]
    return np.concatenate([(a + b) / 2, np.abs(a - b) / 2], axis=1)


def head_features(sums: NDArray[np.float64], n_bases: int, spec: ModelSpec) -> NDArray[np.float64]:
    """What heads for regions read, of sums over the positions of N regions of one length.

    Parameters
    ----------
    sums : float64 array [N, 2 + C]
        Of `log_rate_and_entropy`, then of the last layer: C is H channels, or 2 H with the other
        strand's where the network is not equivariant.
    n_bases : int
    spec : ModelSpec

    Returns
    -------
    float64 array [N, 2 + H]
    """
    means = sums / n_bases
    numbers, vectors = means[:, :2], means[:, 2:]
    if is_equivariant(spec):
        vectors = np.concatenate([vectors, vectors[:, ::-1]], axis=1)
    width = vectors.shape[1] // 2
    invariant = strand_invariant(vectors[:, :width], vectors[:, width:])
    return np.concatenate([numbers, invariant], axis=1)
