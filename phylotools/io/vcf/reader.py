"""Variant records in: VCF (plain, gzip, bgzip) byte for byte, BCF as the text htslib makes of it.

BCF is decoded in a child process that runs the bcftools inside pysam. That gives exactly the text
of ``bcftools view``, which neither pysam's records (they gain END) nor cyvcf2's (they must be
UTF-8) do, keeps memory flat, and lets a hostile file crash nothing but the child.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from phylotools.errors import InputError, shown_path
from phylotools.io.files import open_input
from phylotools.io.interruptible import InterruptibleReader
from phylotools.io.vcf.records import LineBlock
from phylotools.io.vcf.regions import BCFTOOLS_VIEW
from phylotools.io.vcf.text import VcfHeader, check_columns

logger = logging.getLogger("phylotools")

BCF_MAGIC = b"BCF\x02"
#: Far beyond the longest real record (half a million genotypes), far below memory.
MAX_LINE_LENGTH = 1 << 28
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 18
#: Enough records for the network to get whole tiles, little enough that memory stays flat.
BLOCK_BYTES = 1 << 20
_BLANK_LINE = re.compile(rb"^\r?\n", re.MULTILINE)
_NOT_VARIANTS = "is neither VCF nor BCF"
_GIVE_VARIANTS = "give a VCF (plain, gzip or bgzip) or a BCF"


@dataclass(frozen=True)
class VariantStream:
    """Variants as text.

    Attributes
    ----------
    path : str
        ``-`` for stdin.
    header : VcfHeader
    blocks : iterator of LineBlock
        The lines below the header. Iterating raises `InputError` where the data are truncated or
        damaged.
    cancel : callable
        Ends a read that waits for data, from any thread; what is read then is of no use.
    """

    path: str
    header: VcfHeader
    blocks: Iterator[LineBlock]
    cancel: Callable[[], None]

    @property
    def records(self) -> Iterator[tuple[int, bytes]]:
        """1-based line number and line, with its own line end, of every record not yet read."""
        for block in self.blocks:
            yield from block.numbered()


class _Source:
    """A file or stdin, and what must be ended to end a read of it."""

    def __init__(self, name: str, stack: contextlib.ExitStack) -> None:
        self._interrupts: list[Callable[[], None]] = []
        self.name = name
        try:
            self.stream = open_input(name, source=self._open_waiting(stack))
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror}", path=name) from error
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
        self.add_interrupt(reader.cancel)
        return io.BufferedReader(reader, BLOCK_BYTES)

    def add_interrupt(self, end: Callable[[], None]) -> None:
        self._interrupts.append(end)

    def cancel(self) -> None:
        for end in self._interrupts:
            end()


@contextlib.contextmanager
def open_variants(path: str | os.PathLike[str]) -> Iterator[VariantStream]:
    """Open a VCF or BCF, sniffed by its first bytes; ``-`` is stdin.

    Raises
    ------
    InputError
        If the file is neither, is empty, or its header breaks the rules that reading needs.
    """
    name = os.fspath(path)
    with contextlib.ExitStack() as stack:
        source = _Source(name, stack)
        try:
            start = source.stream.peek(len(BCF_MAGIC))[: len(BCF_MAGIC)]
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror}", path=name) from error
        text: IO[bytes] = source.stream
        if start == BCF_MAGIC:
            text = stack.enter_context(_decoded_bcf(source))
        first = enumerate(_read_lines(text, name), start=1)
        header, n_lines = _read_header(first, name)
        yield VariantStream(name, header, _read_blocks(text, name, n_lines + 1), source.cancel)


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


def _read_blocks(source: IO[bytes], path: str, line: int) -> Iterator[LineBlock]:
    """Whole lines, about `BLOCK_BYTES` at once; the first has the number `line`."""
    n_blank = 0
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
            n_blank += _n_blank_lines(text)
            yield LineBlock(text, line)
            line += text.count(b"\n")
        if end < len(chunk):
            pending.append(chunk[end:])
            n_pending += len(chunk) - end
            if n_pending >= MAX_LINE_LENGTH:
                raise _too_long(path, line)
    if n_blank:
        logger.warning(
            "%s: %d blank lines left out (htslib takes them for records)", shown_path(path), n_blank
        )


def _n_blank_lines(text: bytes) -> int:
    if text[:1] in (b"\n", b"\r") or b"\n\n" in text or b"\n\r\n" in text:
        return len(_BLANK_LINE.findall(text))
    return 0


@contextlib.contextmanager
def _decoded_bcf(source: _Source) -> Iterator[IO[bytes]]:
    """A BCF as VCF text; reading to its end raises where the BCF is damaged."""
    failure: list[BaseException] = []
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            [*BCFTOOLS_VIEW, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        source.add_interrupt(child.kill)
        feeder = threading.Thread(
            target=_feed, args=(source.stream, child.stdin, failure), name="bcf-feeder", daemon=True
        )
        feeder.start()

        def finish() -> None:
            feeder.join()
            if failure:
                raise failure[0]
            if child.wait() != 0:
                raise InputError(
                    "the BCF is truncated or damaged: " + last_complaint(complaints),
                    path=source.name,
                    remedy="copy or download it again",
                )

        try:
            yield io.BufferedReader(_Decoded(child.stdout, finish), BLOCK_BYTES)
        finally:
            child.kill()
            source.cancel()
            feeder.join()
            child.stdout.close()
            child.wait()


class _Decoded(io.RawIOBase):
    """Output of a child process, whose failure is raised where its output ends."""

    def __init__(self, raw: IO[bytes], finish: Callable[[], None]) -> None:
        self._raw = raw
        self._finish = finish

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._raw.readinto1(buffer)  # type: ignore[attr-defined]
        if count == 0:
            self._finish()
        return int(count)


def _feed(source: IO[bytes], sink: IO[bytes], failure: list[BaseException]) -> None:
    """Copy a stream into a child process; a damaged source is kept for the reading thread."""
    try:
        with contextlib.suppress(BrokenPipeError), sink:
            while chunk := source.read(_CHUNK):
                sink.write(chunk)
    except Exception as error:
        failure.append(error)


def last_complaint(complaints: IO[bytes]) -> str:
    """The last line that a child process wrote on its stderr, for a one-line error."""
    complaints.seek(0)
    text = complaints.read()[-4000:].decode("utf-8", "replace").strip().strip("'\")").strip()
    lines = text.replace("\\n", "\n").split("\n")
    lines += [line for line in lines if line.startswith("[E::")]
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")


def _read_header(numbered: Iterator[tuple[int, bytes]], path: str) -> tuple[VcfHeader, int]:
    """The header and the number of its last line."""
    lines: list[bytes] = []
    number = 0
    for number, raw in numbered:
        line = raw.removeprefix(_BOM) if number == 1 else raw
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
        raise InputError(_NOT_VARIANTS, path=path, line=number, remedy=_GIVE_VARIANTS)
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
