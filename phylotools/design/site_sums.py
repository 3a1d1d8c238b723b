"""What a head for regions reads of designed sequences: numbers of their positions, summed.

An edit changes the numbers of the positions within half a receptive field of it and of no other:
where many single edits of one sequence are compared, these alone are computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.model.tuned_head import N_SCORES, REGIONS
from phylotools.scoring.layers import (
    LAST,
    find_layer,
    is_equivariant,
    layer_forward,
    theta_and_last_forward,
)
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import log_rate_and_entropy
from phylotools.scoring.tiled_network import TiledNetwork

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: Numbers in flight: some megabytes.
_TOGETHER = 1 << 21


class SiteSums:
    """Log rate, entropy and embedding of positions of sequences, and their sums.

    Parameters
    ----------
    scorer : Scorer
        Of a model without site fits.
    embedded : Model
        Whose embeddings they are: the scorer's, or that with adapters.

    Attributes
    ----------
    width : int
        F: two numbers of the site, and the embedding; where the network is not equivariant, that
        of the other strand beside it.

    Raises
    ------
    UsageError
        If what the model says of a position depends on the tile that it is computed in.
    """

    def __init__(self, scorer: Scorer, embedded: Model) -> None:
        model = scorer.model
        if model.tile_length is not None:
            raise UsageError(
                f"what model {model.name} says of a position depends on the tile that it is in: "
                "edits cannot be compared; give a model of the other norm"
            )
        self._scorer = scorer
        self.half_window = scorer.half_window
        must_reverse = not is_equivariant(embedded.spec)
        channels = embedded.spec.channels * (1 + must_reverse)
        self.width = N_SCORES[REGIONS] + channels
        # One pass gives both where they are of one network that reads the sequence as it is.
        self._is_one_pass = embedded is model and not model.masks_site
        if self._is_one_pass:
            forward = theta_and_last_forward(model.spec, with_reverse=must_reverse)
            channels += 4
        else:
            layer = find_layer(LAST, embedded.spec)
            forward = layer_forward(layer, with_reverse=must_reverse)
        self._network = TiledNetwork(embedded, None, forward, channels, **scorer.options)

    def of(self, tokens: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Numbers of every position; float64 [B, L, F].

        Parameters
        ----------
        tokens : uint8 array [B, L + 2 half_window]
        """
        length = tokens.shape[1] - 2 * self.half_window
        found = np.empty((len(tokens), length, self.width))
        for part in self._parts(len(tokens), length):
            found[part] = self._columns(tokens[part])
        return found

    def edited(
        self,
        tokens: NDArray[np.uint8],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        """Sums over the positions of sequences with one base changed; float64 [C, F].

        Parameters
        ----------
        tokens : uint8 array [B, L + 2 half_window]
            Before the change.
        rows, positions : int64 arrays [C]
            The sequence that is changed, and where in its L positions.
        bases : uint8 array [C]
        """
        columns = self.of(tokens)
        half, length = self.half_window, columns.shape[1]
        width = min(length, 2 * half + 1)
        begins = np.clip(positions - half, 0, length - width)
        totals = columns.sum(axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(tokens, width + 2 * half, axis=1)
        before = np.concatenate([np.zeros((len(columns), 1, self.width)), columns.cumsum(1)], 1)
        found = np.empty((len(rows), self.width))
        for part in self._parts(len(rows), width):
            row, begin = rows[part], begins[part]
            changed = windows[row, begin].copy()
            changed[np.arange(len(row)), positions[part] - begin + half] = bases[part]
            old = before[row, begin + width] - before[row, begin]
            found[part] = totals[row] - old + self._columns(changed).sum(axis=1)
        return found

    def _columns(self, tokens: NDArray[np.uint8]) -> NDArray[np.float64]:
        """`of` of some sequences, at once."""
        values = self._network.values_of(tokens)
        n_rows, length = values.shape[:2]
        if self._is_one_pass:
            theta, values = values[:, :, :4], values[:, :, 4:]
        else:
            theta = self._scorer.values_of(tokens)
        flat = np.ascontiguousarray(theta).reshape(-1, 4)
        numbers = log_rate_and_entropy(self._scorer.model.substitution, flat)
        both = [numbers.reshape(n_rows, length, -1), values]
        return np.concatenate(both, axis=2, dtype=np.float64)

    def _parts(self, total: int, length: int) -> Iterator[slice]:
        size = max(1, _TOGETHER // (length * self.width))
        for begin in range(0, total, size):
            yield slice(begin, min(begin + size, total))
