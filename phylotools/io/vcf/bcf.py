"""BCF as text: all that the binary form takes.

The bcftools inside pysam reads and writes it, in a child process. That gives exactly the text of
``bcftools view``, which neither pysam's records (they gain END) nor cyvcf2's (they must be UTF-8)
do; memory stays flat.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import IO, BinaryIO

from phylotools.errors import InputError, OutputError
from phylotools.io.bcftools import last_complaint, start_bcftools
from phylotools.io.files import TRUNCATED_REMEDY, truncated
from phylotools.io.regions import Region

MAGIC = b"BCF\x02"
JOIN_REMEDY = "join files with `bcftools concat`, not with cat"
#: Far beyond real headers (two million contigs), far below memory.
LONGEST_HEADER = 1 << 28
#: Far beyond the longest real record (half a million genotypes), far below memory.
LONGEST_RECORD = 1 << 28
#: Magic with its minor version, and the length of the header.
_START = struct.Struct("<5sI")
START_SIZE = _START.size
#: Lengths of both parts of a record.
_RECORD = struct.Struct("<II")
_CHUNK = 1 << 18
_BUFFER = 1 << 20


@contextlib.contextmanager
def decoded(
    stream: BinaryIO, path: str, interrupts: list[Callable[[], None]]
) -> Iterator[io.BufferedReader]:
    """A BCF as VCF text; reading to its end raises `InputError` where the BCF is damaged.

    Parameters
    ----------
    stream : binary stream
        The BCF, decompressed.
    path : str
        For messages.
    interrupts : list of callable
        What ends a read of `stream` that waits; one that ends the child is added.
    """
    failure: list[BaseException] = []
    with tempfile.TemporaryFile() as complaints:
        child = _view("-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
        assert child.stdin is not None
        assert child.stdout is not None
        interrupts.append(child.kill)
        feeder = threading.Thread(
            target=_feed,
            args=(_checked(stream, path), child.stdin, failure),
            name="bcf-feeder",
            daemon=True,
        )
        feeder.start()

        def finish() -> None:
            feeder.join()
            if failure:
                raise failure[0]
            if child.wait() != 0:
                raise InputError(
                    "the BCF is truncated or damaged: " + last_complaint(complaints),
                    path=path,
                    remedy=TRUNCATED_REMEDY,
                )

        try:
            yield io.BufferedReader(_Decoded(child.stdout, finish), _BUFFER)
        finally:
            for end in interrupts:
                end()
            feeder.join()
            child.stdout.close()
            child.wait()


def region_lines(path: str, regions: Iterable[Region]) -> Iterator[bytes]:
    """Record lines of an indexed BCF within regions, by the file's own contig names.

    Raises
    ------
    InputError
        If the file or its index is damaged.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".bed", errors="surrogateescape") as bed:
        bed.writelines(f"{each.contig}\t{each.start}\t{each.end}\n" for each in regions)
        bed.flush()
        if not bed.tell():
            return
        # A name that begins with - is no option, one with :// no URL.
        arguments = ("-H", "-R", bed.name, os.path.abspath(path))
        with _view(
            *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            assert child.stdout is not None
            try:
                yield from child.stdout
                if child.wait() != 0:
                    raise truncated(path)
            finally:
                child.kill()


@contextlib.contextmanager
def encoder(raw: BinaryIO, path: str) -> Iterator[IO[bytes]]:
    """Text in, BCF out, by a child process that writes straight to the output.

    Parameters
    ----------
    raw : binary stream
        With a descriptor.
    path : str
        For messages; ``-`` is stdout.

    Raises
    ------
    OutputError
        If the disk is full, or BCF cannot hold the records.
    """
    raw.flush()
    with tempfile.TemporaryFile() as complaints:
        child = _view("-Ob", "-", stdin=subprocess.PIPE, stdout=raw, stderr=complaints)
        assert child.stdin is not None
        try:
            # A broken pipe: htslib stopped reading, and its exit status says why.
            with contextlib.suppress(BrokenPipeError):
                yield child.stdin
                child.stdin.close()
            if child.wait() == -signal.SIGPIPE:
                raise BrokenPipeError(errno.EPIPE, "the reader of the output went away")
            if child.wait() != 0:
                reason = last_complaint(complaints)
                name = "<stdout>" if path == "-" else path
                if reason.startswith("[E::bgzf"):  # the disk, not the records
                    raise OutputError(f"{name}: cannot write: {reason}")
                raise OutputError(
                    f"{name}: the records cannot be written as BCF: {reason}; write VCF instead "
                    "(-O z)"
                )
        finally:
            child.kill()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            child.wait()


def _view(
    *arguments: str, stdin: int, stdout: int | BinaryIO, stderr: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    """``bcftools view`` with these arguments."""
    return start_bcftools(
        "view", "--no-version", *arguments, stdin=stdin, stdout=stdout, stderr=stderr
    )


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


def _checked(source: BinaryIO, path: str) -> Iterator[bytes]:
    """Pieces of a BCF as they are, once the lengths that it announces have been looked at."""
    piece = source.read(_START.size)
    at = len(piece)  # of the next record
    if at == _START.size:
        length = _START.unpack(piece)[1]
        if length > LONGEST_HEADER:
            raise header_too_long(path)
        at += length
    begin = 0  # of the piece
    rest = b""
    while piece:
        yield piece
        text = rest + piece
        while at + _RECORD.size <= begin + len(text):
            if text.startswith(MAGIC, at - begin):
                raise InputError("a second header begins within it", path=path, remedy=JOIN_REMEDY)
            n_bytes = sum(_RECORD.unpack_from(text, at - begin))
            if n_bytes > LONGEST_RECORD:
                raise InputError(
                    "the BCF is damaged: it has a record of more than 256 MB",
                    path=path,
                    remedy=TRUNCATED_REMEDY,
                )
            at += _RECORD.size + n_bytes
        rest = text[at - begin :] if at < begin + len(text) else b""
        begin += len(text) - len(rest)
        piece = source.read(_CHUNK)


def header_end(text: bytes | bytearray) -> int:
    """Where the header of a BCF ends that begins a text."""
    return _START.size + int(_START.unpack_from(text)[1])


def header_too_long(path: str) -> InputError:
    """The error of a header that no file of variants has."""
    return InputError(
        f"its header is longer than {LONGEST_HEADER >> 20} MB",
        path=path,
        remedy="look at its beginning: it is damaged, or no file of variants",
    )


def _feed(pieces: Iterator[bytes], sink: IO[bytes], failure: list[BaseException]) -> None:
    """Write pieces to a child process; what is wrong with them is kept for the reading thread."""
    try:
        with contextlib.suppress(BrokenPipeError), sink:
            for piece in pieces:
                sink.write(piece)
    except Exception as error:
        failure.append(error)
