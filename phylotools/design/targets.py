"""What edits are for: a head's value, a motif, or the model's own likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.design.constraints import put
from phylotools.design.site_sums import SiteSums
from phylotools.errors import UsageError, shown
from phylotools.io.motifs import Motif, best_matches
from phylotools.model.tuned_head import CLASSES, REGIONS, TunedHead
from phylotools.scoring.layers import head_features
from phylotools.scoring.scorer import Scorer

#: Positions of changed sequences that are looked through at once.
_TOGETHER = 1 << 20
HIGH, LOW = "high", "low"


class Target(Protocol):
    """A value of sequences.

    Attributes
    ----------
    what : str
        What the value is, for headers and pictures.
    """

    what: str

    def values(self, tokens: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Values [B] of sequences, uint8 [B, L], which `tokens` have in their surroundings."""

    def edited(
        self,
        tokens: NDArray[np.uint8],
        codes: NDArray[np.uint8],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        """Values [C] of sequences with one base changed; `rows` and `positions` say which."""


class MotifTarget:
    """The best match of a motif, on either strand, in bits against the background."""

    def __init__(self, motif: Motif) -> None:
        self.motif = motif
        self.what = f"best match of {motif.name} (bits, {motif.best_possible:.1f} at most)"

    def values(self, tokens: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """As `Target.values`.

        Raises
        ------
        UsageError
            If the sequences are shorter than the motif.
        """
        if codes.shape[1] < len(self.motif):
            raise UsageError(
                f"motif {shown(self.motif.name)} has {len(self.motif)} positions, more than the "
                f"{codes.shape[1]} of a sequence"
            )
        return best_matches(self.motif, codes)[0]

    def edited(
        self,
        tokens: NDArray[np.uint8],
        codes: NDArray[np.uint8],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        """As `Target.edited`."""
        found = np.empty(len(rows))
        size = max(1, _TOGETHER // codes.shape[1])
        for begin in range(0, len(rows), size):
            part = slice(begin, begin + size)
            changed = put(codes, rows[part], positions[part], bases[part])
            found[part] = self.values(tokens, changed)
        return found


class HeadTarget:
    """The value of a head that was fitted to labels of regions, of the whole sequence.

    Parameters
    ----------
    scorer : Scorer
        Of a model with the head, without site fits.

    Raises
    ------
    UsageError
        If it has no head for regions, or one fitted to scores of alignment columns, which designed
        sequences do not have.
    """

    def __init__(self, scorer: Scorer) -> None:
        model = scorer.model
        tuned = model.tuned
        if tuned is None or tuned.of != REGIONS:
            has = "no head" if tuned is None else "a head for variants"
            raise UsageError(f"{model.folder}: has {has}; a design needs a head for regions")
        if tuned.base_sha256 != model.sha256:
            raise UsageError(
                f"the head of {model.folder} was fitted to scores of alignment columns, which "
                "designed sequences do not have; fine-tune with --sequence-only"
            )
        self.tuned: TunedHead = tuned
        self._sums = SiteSums(scorer, tuned.adapted_model(model))
        self._spec = model.spec
        self.what = f"head's value ({'log odds' if tuned.labels == CLASSES else 'label'})"

    def values(self, tokens: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """As `Target.values`."""
        return self._score(self._sums.of(tokens).sum(axis=1), codes.shape[1])

    def edited(
        self,
        tokens: NDArray[np.uint8],
        codes: NDArray[np.uint8],
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        """As `Target.edited`."""
        return self._score(self._sums.edited(tokens, rows, positions, bases), codes.shape[1])

    def _score(self, sums: NDArray[np.float64], length: int) -> NDArray[np.float64]:
        return self.tuned.head.score(head_features(sums, length, self._spec))


@dataclass(frozen=True)
class Aim:
    """Where a value is to go.

    Attributes
    ----------
    text : str
        As the user said it.
    sign : int
        1 for up, -1 for down.
    number : float, optional
        The value wanted, in place of a direction.
    """

    text: str = HIGH
    sign: int = 1
    number: float | None = None

    def closeness(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is to be as large as possible."""
        if self.number is not None:
            return -np.abs(values - self.number)
        return self.sign * values


def parse_aim(text: str, tuned: TunedHead | None) -> Aim:
    """What a user wants of a value.

    Parameters
    ----------
    text : str
        ``high``, ``low``, a number or, of a head for classes, the label of a class.
    tuned : TunedHead, optional

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if text in (HIGH, LOW):
        return Aim(text, 1 if text == HIGH else -1)
    classes = {"positive": 1, "negative": -1} if tuned is not None else {}
    labels = {
        label: sign
        for side, sign in classes.items()
        for label in (tuned.facts.get(side) or [] if tuned is not None else [])
    }
    if text in labels:
        return Aim(text, labels[text])
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        known = ", ".join([HIGH, LOW, "a number", *map(shown, map(str, labels))])
        raise UsageError(f"--target {shown(text)}: is none of {known}")
    return Aim(text, number=number)
