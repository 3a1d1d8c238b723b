"""Where the letters of a FASTA lie: found by a scan, or said by an index that fits the file."""

from __future__ import annotations

import logging
import os
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from phylotools.errors import InputError
from phylotools.io.bgzf import BgzfBytes, block_size
from phylotools.io.files import GZIP_MAGIC, FileBytes, open_input, open_regular
from phylotools.io.indexes import FAI, GZI
from phylotools.io.memory import HeldText
from phylotools.io.packing import packed_otherwise

logger = logging.getLogger("phylotools")

#: What tells kinds of compression apart.
_MAGIC_SIZE = 18
_WHITESPACE = b" \t\r\n\v\f"
#: Read at once: bounds the memory of a scan.
_SCAN_SIZE = 1 << 24
#: A longer name is not a contig name but a file that is no FASTA.
_LONGEST_HEADER = 1 << 16
#: Lines up to this are read whole, so that their ends are seen where the layout says.
_SHORT_LINE = 1 << 12


class Bytes(Protocol):
    """Bytes by their place."""

    def __len__(self) -> int: ...

    def read(self, start: int, end: int) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Lines:
    """Where a contig's bases lie: equally long lines, as in a ``.fai``."""

    length: int
    offset: int
    line_bases: int
    line_width: int

    def place(self, base: int) -> int:
        """Offset of a base in the file."""
        return self.offset + base // self.line_bases * self.line_width + base % self.line_bases

    @property
    def end(self) -> int:
        """Offset behind the last base."""
        return self.place(self.length - 1) + 1


class Fasta:
    """Letters of a FASTA by contig and position.

    Parameters
    ----------
    path : str
        Plain, gzip or bgzip. Gzip, and what is no regular file, is held in memory.

    Attributes
    ----------
    contigs : dict of str to int
        Name -> length.

    Raises
    ------
    InputError
        If it cannot be read, is no FASTA, is empty, or names a contig twice.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._irregular: dict[str, bytes] = {}
        self._data, found = _open(path)
        try:
            self._lines = dict(self._scanned()) if found is None else found
        except BaseException:
            self._data.close()
            raise
        self.contigs = {name: lines.length for name, lines in self._lines.items()}

    def letters(self, contig: str, start: int, end: int) -> bytes:
        """Letters of a region within a contig, as they stand in the file.

        Raises
        ------
        InputError
            If lines do not end where they should.
        """
        if contig in self._irregular:
            return self._irregular[contig][start:end]
        lines = self._lines[contig]
        begin, stop = start, end
        if lines.line_width <= _SHORT_LINE:
            begin -= start % lines.line_bases
            stop = min(stop + -stop % lines.line_bases, lines.length)
        raw = self._data.read(lines.place(begin), lines.place(stop))
        ends = raw[lines.line_width - 1 - begin % lines.line_bases :: lines.line_width]
        letters = raw.translate(None, b"\r\n")
        # The newline that ends the last line may or may not be among what was read.
        if len(letters) != stop - begin or ends.count(b"\n") != len(ends):
            raise InputError(
                f"{contig}:{start + 1}-{end} does not lie where the layout of its contig says",
                path=self._path,
                remedy="make its index anew with `samtools faidx`, and let nothing write the file "
                "while it is read",
            )
        return letters[start - begin : end - begin]

    def close(self) -> None:
        """Close the file."""
        self._data.close()

    def _scanned(self) -> Iterator[tuple[str, _Lines]]:
        seen = set()
        for name, start, end in _contig_bodies(self._data, self._path):
            if name in seen:
                raise InputError(
                    f"contig {name!r} appears twice", path=self._path, remedy="keep one of the two"
                )
            seen.add(name)
            lines = _line_layout(self._data, start, end)
            if lines is None:
                body = self._data.read(start, end).translate(None, _WHITESPACE)
                self._irregular[name] = body
                lines = _Lines(len(body), start, 0, 0)
            if lines.length == 0:
                raise InputError(
                    f"contig {name!r} has no sequence",
                    path=self._path,
                    remedy="the file may be incomplete: copy or download it again",
                )
            yield name, lines


def _open(path: str) -> tuple[Bytes, dict[str, _Lines] | None]:
    """The text of a file, and what its index says if that fits."""
    fai, gzi = (path + end if _is_fresh(path + end, path) else None for end in (FAI, GZI))
    if fai is None:
        return _open_bytes(path), None
    if gzi is not None:
        try:
            data = _open_bytes(path, gzi)
            lines = _fitting(fai, data)
        except InputError:
            lines = None
        if lines is not None:
            return data, lines
    data = _open_bytes(path)
    lines = _fitting(fai, data)
    if lines is None or gzi is not None:
        logger.warning(
            "%s does not fit the file and is not used; make it anew with `samtools faidx`",
            fai if lines is None else gzi,
        )
    return data, lines


def _open_bytes(path: str, gzi: str | None = None) -> Bytes:
    if path == "-":
        raise InputError("a reference cannot come from stdin", path=path, remedy="give a file")
    # A pipe would lose what is looked at here.
    if os.path.isfile(path):
        with open_regular(path) as handle:
            start = handle.read(_MAGIC_SIZE)
        if block_size(start) is not None:
            return BgzfBytes(path, gzi)
        if not start.startswith(GZIP_MAGIC):
            return FileBytes(path)
    with open_input(path) as stream:
        return HeldText(
            stream,
            path,
            remedy="compress it with bgzip, and it is read by region: gunzip -c FILE | bgzip > NEW",
        )


def _is_fresh(index: str, path: str) -> bool:
    """Whether an index exists and is not older than its file."""
    try:
        return os.stat(index).st_mtime >= os.stat(path).st_mtime
    except OSError:
        return False


def _fitting(index: str, data: Bytes) -> dict[str, _Lines] | None:
    """The lines of a ``.fai``; None unless they, and headers between them, are all of a file."""
    found: dict[str, _Lines] = {}
    try:
        with open(index, encoding="utf-8", errors="replace") as handle:
            for row in handle:
                name, *numbers = row.rstrip("\r\n").split("\t")[:5]
                found[name] = _Lines(*map(int, numbers))
    except (OSError, ValueError, TypeError):
        return None
    reached = 0
    for name, lines in sorted(found.items(), key=lambda item: item[1].offset):
        if lines.length <= 0 or not 0 < lines.line_bases < lines.line_width:
            return None
        if not 0 < lines.offset - reached <= _LONGEST_HEADER or lines.end > len(data):
            return None
        header = _last_header(data.read(reached, lines.offset), is_first=reached == 0)
        words = header[1:].split(maxsplit=1) if header else []
        if not words or words[0].decode("utf-8", "replace") != name:
            return None
        reached = lines.end
    rest = data.read(reached, reached + _LONGEST_HEADER)
    is_end = reached + len(rest) == len(data) and not rest.strip(_WHITESPACE)
    return found if found and is_end else None


def _last_header(text: bytes, *, is_first: bool) -> bytes | None:
    """The last header of what stands between two contigs; None if that is not headers alone."""
    if not is_first and text[:1] not in (b"\n", b"\r"):
        return None
    # More than one: `samtools faidx` leaves contigs without sequence out.
    *rows, rest = text.removeprefix(BOM_UTF8).strip(b" \t\r\v\f").split(b"\n")
    headers = [row for row in rows if row.strip(_WHITESPACE)]
    if rest or any(not row.startswith(b">") for row in headers):
        return None
    return headers[-1] if headers else b""


def _contig_bodies(data: Bytes, path: str) -> Iterator[tuple[str, int, int]]:
    """Yield (name, first byte, end byte) of each contig's sequence lines."""
    begin = _first_mark(data)
    first = data.read(begin, begin + 1)
    if not first:
        raise InputError("is empty", path=path, remedy="give a FASTA file")
    if first != b">":
        raise packed_otherwise(data.read(0, _MAGIC_SIZE), path) or InputError(
            "is not FASTA: it does not begin with '>'", path=path, remedy="give a FASTA file"
        )
    for end in _header_offsets(data, begin + 1):
        line, newline, _ = data.read(begin, min(begin + _LONGEST_HEADER, end)).partition(b"\n")
        words = line[1:].split(maxsplit=1)
        if not words or (not newline and end - begin > len(line)):
            raise InputError(
                f"the header at byte {begin} has no contig name or is far too long",
                path=path,
                remedy="check that the file is FASTA with Unix or Windows line ends",
            )
        yield words[0].decode("utf-8", "replace"), begin + len(line) + len(newline), end
        begin = end


def _first_mark(data: Bytes) -> int:
    """Offset of the first byte that is neither a byte order mark nor a blank."""
    begin = len(BOM_UTF8) if data.read(0, len(BOM_UTF8)) == BOM_UTF8 else 0
    while (chunk := data.read(begin, begin + _SCAN_SIZE)) and not chunk.strip(_WHITESPACE):
        begin += len(chunk)
    return begin + len(chunk) - len(chunk.lstrip(_WHITESPACE))


def _header_offsets(data: Bytes, begin: int) -> Iterator[int]:
    """Where the headers after an offset begin; the end of the file, last."""
    for start in range(begin, len(data), _SCAN_SIZE):
        # One byte before: a header begins a line.
        chunk = data.read(start - 1, start + _SCAN_SIZE)
        found = chunk.find(b"\n>")
        while found >= 0:
            yield start + found
            found = chunk.find(b"\n>", found + 1)
    yield len(data)


def _line_layout(data: Bytes, start: int, end: int) -> _Lines | None:
    """Layout of a contig whose lines, but the last, are equally long; None if they are not."""
    last = _end_of_text(data, start, end)
    first = _first_line(data, start, last)
    if first == last:
        bases = last - start
        width = bases + (2 if data.read(last, last + 1) == b"\r" else 1)
    else:
        width = first + 1 - start
        bases = width - 1 - (data.read(first - 1, first) == b"\r")
    if bases <= 0:
        return None
    full_lines, rest = divmod(last - start, width)
    if rest > bases:
        return None
    expected = [13, 10] if width - bases == 2 else [10]
    step = max(1, _SCAN_SIZE // width) * width
    for chunk_start in range(start, last, step):
        chunk = np.frombuffer(data.read(chunk_start, min(chunk_start + step, last)), np.uint8)
        n_ends = len(chunk) // width
        line_ends = chunk[: n_ends * width].reshape(n_ends, width)[:, bases:]
        if (line_ends != expected).any() or (chunk <= 32).sum() != n_ends * len(expected):
            return None
    return _Lines(full_lines * bases + rest, start, bases, width)


def _end_of_text(data: Bytes, start: int, end: int) -> int:
    """End of what lies from `start` up to `end`, without line ends behind it."""
    size = 64
    while end > start:
        chunk = data.read(max(start, end - size), end)
        kept = len(chunk.rstrip(b"\r\n"))
        end -= len(chunk) - kept
        if kept:
            break
        size = min(2 * size, _SCAN_SIZE)
    return end


def _first_line(data: Bytes, start: int, end: int) -> int:
    """Offset of the first newline, or `end`."""
    size = 1 << 12
    while start < end:
        chunk = data.read(start, min(start + size, end))
        found = chunk.find(b"\n")
        if found >= 0:
            return start + found
        start += len(chunk)
        size = _SCAN_SIZE
    return end
