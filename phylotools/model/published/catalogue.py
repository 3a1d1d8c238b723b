"""Which published models can be fetched by name, and what is known of their files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from phylotools.errors import UsageError, shown


@dataclass(frozen=True)
class KnownModel:
    """A model on the hub.

    Attributes
    ----------
    name : str
        What it is fetched by, and called here.
    repository : str
    revision : str
        Commit that is fetched where none is named.
    assembly : str
        Of the genome it is for.
    licence : str
        Of the weights.
    generation : str
        Which of the authors' releases that commit is, by the numbers that it gives.
    weights : dict of str to str
        First digits of a commit -> SHA-256 of its weights, where that has been published.
    """

    name: str
    repository: str
    revision: str
    assembly: str
    licence: str
    generation: str
    weights: dict[str, str] = field(default_factory=dict)

    def weights_sha256(self, commit: str) -> str | None:
        """The published SHA-256 of the weights of a commit; None if there is none."""
        for digits, sha256 in self.weights.items():
            if commit.startswith(digits):
                return sha256
        return None


def _published_weights() -> dict[str, str]:
    """First digits of a commit -> SHA-256 of its weights."""
    table = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))
    return {entry["commit"]: entry["sha256"] for entry in table["known_files"]}


KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            "phylogpn",
            "songlab/PhyloGPN",
            # The weights with LayerNorm of 2026-04. Their SHA-256 has not been published.
            "3556db4c469e67d25f0f7a0a6653b48be3eebf51",
            "hg38",
            # All that the page of the repository says.
            "cc (Creative Commons; which of them is not said)",
            "hf_2026-04",
            _published_weights(),
        ),
    )
}


def find_known(name: str) -> KnownModel:
    """A model of the catalogue.

    Raises
    ------
    UsageError
        If there is none of that name; the message names those there are.
    """
    if name not in KNOWN:
        raise UsageError(
            f"no model '{shown(name)}' is known on the hub; known: {', '.join(KNOWN)}; download "
            "others yourself and bring them in with `phylotools model import`"
        )
    return KNOWN[name]
