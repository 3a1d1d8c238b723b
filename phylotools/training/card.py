"""The model card that is written from a run: what was trained, its figures, its curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phylotools.model.folder import PICTURE
from phylotools.training.curves import LearningCurves

#: What is said of an objective that is not the phylogenetic one.
_OBJECTIVES = {
    "masked": (
        "It was trained by masked language modelling: it says which base stands at a position\n"
        "whose base is hidden from it, and is asked with each position hidden in turn. It knows\n"
        "no rate of substitution; its score is the LLR."
    ),
    "both": (
        "It was trained by the phylogenetic likelihood and, in the same passes, by masked\n"
        "language modelling. It is asked with nothing hidden."
    ),
}


def plain_card(name: str, facts: Mapping[str, Any], curves: LearningCurves | None) -> str:
    """A card in Markdown.

    Parameters
    ----------
    name : str
        The model's.
    facts : mapping
        The entries of the manifest: ``steps``, ``selected_step``, ``training_stores``,
        ``site_fits`` (whether the model brings any), ``objective`` (the table) where it is
        not the phylogenetic one, and ``warnings`` (lines of text) where the run had any.
    curves : LearningCurves or None
        None where the run's figures are not at hand.
    """
    stores = "\n".join(
        f"- {store['species']} species, {store['training_columns']} columns, reference "
        f"{store['reference_species']}"
        for store in facts["training_stores"]
    )
    parts = [
        f"# {name}\n\nTrained by phylotools for {facts['steps']} steps; these are the "
        f"weights of step {facts['selected_step']}.\nTrained on\n\n{stores}"
    ]
    if facts.get("warnings"):
        lines = "\n".join(f"- {warning}" for warning in facts["warnings"])
        parts.append(f"## Warnings of the run\n\n{lines}")
    if facts.get("site_fits"):
        parts.append(
            "At the columns that it was trained on, scores are those of theta fitted to each "
            "column\nunder a prior about the network's prediction; elsewhere they are the "
            "network's, as with\n`--sequence-only`. The two are not on one scale."
        )
    kind = facts.get("objective", {}).get("kind")
    if kind in _OBJECTIVES:
        parts.append(_OBJECTIVES[kind])
    if curves is not None:
        parts.append(_curves_section(curves, facts["selected_step"]))
    parts.append(
        "This card says nothing of what the model is good for: measure it before use, with\n"
        "`phylotools evaluate`, and write down the result here."
    )
    return "\n\n".join(parts) + "\n"


def _curves_section(curves: LearningCurves, kept_step: int) -> str:
    """The picture of the curves, and the figures of the weights that were kept."""
    steps = list(dict.fromkeys((kept_step, int(curves.step[-1]))))
    lines = [_line("nats a column", *(f"step {step:,}" for step in steps))]
    lines.append(_line("---", *("---" for _ in steps)))
    for figure, what in curves.evaluations.items():
        values = [curves.value_at(figure, step) for step in steps]
        known = [f"{value:.4f}" for value in values if value is not None]
        if len(known) == len(steps):
            lines.append(_line(what, *known))
    table = "\n".join(lines)
    likelihoods = "of masked bases" if curves.is_masked else "given the reference base"
    return (
        f"## Learning curves\n\n![Log-likelihood against steps]({PICTURE})\n\n{table}\n\n"
        f"Mean log-likelihoods {likelihoods}; nearer to 0 is better. Held-out columns "
        "were never\ntrained on. Null models read no sequence: a model below them has learned "
        "nothing that lasts."
    )


def _line(*cells: str) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
