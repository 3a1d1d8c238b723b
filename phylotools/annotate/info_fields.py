"""The INFO fields that scores are written to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phylotools.errors import UsageError
from phylotools.io.vcf.alleles import Status

DEFAULT_TAG = "PHYLOGPN"
_TAG = re.compile(r"[A-Za-z_][0-9A-Za-z_.]*")


@dataclass(frozen=True)
class InfoFields:
    """The INFO keys that a run writes.

    Attributes
    ----------
    tag : str
        Their common prefix.

    Raises
    ------
    UsageError
        If the prefix makes no INFO key.
    """

    tag: str = DEFAULT_TAG

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.tag):
            raise UsageError(
                f"--tag {self.tag!r}: use letters, digits, '_' and '.', no digit or '.' first"
            )

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """Keys of LLR, status, rate and entropy."""
        return tuple(f"{self.tag}_{name}" for name in ("LLR", "STATUS", "RATE", "ENTROPY"))  # type: ignore[return-value]

    def header_lines(self, score_meaning: str) -> list[bytes]:
        """``##INFO`` lines that declare them.

        Parameters
        ----------
        score_meaning : str
            What the LLR is under the model's substitution model.
        """
        llr, status, rate, entropy_key = self.keys
        scored = "|".join(Status)
        declared = (
            (llr, "A", "Float", score_meaning),
            (status, "A", "String", f"What became of ALT: {scored}"),
            (rate, "1", "Float", "Expected substitution rate of the site, neutral = 1"),
            (entropy_key, "1", "Float", "Entropy of the site's equilibrium frequencies in nats"),
        )
        return [
            f'##INFO=<ID={key},Number={number},Type={kind},Description="{text}">'.encode()
            for key, number, kind, text in declared
        ]
