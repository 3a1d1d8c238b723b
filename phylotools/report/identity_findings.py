"""Species that are more or less like the reference than the tree says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from phylotools.report.divergence import Divergence
from phylotools.report.finding import Finding, counted, listed
from phylotools.report.quality import AlignmentQuality, SpeciesQuality
from phylotools.store.tree_scale import FEWEST_COLUMNS, scale_problem

#: What aligns by chance has q of its bases alike, a little more where the aligner chose the best.
_CHANCE_MARGIN = 0.12
#: A species in so few of the columns is often there only where all are conserved.
_SPARSE = 0.2
#: The reference's row disagrees with its own sequence: a single base is one too many.
_MOST_UNKNOWN_REFERENCE = 0.01


@dataclass(frozen=True)
class Outlier:
    """A species far from the trend of its alignment.

    Attributes
    ----------
    species : SpeciesQuality
    expected : float
        Identity at its distance.
    allowed : float
        Difference that would not be unusual.
    """

    species: SpeciesQuality
    expected: float
    allowed: float

    @property
    def is_high(self) -> bool:
        return self.species.identity > self.expected


def identity_outliers(quality: AlignmentQuality) -> list[Outlier]:
    """Species whose identity to the reference is not what their distance predicts."""
    outliers = []
    for row in quality.others:
        if row.comparable < FEWEST_COLUMNS:
            continue
        expected, allowed = _expectation(quality.divergence, row, row.distance)
        if abs(row.identity - expected) > allowed:
            outliers.append(Outlier(row, expected, allowed))
    return outliers


def unusual_species(quality: AlignmentQuality) -> set[str]:
    """Names of the species that a picture should mark."""
    return {o.species.name for o in identity_outliers(quality)} | set(_misplaced_names(quality))


def identity_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    """Findings about identity to the reference."""
    yield from _reference_findings(quality)
    of_scale = scale_problem(
        quality.tree,
        quality.reference_species,
        np.array([row.identical for row in quality.species]),
        np.array([row.comparable for row in quality.species]),
        quality.divergence.chance_identity,
    )
    if of_scale is not None:
        # What single species should be like, such a tree cannot say.
        yield Finding("tree_scale", True, *of_scale)
        return
    yield from _misplaced_finding(quality)
    misplaced = _misplaced_names(quality)
    outliers = [o for o in identity_outliers(quality) if o.species.name not in misplaced]
    for first, second in _swapped(quality.divergence, outliers):
        outliers = [o for o in outliers if o not in (first, second)]
        yield Finding(
            "swapped_species",
            True,
            f"{first.species.name} agrees with the reference in {first.species.identity:.1%} of "
            f"its bases and {second.species.name} in {second.species.identity:.1%}; each has what "
            f"the tree predicts for the other ({first.expected:.1%} and {second.expected:.1%})",
            "the two names are exchanged, in the tree or in the alignment",
            "compare both with a sequence of known origin, and rename",
            (first.species.name, second.species.name),
        )
    at_random = [
        o
        for o in outliers
        if o.species.identity < quality.divergence.chance_identity + _CHANCE_MARGIN
    ]
    if at_random:
        yield Finding(
            "identity_by_chance",
            True,
            f"{_subjects(at_random)} hardly more like the reference than random sequence "
            f"({quality.divergence.chance_identity:.0%}): {_values(at_random)}",
            "rows on the wrong strand, shifted coordinates, or sequence of another assembly than "
            "the one that was aligned",
            "extract a few rows from that species' FASTA at the coordinates of the alignment "
            "and compare them",
            _names(at_random),
        )
    yield from _high_and_low(quality, [o for o in outliers if o not in at_random])


def _misplaced_names(quality: AlignmentQuality) -> tuple[str, ...]:
    return tuple(quality.species[found.species].name for found in quality.misplaced)


def _misplaced_finding(quality: AlignmentQuality) -> Iterator[Finding]:
    found = quality.misplaced
    if not found:
        return
    tips = quality.tree.tips
    yield Finding(
        "misplaced_species",
        True,
        f"the sequence of {counted(len(found), 'species', 'species')} fits another place in the "
        "tree better: "
        + listed(
            f"{tips[m.species]} that of {tips[m.place]} (it agrees with {m.conflicts:,} other "
            f"species more or less than the tree predicts, there with {m.conflicts_there:,})"
            for m in found
        ),
        "names exchanged or wrong, in the tree or in the alignment, or contamination with the "
        "other species",
        "compare these species with sequence of known origin, and rename or leave them out",
        _misplaced_names(quality),
    )


def _reference_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    row = quality.reference_row
    if row.identical < row.comparable:
        yield Finding(
            "reference_differs",
            True,
            f"the alignment's row of {row.name} differs from the stored reference sequence in "
            f"{counted(row.comparable - row.identical, 'column')}",
            "alignment and FASTA are of different assemblies or versions",
            "make the store again with the FASTA that the alignment was made with",
            (row.name,),
        )
    unknown = int(quality.reference[4])
    if unknown > _MOST_UNKNOWN_REFERENCE * quality.columns:
        yield Finding(
            "reference_unknown",
            False,
            f"the reference has no A, C, G or T in {unknown:,} of {quality.columns:,} covered "
            f"columns ({unknown / quality.columns:.1%})",
            "runs of N or a hard-masked reference were aligned",
            "use a soft-masked reference, or leave these regions out",
            (row.name,),
        )


def _high_and_low(quality: AlignmentQuality, outliers: Sequence[Outlier]) -> Iterator[Finding]:
    low = [o for o in outliers if not o.is_high]
    if low:
        yield Finding(
            "identity_low",
            True,
            f"{_subjects(low)} less like the reference than the tree predicts: "
            f"{_values(low, quality)}",
            "the name of another species, paralogous copies instead of the orthologous sequence "
            "(nuclear copies of mitochondrial DNA, retrocopies), a poor assembly, or a branch "
            "that is too short in the tree",
            "check the names first, then where the rows of these species lie; leave a species out "
            "if its rows are copies",
            _names(low),
        )
    high = [o for o in outliers if o.is_high and o.species.coverage >= _SPARSE]
    if high:
        yield Finding(
            "identity_high",
            True,
            f"{_subjects(high)} more like the reference than the tree predicts: "
            f"{_values(high, quality)}",
            "the name of another, closer species, an assembly that was built on the reference or "
            "contaminated with it, or a branch that is too long in the tree",
            "check the names first; leave a contaminated species out",
            _names(high),
        )
    sparse = [o for o in outliers if o.is_high and o.species.coverage < _SPARSE]
    if sparse:
        yield Finding(
            "identity_of_few_columns",
            False,
            f"{_subjects(sparse)} more like the reference than the tree predicts, in few columns: "
            f"{_values(sparse)}",
            "only conserved sequence is aligned at such a distance",
            "none is needed; do not read rates of evolution off the identity of these species",
            _names(sparse),
        )


def _swapped(
    divergence: Divergence, outliers: Sequence[Outlier]
) -> Iterator[tuple[Outlier, Outlier]]:
    """Pairs of opposite outliers that would both be usual with each other's name."""
    pairs = []
    for pair in combinations(outliers, 2):
        if pair[0].is_high == pair[1].is_high:
            continue
        misfit = 0.0
        for one, other in (pair, pair[::-1]):
            expected, allowed = _expectation(divergence, one.species, other.species.distance)
            misfit = max(misfit, abs(one.species.identity - expected) / allowed)
        if misfit <= 1:
            pairs.append((misfit, pair))
    used: set[str] = set()
    for _, pair in sorted(pairs, key=lambda found: found[0]):
        names = {o.species.name for o in pair}
        if not names & used:
            used |= names
            yield pair


def _expectation(
    divergence: Divergence, row: SpeciesQuality, distance: float
) -> tuple[float, float]:
    """Expected identity at a distance, and the difference from it that is not unusual."""
    return divergence.expected(distance), divergence.allowed(row.comparable, row.columns)


def _subjects(outliers: Sequence[Outlier]) -> str:
    return counted(len(outliers), "species is", "species are")


def _names(outliers: Sequence[Outlier]) -> tuple[str, ...]:
    return tuple(o.species.name for o in outliers)


def _values(outliers: Sequence[Outlier], quality: AlignmentQuality | None = None) -> str:
    furthest = sorted(outliers, key=lambda o: -abs(o.species.identity - o.expected) / o.allowed)
    return listed(
        f"{o.species.name} ({o.species.identity:.1%} instead of {o.expected:.1%}"
        f"{'' if quality is None else _like(quality, o)})"
        for o in furthest
    )


def _like(quality: AlignmentQuality, outlier: Outlier) -> str:
    """The species whose distance would suit the identity best."""
    others = [row for row in quality.others if row is not outlier.species]
    at = quality.divergence.trend(np.array([row.distance for row in others]))
    misfit = np.abs(at - outlier.species.identity)
    if not len(misfit) or misfit.min() > outlier.allowed / 2:
        return ""
    return f", as at the distance of {others[int(misfit.argmin())].name}"
