"""What text in a table of scores says: a number, nothing, or alleles."""

from __future__ import annotations

import math
import re

from phylotools.errors import InputError, shown
from phylotools.io.vcf.alleles import trim

#: Spellings of a score that is not there, in lower case.
MISSING_SCORE = frozenset({"na", "n/a", "nan", "null", "none", "-"})
NUMBERS_REMEDY = "name a column of numbers with --score"


def trimmed(position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Alleles in minimal form; what spells no bases as it is."""
    if len(ref) == 1 or len(alt) == 1 or not alt.isalpha() or ref == alt:
        return position, ref, alt
    offset, ref, alt = trim(ref, alt)
    return position + offset, ref, alt


def present(text: str) -> str | None:
    """A value without blanks around it, None for a missing one."""
    text = text.strip()
    # Comma lists of dots are how Number=A fields say that they know nothing at all.
    return text if text[:1] > "." or text.strip(".,") else None


def number_of(
    text: str | None, column: str, path: str, line: int | None, remedy: str = NUMBERS_REMEDY
) -> float:
    """A score as a number; NaN where there is none.

    Raises
    ------
    InputError
        If the text is no number.
    """
    if text is None:
        return math.nan
    try:
        # Underscores are Python's, not a number's.
        return float(text if "_" not in text else "")
    except ValueError:
        if text.lower() in MISSING_SCORE:
            return math.nan
    has_comma = re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text)
    raise InputError(
        f"{shown(text)!r} in column {column!r} is not a number",
        path=path,
        line=line,
        remedy="write decimal points, not commas" if has_comma else remedy,
    )
