"""What a model says of each base of a sequence given the others: the conditionals of sampling.

A network of the phylogenetic objective reads the base whose evolution it predicts, and mostly says
that it stays. So its frequencies at a position are no conditional: what is asked for is what does
not depend on the base that stands there. `OwnBase` says how it is taken out.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.bases import BASES
from phylotools.model.presets import MASK_TOKEN
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import site_numbers

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: Windows that are made at once: some megabytes of tokens.
_TOGETHER = 1 << 14


class OwnBase(enum.StrEnum):
    """How the base that stands at a position is kept from its own prediction."""

    #: The mean of the frequencies predicted with A, C, G and T there.
    AVERAGED = "averaged"
    #: The frequencies predicted with N there.
    HIDDEN = "hidden"
    #: Not at all: the frequencies as they are predicted with the base itself.
    SEEN = "seen"


def usual_own_base(model: Model) -> OwnBase:
    """What is meant where a user says nothing: models of masked bases were trained for hiding."""
    return OwnBase.HIDDEN if model.masks_site else OwnBase.AVERAGED


@dataclass(frozen=True)
class SiteConditionals:
    """Frequencies of the four bases at positions of sequences, given all other positions.

    Attributes
    ----------
    scorer : Scorer
        Of a model without site fits.
    own_base : OwnBase

    Raises
    ------
    UsageError
        If what the model says of a position depends on the tile it is computed in, or its own base
        cannot be seen.
    """

    scorer: Scorer
    own_base: OwnBase = OwnBase.AVERAGED

    def __post_init__(self) -> None:
        model = self.scorer.model
        if model.tile_length is not None:
            raise UsageError(
                f"what model {model.name} says of a position depends on the tile that it is in, so "
                "that it has no conditionals; give a model of the other norm"
            )
        if model.masks_site and self.own_base is not OwnBase.HIDDEN:
            raise UsageError(
                f"--own-base {self.own_base}: model {model.name} never sees the base that it "
                "predicts; leave the option out"
            )

    @property
    def half_window(self) -> int:
        """Positions on either side that a conditional depends on."""
        return self.scorer.half_window

    def log_frequencies(
        self, tokens: NDArray[np.uint8], rows: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Logs of the conditional frequencies; float64 [K, 4].

        A window's numbers depend on nothing but the window.

        Parameters
        ----------
        tokens : uint8 array [B, L + 2 half_window]
        rows, positions : int64 arrays [K]
            Which sequence, and where in its L positions.
        """
        found = np.empty((len(rows), len(BASES)))
        windows = np.lib.stride_tricks.sliding_window_view(tokens, self.scorer.receptive_field, 1)
        for part in _parts(len(rows), _TOGETHER // len(BASES)):
            found[part] = self._of(windows[rows[part], positions[part]])
        return found

    def _of(self, windows: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Of windows [K, receptive_field] around the positions."""
        if self.own_base is OwnBase.AVERAGED:
            with_each = np.repeat(windows, len(BASES), axis=0)
            with_each[:, self.half_window] = np.tile(np.arange(len(BASES)), len(windows))
            log_pi = self._log_pi(with_each).reshape(-1, len(BASES), len(BASES))
            # Frequencies of theta within bounds are never 0.
            mean: NDArray[np.float64] = np.log(np.exp(log_pi).mean(axis=1))
            return mean
        if self.own_base is OwnBase.HIDDEN:
            windows = windows.copy()
            windows[:, self.half_window] = MASK_TOKEN
        return self._log_pi(windows)

    def _log_pi(self, windows: NDArray[np.uint8]) -> NDArray[np.float64]:
        theta = self.scorer.values_of(windows)[:, 0]
        return site_numbers(self.scorer.model.substitution, theta).log_pi


def pseudo_log_likelihoods(
    conditionals: SiteConditionals, tokens: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of the logs of each base's frequency given all others.

    Parameters
    ----------
    conditionals : SiteConditionals
    tokens : uint8 array [B, L + 2 half_window]
        With a base at each of the L positions.

    Returns
    -------
    totals : float64 array [B]
    log_frequencies : float64 array [B, L, 4]
    """
    half = conditionals.half_window
    codes = tokens[:, half : tokens.shape[1] - half]
    n_rows, length = codes.shape
    rows, positions = np.divmod(np.arange(n_rows * length), length)
    found = conditionals.log_frequencies(tokens, rows, positions).reshape(n_rows, length, -1)
    own = np.take_along_axis(found, codes[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    return own.sum(axis=1), found


def seen_log_likelihoods(scorer: Scorer, tokens: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sums of the logs of each base's frequency, predicted with the base in sight; float64 [B].

    Parameters
    ----------
    scorer : Scorer
    tokens : uint8 array [B, L + 2 half_window]
        With a base at each of the L positions.
    """
    found = np.empty(len(tokens))
    half, length = scorer.half_window, tokens.shape[1] - 2 * scorer.half_window
    for part in _parts(len(tokens), max(1, (_TOGETHER << 4) // length)):
        theta = scorer.values_of(tokens[part])
        log_pi = site_numbers(scorer.model.substitution, theta.reshape(-1, 4)).log_pi
        own = tokens[part, half : half + length].reshape(-1).astype(np.int64)
        found[part] = log_pi[np.arange(len(own)), own].reshape(-1, length).sum(axis=1)
    return found


def _parts(total: int, size: int) -> Iterator[slice]:
    for begin in range(0, total, size):
        yield slice(begin, min(begin + size, total))
