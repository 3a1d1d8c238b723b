"""Text that all plots share: the footer, and labels of axes."""

from __future__ import annotations

from collections.abc import Mapping

from phylotools.drawing import SEPARATOR, fitting_name
from phylotools.version import __version__

_LONGEST = 60


def footer_text(made_by: Mapping[str, str], *more: str) -> str:
    """What made the numbers: the program, the model and its revision, and more.

    Parameters
    ----------
    made_by : mapping of str to str
        ``Model``, ``Revision``, ``Reference``, ``Layer``, ``Pool``; any may be missing.
    """
    parts = [f"phylotools {__version__}"]
    if model := made_by.get("Model"):
        revision = made_by.get("Revision")
        parts.append(
            fitting_name(model, _LONGEST)
            + (f", revision {fitting_name(revision, _LONGEST)}" if revision else "")
        )
    if reference := made_by.get("Reference"):
        parts.append(fitting_name(reference, _LONGEST))
    for key in ("Layer", "Pool"):
        if text := made_by.get(key):
            parts.append(f"{key.lower()} {fitting_name(text, _LONGEST)}")
    return SEPARATOR.join([*parts, *(fitting_name(text, _LONGEST) for text in more)])


def score_label(column: str) -> str:
    """Label of a score's axis, with its unit where that is known."""
    name = fitting_name(column, _LONGEST)
    if column.lower().endswith("llr"):
        return f"{name} (ALT against REF, natural logarithm)"
    return name


def frequency_label(column: str) -> str:
    """Label of the axis of allele frequencies."""
    return f"Allele frequency ({fitting_name(column, _LONGEST)}, logarithmic)"
