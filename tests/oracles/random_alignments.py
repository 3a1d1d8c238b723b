"""Random MAF files with everything the format has, and the rows that they were made from."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from slow_projection import Row

TIPS = ("A", "B.1", "B", "C", "D")
TREE = "(A:1,(B.1:1,B:2)Anc:1,C:1,D:0.5)root;"
ANCESTORS = ("Anc", "root")
REFERENCE = "A"
LETTERS = "ACGTacgtNn-RyU*.ux"
#: Contigs of the reference and their lengths; the second ends at the largest coordinate.
CONTIGS = {"1": 4100, "x.y": 1 << 40, "A": 16}
#: Where blocks begin: over each other, at the ends of stored chunks, at the end of the contig.
_STARTS = {"1": [0, 3, 7, 2040, 2047, 2048, 4085], "x.y": [5, (1 << 40) - 15], "A": [0, 2]}


@dataclass(frozen=True)
class RandomAlignment:
    """The rows of each block, and the file that says the same."""

    blocks: list[list[Row]]
    text: bytes


@st.composite
def alignments(draw: st.DrawFn, *, unknown: bool = True) -> RandomAlignment:
    """Blocks of the reference, or without it, and their spelling as a file."""
    blocks = draw(st.lists(_blocks(unknown), min_size=1, max_size=7))
    return RandomAlignment(blocks, draw(_spellings(blocks)))


@st.composite
def _blocks(draw: st.DrawFn, unknown: bool) -> list[Row]:
    width = draw(st.integers(1, 12))
    # The first row is the reference's more often than not: blocks without it are passed over.
    species = draw(st.lists(st.sampled_from([*TIPS, "A", "A", *_others(unknown)]), max_size=7))
    return [draw(_rows(name, width)) for name in species or ["A"]]


def _others(unknown: bool) -> list[str]:
    return ["Anc", "Zz", "Bo"] if unknown else ["Anc"]


@st.composite
def _rows(draw: st.DrawFn, name: str, width: int) -> Row:
    letters = draw(st.text(LETTERS, min_size=width, max_size=width))
    size = width - letters.count("-")
    strand = draw(st.sampled_from("++-"))
    if name != REFERENCE:
        contig = draw(st.sampled_from(["", ".1", ".chr.7", ".Anc.1"]))
        start = draw(st.integers(0, 50))
        # The size of another row is not checked: real slices carry that of the uncut block.
        size += draw(st.sampled_from([0] * 9 + [3]))
        return Row(
            name + contig, start, size, strand, start + size + draw(st.integers(0, 9)), letters
        )
    contig = draw(st.sampled_from(["1", "1", "1", "x.y", "A"]))
    length = CONTIGS[contig]
    start = draw(st.sampled_from(_STARTS[contig])) + draw(st.integers(0, 2))
    if strand == "-":
        start = length - start - size
    source = "A" if contig == "A" else f"A.{contig}"
    return Row(source, start, size, strand, length, letters)


@st.composite
def _spellings(draw: st.DrawFn, blocks: list[list[Row]]) -> bytes:
    """One of the many files that say these blocks."""
    blank = draw(st.sampled_from([" ", "\t", "   "]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", " \n"]))
    between = draw(st.sampled_from(["", "", "", "#c", "track name=x", "browser hide", "#"]))
    lines = draw(
        st.sampled_from([[], ["##maf version=1"], ["track name=x", "##maf version=1", ""]])
    )
    for rows in blocks:
        lines = [*lines, draw(st.sampled_from(["a score=0.0", "a", "a pass=1 score=2"]))]
        for row in rows:
            lines.append(blank.join(["s", *map(str, row)]))
            context = draw(st.sampled_from([*[""] * 6, "i", "q", "e"]))
            if context:
                lines.append(blank.join([context, row.source, "9", "C", "0"]))
        # A new block may begin with or without an empty line before it.
        lines += draw(st.sampled_from([[], [""], [between], ["", "", between]]))
    text = end.join(lines) + draw(st.sampled_from([end, "", end + end, end + "##eof maf"]))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + text.encode()


#: What damage puts into a file: what stands there anyway, and what never should.
WORDS = (
    *(b"\n", b"\r", b"\t", b" ", b"\0", b"\x0b", b"\n\n", b"a\n", b"s ", b"-", b"+", b"#", b"9"),
    *(b"track", b"\nbrow", b"9" * 20, b"0" * 20, b"1099511627777", b"s A.1 0 1 + 9 A\n"),
)
SCRAPS = st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(WORDS))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of which a few bytes were lost, changed or added."""
    text = bytearray(draw(alignments()).text)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.sampled_from([0, 0, 1, 1, 2, 5, 40]))
        text[at : at + cut] = draw(st.one_of(st.just(b""), SCRAPS))
    return bytes(text)
