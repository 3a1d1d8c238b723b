"""What was simulated, as a table: one line a position."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.io.bases import BASES
from phylotools.phylogeny.substitution import SubstitutionModel

COLUMNS = (
    "#contig",
    "pos",
    "ref",
    *(f"theta_{base}" for base in BASES),
    "log_rate",
    "site_rate",
    "substitutions",
    "species",
    *(f"pi_{base}" for base in BASES),
)
_LINE = "%s\t%d\t%s\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%d\t%d\t%.6g\t%.6g\t%.6g\t%.6g\n"


def truth_lines(
    contig: str,
    start: int,
    letters: NDArray[np.uint8],
    theta: Tensor,
    model: SubstitutionModel,
    substitutions: NDArray[np.int64],
    n_species: NDArray[np.int64],
) -> bytes:
    """Lines of consecutive positions.

    Parameters
    ----------
    contig : str
    start : int
        0-based position of the first.
    letters : uint8 array (C,)
        Reference bases as text.
    theta : Tensor, shape (C, A)
    model : SubstitutionModel
    substitutions : int64 array (C,)
        How many happened on the whole tree.
    n_species : int64 array (C,)
        How many species have a base in the alignment.
    """
    with torch.inference_mode():
        sites = theta.double()
        numbers = torch.cat(
            [
                sites,
                model.log_rate(sites).unsqueeze(1),
                model.site_rate(sites).unsqueeze(1),
                model.log_equilibrium_frequencies(sites).exp(),
            ],
            dim=1,
        )
    rows = zip(
        range(start + 1, start + 1 + len(letters)),
        letters.tobytes().upper().decode("ascii"),
        numbers.tolist(),
        substitutions.tolist(),
        n_species.tolist(),
        strict=True,
    )
    return "".join(
        _LINE % (contig, position, base, *values[:6], events, species, *values[6:])
        for position, base, values, events, species in rows
    ).encode()
