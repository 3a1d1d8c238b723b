"""The INFO fields that annotate writes: their keys, types and descriptions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from phylotools.errors import UsageError
from phylotools.io.vcf.alleles import SPLICED_STATUSES, Status
from phylotools.phylogeny.score_meaning import (
    DEFAULT_SCORES,
    LLR,
    SCORE_NAMES,
    score_key,
    score_meaning,
    site_rate_meaning,
    written_scores,
)

DEFAULT_TAG = "PHYLOGPN"
#: The score of a head that was fitted to a user's labels.
TUNED = "tuned"
_TAG = re.compile(r"[A-Za-z_][0-9A-Za-z_.]*")
_KINDS: dict[type, str] = {float: "Float", str: "String"}


class _Field(NamedTuple):
    key: str
    number: str
    kind: type
    text: str


@dataclass(frozen=True)
class InfoFields:
    """The INFO fields that a run writes.

    Attributes
    ----------
    tag : str
        Their common prefix.
    substitution : str
        Name of the model's substitution model, which says what its scores are.
    asked : tuple of str
        Scores to write beside the LLR and the model's default one.
    in_transcripts : bool
        Whether alleles are scored in transcripts, so that there is one that names it.
    tuned : str, optional
        What the score of the model's own head is, where it brings one.

    Raises
    ------
    UsageError
        If the prefix makes no INFO key, or there is no such score.
    """

    tag: str = DEFAULT_TAG
    substitution: str = "f81"
    asked: tuple[str, ...] = ()
    in_transcripts: bool = False
    tuned: str | None = None

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.tag):
            raise UsageError(
                f"--tag {self.tag!r}: use letters, digits, '_' and '.', no digit or '.' first"
            )
        _ = self.scores

    @cached_property
    def scores(self) -> tuple[str, ...]:
        """The scores that are written, the LLR first."""
        tuned = () if self.tuned is None else (TUNED,)
        return (*written_scores(self.substitution, self.asked), *tuned)

    @property
    def default_score(self) -> str:
        """The score that the model's users get where they name none."""
        return DEFAULT_SCORES[self.substitution]

    @cached_property
    def types(self) -> dict[str, type]:
        """Type of each key that is written, in the order of the INFO column."""
        transcript = {self.transcript_key: str} if self.in_transcripts else {}
        return transcript | {field.key: field.kind for field in self._fields()}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of LLR, status, rate, entropy, and of the other scores."""
        return tuple(field.key for field in self._fields())

    @property
    def transcript_key(self) -> str:
        """Key of the transcript."""
        return f"{self.tag}_TRANSCRIPT"

    @property
    def replaced_keys(self) -> frozenset[str]:
        """Keys that an earlier run under this tag may have written, whatever its scores."""
        scores = InfoFields(self.tag, self.substitution, SCORE_NAMES, tuned="").keys
        return frozenset((*scores, self.transcript_key))

    def header_lines(self) -> list[bytes]:
        """``##INFO`` lines that declare them."""
        fields = self._fields()
        if self.in_transcripts:
            text = (
                f"Transcript in whose context ALT has its lowest {self.default_score}, that given"
            )
            fields.append(_Field(self.transcript_key, "A", str, text))
        return [
            f"##INFO=<ID={field.key},Number={field.number},Type={_KINDS[field.kind]},"
            f'Description="{field.text}">'.encode()
            for field in fields
        ]

    def _fields(self) -> list[_Field]:
        def of_score(score: str) -> _Field:
            is_tuned = score == TUNED and self.tuned is not None
            text = self.tuned or "" if is_tuned else score_meaning(self.substitution, score)
            if score == self.default_score:
                text += "; the default score of the model"
            return _Field(f"{self.tag}_{score_key(score).upper()}", "A", float, text)

        known = (s for s in Status if self.in_transcripts or s not in SPLICED_STATUSES)
        statuses = f"What became of ALT: {'|'.join(known)}"
        rate = site_rate_meaning(self.substitution)
        entropy = "Entropy of the site's equilibrium frequencies in nats"
        return [
            of_score(LLR),
            _Field(f"{self.tag}_STATUS", "A", str, statuses),
            _Field(f"{self.tag}_RATE", "1", float, rate),
            _Field(f"{self.tag}_ENTROPY", "1", float, entropy),
            *(of_score(score) for score in self.scores if score != LLR),
        ]
