"""Designed sequences: what each is, and what is said of it in tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phylotools.design.starts import Start
from phylotools.io.bases import LETTER_OF_CODE

#: What a target's value is where nothing but the likelihood is aimed at.
LIKELIHOOD = "log-likelihood ratio to the start (nats)"


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihoods of a sequence under a model, in nats.

    Attributes
    ----------
    seen : float
        Sum over positions of the log frequency of the base, predicted with the base itself in
        sight.
    pseudo : float
        The same by the conditionals that do not depend on the base.
    """

    seen: float
    pseudo: float


@dataclass(frozen=True)
class Edit:
    """A position that differs from the start.

    Attributes
    ----------
    position : int
        Of the sequence, 0-based.
    before, after : int
        Codes of the bases.
    log_odds : float
        Log frequency of the new base less that of the old one, given all others as designed.
    effect : float or None
        Value of the target less what it is with the old base put back; None without a target.
    """

    position: int
    before: int
    after: int
    log_odds: float
    effect: float | None = None


@dataclass(frozen=True)
class Design:
    """A designed sequence.

    Attributes
    ----------
    name : str
    start : Start
    codes : uint8 array [L]
    chain : int
        Which chain of the start, from 1.
    steps : int
        Sweeps before it was kept, or steps of the search.
    likelihoods, of_start : Likelihoods
    edits : sequence of Edit
    value, start_value : float or None
        Of the target.
    log_ratio : float or None
        How much likelier than the start (`LogRatios`), of a search.
    why : str
        Why the search ended; empty for a sample.
    """

    name: str
    start: Start
    codes: NDArray[np.uint8]
    chain: int
    steps: int
    likelihoods: Likelihoods
    of_start: Likelihoods
    edits: Sequence[Edit]
    value: float | None = None
    start_value: float | None = None
    log_ratio: float | None = None
    why: str = ""

    @property
    def letters(self) -> str:
        return LETTER_OF_CODE[self.codes].tobytes().decode()

    @property
    def gc(self) -> float:
        """Share of G and C."""
        return float(((self.codes == 1) | (self.codes == 2)).mean())

    @property
    def longest_homopolymer(self) -> int:
        """Bases of the longest run of one base."""
        ends = np.flatnonzero(np.append(np.diff(self.codes.astype(np.int64)) != 0, True))
        return int(np.diff(ends, prepend=-1).max())


@dataclass(frozen=True)
class TraceTable:
    """How chains or searches went: columns of `Designs.trace`."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


@dataclass(frozen=True)
class Designs:
    """All that a run made.

    Attributes
    ----------
    designs : sequence of Design
    trace : TraceTable
        By chain or search: its name first, then the sweep or step.
    what : str
        What the target's value is; empty for samples.
    aim : str
        Where it was to go.
    """

    designs: list[Design]
    trace: TraceTable
    what: str = ""
    aim: str = ""
    own_base: str = field(default="")


def edits_of(
    start: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    log_frequencies: NDArray[np.float64],
    effects: NDArray[np.float64] | None = None,
) -> list[Edit]:
    """The edits of a sequence.

    Parameters
    ----------
    start, codes : uint8 arrays [L]
    log_frequencies : float64 array [L, 4]
        Conditionals of the designed sequence.
    effects : float64 array, optional
        Of each edit, by position.
    """
    found = []
    for number, position in enumerate(np.flatnonzero(start != codes).tolist()):
        before, after = int(start[position]), int(codes[position])
        own = log_frequencies[position]
        effect = None if effects is None else float(effects[number])
        found.append(Edit(position, before, after, float(own[after] - own[before]), effect))
    return found
