"""What `inspect` says of a folder of tracks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phylotools.errors import InputError
from phylotools.io.files import read_small_text
from phylotools.tracks.finalise import RECORD, RECORD_FORMAT


def describe_tracks(path: str | Path) -> dict[str, Any]:
    """The record of a folder of tracks, with which of its files are there.

    Raises
    ------
    InputError
        If the record is damaged.
    """
    name = Path(path) / RECORD
    try:
        record = json.loads(read_small_text(name))
        if record["format"] != RECORD_FORMAT:
            raise ValueError
        files = [str(track["file"]) for track in record["tracks"]]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            "is no record of tracks", path=name, remedy="make them anew with `phylotools tracks`"
        ) from error
    is_name = all(Path(file).name == file for file in files)
    missing = [file for file in files if not is_name or not (Path(path) / file).is_file()]
    return {"kind": "tracks", "path": str(path), **record, "missing_files": missing}
