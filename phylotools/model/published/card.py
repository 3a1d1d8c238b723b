"""The card of an imported model: what it is, where it came from, and under which licence."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from phylotools.model.presets import ModelSpec

#: Looked up in 2026; the weights themselves carry no licence.
_LICENCE_UNKNOWN = (
    "Not stated in the files. On Hugging Face songlab/PhyloGPN was tagged `cc` (Creative Commons, "
    "without a version) in 2025; the code of github.com/songlab-cal/gpn is under the MIT licence. "
    "Look at the place the weights came from before you pass them on."
)
_EACH_POSITION = (
    "LayerNorm over the channels of each position: a score depends on the {:,} positions around "
    "it, and on nothing else."
)
_WHOLE_WINDOW = (
    "GroupNorm over channels and positions: a score depends on the window in which it is computed. "
    "phylotools computes every position in one fixed window, that of its tile; see "
    "docs/published.md."
)


def published_card(
    name: str, spec: ModelSpec, licence: str, assembly: str, published: Mapping[str, Any]
) -> str:
    """A card in Markdown.

    Parameters
    ----------
    name : str
    spec : ModelSpec
    licence, assembly : str
        As a user states them.
    published : mapping
        The manifest's entry of this name.
    """
    what = (
        "PhyloGPN (Albors et al. 2025, A Phylogenetic Approach to Genomic Language Modeling): a "
        "convolutional network that reads one sequence and gives the four log rates of "
        f"Felsenstein's 1981 model at every position. {spec.n_parameters:,} parameters, "
        f"{len(spec.dilations)} blocks, receptive field {spec.receptive_field:,}, for "
        f"{assembly or 'an assembly not stated'}. Not trained by phylotools: imported from the "
        "authors' weights."
    )
    window = _EACH_POSITION.format(spec.receptive_field) if spec.norm == "layer" else _WHOLE_WINDOW
    parts = [
        f"# {name}",
        _filled(what),
        f"## Source\n\n{_source(published)}",
        f"## What a score depends on\n\n{_filled(window)}",
        f"## Licence of the weights\n\n{_filled(licence or _LICENCE_UNKNOWN)}",
    ]
    return "\n\n".join(parts) + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _source(published: Mapping[str, Any]) -> str:
    generations = ", ".join(published["generations"])
    lines = [
        f"- generation, by the numbers that the authors printed: {generations or 'none of theirs'}",
        f"- layout: {published['layout']}",
        f"- norm known by: {published['norm_known_by']}",
    ]
    lines += [
        f"- {key.replace('_', ' ')}: {published[key]}"
        for key in ("repository", "revision", "known_as")
        if published.get(key)
    ]
    lines += [f"- {file}: SHA-256 `{digest}`" for file, digest in published["files"].items()]
    return "\n".join(lines)
