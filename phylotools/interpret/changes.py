"""What a substitution does to the predictions of the sites that it reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.scoring.scorer import Scorer

if TYPE_CHECKING:
    from phylotools.io.genome import ReferenceGenome
    from phylotools.model.folder import Model
    from phylotools.phylogeny.substitution import SubstitutionModel

#: In which numbers a change is measured, in nats: logs of frequencies, or of their odds.
Measure = Literal["log-probability", "log-odds"]
MEASURES: tuple[Measure, ...] = ("log-probability", "log-odds")


def sequence_scorer(
    model: Model,
    genome: ReferenceGenome,
    *,
    threads: int | None = None,
    batch_size: int | None = None,
    precision: str = "auto",
) -> Scorer:
    """A scorer by the sequence alone: of a changed sequence no column of an alignment tells."""
    alone = model.from_sequence_alone()
    return Scorer(alone, genome, threads=threads, batch_size=batch_size, precision=precision)


def log_probabilities(
    substitution: SubstitutionModel, theta: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Log equilibrium frequencies of A, C, G, T.

    Parameters
    ----------
    substitution : SubstitutionModel
    theta : float32 array [..., 4]

    Returns
    -------
    float64 array [..., 4]
    """
    with torch.inference_mode():
        wide = torch.from_numpy(np.ascontiguousarray(theta, dtype=np.float64))
        found: NDArray[np.float64] = substitution.log_equilibrium_frequencies(wide).numpy()
    return found


def log_odds(log_probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of each base's odds against the three others, float64 [..., 4]."""
    p = np.exp(log_probability)
    # Not 1 - p, which is nothing where p is nearly 1.
    first, last = p[..., 0] + p[..., 1], p[..., 2] + p[..., 3]
    others = np.stack(
        [p[..., 1] + last, p[..., 0] + last, first + p[..., 3], first + p[..., 2]], axis=-1
    )
    found: NDArray[np.float64] = log_probability - np.log(others)
    return found


def measured(log_probability: NDArray[np.float64], measure: Measure) -> NDArray[np.float64]:
    """Numbers whose differences are changes, by the measure that is asked for."""
    return log_probability if measure == "log-probability" else log_odds(log_probability)
