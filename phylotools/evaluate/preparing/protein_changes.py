"""How tables write one amino acid for another."""

from __future__ import annotations

import re
from typing import NamedTuple

from phylotools.io.genetic_code import ONE_LETTER, STOP

#: Why a cell says no change of one amino acid.
MISSING = "no_change_given"
WILD_TYPE = "wild_type"
SEVERAL = "several_changes"
OTHER = "no_substitution"
_SAME = "="
_MISSING = frozenset({"", ".", "na", "nan", "none", "null", "-"})
_WILD_TYPES = frozenset({"_wt", "wt", "wildtype", "wild-type", "=", "p.=", "p.(=)", "_sy"})
_THREE = "|".join(ONE_LETTER)
_ONE = "".join(sorted(set(ONE_LETTER.values()) - {STOP}))
_PREFIX = re.compile(r"[\w.-]+:(?=p\.)")
_LONG = re.compile(rf"p\.\(?({_THREE})([0-9]{{1,6}})({_THREE}|=|\*)\)?")
_SHORT = re.compile(rf"(?:p\.)?([{_ONE}*])([0-9]{{1,6}})([{_ONE}*=])")


class ProteinChange(NamedTuple):
    """One amino acid for another, or for itself.

    Attributes
    ----------
    wild, mutant : str
        One letter, ``*`` for a stop.
    position : int
        1-based, as the table counts.
    """

    wild: str
    position: int
    mutant: str

    def __str__(self) -> str:
        return f"{self.wild}{self.position}{self.mutant}"


def parse_change(text: str) -> ProteinChange | str:
    """Read ``p.Ala12Val``, ``p.Ala12=``, ``p.Ala12Ter`` or ``A12V``.

    Returns
    -------
    ProteinChange or str
        One of `MISSING`, `WILD_TYPE` (``p.=``, ``_wt``: no place), `SEVERAL` and `OTHER`
        (insertions, deletions, frame shifts, unknown amino acids).
    """
    text = _PREFIX.sub("", text.strip(), count=1)
    lower = text.lower()
    if lower in _MISSING:
        return MISSING
    if lower in _WILD_TYPES:
        return WILD_TYPE
    if ";" in text or ":" in text or "," in text or "[" in text:
        return SEVERAL
    if long := _LONG.fullmatch(text):
        wild, place, mutant = ONE_LETTER[long[1]], int(long[2]), ONE_LETTER.get(long[3], long[3])
    elif short := _SHORT.fullmatch(text):
        wild, place, mutant = short[1], int(short[2]), short[3]
    else:
        return OTHER
    if not place:
        return OTHER
    return ProteinChange(wild, place, wild if mutant == _SAME else mutant)
