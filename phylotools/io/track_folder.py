"""The record in a folder of tracks: what the folder holds and how it was made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from phylotools.errors import InputError
from phylotools.io.documents import read_document

RECORD_NAME = "tracks.json"
RECORD_FORMAT = "phylotools-tracks"


def read_track_record(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the record of a folder of tracks.

    Returns
    -------
    dict
        `model` (`name`, `sha256`), `computed_on` (dicts with `precision`) and `tracks` (dicts with
        `file`) hold text; nothing else is checked.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    """
    path = os.path.join(folder, RECORD_NAME)
    remedy = "make them anew with `phylotools tracks`"
    record = read_document(path, remedy=remedy)
    try:
        texts = [record["model"]["name"], record["model"]["sha256"]]
        texts += [facts["precision"] for facts in record["computed_on"]]
        texts += [track["file"] for track in record["tracks"]]
        if record["format"] != RECORD_FORMAT or not all(isinstance(each, str) for each in texts):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("is no record of tracks", path=path, remedy=remedy) from error
    return record


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
