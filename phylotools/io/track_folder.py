"""The record in a folder of tracks: what the folder holds and how it was made."""

from __future__ import annotations

import json
import os
from typing import Any

from phylotools.errors import InputError
from phylotools.io.files import read_small_text

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
    try:
        record = json.loads(read_small_text(path))
        texts = [record["model"]["name"], record["model"]["sha256"]]
        texts += [facts["precision"] for facts in record["computed_on"]]
        texts += [track["file"] for track in record["tracks"]]
        if record["format"] != RECORD_FORMAT or not all(isinstance(each, str) for each in texts):
            raise ValueError
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            "is no record of tracks", path=path, remedy="make them anew with `phylotools tracks`"
        ) from error
    return dict(record)
