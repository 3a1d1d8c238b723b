"""The piece that a partition leaves: data, an index of them, and what was counted.

A piece is a folder of `data.bin` (items one after the other), `index.npy` (what each is and where)
and `piece.json` (what was counted, and a checksum of every file, itself included). It appears
whole or not at all.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from phylotools.io.closing import Closing

_DATA, _INDEX, _RECORD = "data.bin", "index.npy", "piece.json"
_READ = 1 << 22


class DamagedPiece(Exception):
    """A piece is not what was written."""


class PieceWriter(Closing):
    """Write a piece into an empty folder.

    Parameters
    ----------
    folder : Path
    version : int
        Of what is written.
    entry : dtype
        Structured, of the index; its field ``offset`` is where the item begins in the data.
    """

    def __init__(self, folder: Path, version: int, entry: np.dtype[Any]) -> None:
        self._folder, self._version, self._entry = folder, version, entry
        self._file = open(folder / _DATA, "wb")  # noqa: SIM115 - closed by close
        self._size = self._checksum = 0
        # There may be millions: as bytes, not as objects.
        self._entries = bytearray()

    def add(self, *parts: bytes, **fields: Any) -> None:
        """Append an item: its bytes, and the fields of its entry."""
        entry = np.zeros((), dtype=self._entry)
        entry["offset"] = self._size
        for name, value in fields.items():
            entry[name] = value
        self._entries += entry.tobytes()
        for part in parts:
            self._file.write(part)
            self._size += len(part)
            self._checksum = google_crc32c.extend(self._checksum, part)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the index, and what was counted, JSON-ready."""
        self._file.close()
        index = io.BytesIO()
        np.save(index, np.frombuffer(self._entries, dtype=self._entry), allow_pickle=False)
        (self._folder / _INDEX).write_bytes(index.getbuffer())
        record = {
            "version": self._version,
            "data": [self._size, self._checksum],
            "index": [index.tell(), google_crc32c.value(index.getvalue())],
            "summary": summary,
        }
        record["checksum"] = _record_checksum(record)
        (self._folder / _RECORD).write_text(json.dumps(record))

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()


@dataclass(frozen=True, eq=False)
class Piece:
    """A finished piece.

    Attributes
    ----------
    folder : Path
    summary : dict
        What was counted.
    index : structured array
        In the order of writing.
    """

    folder: Path
    summary: dict[str, Any]
    index: NDArray[Any]

    @property
    def data_path(self) -> Path:
        """The file of the data."""
        return self.folder / _DATA

    def read(self, offset: int, size: int) -> bytes:
        """Some of the data."""
        # Opened each time: a job of ten thousand pieces has more than may be open at once.
        descriptor = os.open(self.folder / _DATA, os.O_RDONLY)
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)


def open_piece(folder: Path, version: int, *, verify: bool) -> Piece:
    """Open a finished piece.

    Parameters
    ----------
    folder : Path
    version : int
        As it was written.
    verify : bool
        Read the data and compare their checksum; that of the rest is compared in any case.

    Raises
    ------
    DamagedPiece
    """
    try:
        record = json.loads((folder / _RECORD).read_bytes())
        checksum = record.pop("checksum")
        index = (folder / _INDEX).read_bytes()
        size = (folder / _DATA).stat().st_size
        is_as_written = (
            set(os.listdir(folder)) == {_DATA, _INDEX, _RECORD}
            and record["version"] == version
            and checksum == _record_checksum(record)
            and record["index"] == [len(index), google_crc32c.value(index)]
            and record["data"][0] == size
            and (not verify or record["data"][1] == _file_checksum(folder / _DATA))
        )
        if not is_as_written:
            raise DamagedPiece(folder)
        return Piece(folder, record["summary"], np.load(io.BytesIO(index), allow_pickle=False))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedPiece(folder) from error


def is_whole(folder: Path, version: Any) -> bool:
    """Whether all files of a piece are what was written; reads them."""
    try:
        open_piece(folder, version, verify=True)
    except DamagedPiece:
        return False
    return True


def _record_checksum(record: dict[str, Any]) -> int:
    return int(google_crc32c.value(json.dumps(record, sort_keys=True).encode()))


def _file_checksum(path: Path) -> int:
    checksum = 0
    with open(path, "rb", buffering=0) as handle:
        while data := handle.read(_READ):
            checksum = google_crc32c.extend(checksum, data)
    return checksum
