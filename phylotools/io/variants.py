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
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import IO

from phylotools.errors import InputError, shown_path
from phylotools.io.files import open_input
from phylotools.io.vcf_text import VcfHeader, check_columns

logger = logging.getLogger("phylotools")

BCF_MAGIC = b"BCF\x02"
#: bcftools of pysam's own htslib, with the arguments that follow.
BCFTOOLS_VIEW = (
    sys.executable,
    "-c",
    "import signal, sys, pysam.bcftools\n"
    "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
    "try: pysam.bcftools.view(*sys.argv[1:], catch_stdout=False)\n"
    "except pysam.utils.SamtoolsError as error: sys.exit(str(error).split('stderr=')[-1])\n",
    "--no-version",
)
#: Far beyond the longest real record (half a million genotypes), far below memory.
MAX_LINE_LENGTH = 1 << 28
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 18
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
    records : iterator of (int, bytes)
        1-based line number, and the line with its own line end (``\\n`` or ``\\r\\n``). Iterating
        raises `InputError` where the data are truncated or damaged.
    """

    path: str
    header: VcfHeader
    records: Iterator[tuple[int, bytes]]


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
        source = stack.enter_context(open_input(name))
        try:
            start = source.peek(len(BCF_MAGIC))[: len(BCF_MAGIC)]
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror}", path=name) from error
        lines: Iterator[bytes]
        if start == BCF_MAGIC:
            decoder = _decode_bcf(source, name)
            stack.enter_context(contextlib.closing(decoder))
            lines = decoder
        else:
            lines = _read_lines(source, name)
        numbered = enumerate(lines, start=1)
        header = _read_header(numbered, name)
        yield VariantStream(name, header, _without_blank_lines(numbered, name))


def _read_lines(source: IO[bytes], path: str) -> Iterator[bytes]:
    """Yield lines that all end in a newline, of bounded length."""
    number = 0
    while line := source.readline(MAX_LINE_LENGTH):
        number += 1
        if not line.endswith(b"\n"):
            if len(line) >= MAX_LINE_LENGTH:
                raise InputError(
                    f"the line is longer than {MAX_LINE_LENGTH >> 20} MB",
                    path=path,
                    line=number,
                    remedy=_GIVE_VARIANTS,
                )
            line += b"\n"
        yield line


def _decode_bcf(source: io.BufferedReader, path: str) -> Generator[bytes]:
    """Lines of a BCF as VCF text; `source` yields it decompressed."""
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
        feeder = threading.Thread(
            target=_feed, args=(source, child.stdin, failure), name="bcf-feeder", daemon=True
        )
        feeder.start()
        try:
            yield from _read_lines(child.stdout, path)
            feeder.join()
            if failure:
                raise failure[0]
            if child.wait() != 0:
                raise InputError(
                    "the BCF is truncated or damaged: " + last_complaint(complaints),
                    path=path,
                    remedy="copy or download it again",
                )
        finally:
            child.kill()
            child.stdout.close()
            child.wait()


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


def _read_header(numbered: Iterator[tuple[int, bytes]], path: str) -> VcfHeader:
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
            return VcfHeader(_with_format(lines, path), line, line_end)
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


def _without_blank_lines(
    numbered: Iterator[tuple[int, bytes]], path: str
) -> Iterator[tuple[int, bytes]]:
    n_blank = 0
    for item in numbered:
        if item[1] in (b"\n", b"\r\n"):
            n_blank += 1
            continue
        yield item
    if n_blank:
        logger.warning(
            "%s: %d blank lines left out (htslib takes them for records)", shown_path(path), n_blank
        )
