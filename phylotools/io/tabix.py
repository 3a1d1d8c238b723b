"""Tabix indexes (``.tbi``, ``.csi``) of tables with a 1-based position: where to look for one.

htslib's own reader goes to the 16,384 positions around the one asked for and reads on from there,
which for a table with several lines a position is megabytes. With the bounds given here, the reader
can guess a place within them.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.files import open_input

SUFFIXES = (".tbi", ".csi")
_TBI_MIN_SHIFT, _TBI_DEPTH = 14, 5
#: Far above the index of any genome's table.
_LARGEST_INDEX = 1 << 28
_ZERO_BASED = 0x10000


@dataclass(frozen=True)
class Span:
    """Where in a file the lines of a range of positions lie, if there are any.

    Attributes
    ----------
    low, high : int
        Virtual offsets (block's offset << 16 | offset within its text): no line of the range lies
        before `low`, none at `high` or behind it.
    low_position, high_position : int
        0-based positions that these offsets stand for, to guess places between them.
    """

    low: int
    high: int
    low_position: int
    high_position: int


@dataclass(frozen=True)
class _ContigBounds:
    """Limits of the bins of a contig, whatever their level.

    Lines from `ends[i]` on lie behind `offset_at_end[i]`; those before `starts[i]` lie before
    `offset_at_start[i]`. Both pairs are ascending.
    """

    ends: NDArray[np.int64]
    offset_at_end: NDArray[np.int64]
    starts: NDArray[np.int64]
    offset_at_start: NDArray[np.int64]


class TabixIndex:
    """The index of a bgzip table.

    Attributes
    ----------
    contigs : tuple of str
        In the order of the table.
    """

    def __init__(self, bounds: dict[str, _ContigBounds]) -> None:
        self._bounds = bounds
        self.contigs = tuple(bounds)

    @classmethod
    def read(cls, table: str) -> TabixIndex:
        """Read the index beside a table.

        Parameters
        ----------
        table : str
            With contig and 1-based position in its first two columns.

        Raises
        ------
        InputError
            If there is none, it is damaged, or is of another kind of table.
        """
        path = next((table + end for end in SUFFIXES if os.path.exists(table + end)), None)
        remedy = f"make it anew: tabix -f -s1 -b2 -e2 {table}"
        if path is None:
            raise InputError("has no index (.tbi or .csi)", path=table, remedy=remedy)
        with open_input(path) as handle:
            data = handle.read(_LARGEST_INDEX)
        try:
            return cls(_parse(data))
        except (struct.error, ValueError, IndexError, OverflowError, UnicodeDecodeError) as error:
            raise InputError(
                "is no index of contig, 1-based position", path=path, remedy=remedy
            ) from error

    def span(self, contig: str, start: int, end: int) -> Span | None:
        """Where the lines of the 0-based half-open range lie; None if there can be none."""
        bounds = self._bounds.get(contig)
        if bounds is None or not len(bounds.ends):
            return None
        before = int(np.searchsorted(bounds.ends, start, side="right")) - 1
        behind = int(np.searchsorted(bounds.starts, end, side="left"))
        if before < 0:
            low, low_position = bounds.offset_at_start[0], bounds.starts[0]
        else:
            low, low_position = bounds.offset_at_end[before], bounds.ends[before]
        if behind == len(bounds.starts):
            high, high_position = bounds.offset_at_end[-1], bounds.ends[-1]
        else:
            high, high_position = bounds.offset_at_start[behind], bounds.starts[behind]
        span = Span(int(low), int(high), int(low_position), int(high_position))
        return span if span.low < span.high else None


def _parse(data: bytes) -> dict[str, _ContigBounds]:
    """Bounds by contig; any of several errors where the bytes are no such index."""
    is_csi = data[:4] == b"CSI\x01"
    if is_csi:
        min_shift, depth, n_extra = struct.unpack_from("<3i", data, 4)
        columns_at = 16
        n_contigs_at = columns_at + n_extra
        (n_contigs,) = struct.unpack_from("<i", data, n_contigs_at)
        bins_at = n_contigs_at + 4
    elif data[:4] == b"TBI\x01":
        min_shift, depth = _TBI_MIN_SHIFT, _TBI_DEPTH
        (n_contigs,) = struct.unpack_from("<i", data, 4)
        columns_at = 8
        bins_at = -1
    else:
        raise ValueError("no magic")
    kind, contig_column, start_column, end_column, _, _, n_names = struct.unpack_from(
        "<7i", data, columns_at
    )
    if (kind, contig_column, start_column) != (0, 1, 2) or end_column not in (0, 2):
        raise ValueError("other columns")
    if not (0 < min_shift <= 30 and 0 < depth <= 12 and n_names >= 0):
        raise ValueError("impossible sizes")
    names_at = columns_at + 28
    names = data[names_at : names_at + n_names].decode().split("\0")[:-1]
    if len(names) != n_contigs or len(set(names)) != n_contigs:
        raise ValueError("names")
    at = names_at + n_names if bins_at < 0 else bins_at
    bounds = {}
    for name in names:
        bounds[name], at = _parse_bins(data, at, min_shift, depth, is_csi)
    return bounds


def _parse_bins(
    data: bytes, at: int, min_shift: int, depth: int, is_csi: bool
) -> tuple[_ContigBounds, int]:
    """Bounds of the contig whose bins begin at an offset, and the offset behind them."""
    (n_bins,) = struct.unpack_from("<i", data, at)
    at += 4
    # The bin after the last one holds counts, not lines.
    n_possible = ((1 << 3 * (depth + 1)) - 1) // 7
    rows: list[tuple[int, int, int, int]] = []
    for _ in range(n_bins):
        (number,) = struct.unpack_from("<I", data, at)
        at += 12 if is_csi else 4
        (n_chunks,) = struct.unpack_from("<i", data, at)
        at += 4
        if n_chunks < 0 or at + 16 * n_chunks > len(data):
            raise ValueError("chunks")
        if number < n_possible and n_chunks:
            level = ((7 * number + 1).bit_length() - 1) // 3
            size = 1 << (min_shift + 3 * (depth - level))
            start = (number - ((1 << 3 * level) - 1) // 7) * size
            chunks = struct.unpack_from(f"<{2 * n_chunks}Q", data, at)
            rows.append((start, start + size, min(chunks[::2]), max(chunks[1::2])))
        at += 16 * n_chunks
    if not is_csi:
        (n_intervals,) = struct.unpack_from("<i", data, at)
        if n_intervals < 0:
            raise ValueError("intervals")
        at += 4 + 8 * n_intervals
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    by_start = table[np.argsort(table[:, 0], kind="stable")]
    by_end = table[np.argsort(table[:, 1], kind="stable")]
    # Of bins within one another, the outer one may hold lines before and behind the inner one's.
    return _ContigBounds(
        by_end[:, 1],
        np.maximum.accumulate(by_end[:, 3]),
        by_start[:, 0],
        np.minimum.accumulate(by_start[::-1, 2])[::-1],
    ), at
