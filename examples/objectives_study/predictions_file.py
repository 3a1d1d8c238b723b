"""Theta of the positions that were scored, in a file: what all tables are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.io.regions import Region
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.substitution.catalogue import make_substitution_model


class Predictions(NamedTuple):
    """Theta of every position of some regions, and what reads it.

    Attributes
    ----------
    regions : tuple of Region
    theta : tuple of float32 array [L, 4]
        Of each region.
    substitution : SubstitutionModel
    facts : dict
        What is to be known of the run: arm, seed, steps, seconds, ...
    """

    regions: tuple[Region, ...]
    theta: tuple[NDArray[np.float32], ...]
    substitution: SubstitutionModel
    facts: dict[str, Any]

    def at(self, contigs: NDArray[np.str_], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Theta at M positions, float32 [M, 4]; NaN where none was predicted."""
        found = np.full((len(positions), 4), np.nan, np.float32)
        for region, theta in zip(self.regions, self.theta, strict=True):
            here = np.flatnonzero(
                (contigs == region.contig) & (positions >= region.start) & (positions < region.end)
            )
            found[here] = theta[positions[here] - region.start]
        return found

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npz")
        np.savez(
            temporary,
            contigs=np.array([region.contig for region in self.regions]),
            bounds=np.array([(region.start, region.end) for region in self.regions]),
            theta=np.concatenate(self.theta),
            substitution=json.dumps([self.substitution.name, self.substitution.settings()]),
            facts=json.dumps(self.facts),
        )
        temporary.rename(path)


def read_predictions(path: Path) -> Predictions:
    """What `Predictions.write` wrote."""
    with np.load(path) as saved:
        bounds = saved["bounds"].tolist()
        regions = tuple(
            Region(contig, start, end)
            for contig, (start, end) in zip(saved["contigs"].tolist(), bounds, strict=True)
        )
        ends = np.cumsum([end - start for start, end in bounds])[:-1]
        name, settings = json.loads(str(saved["substitution"]))
        substitution = make_substitution_model(name, **settings).requires_grad_(False)
        theta = tuple(np.split(saved["theta"], ends))
        return Predictions(regions, theta, substitution, json.loads(str(saved["facts"])))
