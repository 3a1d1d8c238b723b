"""Compiled loop that writes annotated lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled

if TYPE_CHECKING:
    from phylotools.io.number_text import NumberText

_COMMA, _POINT, _SEMICOLON = b",.;"


class RecordLines(NamedTuple):
    """Where N records lie in a text, as `scan_lines` leaves them.

    Attributes
    ----------
    text : uint8 array
    begins, ends : int64 array [N]
    tabs : int64 array [N, 8]
    """

    text: NDArray[np.uint8]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    tabs: NDArray[np.int64]


class ScoredAlleles(NamedTuple):
    """Which texts belong to the alleles of N records.

    Attributes
    ----------
    first_outcome : int64 array [N + 1]
        Where the outcomes of each record's ALTs begin.
    score_rows : int64 array, by outcome
        Row of each score; -1 where the allele has none.
    statuses : uint8 array, by outcome
        Row of the statuses.
    sites : int64 array [N]
        Row of the rates and entropies; -1 where there are none.
    """

    first_outcome: NDArray[np.int64]
    score_rows: NDArray[np.int64]
    statuses: NDArray[np.uint8]
    sites: NDArray[np.int64]


@compiled
def _copy(source: NDArray[np.uint8], start: int, stop: int, out: NDArray[np.uint8], at: int) -> int:
    for k in range(stop - start):
        out[at + k] = source[start + k]
    return at + stop - start


@compiled
def _copy_score(
    alleles: ScoredAlleles,
    record: int,
    scores: NumberText,
    first_row: int,
    out: NDArray[np.uint8],
    at: int,
) -> int:
    """Write a score of the alleles of a record; its rows begin at `first_row`."""
    for k in range(alleles.first_outcome[record], alleles.first_outcome[record + 1]):
        if k > alleles.first_outcome[record]:
            out[at] = _COMMA
            at += 1
        row = alleles.score_rows[k]
        if row < 0:
            out[at] = _POINT
            at += 1
        else:
            row += first_row
            at = _copy(scores.text[row], 0, scores.lengths[row], out, at)
    return at


@compiled
def write_annotated(
    lines: RecordLines,
    alleles: ScoredAlleles,
    scores: NumberText,
    n_scored: int,
    status: NumberText,
    rate: NumberText,
    entropy: NumberText,
    keys: NDArray[np.uint8],
    key_ends: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write records with their scores at the end of INFO; returns the bytes written.

    Parameters
    ----------
    lines : RecordLines
    alleles : ScoredAlleles
    scores : NumberText
        Of every score, the LLR first, `n_scored` rows each.
    n_scored : int
    status, rate, entropy : NumberText
        What rows of `alleles` name.
    keys : uint8 array
        ``TAG_LLR=;TAG_STATUS=;TAG_RATE=;TAG_ENTROPY=``, and of the other scores ``;TAG_...=``.
    key_ends : int64 array [3 + number of scores]
        Ends of its parts.
    out : uint8 array, written
        Long enough.
    """
    text, tabs = lines.text, lines.tabs
    at = 0
    for i in range(len(lines.begins)):
        info = tabs[i, 6] + 1
        info_end = tabs[i, 7]
        if info_end == info or (info_end == info + 1 and text[info] == _POINT):
            at = _copy(text, lines.begins[i], info, out, at)
        else:
            at = _copy(text, lines.begins[i], info_end, out, at)
            if text[info_end - 1] != _SEMICOLON:
                out[at] = _SEMICOLON
                at += 1
        at = _copy(keys, 0, key_ends[0], out, at)
        at = _copy_score(alleles, i, scores, 0, out, at)
        at = _copy(keys, key_ends[0], key_ends[1], out, at)
        for k in range(alleles.first_outcome[i], alleles.first_outcome[i + 1]):
            if k > alleles.first_outcome[i]:
                out[at] = _COMMA
                at += 1
            row = alleles.statuses[k]
            at = _copy(status.text[row], 0, status.lengths[row], out, at)
        at = _copy(keys, key_ends[1], key_ends[2], out, at)
        row = alleles.sites[i]
        if row < 0:
            out[at] = _POINT
            at += 1
        else:
            at = _copy(rate.text[row], 0, rate.lengths[row], out, at)
        at = _copy(keys, key_ends[2], key_ends[3], out, at)
        if row < 0:
            out[at] = _POINT
            at += 1
        else:
            at = _copy(entropy.text[row], 0, entropy.lengths[row], out, at)
        for score in range(1, len(key_ends) - 3):
            at = _copy(keys, key_ends[2 + score], key_ends[3 + score], out, at)
            at = _copy_score(alleles, i, scores, score * n_scored, out, at)
        at = _copy(text, info_end, lines.ends[i], out, at)
    return at
