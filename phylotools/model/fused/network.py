"""Where the fused network runs, and in which arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from phylotools.phylogeny.kernels.gpu.dispatch import available

if TYPE_CHECKING:
    from phylotools.model.fused.passes import Walk
    from phylotools.model.network import ByteNet


def suits(network: ByteNet, tokens: Tensor) -> bool:
    """Whether it computes this network here: with float32 weights, on a GPU that Triton supports.

    Every shape has a halved network. Whether it is faster everywhere was not measured on a GPU; by
    count it is: half the operations, and of the bytes that products, norms, GELUs, taps and casts
    of the dense network read and write 75 % in float32, 35 % in bfloat16 (benchmarks/RESULTS.md).
    """
    is_whole = network.embedding.weight.dtype == torch.float32
    return tokens.is_cuda and is_whole and available(tokens.device)


class FusedNetwork:
    """The halves of a frozen network's weights on its device, for any number of passes.

    Parameters
    ----------
    network : ByteNet
        Later changes of it are not seen.
    """

    def __init__(self, network: ByteNet) -> None:
        from phylotools.model.fused.weights import halved

        self._spec = network.spec
        self._network = halved(network)
        self._walks: dict[torch.dtype, Walk] = {}

    def theta(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Theta of every position, float32 (B, L, 4); products in the type of the autocast around.

        Parameters
        ----------
        tokens : Tensor of int64, shape (B, L + receptive_field - 1)
        wanted : Tensor, optional
            As for `ByteNet.forward`; every position is computed.
        """
        with torch.no_grad(), torch.cuda.device_of(tokens):
            return self._walk(tokens).theta(tokens)

    def hidden(
        self, tokens: Tensor, n_blocks: int, is_normed: bool, wanted: Tensor | None = None
    ) -> Tensor:
        """Values of a layer, float32 (B, L, H): see `ByteNet.hidden`."""
        with torch.no_grad(), torch.cuda.device_of(tokens):
            values = self._walk(tokens).hidden(tokens, n_blocks, is_normed)
        n_positions = tokens.shape[1] - self._spec.receptive_field + 1
        excess = (values.shape[1] - n_positions) // 2
        return values[:, excess : excess + n_positions]

    def _walk(self, tokens: Tensor) -> Walk:
        """Passes with products in the type of the autocast around the call, else float32."""
        # Kernels are compiled by Triton, which CPUs need not have.
        from phylotools.model.fused.passes import Walk

        device = tokens.device.type
        is_narrow = torch.is_autocast_enabled(device)
        kind = torch.get_autocast_dtype(device) if is_narrow else torch.float32
        if kind not in self._walks:
            with torch.inference_mode(False):
                self._walks[kind] = Walk(self._spec, self._network.cast(kind), kind)
            if tokens.is_cuda:
                # Whoever asks next may compute in another stream.
                torch.cuda.current_stream(tokens.device).synchronize()
        return self._walks[kind]
