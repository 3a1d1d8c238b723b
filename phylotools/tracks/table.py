"""The table of all single-nucleotide variants: its lines, and the file put together.

bgzip text with a tabix index (contig, 1-based position), sorted, three lines a position in the
order A, C, G, T without the reference base. Numbers are the text that ``annotate`` writes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.io.number_text import NumberText, fixed_text, general_text
from phylotools.io.position_index.builder import IndexPart
from phylotools.io.position_index.lines import LineKind
from phylotools.io.position_index.writer import compress_lines
from phylotools.io.position_table import open_indexed
from phylotools.io.vcf.text import quote
from phylotools.phylogeny.score_meaning import LLR, score_key
from phylotools.tracks.values import SiteValues

#: Name of the table in a folder that `phylotools tracks` writes.
TABLE_NAME = "snv_scores.tsv.gz"
_COLUMNS = ("contig", "pos", "ref", "alt", "llr", "rate", "entropy")
#: One for each alternative.
LINES_OF_SITE = 3
#: Bytes of a line beside contig and values: position, two bases, separators.
_FIXED_BYTES = 32
_TAB, _NEWLINE, _ZERO = b"\t\n0"
_A, _C, _G, _T = b"ACGT"


def header_lines(facts: Mapping[str, str], scores: Sequence[str]) -> bytes:
    """The header of a table, with its line ends.

    Parameters
    ----------
    facts : mapping of str to str
        What the scores depend on.
    scores : sequence of str
        All that are written.
    """
    text = ",".join(f"{key}={quote(value)}" for key, value in facts.items())
    line = f"##phylotools_scores=<{text}>\n".encode("utf-8", "surrogateescape")
    columns = [*_COLUMNS, *(score_key(name) for name in scores if name != LLR)]
    return line + ("#" + "\t".join(columns) + "\n").encode()


def snv_lines(contig: str, positions: NDArray[np.int64], values: SiteValues) -> bytes:
    """Three lines a position: contig, 1-based position, REF, ALT, LLR, rate, entropy, other scores.

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
    others = fixed_text(np.concatenate([np.empty(0), *map(np.ravel, values.scores.values())]))
    longest = sum(int(part.lengths.max(initial=0)) for part in (llr, rate, entropy))
    longest += len(values.scores) * (int(others.lengths.max(initial=0)) + 1)
    out = np.empty(3 * len(positions) * (len(name) + longest + _FIXED_BYTES), dtype=np.uint8)
    n_bytes = put_lines(name, positions, values.reference, llr, rate, entropy, others, out)
    return out[:n_bytes].tobytes()


def cut_lines(text: bytes, cuts: NDArray[np.int64]) -> list[bytes]:
    """Parts of a text: those between some of its lines, given by number, the ends included."""
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n")) + 1
    places = np.concatenate([[0], ends])[cuts].tolist()
    return [text[begin:end] for begin, end in itertools.pairwise(places)]


def write_table(
    path: Path,
    facts: Mapping[str, str],
    scores: Sequence[str],
    parts: Iterable[tuple[Iterable[bytes], IndexPart]],
    longest_contig: int,
) -> None:
    """Put a table together from BGZF blocks, and index it.

    Parameters
    ----------
    path : Path
    facts : mapping of str to str
        Of the header.
    scores : sequence of str
        All that are written.
    parts : iterable of (iterable of bytes, IndexPart)
        Whole BGZF blocks, in order, and the notes on their lines.
    longest_contig : int
        In bases; decides between the kinds of index.

    Raises
    ------
    OutputError
    """
    kind = LineKind.POSITIONS
    with open_indexed(str(path), kind, longest_contig=longest_contig) as writer:
        header = compress_lines(header_lines(facts, scores), kind, fast=True)
        writer.write_blocks(header.blocks, header.part)
        for blocks, notes in parts:
            writer.copy_blocks(functools.partial(_write_all, blocks), notes)


def _write_all(blocks: Iterable[bytes], stream: BinaryIO) -> None:
    for data in blocks:
        stream.write(data)


@compiled
def _letter(code: int) -> int:
    return _A if code == 0 else _C if code == 1 else _G if code == 2 else _T


@compiled
def _copy(text: NDArray[np.uint8], length: int, out: NDArray[np.uint8], at: int, last: int) -> int:
    """Copy some bytes and the separator after them; returns where the next go."""
    for k in range(length):
        out[at + k] = text[k]
    out[at + length] = np.uint8(last)
    return at + length + 1


@compiled
def put_lines(
    contig: NDArray[np.uint8],
    positions: NDArray[np.int64],
    reference: NDArray[np.uint8],
    llr: NumberText,
    rate: NumberText,
    entropy: NumberText,
    others: NumberText,
    out: NDArray[np.uint8],
) -> int:
    """Write three lines a position; returns the number of bytes.

    Parameters
    ----------
    contig : uint8 array
        Its name.
    positions : int64 array [K]
        0-based.
    reference : uint8 array [K]
        Codes 0 to 3.
    llr : NumberText
        4 K, by position and base.
    rate, entropy : NumberText
        K each.
    others : NumberText
        4 K of each other score, as `llr`.
    out : uint8 array, written
    """
    at = 0
    digits = np.empty(24, dtype=np.uint8)
    for i in range(len(positions)):
        n_digits = 0
        rest = positions[i] + 1
        while rest:
            n_digits += 1
            digits[24 - n_digits] = np.uint8(_ZERO + rest % 10)
            rest //= 10
        for base in range(4):
            if base == reference[i]:
                continue
            row = 4 * i + base
            at = _copy(contig, len(contig), out, at, _TAB)
            at = _copy(digits[24 - n_digits :], n_digits, out, at, _TAB)
            out[at] = np.uint8(_letter(reference[i]))
            out[at + 1] = np.uint8(_TAB)
            out[at + 2] = np.uint8(_letter(base))
            out[at + 3] = np.uint8(_TAB)
            at = _copy(llr.text[row], llr.lengths[row], out, at + 4, _TAB)
            at = _copy(rate.text[i], rate.lengths[i], out, at, _TAB)
            at = _copy(entropy.text[i], entropy.lengths[i], out, at, _TAB)
            for first in range(0, len(others.lengths), 4 * len(positions)):
                at = _copy(others.text[first + row], others.lengths[first + row], out, at, _TAB)
            out[at - 1] = np.uint8(_NEWLINE)
    return at
