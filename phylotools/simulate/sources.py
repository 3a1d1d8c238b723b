"""Where the sites of a simulation come from: a distribution, or a model that reads a sequence."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.io.bases import BASES_AND_N, SOFT_MASK
from phylotools.io.regions import Region, RegionSet
from phylotools.phylogeny.simulation import stream_key
from phylotools.phylogeny.simulation.sites import SiteDistribution
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.scoring.scorer import Scorer

logger = logging.getLogger("phylotools")


class SiteSource(Protocol):
    """Where a simulation takes its sites from.

    Attributes
    ----------
    model : SubstitutionModel
    contigs : dict of str to int
        Name -> length.
    regions : list of Region
        What is simulated: sorted, disjoint, contig by contig.
    """

    model: SubstitutionModel
    contigs: dict[str, int]
    regions: list[Region]

    def theta(self, region: Region) -> Tensor:
        """Sites of a region, shape (L, A)."""

    def reference(self, region: Region) -> NDArray[np.uint8] | None:
        """Letters of the reference species; None where they are to be drawn. uint8 (L,)."""

    def describe(self) -> dict[str, Any]:
        """Settings that decide the sites, JSON-ready."""


@dataclass(frozen=True)
class RandomSettings:
    """What random sites follow from, as plain data.

    Attributes
    ----------
    length : int
        Of the new contig.
    contig : str
        Its name.
    distribution : SiteDistribution
    substitution : str
        Name of the substitution model.
    shared : dict
        Its settings, as `make_substitution_model` takes them.
    """

    length: int
    contig: str = "chr1"
    distribution: SiteDistribution = field(default_factory=SiteDistribution)
    substitution: str = "f81"
    shared: dict[str, Any] = field(default_factory=dict)

    def sites(self, seed: int) -> RandomSites:
        """The sites that a seed gives.

        Raises
        ------
        InputError
            If a setting of the substitution model is wrong.
        """
        model = make_substitution_model(self.substitution, **self.shared)
        return RandomSites(
            self.distribution, model, contig=self.contig, length=self.length, seed=seed
        )


class RandomSites:
    """Sites drawn from a distribution, on one new contig."""

    def __init__(
        self,
        distribution: SiteDistribution,
        model: SubstitutionModel,
        *,
        contig: str,
        length: int,
        seed: int,
    ) -> None:
        self.model = model
        self.contigs = {contig: length}
        self.regions = [Region(contig, 0, length)]
        self._distribution = distribution
        self._key = stream_key(seed, contig)

    def theta(self, region: Region) -> Tensor:
        return self._distribution.draw(self.model, self._key, region.start, region.end)

    def reference(self, region: Region) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        return {"sites": vars(self._distribution)}


class ModelSites:
    """Sites as a model's network reads them off a reference sequence.

    The network has seen the reference base. So that base is given, and the other species are
    drawn given it.

    Parameters
    ----------
    scorer : Scorer
    regions : RegionSet, optional
        By default all of the reference.
    """

    def __init__(self, scorer: Scorer, regions: RegionSet | None) -> None:
        self.model: SubstitutionModel = scorer.model.substitution
        self.contigs = scorer.genome.contigs
        whole = (Region(contig, 0, length) for contig, length in self.contigs.items())
        self.regions = list(whole if regions is None else regions)
        self._scorer = scorer

    @property
    def fasta(self) -> str:
        """File of the sequence."""
        return str(self._scorer.genome.path)

    def theta(self, region: Region) -> Tensor:
        return torch.from_numpy(self._scorer.theta(region))

    def reference(self, region: Region) -> NDArray[np.uint8]:
        codes = self._scorer.genome.fetch(region)
        letters = BASES_AND_N.ljust(SOFT_MASK, "N") + BASES_AND_N.lower()
        return np.frombuffer(letters.encode(), dtype=np.uint8)[codes]

    def describe(self) -> dict[str, Any]:
        model = self._scorer.model
        return {
            "model": model.identity.to_dict(),
            "fasta": os.path.basename(self.fasta),
        }


def warn_of_unseen_sites(training_regions: RegionSet | None, regions: RegionSet) -> None:
    """Log how many positions a model that is meant for its training columns alone never saw."""
    if training_regions is None:
        return
    n_unseen = (regions - training_regions.spelled_as(regions.contigs)).n_positions
    if n_unseen:
        logger.warning(
            "%d of %d positions lie outside the regions that the model was trained on",
            n_unseen,
            regions.n_positions,
        )
