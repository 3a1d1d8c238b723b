"""Findings: what is odd in an alignment, its likely cause, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from phylotools.errors import counted
from phylotools.report.names import kind_of_names, species_part, suggest_names
from phylotools.report.quality import AlignmentQuality, Outlier, recorded_number
from phylotools.store.tree_scale import scale_problem

#: Names that a message lists; report.json and species.tsv have all.
_MOST_NAMED = 5
#: A species in fewer of the columns adds nothing to a likelihood but work.
_SCARCE = 0.01
#: Multiz keeps one row a species; cactus-hal2maf with all duplicates has 5 to 10 % where a genome
#: has few, and more in segmental duplications and in assemblies with both haplotypes.
_MANY_DUPLICATES = 0.1
#: Fewer rows say nothing about a species.
_FEWEST_ROWS = 20
#: The PHAST example with real overlaps has 0.4 %; a region given twice has all of it.
_MANY_OVERLAPS = 0.01
#: Mammals and birds have 20 to 60 % of interspersed repeats.
_USUAL_MASK, _NO_MASK = 0.05, 0.002
#: Letters for which a masked fraction can be told.
_FEWEST_LETTERS = 10_000
_MUCH_UNKNOWN = 0.2
_MOST_LONELY = 0.5
#: Slices with coordinates of their own begin at 0: long contigs whose blocks begin in the first
#: hundredth and end in the first tenth. One may be so by chance.
_LONG_CONTIG, _START, _BEGINNING, _FEWEST_CONTIGS = 200_000, 0.01, 0.1, 3
_WRONG_SIZES = 0.001
#: What aligns by chance has q of its bases alike, a little more where the aligner chose the best.
_CHANCE_MARGIN = 0.12
#: A species in so few of the columns is often there only where all are conserved.
_SPARSE = 0.2
#: The reference's row disagrees with its own sequence: a single base is one too many.
_MOST_UNKNOWN_REFERENCE = 0.01


@dataclass(frozen=True)
class Finding:
    """Something odd in an alignment.

    Attributes
    ----------
    kind : str
        Short and stable, for programs.
    is_warning : bool
        Whether results are likely to suffer; else a note.
    problem : str
        What was found, with numbers.
    cause : str
        What it most likely comes from.
    remedy : str
        What to do.
    names : tuple of str
        Species, sources or contigs that it is about.
    """

    kind: str
    is_warning: bool
    problem: str
    cause: str
    remedy: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.problem}. Likely cause: {self.cause}. Remedy: {self.remedy}."

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {**asdict(self), "names": list(self.names)}


def find_problems(quality: AlignmentQuality) -> tuple[Finding, ...]:
    """Find what is odd in an alignment, warnings first.

    Parameters
    ----------
    quality : AlignmentQuality

    Returns
    -------
    tuple of Finding
    """
    found = [
        *_name_findings(quality),
        *_identity_findings(quality),
        *_coverage_findings(quality),
        *_row_findings(quality),
        *_contig_findings(quality),
        *_mask_findings(quality),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.is_warning))


def _name_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    """Findings about tips without rows, and rows without tip."""
    absent = [row.name for row in quality.species if row.is_absent]
    unknown: dict[str, int] = {}
    for source, rows in _numbers(quality.statistics.get("unknown_sources")).items():
        unknown[species_part(source)] = unknown.get(species_part(source), 0) + rows
    pairs = suggest_names(absent, _numbers(quality.statistics.get("unknown_sources")))
    meant = "one species under two names: " + _listed(
        f"{p.tip} in the tree and {p.source} in the alignment ({p.difference})" for p in pairs
    )
    if absent:
        yield Finding(
            "tips_without_rows",
            True,
            f"{len(absent):,} of the tree's {len(quality.species):,} tips "
            f"{'has' if len(absent) == 1 else 'have'} no row in any column: {_listed(absent)}",
            meant if pairs else _cause_of_absence(absent, quality, unknown),
            "rename the tips, or give a tree of the aligned species only: a tip without data costs "
            "time and memory and adds nothing",
            tuple(absent),
        )
    if unknown:
        most = sorted(unknown, key=lambda name: -unknown[name])
        yield Finding(
            "rows_without_tip",
            True,
            f"{sum(unknown.values()):,} rows of {counted(len(unknown), 'name')} that "
            f"{'is' if len(unknown) == 1 else 'are'} no tip of the tree were left out: "
            + _listed(f"{name} ({unknown[name]:,} rows)" for name in most),
            meant if pairs else "the tree lacks these species, or these are rows of ancestors",
            "rename the tips, or add the species to the tree with their branch lengths",
            tuple(most),
        )


def _cause_of_absence(absent: list[str], quality: AlignmentQuality, unknown: dict[str, int]) -> str:
    others = unknown or [row.name for row in quality.species if not row.is_absent]
    here, there = kind_of_names(absent), kind_of_names(others)
    if here is not None and there is not None and here != there:
        return f"the tips have {here} where the alignment has {there}"
    return "these species are not in the alignment, or only where the reference has no block"


def _identity_findings(quality: AlignmentQuality) -> Iterator[Finding]:
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
    outliers = [
        o for o in quality.identity_outliers if o.species.name not in quality.misplaced_names
    ]
    for first, second in _swapped(quality, outliers):
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
        + _listed(
            f"{tips[m.species]} that of {tips[m.place]} (it agrees with {m.conflicts:,} other "
            f"species more or less than the tree predicts, there with {m.conflicts_there:,})"
            for m in found
        ),
        "names exchanged or wrong, in the tree or in the alignment, or contamination with the "
        "other species",
        "compare these species with sequence of known origin, and rename or leave them out",
        quality.misplaced_names,
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
    quality: AlignmentQuality, outliers: Sequence[Outlier]
) -> Iterator[tuple[Outlier, Outlier]]:
    """Pairs of opposite outliers that would both be usual with each other's name."""
    pairs = []
    for pair in combinations(outliers, 2):
        if pair[0].is_high == pair[1].is_high:
            continue
        misfit = 0.0
        for one, other in (pair, pair[::-1]):
            expected, allowed = quality.usual_identity(one.species, other.species.distance)
            misfit = max(misfit, abs(one.species.identity - expected) / allowed)
        if misfit <= 1:
            pairs.append((misfit, pair))
    used: set[str] = set()
    for _, pair in sorted(pairs, key=lambda found: found[0]):
        names = {o.species.name for o in pair}
        if not names & used:
            used |= names
            yield pair


def _subjects(outliers: Sequence[Outlier]) -> str:
    return counted(len(outliers), "species is", "species are")


def _names(outliers: Sequence[Outlier]) -> tuple[str, ...]:
    return tuple(o.species.name for o in outliers)


def _values(outliers: Sequence[Outlier], quality: AlignmentQuality | None = None) -> str:
    furthest = sorted(outliers, key=lambda o: -abs(o.species.identity - o.expected) / o.allowed)
    return _listed(
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


def _coverage_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    scarce = [row for row in quality.others if not row.is_absent and row.coverage < _SCARCE]
    if scarce:
        scarce.sort(key=lambda row: row.coverage)
        near = min(scarce, key=lambda row: row.distance)
        yield Finding(
            "scarce_species",
            True,
            f"{counted(len(scarce), 'species has', 'species have')} a base in less than "
            f"{_SCARCE:.0%} of {quality.columns:,} columns: "
            + _listed(f"{row.name} ({row.bases:,})" for row in scarce),
            "an incomplete or fragmented assembly, or sequence that these species lost or never "
            f"had; suspicious where they are close to the reference (closest: {near.name} at "
            f"{near.distance:.2f} substitutions per site)",
            "leave them out with --species unless their columns matter to you",
            tuple(row.name for row in scarce),
        )
    lonely = int(quality.depth[:2].sum())
    if len(quality.species) > 1 and lonely > _MOST_LONELY * quality.columns:
        yield Finding(
            "lonely_columns",
            False,
            f"{lonely:,} of {quality.columns:,} columns ({lonely / quality.columns:.0%}) have no "
            "species but the reference",
            "blocks of the reference alone were exported, or most of it has no orthologue",
            "preprocess with --minimum-species 2 or more to store fewer columns",
        )
    hard = [
        row
        for row in quality.species
        if row.bases + row.unknown >= _FEWEST_LETTERS and row.unknown_fraction > _MUCH_UNKNOWN
    ]
    if hard:
        yield Finding(
            "unknown_bases",
            True,
            f"{counted(len(hard), 'species has', 'species have')} more than {_MUCH_UNKNOWN:.0%} "
            "N among the aligned letters: "
            + _listed(f"{row.name} ({row.unknown_fraction:.0%})" for row in hard),
            "a hard-masked assembly (N instead of lower case), or one full of gaps",
            "align soft-masked assemblies",
            tuple(row.name for row in hard),
        )


def _row_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    duplicated = [
        row
        for row in quality.species
        if (row.rows or 0) >= _FEWEST_ROWS and row.duplicate_fraction > _MANY_DUPLICATES
    ]
    if duplicated:
        duplicated.sort(key=lambda row: -row.duplicate_fraction)
        policy = quality.statistics.get("duplicates_policy")
        yield Finding(
            "duplicate_rows",
            True,
            f"more than {_MANY_DUPLICATES:.0%} of the rows of "
            f"{counted(len(duplicated), 'species', 'species')} are further rows of a block: "
            + _listed(
                f"{row.name} ({row.duplicate_fraction:.0%} of {row.rows:,})" for row in duplicated
            )
            + (f"; the policy was {policy}" if isinstance(policy, str) else ""),
            "alternative haplotypes in the assembly, or unresolved paralogs"
            if len(duplicated) < len(quality.species) / 2
            else "duplications in the reference, or an export that keeps every paralog",
            "compare the policies of --duplicates; for cactus, export single copies "
            "(cactus-hal2maf --dupeMode single)",
            tuple(row.name for row in duplicated),
        )
    overlapping = recorded_number(quality.statistics.get("overlapping_positions"))
    if overlapping > _MANY_OVERLAPS * quality.columns:
        yield Finding(
            "overlapping_blocks",
            True,
            f"{overlapping:,} times a reference position lay in a further block "
            f"({quality.columns:,} positions are covered); the first block was kept",
            "one region twice: several files that overlap, or an alignment that is not "
            "single-coverage on the reference",
            "give each region once (mafDuplicateFilter, or disjoint files)",
        )
    skipped = recorded_number(quality.statistics.get("blocks_without_reference"))
    blocks = skipped + recorded_number(quality.statistics.get("blocks"))
    if skipped > blocks / 2:
        yield Finding(
            "blocks_without_reference",
            True,
            f"{skipped:,} of {blocks:,} blocks have no row of the reference "
            f"{quality.reference_species}",
            "the alignment was exported for another reference species",
            "give --reference that species, or export again (hal2maf --refGenome)",
        )
    wrong = {row.name: row.wrong_size_rows for row in quality.species if row.wrong_size_rows}
    n_rows = sum(row.rows or 0 for row in quality.species)
    if sum(wrong.values()) > _WRONG_SIZES * n_rows:
        yield Finding(
            "wrong_sizes",
            False,
            f"{sum(wrong.values()):,} of {n_rows:,} rows state another size than their number of "
            f"bases: {_listed(f'{name} ({rows:,})' for name, rows in wrong.items())}",
            "blocks were cut without correcting the rows of the other species",
            "none is needed: only the reference's coordinates are used",
            tuple(wrong),
        )


def _contig_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    bare = [contig.name for contig in quality.contigs if not contig.covered]
    if bare:
        yield Finding(
            "contigs_without_blocks",
            False,
            f"{len(bare):,} of {counted(len(quality.contigs), 'contig')} "
            f"{'has' if len(bare) == 1 else 'have'} no block: {_listed(bare)}",
            "part of the alignment is missing, or regions were left out",
            "check that the files of all contigs were given",
            tuple(bare),
        )
    long = [c for c in quality.contigs if c.covered and c.length >= _LONG_CONTIG]
    at_start = [c for c in long if c.first < _START * c.length and c.last < _BEGINNING * c.length]
    if len(at_start) >= _FEWEST_CONTIGS and len(at_start) > 0.9 * len(long):
        yield Finding(
            "blocks_at_starts_only",
            True,
            f"on {len(at_start)} of {len(long)} contigs of {_LONG_CONTIG:,} bases and more, blocks "
            f"lie in the first {_BEGINNING:.0%} only: "
            + _listed(f"{c.name} (up to {c.last:,} of {c.length:,})" for c in at_start),
            "coordinates are counted within slices, not on the contigs of this assembly, or only "
            "the beginnings were aligned",
            "give --fasta, which compares every block with the reference sequence",
            tuple(c.name for c in at_start),
        )


def _mask_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    known = [row for row in quality.species if row.bases + row.unknown >= _FEWEST_LETTERS]
    if not known:
        return
    usual = float(np.median([row.masked_fraction for row in known]))
    bare = [row for row in known if row.masked_fraction < _NO_MASK]
    if usual > _USUAL_MASK and bare:
        yield Finding(
            "no_soft_mask",
            False,
            f"{counted(len(bare), 'species has', 'species have')} next to no lower case, where "
            f"the median is {usual:.0%}: {_listed(row.name for row in bare)}",
            "these assemblies are not soft-masked",
            "mask their repeats before aligning, if repeats are to be told apart",
            tuple(row.name for row in bare),
        )
    elif len(bare) == len(known):
        yield Finding(
            "no_soft_mask",
            False,
            "no species has lower-case bases",
            "the assemblies are not soft-masked, or a tool wrote everything in upper case",
            "none is needed unless repeats are to be told apart",
        )


def _numbers(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {str(name): recorded_number(number) for name, number in value.items()}


def _listed(items: Iterable[str]) -> str:
    """The first few of many, and how many more there are."""
    all_items = list(items)
    more = f" and {len(all_items) - _MOST_NAMED:,} more" if len(all_items) > _MOST_NAMED else ""
    return ", ".join(all_items[:_MOST_NAMED]) + more
