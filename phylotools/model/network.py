"""The reverse-complement-equivariant ByteNet: one sequence in, theta of every position out.

Reverse-complementing the input reverses the output and swaps A with T and C with G. The
involution on hidden channels is their reversal, so a weight is equivariant when it is unchanged
under reversing its output channels, its input channels and its kernel together (PhyloGPN, Albors
et al. 2025). Norm scales and shifts must be palindromes for the same reason.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from phylotools.model.presets import N_TOKENS, ModelSpec
from phylotools.phylogeny.substitution import NEUTRAL_LOG_RATE

if TYPE_CHECKING:
    from phylotools.model.fused import FusedNetwork
    from phylotools.model.halved import FrozenHalves
    from phylotools.model.training_pass import TrainingPass


class _Frozen:
    """Mix-in: after `freeze`, effective (symmetrised) weights are kept once they were computed."""

    _is_frozen = False
    _kept: tuple[Tensor, ...] | None = None

    def effective(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def weights(self) -> tuple[Tensor, ...]:
        if not self._is_frozen:
            return self.effective()
        if self._kept is None:
            # At the first use: a network whose passes take the halves never needs them. Without
            # inference mode, whose tensors could take part in no gradient later.
            with torch.inference_mode(False):
                self._kept = tuple(weight.detach() for weight in self.effective())
        return self._kept

    def freeze(self) -> None:
        self._is_frozen, self._kept = True, None


class EquivariantConv(_Frozen, nn.Module):
    """Valid dilated convolution along positions, on (B, L, H) tensors.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel_size, dilation : int
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.dilation = dilation
        # The scale of torch's own convolutions: U(-1, 1) / sqrt(fan in). Averaging with the
        # mirrored weight halves the variance, which sqrt 2 makes good.
        bound = math.sqrt(2.0 / (inputs * kernel_size))
        nn.init.uniform_(self.weight, -bound, bound)

    def effective(self) -> tuple[Tensor, Tensor]:
        """Weight as a matrix (H out, kernel * H in) and bias, both symmetrised."""
        weight = (self.weight + self.weight.flip(0, 1, 2)) / 2
        return weight.permute(0, 2, 1).flatten(1), (self.bias + self.bias.flip(0)) / 2

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weights()
        width = self.weight.shape[2]
        if width > 1:
            # One matrix product over the taps side by side: faster here than conv1d, which
            # would need the channels first.
            x, length = _narrowed(x), x.shape[1] - (width - 1) * self.dilation
            taps = [x[:, t * self.dilation : t * self.dilation + length] for t in range(width)]
            x = torch.cat(taps, dim=-1)
        return F.linear(x, weight, bias)


class PositionNorm(_Frozen, nn.Module):
    """LayerNorm over the channels of each position, or the published GroupNorm(1, H)."""

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self._tied = spec.tied_norm
        self._over_positions = spec.norm == "group"

    def effective(self) -> tuple[Tensor, Tensor]:
        if not self._tied:
            return self.weight, self.bias
        return (self.weight + self.weight.flip(0)) / 2, (self.bias + self.bias.flip(0)) / 2

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weights()
        if self._over_positions:
            return F.layer_norm(x, x.shape[1:]) * weight + bias
        return F.layer_norm(x, x.shape[2:], weight, bias)


class EquivariantEmbedding(_Frozen, nn.Module):
    """Vector of each token; the complement's vector is the token's, reversed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N_TOKENS, channels) * math.sqrt(2.0))

    def effective(self) -> tuple[Tensor]:
        complement = torch.tensor([3, 2, 1, 0, 4, 5], device=self.weight.device)
        return ((self.weight + self.weight[complement].flip(1)) / 2,)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.weights()[0])


class ResidualBlock(nn.Module):
    """norm, GELU, 1x1; norm, GELU, dilated; norm, GELU, 1x1; plus the cropped input."""

    def __init__(self, spec: ModelSpec, dilation: int) -> None:
        super().__init__()
        wide, narrow = spec.channels, spec.bottleneck
        self.norm_in = PositionNorm(spec, wide)
        self.conv_in = EquivariantConv(wide, narrow)
        self.norm_mid = PositionNorm(spec, narrow)
        self.conv_mid = EquivariantConv(narrow, narrow, spec.kernel_size, dilation)
        self.norm_out = PositionNorm(spec, narrow)
        self.conv_out = EquivariantConv(narrow, wide)
        self.crop = dilation * (spec.kernel_size - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_in(F.gelu(self.norm_in(x)))
        y = self.conv_mid(F.gelu(self.norm_mid(y)))
        y = self.conv_out(F.gelu(self.norm_out(y)))
        return x[:, self.crop : x.shape[1] - self.crop] + y


class ByteNet(nn.Module):
    """Tokens of a window to theta, four numbers for each position whose context it holds.

    What theta means is the substitution model's to say: see `SiteModel`.

    Attributes
    ----------
    training_pass : TrainingPass or None
        How theta is computed until the network is frozen, where it is not as the device does best.
    recomputes : bool
        Dense blocks keep their input alone, and are computed once more for the gradient.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.training_pass: TrainingPass | None = None
        self.recomputes = False
        self.spec = spec
        self._is_frozen = False
        self._kept_halves: FrozenHalves | FusedNetwork | None = None
        self.embedding = EquivariantEmbedding(spec.channels)
        self.blocks = nn.ModuleList(ResidualBlock(spec, dilation) for dilation in spec.dilations)
        self.norm = PositionNorm(spec, spec.channels)
        self.output = EquivariantConv(spec.channels, 4)
        # Start near a neutral site with uniform frequencies, if theta are log rates.
        nn.init.constant_(self.output.bias, NEUTRAL_LOG_RATE - math.log(4))
        with torch.no_grad():
            self.output.weight.mul_(0.1)

    def embed(self, tokens: Tensor) -> Tensor:
        """Output of the last norm, the embedding of each position.

        Parameters
        ----------
        tokens : Tensor of int64, shape (B, L + receptive_field - 1)

        Returns
        -------
        Tensor of float32, shape (B, L, H)
        """
        return self.hidden(tokens)

    def hidden(
        self,
        tokens: Tensor,
        n_blocks: int | None = None,
        *,
        is_normed: bool = True,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Values of a layer at the positions whose whole context the tokens hold.

        Parameters
        ----------
        tokens : Tensor of int64, shape (B, L + receptive_field - 1)
        n_blocks : int, optional
            Residual blocks before it; all unless given.
        is_normed : bool
            Whether the output norm follows.
        wanted : Tensor of int64, shape (B, 2), optional
            As for `forward`.

        Returns
        -------
        Tensor of float32, shape (B, L, H)
        """
        n_blocks = len(self.blocks) if n_blocks is None else n_blocks
        halves = self._halves(tokens)
        if halves is not None:
            return halves.hidden(tokens, n_blocks, is_normed, wanted)
        return self.dense_hidden(tokens, n_blocks, is_normed)

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Theta of every position.

        Parameters
        ----------
        tokens : Tensor of int64, shape (B, L + receptive_field - 1)
        wanted : Tensor of int64, shape (B, 2), optional
            The first position of each window whose theta is wanted, and the first beyond the last.
            What the others hold is left open, so that they need not be computed.

        Returns
        -------
        Tensor of float32, shape (B, L, A)
        """
        halves = self._halves(tokens)
        if halves is not None:
            return halves.theta(tokens, wanted)
        if not self._is_frozen and self.training_pass is not None:
            return self.training_pass(self, tokens)
        if not self._is_frozen and _is_plain(self.embedding.weight) and _is_plain(tokens):
            # Imported here: a network on another device has no use for what it compiles.
            from phylotools.model import halved

            if halved.suits(self.spec):
                return halved.halved_theta(self, tokens, wanted)
        return self.dense(tokens)

    def dense(self, tokens: Tensor) -> Tensor:
        """The same by torch's products: of any shape, on any device, every position."""
        return self.theta_of_hidden(self.dense_hidden(tokens, len(self.blocks), True))

    def theta_of_hidden(self, hidden: Tensor) -> Tensor:
        """Theta, (B, L, A), of what the last norm gives, (B, L, H)."""
        theta: Tensor = self.output(F.gelu(hidden))
        return theta

    def dense_hidden(self, tokens: Tensor, n_blocks: int, is_normed: bool) -> Tensor:
        """`hidden` by torch's products."""
        return self.hidden_of_vectors(self.embedding(tokens), n_blocks, is_normed)

    def hidden_of_vectors(self, x: Tensor, n_blocks: int, is_normed: bool) -> Tensor:
        """The same of the vectors of tokens, or of any others, (B, L + receptive_field - 1, H).

        Theirs is the gradient that tokens cannot have.
        """
        n_positions = x.shape[1] - self.spec.receptive_field + 1
        for block in self.blocks[:n_blocks]:
            if self.recomputes and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x)
        if is_normed:
            x = self.norm(x)
        excess = (x.shape[1] - n_positions) // 2
        return x[:, excess : excess + n_positions]

    def _halves(self, tokens: Tensor) -> FrozenHalves | FusedNetwork | None:
        """What computes a frozen network, where that can be."""
        can_halve = _is_plain(self.embedding.weight) and _is_plain(tokens)
        if not self._is_frozen or not (tokens.is_cuda or can_halve):
            return None
        if self._kept_halves is None:
            self._kept_halves = self._made_halves(tokens)
        return self._kept_halves

    def _made_halves(self, tokens: Tensor) -> FrozenHalves | FusedNetwork | None:
        if tokens.is_cuda:
            from phylotools.model import fused

            return fused.FusedNetwork(self) if fused.suits(self, tokens) else None
        from phylotools.model.halved import FrozenHalves

        return FrozenHalves(self)

    def freeze(self) -> ByteNet:
        """Symmetrise or halve every weight once, for inference; returns the network itself.

        That is done at the first pass, and later changes of weights are not seen.
        """
        for part in self.modules():
            if isinstance(part, _Frozen):
                part.freeze()
        self._is_frozen, self._kept_halves = True, None
        return self.eval().requires_grad_(False)


def _narrowed(x: Tensor) -> Tensor:
    """What autocast makes of a product's input: made earlier, its copies are fewer bytes."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def _is_plain(tensor: Tensor) -> bool:
    """Whether compiled code can read it, and is to: it knows no narrower arithmetic."""
    is_readable = tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.int64)
    return is_readable and not torch.is_autocast_enabled("cpu")
