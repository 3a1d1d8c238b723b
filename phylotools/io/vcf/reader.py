"""Variant records in: VCF (plain, gzip, bgzip) byte for byte, BCF as `bcftools view` prints it.

A table of variants (TSV, CSV, Parquet) is told from these here, and comes as lines of a VCF too.
"""

from __future__ import annotations

import collections
import contextlib
import io
import itertools
import logging
import os
import re
import stat
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from phylotools.errors import InputError, shown, shown_path
from phylotools.io.delimited import UTF16, UTF16_BOMS, UTF16_REMEDY, DelimitedText
from phylotools.io.files import cannot_read, open_input
from phylotools.io.interruptible import InterruptibleReader
from phylotools.io.variant_table import (
    HEADER,
    PARQUET_MAGIC,
    TextRows,
    VariantRows,
    open_parquet,
)
from phylotools.io.vcf import bcf
from phylotools.io.vcf.records import LineBlock
from phylotools.io.vcf.text import FIXED_COLUMNS, VcfHeader, check_columns

logger = logging.getLogger("phylotools")

MAX_LINE_LENGTH = bcf.LONGEST_RECORD
#: Blank lines are passed over, but not without end.
_MOST_BLANK_LINES = 1 << 20
#: Bytes that a line takes in memory beside its text.
_LINE_COST = 100
#: Enough records for the network to get whole tiles, little enough that memory stays flat.
BLOCK_BYTES = 1 << 20
_BLANK_LINE = re.compile(rb"^\r?\n", re.MULTILINE)
#: Text with something that may separate columns.
_BARE_ROW = re.compile(rb"[^#\t][^\t]*\t[0-9]+\t[A-Za-z]+\t[A-Za-z]+\t[^\t\r\n]+[\t\r\n]")
_TABLE_LINE = re.compile(rb"[^\0-\x08\x0b\x0c\x0e-\x1f]*[\t,;][^\0-\x08\x0b\x0c\x0e-\x1f]*")
_MOST_NAMES_SHOWN = 5
_NOT_VARIANTS = "is neither VCF nor BCF"
_GIVE_VARIANTS = (
    "give a VCF (plain, gzip or bgzip), a BCF, or a table (TSV, CSV, Parquet) whose header names "
    "CHROM, POS, REF and ALT"
)


class BlockStream(Iterator[LineBlock]):
    """Blocks of lines one after the other; the first can be looked at before they are taken."""

    def __init__(self, blocks: Iterator[LineBlock]) -> None:
        self._blocks = blocks
        self._ahead: collections.deque[LineBlock] = collections.deque()

    def __next__(self) -> LineBlock:
        return self._ahead.popleft() if self._ahead else next(self._blocks)

    def peek(self, n_bytes: int = BLOCK_BYTES) -> list[LineBlock]:
        """The next blocks, with so many bytes in all if there are as many; they are not taken."""
        while sum(len(block.text) for block in self._ahead) < n_bytes:
            block = next(self._blocks, None)
            if block is None:
                break
            self._ahead.append(block)
        return list(self._ahead)


@dataclass(frozen=True)
class VariantStream:
    """Variants as text.

    Attributes
    ----------
    path : str
        ``-`` for stdin.
    header : VcfHeader
    blocks : BlockStream
        The lines below the header. Iterating raises `InputError` where the data are truncated or
        damaged.
    cancel : callable
        Ends a read that waits for data, from any thread; what is read then is of no use.
    rows : VariantRows or None
        The table that the lines stand for, where they are not themselves the file.
    blank_lines : BlankLines
        Those among the blocks that were taken.
    n_header_lines : int
        Lines of the file down to the columns; 0 for a table.
    """

    path: str
    header: VcfHeader
    blocks: BlockStream
    cancel: Callable[[], None]
    rows: VariantRows | None = None
    blank_lines: BlankLines = field(default_factory=lambda: BlankLines(""))
    n_header_lines: int = 0

    @property
    def records(self) -> Iterator[tuple[int, bytes]]:
        """1-based line number and line, with its own line end, of every record not yet read."""
        for block in self.blocks:
            yield from block.numbered()


class _Source:
    """A file or stdin, and what must be ended to end a read of it."""

    def __init__(
        self, name: str, stack: contextlib.ExitStack, text: io.BufferedReader | None
    ) -> None:
        self.interrupts: list[Callable[[], None]] = []
        self.name = name
        if text is not None:
            self.stream = stack.enter_context(text)
            return
        try:
            self.stream = open_input(name, source=self._open_waiting(stack))
        except OSError as error:
            raise cannot_read(name, error) from error
        if name != "-":
            stack.enter_context(self.stream)

    def _open_waiting(self, stack: contextlib.ExitStack) -> io.BufferedReader | None:
        """A pipe, terminal or socket; None for a regular file, where no read waits for long."""
        if self.name == "-":
            try:
                descriptor = sys.stdin.fileno()
            except (AttributeError, ValueError, OSError):  # replaced by an object of Python's
                return None
        elif stat.S_ISREG(os.stat(self.name).st_mode):
            return None
        else:
            descriptor = os.open(self.name, os.O_RDONLY)
        reader = InterruptibleReader(descriptor, is_owned=self.name != "-")
        stack.callback(reader.close)
        self.interrupts.append(reader.cancel)
        return io.BufferedReader(reader, BLOCK_BYTES)

    def cancel(self) -> None:
        for end in self.interrupts:
            end()


@contextlib.contextmanager
def open_variants(
    path: str | os.PathLike[str],
    *,
    bare_columns: Sequence[str] = (),
    text: io.BufferedReader | None = None,
) -> Iterator[VariantStream]:
    """Open a VCF or BCF, sniffed by its first bytes; ``-`` is stdin.

    Parameters
    ----------
    path : str or PathLike
    bare_columns : sequence of str
        Names of the columns of a table without a header, whose first line is a variant and a
        number; those beyond are called ``column_6`` and so on. None: no such table.
    text : BufferedReader, optional
        What of the file is read, decompressed, where that is not all of it; closed at the end.

    Raises
    ------
    InputError
        If the file is neither, is empty, or its header breaks the rules that reading needs.
    """
    name = os.fspath(path)
    with contextlib.ExitStack() as stack:
        source = _Source(name, stack, text)
        try:
            start = source.stream.peek(len(bcf.MAGIC))[: len(bcf.MAGIC)]
        except OSError as error:
            raise cannot_read(name, error) from error
        decoded: IO[bytes] = source.stream
        rows: VariantRows | None = None
        if start == bcf.MAGIC:
            decoded = stack.enter_context(bcf.decoded(source.stream, name, source.interrupts))
        elif start == PARQUET_MAGIC:
            rows = open_parquet(name, source.stream, stack)
        blank = BlankLines(name)
        lines = _Lines(enumerate(_read_lines(decoded, name), start=1), name)
        table = _text_rows(lines, name, decoded, blank, bare_columns) if rows is None else rows
        if isinstance(table, VariantRows):
            blocks = BlockStream(table.blocks())
            yield VariantStream(name, HEADER, blocks, source.cancel, table, blank)
            return
        header, n_lines = _read_header(lines.again(), name, table)
        ahead = lines.kept[n_lines:]  # the first record, where a table was tried
        read = _read_blocks(decoded, name, n_lines + len(ahead) + 1, blank)
        if ahead:
            records = LineBlock(b"".join(line for _, line in ahead), n_lines + 1)
            read = itertools.chain([records], read)
        yield VariantStream(name, header, BlockStream(read), source.cancel, None, blank, n_lines)


class _Lines:
    """Numbered lines, of which the first can be read again."""

    def __init__(self, numbered: Iterator[tuple[int, bytes]], path: str) -> None:
        self._numbered = numbered
        self._path = path
        self._n_bytes = 0
        self.kept: list[tuple[int, bytes]] = []
        self._is_kept = True
        self.n_read = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        each = next(self._numbered)
        self.n_read = each[0]
        if self._is_kept:
            self.kept.append(each)
            self._n_bytes += len(each[1]) + _LINE_COST
            if self._n_bytes > bcf.LONGEST_HEADER:
                raise bcf.header_too_long(self._path)
        return each

    def again(self) -> Iterator[tuple[int, bytes]]:
        """All lines from the first; none is kept any more."""
        self._is_kept = False
        return itertools.chain(self.kept, self._numbered)

    def forget(self) -> None:
        """Keep no lines any more."""
        self._is_kept = False
        self.kept = []


def _text_rows(
    lines: _Lines,
    path: str,
    source: IO[bytes],
    blank: BlankLines,
    bare_columns: Sequence[str],
) -> TextRows | InputError | None:
    """A table whose header names variants, or what is wrong with one; None for a VCF."""
    _, first = next(lines, (1, b""))
    if bare_columns and _BARE_ROW.match(first):
        names = [*bare_columns, *(f"column_{n}" for n in range(6, first.count(b"\t") + 2))]
        header = "\t".join(names[: first.count(b"\t") + 1]).encode() + b"\n"
        table = DelimitedText(path, itertools.chain([(0, header), (1, first)], lines))
        lines.forget()
        return TextRows(table, _later_blocks(lines, source, path, blank))
    if first.startswith(UTF16_BOMS):
        raise InputError(UTF16, path=path, line=1, remedy=UTF16_REMEDY)
    if first.removeprefix(BOM_UTF8)[:16].lower() == b"##fileformat=vcf":
        return None
    # What begins it is read again, so that a table may have comments and a VCF lack its first line.
    try:
        table = DelimitedText(path, itertools.chain([(1, first)], lines))
    except InputError as error:
        return error if _TABLE_LINE.fullmatch(first) else None
    if set(FIXED_COLUMNS) <= {name.encode() for name in table.names}:
        return None
    if table.variant_columns is None:
        return None if len(table.names) < 2 else _no_variants(table)
    lines.forget()
    return TextRows(table, _later_blocks(lines, source, path, blank))


def _later_blocks(
    lines: _Lines, source: IO[bytes], path: str, blank: BlankLines
) -> Iterator[LineBlock]:
    """What comes behind the lines that were read one by one."""
    blank.is_told = False
    yield from _read_blocks(source, path, lines.n_read + 1, blank)


def _no_variants(table: DelimitedText) -> InputError:
    columns = ", ".join(map(shown, table.names[:_MOST_NAMES_SHOWN]))
    problem = f"{_NOT_VARIANTS}, nor a table of variants: its columns are {columns}"
    return table.error(problem, len(table.preamble) + 1, _GIVE_VARIANTS)


def _read_lines(source: IO[bytes], path: str) -> Iterator[bytes]:
    """Yield lines that all end in a newline, of bounded length."""
    number = 0
    while line := source.readline(MAX_LINE_LENGTH):
        number += 1
        if not line.endswith(b"\n"):
            if len(line) >= MAX_LINE_LENGTH:
                raise _too_long(path, number)
            line += b"\n"
        yield line


def _too_long(path: str, number: int) -> InputError:
    return InputError(
        f"the line is longer than {MAX_LINE_LENGTH >> 20} MB",
        path=path,
        line=number,
        remedy=_GIVE_VARIANTS,
    )


class BlankLines:
    """Blank lines of a file: they are left out, but not without end.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    n : int
    is_told : bool
        Whether they are warned of where the file ends.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.n = 0
        self.is_told = True

    def add(self, n: int) -> None:
        """Count some.

        Raises
        ------
        InputError
            If there are too many for a file of variants.
        """
        self.n += n
        if self.n > _MOST_BLANK_LINES:
            raise InputError(
                f"has more than {_MOST_BLANK_LINES} blank lines",
                path=self._path,
                remedy=_GIVE_VARIANTS,
            )

    def tell(self) -> None:
        """Warn of them, if there were any."""
        if self.n and self.is_told:
            logger.warning(
                "%s: %d blank lines left out (htslib takes them for records)",
                shown_path(self._path),
                self.n,
            )


def _read_blocks(source: IO[bytes], path: str, line: int, blank: BlankLines) -> Iterator[LineBlock]:
    """Whole lines, about `BLOCK_BYTES` at once; the first has the number `line`."""
    pending: list[bytes] = []
    n_pending = 0
    is_complete = False
    while not is_complete:
        chunk = source.read(BLOCK_BYTES)
        is_complete = not chunk
        end = chunk.rfind(b"\n") + 1
        if is_complete and n_pending:
            chunk, end = b"\n", 1  # the last line lacks its end
        if end:
            text = b"".join([*pending, chunk[:end]])
            pending, n_pending = [], 0
            blank.add(_n_blank_lines(text))
            yield LineBlock(text, line)
            line += text.count(b"\n")
        if end < len(chunk):
            pending.append(chunk[end:])
            n_pending += len(chunk) - end
            if n_pending >= MAX_LINE_LENGTH:
                raise _too_long(path, line)
    blank.tell()


def _n_blank_lines(text: bytes) -> int:
    if text[:1] in (b"\n", b"\r") or b"\n\n" in text or b"\n\r\n" in text:
        return len(_BLANK_LINE.findall(text))
    return 0


def _read_header(
    numbered: Iterator[tuple[int, bytes]], path: str, not_table: InputError | None
) -> tuple[VcfHeader, int]:
    """The header and the number of its last line; `not_table` is raised for what has none."""
    lines: list[bytes] = []
    number = n_bytes = 0
    for number, raw in numbered:
        n_bytes += len(raw) + _LINE_COST
        if n_bytes > bcf.LONGEST_HEADER:
            raise bcf.header_too_long(path)
        line = raw.removeprefix(BOM_UTF8) if number == 1 else raw
        if line is not raw:
            logger.warning("%s: begins with a byte order mark; it is left out", shown_path(path))
        line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        line = line[: -len(line_end)]
        if line.startswith(b"##"):
            lines.append(line)
        elif line.startswith(b"#"):
            check_columns(line, path, number)
            return VcfHeader(_with_format(lines, path), line, line_end), number
        elif line.strip():
            break
    if number == 0:
        raise InputError("is empty", path=path, remedy=_GIVE_VARIANTS)
    if not lines:
        raise not_table or InputError(_NOT_VARIANTS, path=path, line=number, remedy=_GIVE_VARIANTS)
    raise InputError(
        "there is no #CHROM line before the first record",
        path=path,
        line=number,
        remedy="add the line '#CHROM POS ID REF ALT QUAL FILTER INFO', tab-separated",
    )


def _with_format(lines: list[bytes], path: str) -> tuple[bytes, ...]:
    """Header lines beginning with ``##fileformat``, without which no other tool reads the file."""
    if lines and lines[0].lower().startswith(b"##fileformat="):
        return tuple(lines)
    logger.warning("%s: has no ##fileformat line; ##fileformat=VCFv4.2 is added", shown_path(path))
    others = [line for line in lines if not line.lower().startswith(b"##fileformat=")]
    return (b"##fileformat=VCFv4.2", *others)
