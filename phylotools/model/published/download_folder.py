"""The downloaded files of published models: the folder ``hub`` of the cache.

``hub/OWNER--NAME/COMMIT/`` holds the files of a commit, under ``.partial`` while they come, and
``hub/OWNER--NAME/COMMIT.json`` what was found at the first fetch: who fetches the same commit again
must get the same bytes. A file has its name only once its checksum was right.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from phylotools.errors import InputError, OutputError
from phylotools.io.documents import decode, read_document
from phylotools.io.files import cannot_read, open_regular, write_atomic
from phylotools.io.locks import lock_folder
from phylotools.model.published.catalogue import KnownModel

CONFIGURATION, WEIGHTS = "config.json", "model.safetensors"
#: All that is ever downloaded, and the most bytes it may have. PhyloGPN's have 376 and 333 million.
LARGEST = {CONFIGURATION: 64 << 10, WEIGHTS: 4 << 30}
PARTIAL = ".partial"
_LARGEST_RECORD = 1 << 16


@dataclass(frozen=True)
class FileRecord:
    """A downloaded file: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """What the first fetch of a commit found."""

    repository: str
    commit: str
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class Download:
    """The files of a commit, complete and checked.

    Attributes
    ----------
    folder : Path
    record : Record
    """

    folder: Path
    record: Record


class DownloadFolder:
    """Where the downloads of one repository lie; made when something is written.

    Parameters
    ----------
    cache : Path
        Cache folder of phylotools.
    known : KnownModel
    """

    def __init__(self, cache: Path, known: KnownModel) -> None:
        self._known = known
        self._path = cache / "hub" / known.repository.replace("/", "--")

    def files(self, commit: str) -> Path:
        """Folder of a commit's files."""
        return self._path / commit

    def record_path(self, commit: str) -> Path:
        """File of a commit's record."""
        return self._path / f"{commit}.json"

    @contextlib.contextmanager
    def locked(self, commit: str) -> Iterator[Path]:
        """Make the folder of a commit's files, and let no other process work in it meanwhile.

        Raises
        ------
        OutputError
            If nothing can be written there, or another process is at work.
        """
        folder = self.files(commit)
        with writing(folder):
            self._path.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder):
            yield folder

    def read_record(self, commit: str) -> Record | None:
        """The record of a commit; None if it was never fetched.

        Raises
        ------
        InputError
            If it is damaged.
        """
        path = self.record_path(commit)
        if not os.path.lexists(path):
            return None
        remedy = "delete it, and what is fetched next is recorded anew"
        document = read_document(path, remedy=remedy, largest=_LARGEST_RECORD)
        try:
            record: Record = decode(Record, document)
        except ValueError:
            record = Record("", "", {})
        if record.commit != commit or record.files.keys() != LARGEST.keys():
            raise InputError("is damaged: it is no such record", path=path, remedy=remedy)
        return record

    def write_record(self, record: Record) -> None:
        """Write the record of a first fetch."""
        path = self.record_path(record.commit)
        with writing(path):
            write_atomic(path, json.dumps(asdict(record), indent=2) + "\n", force=True)

    def discard(self, commit: str) -> None:
        """Delete the files of a commit and their record, as far as that is allowed."""
        for name in LARGEST:
            with contextlib.suppress(OSError):
                (self.files(commit) / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.record_path(commit).unlink(missing_ok=True)

    def complete(self, commit: str) -> Download:
        """The files of a commit that was fetched before, for who has no network.

        Raises
        ------
        InputError
            If it was not, or the files are not there or damaged.
        """
        record = self.read_record(commit)
        if record is None:
            raise InputError(
                f"{self._known.repository} at commit {commit} is not in the cache {self._path}",
                remedy="fetch it with a network first, or copy that folder from a machine that has",
            )
        for name, wanted in record.files.items():
            path = self.files(commit) / name
            if _sha256(path) != wanted.sha256:
                raise InputError(
                    "is not the file that was downloaded",
                    path=path,
                    remedy="delete it and fetch again with a network",
                )
        return Download(self.files(commit), record)


def _sha256(path: Path) -> str:
    """SHA-256 of a regular file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with open_regular(path) as handle:
        try:
            return hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as error:
            raise cannot_read(path, error) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name a file of the cache in what the system says while it is written."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot write: {error.strerror}; make room, or name another folder with "
            "PHYLOTOOLS_CACHE"
        ) from error
