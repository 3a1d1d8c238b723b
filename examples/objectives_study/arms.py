"""The arms of the study: what is maximised, all else being equal."""

from __future__ import annotations

from configurations import Tables

_F81: Tables = {"substitution": {"model": "f81", "strand_symmetric": None}}
_MASKED: Tables = {**_F81, "objective": {"kind": "masked"}}
_ANY_ROW: Tables = {"data": {"any_row_weight": 1.0}}
_BOTH: Tables = {"objective": {"kind": "both"}}


def _f81(treatment: str) -> Tables:
    return {**_F81, "rate": {"treatment": treatment}}


#: Name -> what it changes in the configuration of a set. Of masked arms the substitution model
#: only says that the network's four numbers are logits; they have no rate.
ARMS: dict[str, Tables] = {
    "mutsel": {},
    "f81-prior": _f81("prior"),
    "f81-free": _f81("free"),
    "f81-fixed": _f81("fixed"),
    "mlm": _MASKED,
    "both": _BOTH,
    "mutsel-any-row": _ANY_ROW,
    "mlm-any-row": {**_MASKED, **_ANY_ROW},
    "both-any-row": {**_BOTH, **_ANY_ROW},
}
#: The masked arms with more steps than all others: do they only need longer?
LONGER = {"mlm-any-row-x4": ("mlm-any-row", 4), "mutsel-any-row-x4": ("mutsel-any-row", 4)}
#: As the default, but under other trees; gene_trees.py makes these.
TREES = ("one-tree", "gene-trees")

LABELS = {
    "mutsel": "mutation-selection",
    "f81-prior": "F81, rate prior",
    "f81-free": "F81, rate free",
    "f81-fixed": "F81, rate fixed",
    "mlm": "masked",
    "both": "both",
    "mutsel-any-row": "mutation-selection, any row",
    "mlm-any-row": "masked, any row",
    "both-any-row": "both, any row",
    "mlm-any-row-x4": "masked, any row, 4 times the steps",
    "mutsel-any-row-x4": "mutation-selection, any row, 4 times the steps",
    "one-tree": "one tree, fitted again",
    "gene-trees": "a tree for each gene",
    "site-fits": "per-site fits",
    "table": "table, told the frame",
}


def is_masked(arm: str) -> bool:
    return arm.startswith("mlm")


def settings(arm: str, steps: int) -> tuple[Tables, int]:
    """What an arm changes, and its number of steps where all others have `steps`."""
    name, factor = LONGER.get(arm, (arm, 1))
    return {} if arm in TREES else ARMS[name], factor * steps
