"""The scores of a file: which is its default, and which of them are low where ALT is bad."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phylotools.io.scored import ScoredFile
from phylotools.phylogeny.score_meaning import LLR, SCORE_NAMES, score_key

DEFAULT_TAG = "PHYLOGPN"
_ITEM = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^,>]*))')
_KEYS = tuple(score_key(score) for score in SCORE_NAMES)


def notes_of(file: ScoredFile) -> Iterator[dict[str, str]]:
    """What each header line of phylotools says, by key: ``Model``, ``DefaultScore`` and others."""
    for note in file.notes:
        yield {
            match[1]: re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
            for match in _ITEM.finditer(note.partition("=<")[2])
        }


def score_column(tag: str | None, score: str) -> str:
    """The column of a score: under a tag as in a VCF, without one as in a table of `tracks`."""
    return score_key(score) if tag is None else f"{tag}_{score_key(score).upper()}"


def default_columns(file: ScoredFile) -> list[str]:
    """Columns of the default scores that a file's header names, one for each run of annotate.

    Where no header says, as in a table of variants, that is the LLR of the usual prefix, or the
    column ``llr``.
    """
    tags = dict.fromkeys(note.get("ID", DEFAULT_TAG) for note in notes_of(file))
    found = [default_column(file, tag) for tag in tags or (DEFAULT_TAG,)]
    return [name for name in dict.fromkeys(found) if name in file.columns]


def default_column(file: ScoredFile, tag: str) -> str:
    """The column of the default score among the fields of a tag, which the file may not have."""
    usual, plain = score_column(tag, LLR), score_column(None, LLR)
    for note in reversed(list(notes_of(file))):
        if note.get("ID", tag) == tag and note.get("DefaultScore") in SCORE_NAMES:
            named = score_column(note.get("ID"), note["DefaultScore"])
            if named in file.columns:
                return named
    return plain if usual not in file.columns and plain in file.columns else usual


def holds_site_fits(file: ScoredFile, column: str) -> bool:
    """Whether a column is of a run of annotate that scored trained positions by their site fits."""
    tags = {note.get("ID", ""): note.get("SiteFits") == "yes" for note in notes_of(file)}
    # The longest: a tag may begin as another one does.
    own = max((tag for tag in tags if tag and column.startswith(f"{tag}_")), key=len, default="")
    return tags.get(own, False)


def is_low_where_bad(column: str) -> bool:
    """Whether a column is named as one of our scores, or as a log-likelihood ratio."""
    lower = column.lower()
    is_ours = any(lower == key or lower.endswith(f"_{key}") for key in _KEYS)
    return is_ours or lower.endswith(LLR) or lower.startswith(LLR)
