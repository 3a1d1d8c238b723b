"""FASTA files that are as long as real chromosomes and take no room: holes where bases would be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_sparse_fasta(
    path: Path, lengths: Mapping[str, int], letters: Mapping[str, tuple[int, str]] | None = None
) -> Path:
    """Write a FASTA and its .fai.

    Parameters
    ----------
    path : Path
    lengths : mapping of str to int
        Of the contigs.
    letters : mapping of str to (int, str)
        Of some contigs, what stands from a 0-based position on; elsewhere are no letters.
    """
    rows = []
    with path.open("wb") as handle:
        for name, length in lengths.items():
            handle.write(f">{name}\n".encode())
            offset = handle.tell()
            rows.append(f"{name}\t{length}\t{offset}\t{length}\t{length + 1}\n")
            start, text = (letters or {}).get(name, (0, ""))
            handle.seek(offset + start)
            handle.write(text.encode())
            handle.seek(offset + length)
            handle.write(b"\n")
    path.with_name(path.name + ".fai").write_text("".join(rows))
    return path
