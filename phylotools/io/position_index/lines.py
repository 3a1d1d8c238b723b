"""Lines of a text, and the positions that each spans."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.io.position_index import line_kernels as kernels


class LineKind(enum.Enum):
    """What lines are, and where tabix finds contig and position in them."""

    #: Contig and 1-based position in the first two columns.
    POSITIONS = "positions"
    BED = "bed"
    VCF = "vcf"

    @property
    def code(self) -> int:
        """For `scan_lines`."""
        codes = {"positions": kernels.POSITIONS, "bed": kernels.BED, "vcf": kernels.VCF}
        return codes[self.value]

    def tabix_columns(self) -> bytes:
        """Preset, columns (from 1) of contig, begin and end, mark of comments, lines skipped."""
        zero_based, vcf = 0x10000, 2
        preset, end = {"positions": (0, 2), "bed": (zero_based, 3), "vcf": (vcf, 0)}[self.value]
        return struct.pack("<6i", preset, 1, 2, end, ord("#"), 0)


@dataclass(frozen=True)
class ScannedLines:
    """Records of a text, N of them, and the header lines between them.

    Attributes
    ----------
    starts, ends : int64 array [N]
        0-based, half-open.
    offsets : int64 array [N]
        Where each line begins in the text.
    run_starts : int64 array [R]
        First records of runs on one contig.
    contigs : list of bytes, length R
        Of each run.
    meta : list of bytes
        Lines that begin with ``#``.
    bad : int or None
        Where the first line begins that is no record.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    run_starts: NDArray[np.int64]
    contigs: list[bytes]
    meta: list[bytes]
    bad: int | None


def scan_text(text: bytes | memoryview, kind: LineKind) -> ScannedLines:
    """What each line of a text spans.

    Parameters
    ----------
    text : bytes-like
        Whole lines.
    kind : LineKind
    """
    array = np.frombuffer(text, dtype=np.uint8)
    newlines = np.flatnonzero(array == ord("\n"))
    n = len(newlines)
    status = np.empty(n, dtype=np.uint8)
    starts, ends, name_ends = (np.empty(n, dtype=np.int64) for _ in range(3))
    is_new = np.empty(n, dtype=bool)
    kernels.scan_lines(array, newlines, kind.code, status, starts, ends, name_ends, is_new)
    offsets = np.empty(n, dtype=np.int64)
    offsets[:1] = 0
    offsets[1:] = newlines[:-1] + 1
    meta = np.flatnonzero(status == kernels.META).tolist()
    bad = np.flatnonzero(status == kernels.BAD)
    header = [bytes(text[offsets[i] : newlines[i]]) for i in meta]
    if len(meta) or len(bad):
        kept = status == kernels.RECORD
        starts, ends, offsets = starts[kept], ends[kept], offsets[kept]
        name_ends, is_new = name_ends[kept], is_new[kept]
    runs = np.flatnonzero(is_new)
    contigs = [
        bytes(text[begin:end])
        for begin, end in zip(offsets[runs].tolist(), name_ends[runs].tolist(), strict=True)
    ]
    first_bad = None
    if len(bad):
        first_bad = int(newlines[bad[0] - 1]) + 1 if bad[0] else 0
    return ScannedLines(starts, ends, offsets, runs, contigs, header, first_bad)
