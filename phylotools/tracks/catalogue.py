"""The tracks: what each holds and how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from phylotools.io.bases import BASE_COLOURS, BASES
from phylotools.phylogeny.score_meaning import LLR, SCORE_NAMES, score_key


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
    score : str or None
        Whose mean or lowest value it is, by the score's name.
    """

    name: str
    group: str
    title: str
    description: str
    unit: str
    colour: tuple[int, int, int]
    limits: tuple[float, float]
    score: str | None = None

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


def _of_score(score: str) -> list[Signal]:
    key = score_key(score)
    what = f"{score} of the three alternatives to the reference base"
    return [
        Signal(
            f"{key}_mean", f"{key}_mean", f"Mean {score}", f"Mean {what}",
            "nats", (16, 112, 146), (-10.0, 2.0), score,
        ),
        Signal(
            f"{key}_min", f"{key}_min", f"Lowest {score}", f"Lowest {what}",
            "nats", (190, 84, 24), (-14.0, 2.0), score,
        ),
    ]  # fmt: skip


SIGNALS: tuple[Signal, ...] = (
    Signal(
        "llr_mean", "llr_mean", "Mean LLR",
        "Mean LLR of the three alternatives to the reference base",
        "nats", (31, 78, 121), (-10.0, 2.0), LLR,
    ),
    Signal(
        "llr_min", "llr_min", "Lowest LLR",
        "LLR of the least viable alternative to the reference base",
        "nats", (150, 30, 45), (-14.0, 2.0), LLR,
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

#: The tracks of every model, in the order of the files.
TRACK_NAMES: tuple[str, ...] = tuple(dict.fromkeys(signal.group for signal in SIGNALS))
#: Scores that have tracks of their own; that of the site's rate is its logarithm.
_SCORES = tuple(name for name in SCORE_NAMES if name not in (LLR, "site-rate"))
ALL_SIGNALS = (*SIGNALS, *(signal for score in _SCORES for signal in _of_score(score)))
#: What ``--tracks`` may name.
ALL_TRACK_NAMES = tuple(dict.fromkeys(signal.group for signal in ALL_SIGNALS))


def tracks_of_scores(scores: Iterable[str]) -> tuple[str, ...]:
    """Names of the tracks of some scores, but for those of every model."""
    wanted = set(scores) - {LLR}
    return tuple(signal.group for signal in ALL_SIGNALS if signal.score in wanted)


def scores_of_tracks(groups: Iterable[str]) -> tuple[str, ...]:
    """Scores that tracks are of."""
    wanted = set(groups)
    found = (signal.score for signal in ALL_SIGNALS if signal.group in wanted)
    return tuple(dict.fromkeys(score for score in found if score is not None))


def signals_of(groups: tuple[str, ...]) -> list[Signal]:
    """BigWigs of some tracks, in the order of `ALL_SIGNALS`."""
    return [signal for signal in ALL_SIGNALS if signal.group in groups]
