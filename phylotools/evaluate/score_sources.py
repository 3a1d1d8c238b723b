"""Where scores stand: columns of files of variants, parts of INFO fields, and bigWigs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.labelled import Variants
from phylotools.evaluate.selection import ScoreColumn, listing
from phylotools.io.bigwig.reader import BigWigReader
from phylotools.io.bigwig.writer import MAGIC
from phylotools.io.contigs import resolve_contigs
from phylotools.io.files import open_regular
from phylotools.io.scored import ScoredFile, open_scored, score_number

#: Parts of an entry, as headers of VEP, SpliceAI and others say them.
_FORMAT = re.compile(r"Format:\s*['\"]?([^'\"]*\|[^'\"]*)")
_ALLELE_PARTS = ("allele", "alt")
#: What SpliceAI's four scores are together: the largest.
SPLICEAI_PARTS = ("DS_AG", "DS_AL", "DS_DG", "DS_DL")
#: Columns of every VCF, which are no scores unless they are named.
_FIXED = ("ID", "QUAL", "FILTER")
#: Bases of a deletion that are looked at in a bigWig.
_MOST_BASES = 1000


@dataclass(frozen=True)
class ScoreField:
    """A column of a file of variants, or parts of its entries ``A|B|C,A|B|C``.

    Attributes
    ----------
    column : str
        Of the file.
    parts : tuple of int
        Which parts of an entry; the largest number counts. None: the column itself.
    allele_part : int or None
        The part that says of which ALT an entry is.
    """

    column: str
    parts: tuple[int, ...] = ()
    allele_part: int | None = None

    def number(self, text: str | None, alts: Sequence[str], file: ScoredFile, line: int) -> float:
        """The largest number in the parts of an allele's entries; NaN where there is none.

        Parameters
        ----------
        text : str or None
            All entries of a record.
        alts : sequence of str
            How the allele may be spelled.
        file : ScoredFile
        line : int
            For messages.
        """
        if text is None:
            return np.nan
        entries = [entry.split("|") for entry in text.split(",")]
        if self.allele_part is not None:
            named = [e for e in entries if len(e) > self.allele_part]
            entries = [e for e in named if e[self.allele_part].strip().upper() in alts]
        texts = [
            e[part].strip() for e in entries for part in self.parts if part < len(e) and e[part]
        ]
        # VEP writes several values of one entry with & between.
        pieces = [piece for each in texts for piece in each.split("&") if piece not in ("", ".")]
        numbers = [score_number(piece, self.column, file, line) for piece in pieces]
        return max((value for value in numbers if value == value), default=np.nan)


def find_field(file: ScoredFile, name: str) -> ScoreField | None:
    """What a name means in a file: a column, or ``KEY.PART`` of an INFO field; None if nothing.

    A field of SpliceAI's form means the largest of its four scores.
    """
    if name in file.columns:
        parts = _parts(file, name)
        if set(SPLICEAI_PARTS) <= set(parts):
            return _field(name, parts, SPLICEAI_PARTS)
        return ScoreField(name)
    key, dot, part = name.partition(".")
    while dot:
        parts = _parts(file, key) if key in file.columns else []
        if part in parts:
            return _field(key, parts, (part,))
        more, dot, part = part.partition(".")
        key = f"{key}.{more}"
    return None


def _parts(file: ScoredFile, key: str) -> list[str]:
    found = _FORMAT.search(file.descriptions.get(key, ""))
    return [part.strip() for part in found[1].split("|")] if found else []


def _field(key: str, parts: list[str], wanted: Sequence[str]) -> ScoreField:
    lower = [part.lower() for part in parts]
    allele = next((lower.index(name) for name in _ALLELE_PARTS if name in lower), None)
    return ScoreField(key, tuple(parts.index(name) for name in wanted), allele)


def only_field(file: ScoredFile, score: ScoreColumn) -> ScoreField:
    """The column of a score's own file: the one it names, that of its name, or the only one.

    Raises
    ------
    InputError
        If there is no such column, or none is named where there are several.
    """
    if score.column is not None:
        found = find_field(file, score.column)
        if found is None:
            raise InputError(
                f"there is no column {score.column!r}",
                path=file.path,
                remedy=f"it has {listing(file.columns)}",
            )
        return found
    named = find_field(file, score.name)
    candidates = [name for name in file.columns if name not in _FIXED]
    if named is None and len(candidates) == 1:
        named = find_field(file, candidates[0])
    if named is None:
        raise InputError(
            f"which column is the score {score.name!r}?",
            path=file.path,
            remedy=f"write {score.name}=FILE:COLUMN; it has {listing(candidates)}",
        )
    return named


def is_bigwig(path: str) -> bool:
    """Whether a regular file begins as a bigWig, of either byte order."""
    try:
        with open_regular(path) as handle:
            return handle.read(len(MAGIC)) in (MAGIC, MAGIC[::-1])
    except InputError:
        return False


class Sources(NamedTuple):
    """The files of scores that have one of their own, by path."""

    files: dict[str, ScoredFile]
    tracks: dict[str, BigWigReader]


def open_sources(scores: Sequence[ScoreColumn], known: Sequence[str], stack: ExitStack) -> Sources:
    """Open each file that a score names, but those that are open already.

    Raises
    ------
    InputError
        If one cannot be read, or is of no known form.
    """
    sources = Sources({}, {})
    for score in scores:
        path = score.source
        if path is None or path in known or path in sources.files or path in sources.tracks:
            continue
        if is_bigwig(path):
            if score.column is not None:
                raise UsageError(
                    f"{path} is a bigWig, which has no columns: write {score.name}={path}"
                )
            sources.tracks[path] = stack.enter_context(BigWigReader(path))
        else:
            sources.files[path] = stack.enter_context(open_scored(path, may_lack_header=True))
    return sources


def track_scores(
    track: BigWigReader, variants: Variants, lengths: dict[str, int]
) -> NDArray[np.float64]:
    """Values of a bigWig: the mean over the reference bases that an allele changes or deletes.

    Of an insertion those are the two bases that it comes between.

    Parameters
    ----------
    track : BigWigReader
    variants : Variants
    lengths : dict of str to int
        Of the contigs of the labels, where their file says them.

    Returns
    -------
    float64 array [M]
        NaN where the bigWig has no value, or not the contig.

    Raises
    ------
    InputError
        If contigs have other lengths there, or none of the variants lies on its contigs.
    """
    names = resolve_contigs(variants.contigs, track.contigs)
    if not names:
        raise InputError(
            "has none of the contigs of the labelled variants",
            path=track.path,
            remedy=f"its contigs are {listing(track.contigs)}, those of the labels "
            f"{listing(variants.contigs)}",
        )
    begins, n_bases = changed_bases(variants)
    values = np.full(len(variants), np.nan)
    for number, contig in enumerate(variants.contigs):
        rows = np.flatnonzero(variants.contig_index == number)
        if contig not in names or not len(rows):
            continue
        there = names[contig]
        _check_length(track, contig, there, lengths, int(variants.positions[rows].max()))
        values[rows] = _means(track, there, begins[rows], n_bases[rows])
    return values


def _check_length(
    track: BigWigReader, contig: str, there: str, lengths: dict[str, int], last: int
) -> None:
    length = track.contigs[there]
    if contig in lengths and lengths[contig] != length:
        problem = f"{there} has {length:,} bases there and {lengths[contig]:,} in the labels' file"
    elif last >= length:
        problem = f"{there} has {length:,} bases there; a labelled variant is at {last + 1:,}"
    else:
        return
    raise InputError(
        problem,
        path=track.path,
        remedy="it is probably of another assembly: give the scores of that of the labels",
    )


def changed_bases(variants: Variants) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Begin and number of the reference bases that alleles change, delete or come between."""
    pairs: dict[tuple[str, str], tuple[int, int]] = {}
    found = np.empty((len(variants), 2), dtype=np.int64)
    for row, pair in enumerate(zip(variants.refs, variants.alts, strict=True)):
        if pair not in pairs:
            pairs[pair] = _changed(*pair)
        found[row] = pairs[pair]
    return variants.positions + found[:, 0], found[:, 1]


def _changed(ref: str, alt: str) -> tuple[int, int]:
    """Offset and number of the bases, of alleles in minimal form."""
    if len(ref) == len(alt):
        return 0, min(len(ref), _MOST_BASES)
    shared = int(ref[:1] == alt[:1])
    if len(ref) == shared:
        return 0, 2
    return shared, min(len(ref) - shared, _MOST_BASES)


def _means(
    track: BigWigReader, contig: str, begins: NDArray[np.int64], n_bases: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Means of the values there are."""
    item = np.repeat(np.arange(len(begins)), n_bases)
    offsets = np.arange(len(item)) - np.repeat(np.cumsum(n_bases) - n_bases, n_bases)
    positions, places = np.unique(begins[item] + offsets, return_inverse=True)
    values = track.values(contig, positions).astype(np.float64)[places]
    is_there = ~np.isnan(values)
    n = np.bincount(item[is_there], minlength=len(begins))
    total = np.bincount(item[is_there], values[is_there], minlength=len(begins))
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)
