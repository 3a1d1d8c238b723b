"""Annotation tracks: the features that overlap a region."""

from __future__ import annotations

from collections.abc import Iterable

from phylotools.io.contigs import contig_resolver
from phylotools.io.features import Feature, read_features
from phylotools.io.regions import Region

#: Rows that stand for a whole sequence.
_WHOLE = frozenset({"region", "chromosome", "scaffold", "contig", "biological_region"})


def features_within(
    path: str, region: Region, contigs: Iterable[str], kinds: frozenset[str] = frozenset()
) -> list[Feature]:
    """Features that overlap a region, by the names of its contigs.

    Parameters
    ----------
    path : str
    region : Region
        On one of `contigs`.
    contigs : iterable of str
        Names of the assembly, so that `1` and `chr1` can be told apart or taken for one.
    kinds : frozenset of str, optional
        Types of GFF or GTF rows to keep [default: all but those that stand for a sequence].

    Returns
    -------
    list of Feature
        Sorted by start, the longer first; equal ones once.
    """
    resolve = contig_resolver(contigs)
    found: dict[tuple[int, int, str, str], Feature] = {}
    for feature in read_features(path, (region.start, region.end)):
        place = feature.region
        is_wanted = feature.kind in kinds if kinds else feature.kind not in _WHOLE
        if is_wanted and resolve(place.contig) == region.contig:
            # A gene, its transcript and its exon may be one interval with one name.
            found.setdefault((place.start, place.end, feature.name, feature.strand), feature)
    return sorted(found.values(), key=lambda f: (f.region.start, -f.region.end, f.name))
