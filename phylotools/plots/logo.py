"""Predictions of a model at every base of a region, and the heights of a logo's letters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.bases import BASES, BASES_AND_N, N
from phylotools.io.genome import ReferenceGenome
from phylotools.io.intervals import flags_of
from phylotools.io.regions import Region, resolve_region
from phylotools.io.vcf.alleles import Status
from phylotools.plots.output import PlotTable
from phylotools.scoring.scorer import Scorer

Scale = Literal["information", "probability", "llr"]
#: Bases of the longest region whose letters can be read, and of the longest that is drawn.
MOST_LETTERS = 400
MOST_BASES = 4000


@dataclass(frozen=True)
class SiteProfile:
    """Predictions at the L bases of a region, on the forward strand.

    Attributes
    ----------
    region : Region
    reference : uint8[L]
        Codes A=0, C=1, G=2, T=3, other 4.
    log_probability : float64[L, 4]
        Natural log of the equilibrium frequencies.
    llr : float64[L, 4]
        Allele score minus that of the reference base: 0 there, NaN where it is not known.
    rate : float64[L]
        Expected substitution rate, neutral = 1.
    status : tuple of str
        ``ok``, ``edge_padded`` or ``outside_training``, as `annotate` says it.
    """

    region: Region
    reference: NDArray[np.uint8]
    log_probability: NDArray[np.float64]
    llr: NDArray[np.float64]
    rate: NDArray[np.float64]
    status: tuple[str, ...]

    @property
    def probability(self) -> NDArray[np.float64]:
        """Equilibrium frequencies, float64[L, 4]."""
        return np.exp(self.log_probability)

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of the frequencies in nats, float64[L]."""
        return -(self.probability * self.log_probability).sum(axis=1)

    @property
    def information(self) -> NDArray[np.float64]:
        """Information content in bits, float64[L]: 2 minus the entropy, from 0 to 2."""
        return np.clip(2 - self.entropy / np.log(2), 0, 2)

    def heights(self, scale: Scale) -> NDArray[np.float64]:
        """Signed heights of the letters A, C, G, T, float64[L, 4]; 0 where there is none."""
        if scale == "probability":
            return self.probability
        if scale == "information":
            return self.probability * self.information[:, None]
        return np.nan_to_num(self.llr, nan=0.0)

    def reverse_complement(self) -> SiteProfile:
        """The same sites as the other strand spells them, the last base first."""
        complement = np.array([3, 2, 1, 0, 4], dtype=np.uint8)
        return SiteProfile(
            self.region,
            complement[self.reference[::-1]],
            self.log_probability[::-1, ::-1],
            self.llr[::-1, ::-1],
            self.rate[::-1],
            self.status[::-1],
        )


def choose_region(text: str, genome: ReferenceGenome) -> Region:
    """Parse the region of a logo.

    Raises
    ------
    InputError
        If the text is no region of the genome.
    UsageError
        If it is too long to draw.
    """
    region = resolve_region(text, genome.contigs)
    if len(region) > MOST_BASES:
        raise UsageError(
            f"{region} has {len(region):,} bases; a logo shows {MOST_LETTERS} as letters and "
            f"up to {MOST_BASES:,} as a heat map; choose a shorter region, or write tracks for a "
            "genome browser with `phylotools tracks`"
        )
    return region


def profile_sites(scorer: Scorer, region: Region) -> SiteProfile:
    """Predictions at every base of a region.

    Parameters
    ----------
    scorer : Scorer
    region : Region
        Within its contig.
    """
    import torch

    theta = torch.from_numpy(scorer.theta(region)).double()
    model = scorer.model.substitution
    reference = scorer.genome.bases(region)
    log_pi = model.log_equilibrium_frequencies(theta).numpy()
    rows = np.arange(len(region))
    is_known = reference != N
    of_reference = np.where(is_known, log_pi[rows, np.minimum(reference, 3)], np.nan)
    return SiteProfile(
        region,
        reference,
        log_pi,
        log_pi - of_reference[:, None],
        model.site_rate(theta).numpy(),
        _status(scorer, region),
    )


def _status(scorer: Scorer, region: Region) -> tuple[str, ...]:
    positions = np.arange(region.start, region.end)
    status = np.full(len(region), str(Status.OK), dtype=object)
    edge, length = scorer.half_window, scorer.genome.contigs[region.contig]
    status[(positions < edge) | (positions >= length - edge)] = str(Status.EDGE_PADDED)
    trained = scorer.model.training_regions
    if trained is not None:
        here = trained.spelled_as(scorer.genome.contigs).on(region.contig)
        status[~flags_of(here, region.start, region.end)] = str(Status.OUTSIDE_TRAINING)
    return tuple(status.tolist())


def logo_table(profile: SiteProfile, facts: dict[str, Any]) -> PlotTable:
    """The table of a logo: a row for each base, always on the forward strand."""
    columns = [
        *("contig", "pos", "ref"),
        *(f"probability_{base}" for base in BASES),
        "information_bits",
        *(f"llr_{base}" for base in BASES),
        *("rate", "entropy", "status"),
    ]
    return PlotTable(facts, columns, _rows(profile))


def _rows(profile: SiteProfile) -> Iterator[list[Any]]:
    probability, information, entropy = (
        profile.probability,
        profile.information,
        profile.entropy,
    )
    for row, code in enumerate(profile.reference.tolist()):
        yield [
            profile.region.contig,
            profile.region.start + row + 1,
            BASES_AND_N[code],
            *probability[row].tolist(),
            float(information[row]),
            *profile.llr[row].tolist(),
            float(profile.rate[row]),
            float(entropy[row]),
            profile.status[row],
        ]
