"""Names of the files of a design; apart from what writes them, so that checks cost nothing."""

from __future__ import annotations

FASTA, SEQUENCES, EDITS, TRACE, RUN = (
    *("designed.fa", "sequences.tsv", "edits.tsv", "trace.tsv", "run.json"),
)
PICTURES = ("design.svg", "design.png")


def design_files() -> tuple[str, ...]:
    """Names of all files that the folder of a design may hold."""
    return (FASTA, SEQUENCES, EDITS, TRACE, RUN, *PICTURES)
