"""Streams in, whole files out.

Inputs are sniffed, never judged by their suffix, and a truncated gzip or bgzip stream is an
error. Outputs are written beside their final name and renamed when complete (`staging`), so that
a kill at any moment leaves nothing that looks finished.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

# Inflates four times as fast as zlib, which would be slower than what reads the text.
from isal import igzip, isal_zlib

from phylotools.errors import InputError, OutputError, UsageError, shown_path
from phylotools.io.packing import packed_otherwise
from phylotools.io.staging import Stage, staged

GZIP_MAGIC = b"\x1f\x8b"
#: The empty block that ends every complete BGZF file (SAM specification, section 4.1.2).
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_READ_SIZE = 1 << 20
_LARGEST_TEXT = 4 << 20
#: Text is taken in whole lines of about so many bytes.
BLOCK_BYTES = 1 << 22
LONGEST_LINE = BLOCK_BYTES // 4
_URL = re.compile(r"(https?|ftp|s3|gs)://", re.IGNORECASE)
#: Programs that print what a URL has.
_URL_READERS = {
    "http": "curl -sL {}",
    "https": "curl -sL {}",
    "ftp": "curl -s {}",
    "s3": "aws s3 cp {} -",
    "gs": "gcloud storage cat {}",
}
#: What `isal` raises for damaged data; its stub calls the class an instance.
INFLATE_ERROR = cast(type[Exception], isal_zlib.error)
TRUNCATED = "the compressed file is truncated or damaged"
TRUNCATED_REMEDY = "copy or download it again"
NO_END_MARKER = "the bgzip file has no end marker: it is truncated"


def truncated(path: str | os.PathLike[str], problem: str = TRUNCATED) -> InputError:
    """The error of a compressed file that is not whole."""
    return InputError(problem, path=path, remedy=TRUNCATED_REMEDY)


class _TailReader(io.RawIOBase):
    """Pass bytes through, remembering the last few, so that a missing BGZF end is noticed."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.tail = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        if data:
            self.tail = (self.tail + data)[-len(BGZF_EOF) :]
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _CompressedReader(io.RawIOBase):
    """Decompressed bytes of a gzip or BGZF stream; every kind of damage is an InputError."""

    def __init__(self, raw: BinaryIO, path: str, is_bgzf: bool) -> None:
        self._source = _TailReader(raw)
        self._gzip = igzip.IGzipFile(fileobj=io.BufferedReader(self._source, _READ_SIZE), mode="rb")
        self._path = path
        self._is_bgzf = is_bgzf

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = self._gzip.readinto(buffer)
        except (EOFError, INFLATE_ERROR, igzip.BadGzipFile) as error:
            raise truncated(self._path) from error
        if count == 0 and len(buffer) and self._is_bgzf and self._source.tail != BGZF_EOF:
            raise truncated(self._path, NO_END_MARKER)
        return count

    def close(self) -> None:
        self._gzip.close()
        self._source.close()
        super().close()


def cannot_read(path: str | os.PathLike[str], error: OSError) -> InputError:
    """The error of a file that cannot be opened or read; of a URL, what works instead."""
    return url_error(os.fspath(path)) or InputError(f"cannot read: {error.strerror}", path=path)


def url_error(name: str, command: str = "phylotools ...") -> InputError | None:
    """The error of a URL that is given for a file; None for what is none.

    Parameters
    ----------
    name : str
    command : str
        That could read what the URL has from stdin.
    """
    match = _URL.match(name)
    if match is None:
        return None
    reader = _URL_READERS[match[1].lower()].format(shlex.quote(name))
    return InputError(
        "is a URL, and those are neither read nor written",
        path=name,
        remedy=f"download it first or, where - is taken, pipe it in: {reader} | {command} -",
    )


def _open_plain(name: str) -> io.BufferedReader:
    # The cast tells mypy that a buffered binary file can peek.
    return cast(io.BufferedReader, open(name, "rb", buffering=_READ_SIZE))


def open_input(
    path: str | os.PathLike[str], *, source: io.BufferedReader | None = None
) -> io.BufferedReader:
    """Open a plain, gzip or bgzip file, or ``-`` for stdin, as decompressed bytes.

    Parameters
    ----------
    path : str or PathLike
    source : BufferedReader, optional
        Its bytes, where they are open already; `path` is for messages then.

    Returns
    -------
    BufferedReader

    Raises
    ------
    InputError
        If the file cannot be opened, or another program compressed it. Reading raises it too,
        where compressed data are damaged.
    """
    name = os.fspath(path)
    try:
        if source is not None:
            raw = source
        elif name == "-":
            raw = cast(io.BufferedReader, sys.stdin.buffer)
        else:
            raw = _open_plain(name)
        magic = raw.peek(18)[:18]
    except OSError as error:
        raise cannot_read(name, error) from error
    if not magic.startswith(GZIP_MAGIC):
        packed = packed_otherwise(magic, name)
        if packed is None:
            return raw
        if source is None and name != "-":
            raw.close()
        raise packed
    is_bgzf = len(magic) >= 16 and bool(magic[3] & 4) and magic[12:14] == b"BC"
    return inflating(raw, name, is_bgzf=is_bgzf)


def inflating(raw: BinaryIO, path: str | os.PathLike[str], *, is_bgzf: bool) -> io.BufferedReader:
    """Decompressed bytes of a gzip stream, which is closed with what is returned.

    Parameters
    ----------
    raw : binary stream
    path : str or PathLike
        For messages.
    is_bgzf : bool
        Whether it must end with the end marker of bgzip.

    Raises
    ------
    InputError
        While reading, if it is damaged.
    """
    return io.BufferedReader(_CompressedReader(raw, os.fspath(path), is_bgzf), _READ_SIZE)


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file to read here and there in it.

    Raises
    ------
    InputError
        If it cannot be read or is a folder, a pipe or a device.
    """
    try:
        # Else a pipe without a writer would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_read(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError("is no regular file, so that nothing can be looked up", path=path)
    return open(descriptor, "rb")


class FileBytes:
    """Bytes of a regular file by their place, read anew each time.

    A mapped file that is cut while it is read would end the process by a signal; here it is an
    error. May be shared between threads and with children of a fork.

    Raises
    ------
    InputError
        As for `open_regular`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._handle = open_regular(path)
        self._size = os.fstat(self._handle.fileno()).st_size

    def __len__(self) -> int:
        return self._size

    def read(self, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`, cut at the size that the file had when it was opened.

        Raises
        ------
        InputError
            If the file has become shorter or cannot be read.
        """
        parts, at, end = [], start, min(end, self._size)
        while at < end:
            try:
                part = os.pread(self._handle.fileno(), end - at, at)
            except OSError as error:
                raise InputError(f"cannot read: {error.strerror}", path=self.path) from error
            if not part:
                raise InputError(
                    "became shorter while it was read", path=self.path, remedy="start again"
                )
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def text_blocks(
    handle: BinaryIO, path: str | os.PathLike[str], *, longest_line: int = LONGEST_LINE
) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines, some megabytes at once, with the 1-based number of the first.

    Every line has its end, also the last.

    Parameters
    ----------
    handle : binary stream
    path : str or PathLike
        For messages.
    longest_line : int
        Bytes; a few megabytes more may pass.

    Raises
    ------
    InputError
        If a line is longer, or a whole block is blank: the file is no text of ours.
    """
    number, parts, size = 1, [b""], 0
    while chunk := handle.read(BLOCK_BYTES):
        if len(chunk) == BLOCK_BYTES and not chunk.strip():
            raise InputError(
                f"holds {BLOCK_BYTES >> 20} MiB of nothing but blanks", path=path, line=number
            )
        end = chunk.rfind(b"\n") + 1
        if end:
            text = b"".join([*parts, chunk[:end]])
            yield number, text
            number += text.count(b"\n")
            parts, size = [], 0
        parts.append(chunk[end:])
        size += len(chunk) - end
        if size > longest_line:
            raise InputError(
                f"the line is longer than {longest_line} bytes: this is no such text",
                path=path,
                line=number,
            )
    if size:
        yield number, b"".join([*parts, b"\n"])


def numbered_lines(
    handle: BinaryIO, path: str | os.PathLike[str], *, longest_line: int = LONGEST_LINE
) -> Iterator[tuple[int, bytes]]:
    """Yield every line with its 1-based number; as for `text_blocks`."""
    for first, text in text_blocks(handle, path, longest_line=longest_line):
        for number, line in enumerate(text.split(b"\n")[:-1], start=first):
            yield number, line + b"\n"


def read_small_text(path: str | os.PathLike[str]) -> str:
    """Text of a small file that is read whole, without a byte order mark.

    Raises
    ------
    InputError
        If it cannot be read, is no UTF-8, or is larger than 4 MiB.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read(_LARGEST_TEXT + 1)
    except OSError as error:
        raise cannot_read(path, error) from None
    if len(data) > _LARGEST_TEXT:
        raise InputError(f"the file is too large: more than {_LARGEST_TEXT >> 20} MiB", path=path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("the file is not UTF-8 text", path=path) from None


def refuse_existing(path: str | os.PathLike[str], force: bool) -> None:
    """Raise `OutputError` if the output exists and ``--force`` was not given.

    Names are looked at as `pathlib` spells them, which is how outputs are renamed: the system
    finds neither ``file/`` nor an empty name, but they would replace the file and the folder.
    """
    if not force and os.path.lexists(Path(path)):
        raise OutputError(f"{path}: already exists; give --force to replace it")
    parent = Path(path).absolute().parent
    if not parent.is_dir():
        raise OutputError(f"{path}: the folder {parent} does not exist; create it first")


def refuse_existing_file(path: str | os.PathLike[str], force: bool) -> None:
    """As `refuse_existing`, and keep ``--force`` from replacing stdin, or what is no file."""
    refuse_existing(path, force)
    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"{path}: exists and is no regular file; choose another name")
    refuse_same_file(path, ["-"])


def refuse_two_streams(*paths: str | None) -> None:
    """Raise `UsageError` where more than one input is stdin, or one pipe, however it is named.

    Two readers of a pipe would each get some of its bytes.
    """
    if paths.count("-") > 1:
        raise UsageError("stdin (-) can be read only once")
    found: dict[tuple[int, int], str] = {}
    for path in paths:
        pipe = None if path is None else _pipe(path)
        if path is None or pipe is None:
            continue
        if pipe in found:
            names = " and ".join(shown_path(name) for name in (found[pipe], path))
            raise UsageError(f"{names} are one pipe, which can be read only once")
        found[pipe] = path


def _pipe(path: str) -> tuple[int, int] | None:
    """Device and inode of a pipe; None for all else."""
    try:
        status = os.fstat(sys.stdin.fileno()) if path == "-" else os.stat(path)
    except (OSError, ValueError, AttributeError):  # no such file; stdin closed or replaced
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISFIFO(status.st_mode) else None


def refuse_same_file(path: str | os.PathLike[str], inputs: Iterable[str]) -> None:
    """Raise `UsageError` if an output would replace an input of the same run, however it is named.

    ``-`` is what stdin and stdout are redirected to.
    """
    output = _status(path, sys.stdout)
    for name in inputs:
        status = _status(name, sys.stdin)
        if output is not None and status is not None and os.path.samestat(output, status):
            raise _same_file(path)


def _same_file(path: str | os.PathLike[str]) -> UsageError:
    name = "<stdout>" if os.fspath(path) == "-" else path
    return UsageError(f"{name}: the output is the input; choose another name")


def _status(name: str | os.PathLike[str], stream: IO[str] | None) -> os.stat_result | None:
    """Which file or folder a name is; ``-`` that of a stream. None for all else."""
    try:
        if os.fspath(name) != "-":
            return os.stat(Path(name))
        status = os.fstat(stream.fileno()) if stream is not None else None
    except (OSError, ValueError):  # closed, or replaced by an object of Python's
        return None
    return status if status is not None and stat.S_ISREG(status.st_mode) else None


def refuse_existing_folder(
    path: str | os.PathLike[str], force: bool, contents: Collection[str]
) -> None:
    """As `refuse_existing`, and keep ``--force`` from deleting what is not an output of ours.

    Parameters
    ----------
    path : str or PathLike
        Folder to be made.
    force : bool
    contents : collection of str
        Names that such a folder holds; one that holds anything else is not replaced.

    Raises
    ------
    UsageError
        If it is ``-``.
    OutputError
    """
    if os.fspath(path) == "-":
        raise UsageError("the output is a folder and cannot go to stdout; give it a name")
    refuse_existing(path, force)
    path = Path(path)
    if not os.path.lexists(path):
        return
    remedy = "--force replaces only what this command made; choose another name or remove it"
    if os.path.islink(path) or not os.path.isdir(path):
        raise OutputError(f"{path}: exists and is no folder; {remedy}")
    foreign = sorted(set(os.listdir(path)) - set(contents))
    if foreign:
        raise OutputError(f"{path}: holds {foreign[0]!r}, which is not of such an output; {remedy}")


@contextlib.contextmanager
def naming_output(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the output in errors of a full disk, which name no file."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error


@contextlib.contextmanager
def _staged(
    path: str | os.PathLike[str], check: Callable[[], None], **options: Any
) -> Iterator[Path]:
    """Yield the place of an output in the making; errors of the disk name the output."""
    try:
        stage = Stage(path, check, **options)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error
    with naming_output(path), staged(stage) as place:
        yield place


@contextlib.contextmanager
def atomic_path(
    path: str | os.PathLike[str], *, force: bool = False, indexes: Collection[str] = ()
) -> Iterator[Path]:
    """Yield a temporary file name in the same folder; rename it to `path` on success.

    Parameters
    ----------
    path : str or PathLike
        Final name.
    force : bool
        Replace an existing file.
    indexes : collection of str
        Suffixes of index files. Those of an earlier file are replaced with it; one that was made
        beside the temporary file, under its name and a suffix, appears last.

    Raises
    ------
    OutputError
        If `path` or an index exists and `force` is false, or the folder does not exist.
    """

    def check() -> None:
        for suffix in ("", *indexes):
            refuse_existing_file(f"{Path(path)}{suffix}", force)

    with _staged(path, check, indexes=indexes) as temporary:
        yield temporary


@contextlib.contextmanager
def atomic_folder(
    path: str | os.PathLike[str], *, force: bool = False, contents: Collection[str] = ()
) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` on success.

    An existing folder is moved aside, not deleted, until the new one stands in its place.

    Parameters
    ----------
    path : str or PathLike
        Final name.
    force : bool
        Replace an existing folder, if it is empty or holds nothing but `contents`.
    contents : collection of str
        Names that such a folder may hold.

    Raises
    ------
    OutputError
        If `path` exists and may not be replaced, or cannot be written.
    """
    check = functools.partial(refuse_existing_folder, path, force, contents)
    with _staged(path, check, is_folder=True) as temporary:
        yield temporary


def write_atomic(path: str | os.PathLike[str], data: str | bytes, *, force: bool = False) -> None:
    """Write a small file whole or not at all."""
    with atomic_path(path, force=force) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def open_text_output(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """Yield a binary handle on stdout (``-``) or on a file that appears only when complete."""
    if os.fspath(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with atomic_path(path, force=force) as temporary, open(temporary, "wb") as handle:
        yield handle
        handle.flush()
