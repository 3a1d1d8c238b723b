"""FASTA files that are as long as real chromosomes and take no room: holes where bases would be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_sparse_fasta(path: Path, lengths: Mapping[str, int]) -> Path:
    """Write a FASTA and its .fai; letters are there for no one who reads them."""
    rows = []
    with path.open("wb") as handle:
        for name, length in lengths.items():
            handle.write(f">{name}\n".encode())
            offset = handle.tell()
            rows.append(f"{name}\t{length}\t{offset}\t{length}\t{length + 1}\n")
            handle.seek(offset + length)
            handle.write(b"\n")
    path.with_name(path.name + ".fai").write_text("".join(rows))
    return path
