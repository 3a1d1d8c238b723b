"""Alignment blocks -> TAF text, for tests: one line at a time, every operation in use."""

from __future__ import annotations

import itertools
import random
from difflib import SequenceMatcher
from typing import NamedTuple


class Row(NamedTuple):
    """A row of a block, with the fields of an ``s`` line of MAF."""

    source: str
    start: int
    size: int
    strand: str
    source_size: int
    letters: str


def write_taf(
    blocks: list[list[Row]], *, run_length: bool = False, noise: random.Random | None = None
) -> str:
    """The text of a TAF file.

    Parameters
    ----------
    blocks : list of list of Row
    run_length : bool
        Write runs of letters.
    noise : random.Random, optional
        Puts in what changes nothing: comments, empty lines, tags, blanks, CR LF, coordinates that
        were known, and the letters of gaps.
    """
    chosen = noise or random.Random(0)
    lines = ["#taf version:1" + " run_length_encode_bases:1" * run_length]
    before: list[Row] = []
    for block in blocks:
        for column, letters in enumerate(zip(*(row.letters for row in block), strict=True)):
            words = _encoded("".join(letters), run_length)
            if column == 0:
                words += " ; " + _coordinates(before, block, chosen, noise is not None)
            if noise and noise.random() < 0.2:
                words += " @ tag:1 another:x;y"
            lines.append(words)
        before = block
    if noise is None:
        return "\n".join(lines) + "\n"
    noisy = []
    for line in lines:
        if noise.random() < 0.1:
            noisy.append(noise.choice(["", "# a comment ; i 0", "  \t", "#"]))
        line = line.replace(" ", noise.choice([" ", "  ", "\t", " \t"]))
        noisy.append(noise.choice(["", "", " "]) * (line[0] != "#") + line)
    return "".join(line + noise.choice(["\n", "\n", "\r\n", " \n"]) for line in noisy)


def _encoded(letters: str, run_length: bool) -> str:
    if not run_length:
        return letters
    return " ".join(f"{letter} {len(list(run))}" for letter, run in itertools.groupby(letters))


def _coordinates(
    before: list[Row], block: list[Row], chosen: random.Random, may_restate: bool
) -> str:
    """Operations that turn the rows of one block into those of the next."""
    matcher = SequenceMatcher(
        a=[(row.source, row.strand, row.source_size) for row in before],
        b=[(row.source, row.strand, row.source_size) for row in block],
        autojunk=False,
    )
    operations: list[str] = []
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        n_both = min(a1 - a0, b1 - b0)
        for i in range(n_both):
            operations += _change(b0 + i, before[a0 + i], block[b0 + i], kind, chosen, may_restate)
        operations += [f"d {b0 + n_both}"] * (a1 - a0 - n_both)
        operations += [f"i {i} {_anchor(block[i])}" for i in range(b0 + n_both, b1)]
    return " ".join(operations)


def _change(
    index: int, old: Row, new: Row, kind: str, chosen: random.Random, may_restate: bool
) -> list[str]:
    gap = new.start - (old.start + old.size)
    if kind != "equal" or gap < 0 or (may_restate and chosen.random() < 0.2):
        return [f"s {index} {_anchor(new)}"]
    if gap == 0:
        return []
    if chosen.random() < 0.5:
        return [f"g {index} {gap}"]
    return [f"G {index} " + "".join(chosen.choices("ACGTNacgtn", k=gap))]


def _anchor(row: Row) -> str:
    return f"{row.source} {row.start} {row.strand} {row.source_size}"
