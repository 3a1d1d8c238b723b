"""Lines of a table of scores, parsed many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.genome import CODE_OF_BYTE
from phylotools.io.score_table import COLUMNS

_N_TABS = len(COLUMNS) - 1
_TAB, _NEWLINE, _ZERO = 9, 10, 48
_MOST_DIGITS = 11
_LONGEST_NUMBER = 24
_REMEDY = "make the table and its index anew with `phylotools tracks`"


@dataclass(frozen=True)
class ScoreLines:
    """Lines of one contig.

    Attributes
    ----------
    keys : int64 array [K]
        0-based position * 4 + code of ALT, ascending.
    refs : uint8 array [K]
        Codes of REF.
    is_end : bool
        Whether lines of another contig follow.
    """

    keys: NDArray[np.int64]
    refs: NDArray[np.uint8]
    is_end: bool
    _text: NDArray[np.uint8]
    #: Begin and end of the three numbers [K, 3].
    _begins: NDArray[np.int64]
    _ends: NDArray[np.int64]
    _place: tuple[str, str]

    @classmethod
    def parse(cls, text: bytes, contig: str, path: str, last_key: int) -> ScoreLines:
        """Parse whole lines; those from the first of another contig on are left out.

        Parameters
        ----------
        text : bytes
        contig, path : str
        last_key : int
            Of the line before, -1 if there is none: lines ascend.

        Raises
        ------
        InputError
            If a line is no line of such a table, or they do not ascend.
        """
        data = np.frombuffer(text, dtype=np.uint8)
        line_ends = np.flatnonzero(data == _NEWLINE)
        begins = np.concatenate([[0], line_ends[:-1] + 1]) if len(line_ends) else line_ends
        all_tabs = np.flatnonzero(data == _TAB)
        if len(all_tabs) != _N_TABS * len(line_ends):
            raise _damaged("lines without seven columns", contig, path)
        tabs = all_tabs.reshape(-1, _N_TABS)
        if len(tabs) and ((tabs[:, 0] < begins).any() or (tabs[:, -1] > line_ends).any()):
            raise _damaged("lines without seven columns", contig, path)
        n_here = _count_contig(data, begins, tabs[:, 0], contig)
        is_end = n_here < len(begins)
        tabs, line_ends = tabs[:n_here], line_ends[:n_here]
        positions = _positions(data, tabs[:, 0] + 1, tabs[:, 1], contig, path)
        if (np.diff(tabs[:, 1:4]) != 2).any():
            raise _damaged("alleles that are no single bases", contig, path)
        refs, alts = (CODE_OF_BYTE[data[tabs[:, column] + 1]] for column in (1, 2))
        keys = (positions - 1) * 4 + alts
        if (refs > 3).any() or (alts > 3).any() or (refs == alts).any():
            raise _damaged("alleles other than A, C, G, T", contig, path)
        if n_here and (keys[0] <= last_key or (np.diff(keys) <= 0).any()):
            raise _damaged("lines out of order, or one allele twice", contig, path)
        stops = np.column_stack([tabs[:, 4:], line_ends])
        return cls(keys, refs, is_end, data, tabs[:, 3:] + 1, stops, (contig, path))

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """LLR, rate and entropy of some lines, [len(rows), 3].

        Raises
        ------
        InputError
            If one of them is no finite number.
        """
        begins, ends = self._begins[rows].ravel(), self._ends[rows].ravel()
        width = int((ends - begins).max(initial=1))
        if width > _LONGEST_NUMBER or (ends <= begins).any():
            raise _damaged("columns that are no numbers", *self._place)
        places = begins[:, None] + np.arange(width)
        letters = self._text[np.minimum(places, len(self._text) - 1)]
        letters[places >= ends[:, None]] = 0
        try:
            values = letters.view(f"S{width}").ravel().astype(np.float64)
        except ValueError:
            values = np.array([np.nan])
        if not np.isfinite(values).all():
            raise _damaged("columns that are no numbers", *self._place)
        return values.reshape(-1, 3)


def _count_contig(
    data: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    contig: str,
) -> int:
    """Lines before the first one of another contig."""
    name = np.frombuffer(contig.encode("utf-8", "surrogateescape"), dtype=np.uint8)
    is_here = ends - begins == len(name)
    for offset, letter in enumerate(name):
        is_here[is_here] = data[begins[is_here] + offset] == letter
    return len(is_here) if is_here.all() else int(np.argmin(is_here))


def _positions(
    data: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    contig: str,
    path: str,
) -> NDArray[np.int64]:
    """Whole numbers from 1 on."""
    widths = ends - begins
    positions = np.zeros(len(begins), dtype=np.int64)
    is_good = bool(((widths > 0) & (widths <= _MOST_DIGITS)).all())
    for offset in range(int(widths.max(initial=0)) if is_good else 0):
        has_digit = offset < widths
        digits = data[begins[has_digit] + offset].astype(np.int64) - _ZERO
        is_good &= bool(((digits >= 0) & (digits <= 9)).all())
        positions[has_digit] = positions[has_digit] * 10 + digits
    if not is_good or (positions < 1).any():
        raise _damaged("positions that are no whole numbers from 1 on", contig, path)
    return positions


def _damaged(problem: str, contig: str, path: str) -> InputError:
    return InputError(f"holds, on {contig}, {problem}", path=path, remedy=_REMEDY)
