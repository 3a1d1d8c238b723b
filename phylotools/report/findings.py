"""Findings: what is odd in an alignment, its likely cause, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phylotools.report.finding import Finding, counted, listed
from phylotools.report.identity_findings import identity_findings
from phylotools.report.names import kind_of_names, species_part, suggest_names
from phylotools.report.quality import AlignmentQuality, recorded_number

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


def find_problems(quality: AlignmentQuality) -> tuple[Finding, ...]:
    """Everything that is odd in an alignment, warnings first.

    Parameters
    ----------
    quality : AlignmentQuality

    Returns
    -------
    tuple of Finding
    """
    found = [
        *_name_findings(quality),
        *identity_findings(quality),
        *_coverage_findings(quality),
        *_row_findings(quality),
        *_contig_findings(quality),
        *_mask_findings(quality),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.is_warning))


def _name_findings(quality: AlignmentQuality) -> Iterator[Finding]:
    """Tips without rows, and rows without tip."""
    absent = [row.name for row in quality.species if row.is_absent]
    unknown: dict[str, int] = {}
    for source, rows in _numbers(quality.statistics.get("unknown_sources")).items():
        unknown[species_part(source)] = unknown.get(species_part(source), 0) + rows
    pairs = suggest_names(absent, _numbers(quality.statistics.get("unknown_sources")))
    meant = "one species under two names: " + listed(
        f"{p.tip} in the tree and {p.source} in the alignment ({p.difference})" for p in pairs
    )
    if absent:
        yield Finding(
            "tips_without_rows",
            True,
            f"{len(absent):,} of the tree's {len(quality.species):,} tips "
            f"{'has' if len(absent) == 1 else 'have'} no row in any column: {listed(absent)}",
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
            + listed(f"{name} ({unknown[name]:,} rows)" for name in most),
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
            + listed(f"{row.name} ({row.bases:,})" for row in scarce),
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
            + listed(f"{row.name} ({row.unknown_fraction:.0%})" for row in hard),
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
            + listed(
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
            f"bases: {listed(f'{name} ({rows:,})' for name, rows in wrong.items())}",
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
            f"{'has' if len(bare) == 1 else 'have'} no block: {listed(bare)}",
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
            + listed(f"{c.name} (up to {c.last:,} of {c.length:,})" for c in at_start),
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
            f"the median is {usual:.0%}: {listed(row.name for row in bare)}",
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
