"""Files of a published model from the hub into the cache, in as many tries as it takes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from phylotools.errors import InputError, OutputError, counted
from phylotools.io.files import open_regular
from phylotools.io.staging import fsync_path
from phylotools.model.published.catalogue import KnownModel
from phylotools.model.published.download_folder import (
    CONFIGURATION,
    LARGEST,
    PARTIAL,
    WEIGHTS,
    Download,
    DownloadFolder,
    FileRecord,
    Record,
    writing,
)
from phylotools.model.published.hub import SHA256_DIGITS, Hub, HubFile, HubTrouble, HubUnreachable

logger = logging.getLogger("phylotools")

_BLOCK = 1 << 20


class Advance(Protocol):
    """Where progress is told."""

    def update(self, n_done: int) -> None:
        """So many bytes more are there; fewer than none where a file begins anew."""


#: What is downloaded, its bytes, and how many of them are there already.
Progress = Callable[[str, int, int], AbstractContextManager[Advance]]


class _Untold:
    def update(self, n_done: int) -> None:
        pass


def untold(name: str, total: int, done: int) -> AbstractContextManager[Advance]:
    """Progress that nobody wants to see."""
    return contextlib.nullcontext(_Untold())


def resolve(hub: Hub, known: KnownModel, revision: str) -> str:
    """The commit that a tag or branch of a model's repository stands for now.

    Raises
    ------
    InputError
        If it has no such revision, or the hub cannot be asked.
    """
    return _located(hub, known.repository, revision, CONFIGURATION).commit


def download(
    hub: Hub, known: KnownModel, commit: str, cache: Path, progress: Progress = untold
) -> Download:
    """Bring the files of a commit into the cache, whole and checked.

    Parameters
    ----------
    hub : Hub
    known : KnownModel
    commit : str
    cache : Path
        Cache folder of phylotools.
    progress : callable

    Raises
    ------
    InputError
        If they cannot be had, or are not those of the hub's checksums, of the catalogue or of an
        earlier fetch.
    OutputError
        If the cache cannot be written.
    """
    folder = DownloadFolder(cache, known)
    described = [_located(hub, known.repository, commit, name) for name in LARGEST]
    with folder.locked(commit) as files:
        path, record = folder.record_path(commit), folder.read_record(commit)
        expected = [_expected(known, record, path, file) for file in described]
        found = {
            file.name: _brought(hub, file, files / file.name, wanted, progress)
            for file, wanted in zip(described, expected, strict=True)
        }
        if record is None:
            record = Record(known.repository, commit, found)
            folder.write_record(record)
            _tell_first(known, record, path)
        return Download(files, record)


def _located(hub: Hub, repository: str, revision: str, name: str) -> HubFile:
    """Where a file lies, asked for again while the hub has passing troubles."""
    failures = 0
    while True:
        try:
            file = hub.locate(repository, revision, name)
            break
        except HubUnreachable:
            raise
        except HubTrouble as trouble:
            failures += 1
            if failures >= hub.patience.tries:
                raise
            logger.info("%s; trying again", trouble.problem)
            hub.patience.wait(failures)
    if file.size > LARGEST[name]:
        raise InputError(
            f"{hub.host} says that {name} has {file.size:,} bytes; {LARGEST[name]:,} are the most "
            "that are taken"
        )
    return file


@dataclass(frozen=True)
class _Expected:
    """The SHA-256 that a file must have, who says so, and what to do if it has another."""

    sha256: str
    source: str
    remedy: str


def _expected(
    known: KnownModel, record: Record | None, path: Path, file: HubFile
) -> _Expected | None:
    """What is known of a file beside what the hub says now, which must agree.

    Parameters
    ----------
    known : KnownModel
    record : Record or None
        Of the first fetch.
    path : Path
        Of that record.
    file : HubFile
    """
    published = known.weights_sha256(file.commit) if file.name == WEIGHTS else None
    if record is not None:
        remedy = f"to take it all the same, delete {path}"
        wanted = _Expected(record.files[file.name].sha256, "that of the first fetch", remedy)
    elif published is not None:
        wanted = _Expected(published, "the published one", "ask the authors which is right")
    else:
        return None
    # Before any byte is asked for.
    if len(file.checksum) == SHA256_DIGITS and file.checksum != wanted.sha256:
        raise _other(file, file.checksum, wanted)
    return wanted


def _other(file: HubFile, sha256: str, wanted: _Expected) -> InputError:
    return InputError(
        f"{file.name} of {file.repository} at commit {file.commit} has the SHA-256 {sha256}, which "
        f"is not {wanted.source}, {wanted.sha256}",
        remedy=f"nothing of it was kept; {wanted.remedy}",
    )


def _brought(
    hub: Hub, file: HubFile, path: Path, wanted: _Expected | None, progress: Progress
) -> FileRecord:
    """Have a file in its place: as it is there, out of the library's cache, or from the hub."""
    if os.path.lexists(path):
        there = _checked(path, file)
        if there is not None and (wanted is None or there.sha256 == wanted.sha256):
            return there
        logger.warning("%s: is not the file of the hub, and is downloaded again", path)
        path.unlink()
    partial = path.with_name(path.name + PARTIAL)
    with writing(partial):
        if not os.path.lexists(partial):
            _take_cached(hub, file, partial)
        _receive(hub, file, partial, progress)
        try:
            found = _accepted(partial, file, wanted)
        except InputError:
            partial.unlink()
            raise
        fsync_path(partial)
        os.replace(partial, path)
        fsync_path(path.parent)
    return found


def _take_cached(hub: Hub, file: HubFile, partial: Path) -> None:
    """Copy a file from the cache of the hub's library, if it has it in full length."""
    found = hub.find_cached(file.repository, file.commit, file.name)
    if found is None:
        return
    try:
        with open_regular(found) as source:
            if os.fstat(source.fileno()).st_size != file.size:
                return
            with open(partial, "wb") as copy:
                shutil.copyfileobj(source, copy, _BLOCK)
    except InputError:
        return
    logger.info("%s is taken from %s", file.name, found)


def _receive(hub: Hub, file: HubFile, partial: Path, progress: Progress) -> None:
    """Bring what is missing of a file, in as many tries as bring something."""
    done = partial.stat().st_size if partial.exists() else 0
    if done > file.size:
        partial.unlink()
        done = 0
    _refuse_small_disk(partial, file.size - done)
    failures, furthest = 0, done
    with progress(file.name, file.size, done) as advance:
        while True:
            since = time.monotonic()
            try:
                if failures:
                    file = _same(file, hub.locate(file.repository, file.commit, file.name))
                _append(hub, file, partial, advance)
                return
            except HubTrouble as trouble:
                done = partial.stat().st_size
                gained = done - furthest
                furthest = max(furthest, done)
                # A server that cuts after a byte or two brings nothing either.
                is_gain = gained > hub.patience.slowest * (time.monotonic() - since)
                failures = 1 if is_gain else failures + 1
                if failures >= hub.patience.tries:
                    raise _given_up(hub, file, done, partial, trouble) from None
                logger.info("%s: %s at %s bytes; going on", file.name, trouble.problem, f"{done:,}")
                hub.patience.wait(failures)


def _given_up(hub: Hub, file: HubFile, done: int, partial: Path, trouble: HubTrouble) -> InputError:
    return InputError(
        f"{file.name} cannot be had from {hub.host}, at {done:,} of {file.size:,} bytes: "
        f"{trouble.problem}, {counted(hub.patience.tries, 'time')} in a row",
        remedy=f"what has come is in {partial}; give the same command again to go on from there",
    )


def _same(before: HubFile, now: HubFile) -> HubFile:
    """The newer description of a file, which must be the same file."""
    if (before.size, before.checksum) != (now.size, now.checksum):
        raise InputError(f"{now.name} of {now.repository} became another while it was downloaded")
    return now


def _append(hub: Hub, file: HubFile, partial: Path, advance: Advance) -> None:
    """Add to a file what one answer brings, never more than its length."""
    with open(partial, "ab", opener=_open_own) as out:
        start = out.tell()
        if start == file.size:
            return
        with hub.opened(file, start) as (begin, chunks):
            if begin != start:
                out.truncate(begin)
                advance.update(begin - start)
            done = begin
            for chunk in chunks:
                done += len(chunk)
                if done > file.size:
                    out.truncate(0)
                    raise InputError(
                        f"{hub.host} sends more of {file.name} than its {file.size:,} bytes"
                    )
                out.write(chunk)
                advance.update(len(chunk))
    if done < file.size:
        raise HubTrouble("the connection was closed")


def _open_own(path: str, flags: int) -> int:
    """Open a file of ours to write, never what a link leads to, nor a pipe, which would wait."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _accepted(partial: Path, file: HubFile, wanted: _Expected | None) -> FileRecord:
    """The record of what came, which must be what the hub describes and what is expected."""
    found = _checked(partial, file)
    if found is None:
        raise InputError(
            f"what came as {file.name} of {file.repository} has not the hub's checksum",
            remedy="nothing of it was kept; give the command again",
        )
    if wanted is not None and found.sha256 != wanted.sha256:
        raise _other(file, found.sha256, wanted)
    return found


def _checked(path: Path, file: HubFile) -> FileRecord | None:
    """A file's record; None if it is not the file that the hub describes."""
    try:
        with open_regular(path) as handle:
            size = os.fstat(handle.fileno()).st_size
            # What git hashes begins with a few bytes of its own. Mirrors hash the file alone.
            hashes = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size), hashlib.sha1()
            used = hashes[:1] if len(file.checksum) == SHA256_DIGITS else hashes
            while block := handle.read(_BLOCK):
                for one in used:
                    one.update(block)
    except InputError:  # no regular file
        return None
    found = [one.hexdigest() for one in used]
    if size != file.size or file.checksum not in found:
        return None
    return FileRecord(size, found[0])


def _refuse_small_disk(path: Path, n_bytes: int) -> None:
    """Raise `OutputError` before a download for which there is no room."""
    free = shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise OutputError(
            f"{path.parent}: {n_bytes:,} bytes are to come and {free:,} are free; make room, or "
            "name another folder with PHYLOTOOLS_CACHE"
        )


def _tell_first(known: KnownModel, record: Record, path: Path) -> None:
    sha256 = record.files[WEIGHTS].sha256
    if known.weights_sha256(record.commit) is not None:
        logger.info("the weights have the published SHA-256, %s", sha256)
        return
    logger.info(
        "no SHA-256 of the weights of this revision has been published; theirs is %s, kept in %s: "
        "later fetches must bring the same",
        sha256, path,
    )  # fmt: skip
