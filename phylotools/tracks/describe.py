"""What `inspect` says of a folder of tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phylotools.io.track_folder import read_track_record


def describe_tracks(path: str | Path) -> dict[str, Any]:
    """The record of a folder of tracks, with which of its files are there.

    Raises
    ------
    InputError
        If the record is damaged.
    """
    record = read_track_record(path)
    files = [track["file"] for track in record["tracks"]]
    is_name = all(Path(file).name == file for file in files)
    missing = [file for file in files if not is_name or not (Path(path) / file).is_file()]
    return {"kind": "tracks", "path": str(path), **record, "missing_files": missing}
