"""Match species names of a tree and an alignment that may be one species."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

_NOT_LETTERS = re.compile(r"[\W_]+")
_VERSION = re.compile(r"[\W_]*v?\d+([\W_]\d+)*$")
#: How UCSC names assemblies: galGal6, hg38, ponAbe2.
_ASSEMBLY = re.compile(r"[a-z]{2,3}([A-Z][a-z]{2})?\d{1,2}")
_BINOMIAL = re.compile(r"([A-Z][a-z]{2})[a-z]*[_ .]([a-z]{3})[a-z]*")
_COMMON_NAME = re.compile(r"[A-Z][A-Za-z'-]*([_ ][A-Za-z'-]+)*")
#: Species whose UCSC assemblies do not carry the beginnings of genus and species.
_OLD_ASSEMBLIES = {
    "homosapiens": "hg",
    "musmusculus": "mm",
    "rattusnorvegicus": "rn",
    "drosophilamelanogaster": "dm",
    "caenorhabditiselegans": "ce",
    "takifugurubripes": "fr",
}
#: Spellings are compared in pairs; for more names than that it would take minutes.
_MOST_COMPARED = 200
#: Of difflib: Sus_scrofa and Sus_scorfa 0.9; Mus_musculus and Mus_spretus 0.6.
_SPELLING = 0.85


@dataclass(frozen=True)
class Suggestion:
    """Two names that may be one species.

    Attributes
    ----------
    tip : str
        Name in the tree.
    source : str
        Name in the alignment.
    difference : str
        How they differ, in a few words.
    """

    tip: str
    source: str
    difference: str


def suggest_names(tips: Iterable[str], sources: Iterable[str]) -> list[Suggestion]:
    """Pair tips without rows with names of rows without tip; each at most once.

    Parameters
    ----------
    tips : iterable of str
    sources : iterable of str
        Whole names (``galGal6.chr1``) or species.

    Returns
    -------
    list of Suggestion
        In the order of the tips.
    """
    wanted = list(tips)
    candidates = list(dict.fromkeys(prefix for name in sources for prefix in _prefixes(name)))
    found: dict[str, Suggestion] = {}
    taken: set[str] = set()
    for difference, key in (
        ("case", str.casefold),
        ("punctuation", _plain),
        ("assembly version", _without_version),
        ("scientific name and UCSC assembly", _assembly_of),
    ):
        by_key: dict[str, str] = {}
        for name in candidates:
            by_key.setdefault(key(name), name)
        for tip in wanted:
            source = by_key.get(key(tip))
            if tip in found or source is None or source in taken or not key(tip):
                continue
            # Two scientific names may begin alike: Mus_musculus, Mus_muscaris.
            if key is not _assembly_of or _is_assembly(tip) != _is_assembly(source):
                found[tip] = Suggestion(tip, source, difference)
                taken.add(source)
    for tip in [tip for tip in wanted if tip not in found][:_MOST_COMPARED]:
        left = {_plain(name): name for name in candidates if name not in taken}
        close = _close_name(_plain(tip), list(left))
        if close is not None:
            found[tip] = Suggestion(tip, left[close], "spelling")
            taken.add(left[close])
    return [found[tip] for tip in wanted if tip in found]


def kind_of_names(names: Iterable[str]) -> str | None:
    """The kind of most names, such as common names, in words for a message; None if mixed."""
    kinds = (
        ("UCSC assemblies (galGal6)", _ASSEMBLY),
        ("scientific names (Gallus_gallus)", _BINOMIAL),
        ("common names (Chicken)", _COMMON_NAME),
    )
    listed = list(names)
    for kind, pattern in kinds:
        matching = sum(pattern.fullmatch(name) is not None for name in listed)
        if listed and matching > 0.6 * len(listed):
            return kind
    return None


def species_part(source: str) -> str:
    """A source's name up to its first dot, as UCSC writes ``species.contig``."""
    return source.split(".", 1)[0]


def _prefixes(source: str) -> list[str]:
    parts = source.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _plain(name: str) -> str:
    return _NOT_LETTERS.sub("", name).casefold()


def _without_version(name: str) -> str:
    return _plain(_VERSION.sub("", name))


def _is_assembly(name: str) -> bool:
    return _ASSEMBLY.fullmatch(name) is not None


def _assembly_of(name: str) -> str:
    """galGal for galGal6, Gallus_gallus and Gallus_gallus_domesticus; empty for others."""
    if _is_assembly(name):
        return name.rstrip("0123456789").casefold()
    binomial = _BINOMIAL.match(name)
    if binomial is None:
        return ""
    return _OLD_ASSEMBLIES.get(_plain(binomial.group()), "".join(binomial.groups()).casefold())


def _close_name(name: str, candidates: list[str]) -> str | None:
    for other in candidates:
        # Canis_lupus and Canis_lupus_familiaris, but not Ca and Canis.
        shorter, longer = sorted((name, other), key=len)
        if len(shorter) >= 8 and longer.startswith(shorter):
            return other
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=_SPELLING)
    return close[0] if close else None
