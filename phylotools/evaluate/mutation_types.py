"""Types of mutation: what pooled figures mix with selection."""

from __future__ import annotations

from collections.abc import Callable

from phylotools.io.bases import BASES

#: Types of changes that are no change of one base.
MNV, INSERTION, DELETION, OTHER = "mnv", "insertion", "deletion", "other"
#: Name of the factor.
MUTATION_TYPE = "mutation type"
_PYRIMIDINES = "CT"
_COMPLEMENT = dict(zip(BASES, reversed(BASES), strict=True))


def mutation_type(ref: str, alt: str) -> str:
    """The type of a trimmed change: ``A>C`` and eleven more, or that of a longer change."""
    if not set(ref + alt) <= set(BASES) or not ref or not alt or ref == alt:
        return OTHER
    if len(ref) == len(alt) == 1:
        return f"{ref}>{alt}"
    return MNV if len(ref) == len(alt) else INSERTION if len(ref) < len(alt) else DELETION


def of_six(kind: str) -> str:
    """The type on the strand whose reference base is a pyrimidine: ``C>A`` for ``G>T``."""
    if ">" not in kind or kind[0] in _PYRIMIDINES:
        return kind
    return f"{_COMPLEMENT[kind[0]]}>{_COMPLEMENT[kind[2]]}"


def of_two(kind: str) -> str:
    """Transition or transversion."""
    if ">" not in kind:
        return kind
    is_transition = (kind[0] in _PYRIMIDINES) == (kind[2] in _PYRIMIDINES)
    return "transition" if is_transition else "transversion"


#: What ``--types`` may ask for.
GROUPINGS: dict[str, Callable[[str], str]] = {
    "two": of_two,
    "six": of_six,
    "twelve": lambda kind: kind,
}
