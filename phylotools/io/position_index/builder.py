"""Notes on the lines of a bgzip text, taken while it is written: all that its index needs.

What is kept is small: a line where the bin changes, and one for each new window of positions; a
dense table of the human genome has some 200,000 of each. Places are offsets in the text, and the
sizes of its blocks stand beside them, so that parts of a file, made apart, are joined by adding
lengths; only when the index is encoded do offsets become places in the file.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bgzf import block_sizes
from phylotools.io.position_index import line_kernels as kernels
from phylotools.io.position_index.lines import LineKind, scan_text

#: Positions of the smallest bins, as a power of two: of tabix, and htslib's choice for CSI.
MIN_SHIFT = 14
_DECLARED = b"##contig"


@dataclass(frozen=True)
class ContigPart:
    """The lines of one contig in a part of a file.

    Attributes
    ----------
    name : bytes
    n_lines : int
    first_start, last_start : int
        0-based, of the first and the last line.
    highest_end : int
    runs : int64 array [R, 2]
        Of each run of lines in one bin: the bin, and where it begins in the text. The bin is its
        number among those of its size, times 32, and its height above the smallest ones: so it is
        the same whatever the depth of the index will be.
    windows : int64 array [W, 2]
        Windows of the linear index, each later than the one before: the last that a line reaches,
        and where the first such line begins in the text.
    """

    name: bytes
    n_lines: int
    first_start: int
    last_start: int
    highest_end: int
    runs: NDArray[np.int64]
    windows: NDArray[np.int64]


@dataclass(frozen=True)
class IndexPart:
    """What the index of a file must know of some of its text, which begins and ends with a block.

    Attributes
    ----------
    kind : LineKind
    contigs : tuple of ContigPart
        In the order of the text.
    blocks : uint16 array [B, 2]
        Of each block, the bytes of text and the bytes in the file, the latter less one.
    longest_declared : int
        The longest contig of the header lines; 0 where none tells.
    problem : str or None
        Why there can be no index.
    """

    kind: LineKind
    contigs: tuple[ContigPart, ...] = ()
    blocks: NDArray[np.uint16] = field(default_factory=lambda: np.empty((0, 2), dtype=np.uint16))
    longest_declared: int = 0
    problem: str | None = None

    @property
    def n_text_bytes(self) -> int:
        """Length of the text."""
        return int(self.blocks[:, 0].sum(dtype=np.int64))

    @property
    def highest_end(self) -> int:
        """The highest end of a line, 0-based; 0 without lines."""
        return max((contig.highest_end for contig in self.contigs), default=0)

    def to_bytes(self) -> bytes:
        """All of it, for `from_bytes`."""
        record = {
            "kind": self.kind.value,
            "contigs": [
                [
                    each.name.decode("utf-8", "surrogateescape"),
                    *(each.n_lines, each.first_start, each.last_start, each.highest_end),
                    *(len(each.runs), len(each.windows)),
                ]
                for each in self.contigs
            ],
            "blocks": len(self.blocks),
            "longest_declared": self.longest_declared,
            "problem": self.problem,
        }
        head = json.dumps(record).encode()
        arrays = [table for each in self.contigs for table in (each.runs, each.windows)]
        parts = [table.astype("<i8").tobytes() for table in arrays]
        parts.append(self.blocks.astype("<u2").tobytes())
        return b"".join([len(head).to_bytes(8, "little"), head, *parts])

    @classmethod
    def from_bytes(cls, data: bytes) -> IndexPart:
        """What `to_bytes` made; the bytes are trusted."""
        at = 8 + int.from_bytes(data[:8], "little")
        record = json.loads(data[8:at])

        def table(n_rows: int, dtype: str) -> NDArray[Any]:
            nonlocal at
            found = np.frombuffer(data, dtype=dtype, count=2 * n_rows, offset=at)
            at += found.nbytes
            return found.reshape(-1, 2)

        contigs = tuple(
            ContigPart(
                name.encode("utf-8", "surrogateescape"),
                n_lines,
                first,
                last,
                highest,
                table(n_runs, "<i8"),
                table(n_windows, "<i8"),
            )
            for name, n_lines, first, last, highest, n_runs, n_windows in record["contigs"]
        )
        blocks = table(record["blocks"], "<u2")
        kind = LineKind(record["kind"])
        return cls(kind, contigs, blocks, record["longest_declared"], record["problem"])


class IndexBuilder:
    """Takes notes on a bgzip text while it is written, for an index at its end.

    Text and blocks may be given in any turn, so long as each is in order. Nothing here raises for
    what cannot be indexed: `IndexPart.problem` says it, and the text can be written all the same.

    Parameters
    ----------
    kind : LineKind
    """

    def __init__(self, kind: LineKind) -> None:
        self._kind = kind
        self._rest = b""
        self._n_text = 0
        self._blocks = array("H")
        self._contigs: dict[bytes, _OpenContig] = {}
        self._last: bytes | None = None
        self._longest_declared = 0
        self.problem: str | None = None

    def add_text(self, text: bytes | memoryview) -> None:
        """Take in text that is being written, cut anywhere; header lines begin with ``#``."""
        if self.problem is not None:
            return
        # Whole lines alone: the last one waits for its end.
        end = len(text) if text[-1:] == b"\n" else bytes(text).rfind(b"\n") + 1
        if not end:
            self._rest += text
            return
        whole = b"".join((self._rest, text[:end])) if self._rest else text[:end]
        self._rest = bytes(text[end:])
        scanned = scan_text(whole, self._kind)
        for line in scanned.meta:
            self._longest_declared = max(self._longest_declared, _declared_length(line))
        if scanned.bad is not None:
            line = bytes(whole[scanned.bad : scanned.bad + 100]).partition(b"\n")[0]
            self._fail(f"a line has no position: {line.decode('utf-8', 'replace')!r}")
            return
        bounds = [*scanned.run_starts.tolist(), len(scanned.starts)]
        offsets = scanned.offsets + self._n_text
        self._n_text += len(whole)
        for name, begin, stop in zip(scanned.contigs, bounds, bounds[1:], strict=False):
            part = slice(begin, stop)
            self._add(name, scanned.starts[part], scanned.ends[part], offsets[part])

    def add_lines(
        self,
        contig: bytes,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        offsets: NDArray[np.int64],
        n_bytes: int,
    ) -> None:
        """Take in lines of one contig whose places are known, in place of their text.

        Parameters
        ----------
        contig : bytes
        starts, ends : int64 array [N]
            0-based, half-open; at least a base each.
        offsets : int64 array [N]
            Where each line begins, from the first on.
        n_bytes : int
            Of all of them.
        """
        assert not self._rest
        if len(starts):
            self._add(contig, starts, ends, offsets + self._n_text)
        self._n_text += n_bytes

    def add_blocks(self, blocks: bytes | memoryview) -> None:
        """Take in blocks that are being written; an end marker is one."""
        sizes = block_sizes(blocks)
        sizes[:, 1] -= 1
        self._blocks.frombytes(sizes.astype(np.uint16).tobytes())

    def part(self) -> IndexPart:
        """The notes. All text must have gone into blocks."""
        blocks = np.frombuffer(self._blocks, dtype=np.uint16).reshape(-1, 2).copy()
        contigs = tuple(each.closed() for each in self._contigs.values())
        if self._rest:
            self._fail("the last line has no end")
        part = IndexPart(self._kind, contigs, blocks, self._longest_declared, self.problem)
        assert self.problem is not None or part.n_text_bytes == self._n_text
        return part

    def _add(
        self,
        name: bytes,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> None:
        if self.problem is not None:
            return
        if name != self._last and name in self._contigs:
            self._fail(apart(name))
            return
        self._last = name
        contig = self._contigs.setdefault(name, _OpenContig(name))
        wrong = contig.add(starts, ends, offsets)
        if wrong >= 0:
            self._fail(unsorted(name, int(starts[wrong])))

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self._contigs.clear()


class _OpenContig:
    """Notes on a contig that may go on."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._n_lines = 0
        self._first = -1
        self._state = np.full(4, -1, dtype=np.int64)
        self._runs: list[NDArray[np.int64]] = []
        self._windows: list[NDArray[np.int64]] = []

    def add(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> int:
        """Take in more lines; the first that lies before the one above it, or -1."""
        n = len(starts)
        runs, windows = np.empty((2, n), dtype=np.int64), np.empty((2, n), dtype=np.int64)
        if not self._n_lines:
            self._first = int(starts[0])
        n_runs, n_windows, wrong = kernels.add_spans(
            starts, ends, offsets, MIN_SHIFT, self._state, *runs, *windows
        )
        self._n_lines += n
        if n_runs:
            self._runs.append(runs[:, :n_runs].T.copy())
        if n_windows:
            self._windows.append(windows[:, :n_windows].T.copy())
        return int(wrong)

    def closed(self) -> ContigPart:
        """The notes."""
        _, last_start, highest, _ = self._state.tolist()
        runs, windows = np.concatenate(self._runs), np.concatenate(self._windows)
        return ContigPart(
            self._name, self._n_lines, self._first, last_start, highest, runs, windows
        )


def join_parts(parts: Iterable[IndexPart], kind: LineKind) -> IndexPart:
    """Notes on a file whose text is that of some parts, one behind the other.

    Parameters
    ----------
    parts : iterable of IndexPart
        Of that kind; an end marker is a part of its own, or the end of the last one.
    kind : LineKind
    """
    contigs: dict[bytes, _JoinedContig] = {}
    blocks: list[NDArray[np.uint16]] = []
    n_text = longest = 0
    last: bytes | None = None
    problem = None
    for part in parts:
        assert part.kind is kind
        problem = problem or part.problem
        longest = max(longest, part.longest_declared)
        for contig in part.contigs:
            known = contigs.get(contig.name)
            if known is None:
                contigs[contig.name] = _JoinedContig(contig, n_text)
            elif contig.name != last:
                problem = problem or apart(contig.name)
            elif contig.first_start < known.last_start:
                problem = problem or unsorted(contig.name, contig.first_start)
            else:
                known.add(contig, n_text)
            last = contig.name
        blocks.append(part.blocks)
        n_text += part.n_text_bytes
    joined = np.concatenate([np.empty((0, 2), dtype=np.uint16), *blocks])
    whole = () if problem else tuple(each.joined() for each in contigs.values())
    return IndexPart(kind, whole, joined, longest, problem)


class _JoinedContig:
    """A contig whose parts are collected, and put together once."""

    def __init__(self, first: ContigPart, shift: int) -> None:
        self._parts = [_shifted(first, shift)]
        self.last_start = first.last_start

    def add(self, part: ContigPart, shift: int) -> None:
        self._parts.append(_shifted(part, shift))
        self.last_start = part.last_start

    def joined(self) -> ContigPart:
        parts = self._parts
        runs = np.concatenate([part.runs for part in parts])
        # A run that goes on in the next part is one.
        runs = runs[np.diff(runs[:, 0], prepend=-1) != 0]
        windows = np.concatenate([part.windows for part in parts])
        highest = np.maximum.accumulate(windows[:, 0])
        windows = windows[np.diff(highest, prepend=-1) > 0]
        return ContigPart(
            parts[0].name,
            sum(part.n_lines for part in parts),
            parts[0].first_start,
            parts[-1].last_start,
            max(part.highest_end for part in parts),
            runs,
            windows,
        )


def _shifted(part: ContigPart, shift: int) -> ContigPart:
    by = np.array([0, shift])
    return ContigPart(
        part.name,
        part.n_lines,
        part.first_start,
        part.last_start,
        part.highest_end,
        part.runs + by,
        part.windows + by,
    )


def unsorted(contig: bytes, start: int) -> str:
    """Why a file cannot be indexed whose positions fall, to this 0-based one."""
    name = contig.decode("utf-8", "replace")
    return f"it is not sorted: {name}:{start + 1} comes after a higher position"


def apart(contig: bytes) -> str:
    """Why a file cannot be indexed that comes back to a contig."""
    return f"it is not sorted: {contig.decode('utf-8', 'replace')} stands in two places"


def _declared_length(line: bytes) -> int:
    """Length of a contig that a header line of VCF declares; 0 without one."""
    if not line.startswith(_DECLARED):
        return 0
    _, found, rest = line.partition(b"length")
    digits = rest.lstrip(b" =")
    n_digits = len(digits) - len(digits.lstrip(b"0123456789"))
    return min(int(digits[:n_digits]), 1 << 60) if found and 0 < n_digits < 20 else 0
