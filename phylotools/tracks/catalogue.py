"""The tracks: what each holds and how it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from phylotools.io.bases import BASE_COLOURS, BASES


@dataclass(frozen=True)
class Signal:
    """One bigWig.

    Attributes
    ----------
    name : str
        Of the file, without its suffix.
    group : str
        Of the track that it belongs to: what ``--tracks`` names.
    title, description : str
    unit : str
    colour : (int, int, int)
        Red, green, blue.
    limits : (float, float)
        Of the vertical axis, as it is first shown.
    """

    name: str
    group: str
    title: str
    description: str
    unit: str
    colour: tuple[int, int, int]
    limits: tuple[float, float]

    @property
    def file(self) -> str:
        return f"{self.name}.bw"


def _by_base(
    group: str, title: str, description: str, unit: str, limits: tuple[float, float]
) -> list[Signal]:
    return [
        Signal(
            f"{group}_{base}", group, f"{title} {base}", description.format(base), unit,
            (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)), limits,
        )
        for base, colour in zip(BASES, BASE_COLOURS, strict=True)
    ]  # fmt: skip


SIGNALS: tuple[Signal, ...] = (
    Signal(
        "llr_mean", "llr_mean", "Mean LLR",
        "Mean LLR of the three alternatives to the reference base",
        "nats", (31, 78, 121), (-10.0, 2.0),
    ),
    Signal(
        "llr_min", "llr_min", "Lowest LLR",
        "LLR of the least viable alternative to the reference base",
        "nats", (150, 30, 45), (-14.0, 2.0),
    ),
    Signal(
        "rate", "rate", "Site rate",
        "Expected substitution rate; lower is conserved",
        "1 = neutral", (84, 39, 136), (0.0, 3.0),
    ),
    Signal(
        "entropy", "entropy", "Entropy",
        "Entropy of the equilibrium frequencies, at most log 4",
        "nats", (0, 109, 91), (0.0, math.log(4)),
    ),
    *_by_base(
        "log_probability", "log P", "Log of the equilibrium frequency of {}",
        "nats", (-8.0, 0.0),
    ),
    *_by_base(
        "logo", "Logo",
        "Height of {} in the logo: frequency times information",
        "bits", (0.0, 2.0),
    ),
)  # fmt: skip

#: What ``--tracks`` may name, in the order of the files.
TRACK_NAMES: tuple[str, ...] = tuple(dict.fromkeys(signal.group for signal in SIGNALS))


def signals_of(groups: tuple[str, ...]) -> list[Signal]:
    """BigWigs of some tracks, in the order of `SIGNALS`."""
    return [signal for signal in SIGNALS if signal.group in groups]
