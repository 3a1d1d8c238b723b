"""The table of all single-nucleotide variants: its lines, and the file put together.

bgzip text with a tabix index (contig, 1-based position), sorted, three lines a position in the
order A, C, G, T without the reference base. Numbers are the text that ``annotate`` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bgzf import BLOCK_SIZE, compress_block
from phylotools.io.files import BGZF_EOF
from phylotools.io.number_text import fixed_text, general_text
from phylotools.io.position_table import open_indexed
from phylotools.io.vcf.text import quote
from phylotools.tracks.line_kernels import put_lines
from phylotools.tracks.values import SiteValues

#: Name of the table in a folder that `phylotools tracks` writes.
TABLE_NAME = "snv_scores.tsv.gz"
_COLUMN_LINE = b"#contig\tpos\tref\talt\tllr\trate\tentropy\n"
#: Of a line without contig and numbers: position, two bases, separators.
_FIXED_BYTES = 32


def header_lines(facts: Mapping[str, str]) -> bytes:
    """The header of a table, with its line ends.

    Parameters
    ----------
    facts : mapping of str to str
        What the numbers depend on.
    """
    text = ",".join(f"{key}={quote(value)}" for key, value in facts.items())
    line = f"##phylotools_scores=<{text}>\n".encode("utf-8", "surrogateescape")
    return line + _COLUMN_LINE


def snv_lines(contig: str, positions: NDArray[np.int64], values: SiteValues) -> bytes:
    """Three lines a position: contig, 1-based position, REF, ALT, LLR, rate, entropy.

    Parameters
    ----------
    contig : str
    positions : int64 array [K]
        0-based, rising.
    values : SiteValues
        Of K sites.
    """
    name = np.frombuffer(contig.encode("utf-8", "surrogateescape"), dtype=np.uint8)
    llr, rate = fixed_text(values.llr.ravel()), general_text(values.rate)
    entropy = fixed_text(values.entropy)
    longest = sum(int(part.lengths.max(initial=0)) for part in (llr, rate, entropy))
    out = np.empty(3 * len(positions) * (len(name) + longest + _FIXED_BYTES), dtype=np.uint8)
    n_bytes = put_lines(name, positions, values.reference, llr, rate, entropy, out)
    return out[:n_bytes].tobytes()


def bgzf_blocks(text: bytes) -> bytes:
    """Text as BGZF blocks, without an end marker."""
    view = memoryview(text)
    starts = range(0, len(view), BLOCK_SIZE)
    return b"".join(compress_block(view[start : start + BLOCK_SIZE], fast=True) for start in starts)


def write_table(
    path: Path, facts: Mapping[str, str], parts: Iterable[bytes], longest_contig: int
) -> None:
    """Put a table together from BGZF blocks, and index it.

    Parameters
    ----------
    path : Path
    facts : mapping of str to str
        Of the header.
    parts : iterable of bytes
        Whole BGZF blocks, in order.
    longest_contig : int
        In bases; decides between the kinds of index.

    Raises
    ------
    OutputError
    """
    with open_indexed(str(path), longest_contig=longest_contig) as raw:
        raw.write(bgzf_blocks(header_lines(facts)))
        for part in parts:
            raw.write(part)
        raw.write(BGZF_EOF)
