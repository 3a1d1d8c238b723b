"""A model as a torch module that reads one-hot sequences, with gradients to its input.

The tools that explain networks and edit sequences (tangermeme, captum, ledidi) give (B, 4, L) in
the order A, C, G, T, and want something differentiable. Numbers are those of the scorer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phylotools.errors import UsageError
from phylotools.model.presets import MASK_TOKEN, N_TOKENS, PAD_TOKEN
from phylotools.model.site_model import SiteModel

if TYPE_CHECKING:
    from phylotools.model.folder import Model

THETA, LLR, LOG_PROBABILITY, EMBEDDING = "theta", "llr", "log_probability", "embedding"
OUTPUTS = (THETA, LLR, LOG_PROBABILITY, EMBEDDING)
ALL, CENTRE = "all", "centre"
POSITIONS = (ALL, CENTRE)
_N_BASES = 4


class OneHotModule(nn.Module):
    """One-hot sequences, float (B, 4, L), to numbers of their positions.

    A column without any base is N, one between bases stands between their vectors; so the output
    has a gradient everywhere. None of the parameters requires one. The network is a copy, which
    may be moved and cast as any module.

    Parameters
    ----------
    model : Model
        What was fitted to columns of a genome has no part in it: a sequence has no place.
    output : {'theta', 'llr', 'log_probability', 'embedding'}
        Of each position the network's four numbers; the LLR of every base against the one that
        stands there (0 where none does); log equilibrium frequencies of A, C, G, T; or the H
        channels of the last layer.
    position : {'all', 'centre'}
        Which positions: output (B, L, C), or (B, C).
    padding : bool
        Whether nothing is known beyond the ends of a sequence, so that each of its L positions has
        numbers; otherwise the L - receptive_field + 1 have whose context it holds.

    Raises
    ------
    UsageError
        If there is no such output or position.
    """

    def __init__(
        self, model: Model, output: str = THETA, position: str = ALL, *, padding: bool = True
    ) -> None:
        super().__init__()
        for value, known, what in ((output, OUTPUTS, "output"), (position, POSITIONS, "position")):
            if value not in known:
                raise UsageError(f"there is no {what} {value!r:.40}: take {', '.join(known)}")
        self.site_model: SiteModel = model.trainable_site_model().freeze()
        self.output, self.position, self.padding = output, position, padding
        self.receptive_field = model.receptive_field
        self._half = (model.receptive_field - 1) // 2
        self._tile_length = model.tile_length
        self.eval()

    def _apply(self, function: Callable[..., Any], recurse: bool = True) -> OneHotModule:
        """As torch moves and casts a module; what was made of the weights is made anew."""
        super()._apply(function, recurse)
        self.site_model.freeze()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Numbers of positions, (B, L, C) or (B, C).

        Parameters
        ----------
        x : Tensor, shape (B, 4, L)
            On the module's device.

        Raises
        ------
        UsageError
            If it has another shape, or is shorter than the receptive field and not padded.
        """
        soft = self._soft_tokens(x)
        half = self._half
        n_positions = soft.shape[1] - 2 * half
        is_lone = self.position == CENTRE
        first, last = (n_positions // 2, n_positions // 2 + 1) if is_lone else (0, n_positions)
        if self._tile_length is not None:
            values = self._of_tiles(soft)[:, first:last]
        else:
            values = self._of_positions(soft[:, first : last + 2 * half])
        values = self._as_asked(values, soft[:, half + first : half + last, :_N_BASES])
        return values[:, 0] if is_lone else values

    def _soft_tokens(self, x: Tensor) -> Tensor:
        """How much of each token stands at each position, (B, T, N_TOKENS), padded if asked."""
        if x.ndim != 3 or x.shape[1] != _N_BASES:
            raise UsageError(
                f"one-hot sequences have the shape (B, 4, L), not {tuple(x.shape)}; is it "
                "(B, L, 4)?"
            )
        bases = x.transpose(1, 2).to(self.site_model.network.embedding.weight.dtype)
        unknown = 1 - bases.sum(dim=2, keepdim=True)
        soft = torch.cat([bases, unknown, torch.zeros_like(unknown)], dim=2)
        if not self.padding:
            if soft.shape[1] < self.receptive_field:
                raise UsageError(
                    f"a sequence of {soft.shape[1]} positions is shorter than the receptive field, "
                    f"{self.receptive_field}; give a longer one, or padding=True"
                )
            return soft
        edge = _alike(PAD_TOKEN, soft, self._half)
        return torch.cat([edge, soft, edge], dim=1)

    def _of_tiles(self, soft: Tensor) -> Tensor:
        """Numbers of positions whose norm runs over positions: padded, in the scorer's tiles."""
        n_positions = soft.shape[1] - 2 * self._half
        if not self.padding or self._tile_length is None:
            return self._network(soft)
        # The last tile goes on beyond the end of the sequence.
        excess = -n_positions % self._tile_length
        soft = torch.cat([soft, _alike(PAD_TOKEN, soft, excess)], dim=1)
        windows = soft.unfold(1, self._tile_length + 2 * self._half, self._tile_length)
        values = self._network(windows.flatten(0, 1).transpose(1, 2))
        return values.unflatten(0, windows.shape[:2]).flatten(1, 2)[:, :n_positions]

    def _of_positions(self, soft: Tensor) -> Tensor:
        """Numbers of the positions whose context is there, each masked if the model asks so."""
        if not self.site_model.masks_site:
            return self._network(soft)
        windows = soft.unfold(1, self.receptive_field, 1)
        rows = windows.flatten(0, 1).transpose(1, 2)
        masked = torch.cat(
            [
                rows[:, : self._half],
                _alike(MASK_TOKEN, rows, 1),
                rows[:, self._half + 1 :],
            ],
            dim=1,
        )
        return self._network(masked)[:, 0].unflatten(0, windows.shape[:2])

    def _network(self, soft: Tensor) -> Tensor:
        """Theta, or the last layer, of windows (B, T, N_TOKENS): numbers of what they hold."""
        network = self.site_model.network
        if not (torch.is_grad_enabled() and soft.requires_grad) and _is_hard(soft):
            # As the scorer has it computed, which is faster.
            tokens = soft.argmax(dim=2)
            if self.output == EMBEDDING:
                return network.embed(tokens)
            return self.site_model(tokens)
        hidden = network.hidden_of_vectors(
            soft @ network.embedding.weights()[0], len(network.blocks), is_normed=True
        )
        if self.output == EMBEDDING:
            return hidden
        return self.site_model.at_fixed_rate(network.theta_of_hidden(hidden))

    def _as_asked(self, values: Tensor, own: Tensor) -> Tensor:
        """The output, of theta or the last layer and of the bases that stand there, (B, L, 4)."""
        if self.output in (THETA, EMBEDDING):
            return values
        log_pi = self.site_model.substitution.log_equilibrium_frequencies(values)
        if self.output == LOG_PROBABILITY:
            return log_pi
        stands = own.sum(dim=2, keepdim=True)
        return stands * log_pi - (own * log_pi).sum(dim=2, keepdim=True)


def _alike(token: int, soft: Tensor, length: int) -> Tensor:
    """So many positions of one token, for every row: (B, length, N_TOKENS)."""
    vector = F.one_hot(torch.tensor(token, device=soft.device), N_TOKENS).to(soft.dtype)
    return vector.expand(len(soft), length, N_TOKENS)


def _is_hard(soft: Tensor) -> bool:
    """Whether each position is one token and nothing of another."""
    return bool(((soft == 0) | (soft == 1)).all())
