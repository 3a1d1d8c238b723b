from __future__ import annotations

import gzip
import io
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.alignment import taf
from phylotools.io.alignment.formats import alignment_format
from phylotools.io.files import open_input
from tests.oracles.taf_writer import Row, write_taf

CASES = Path(__file__).parents[1] / "data" / "taf_cases"
HEADER = "#taf version:1\n"
SMALL = HEADER + "AC ; i 0 a.1 5 + 20 i 1 b.1 2 - 9\nG-\nTT ; g 0 2\n"


def rows_of(tables):
    """Blocks of a reader, and the line of each row; every offset is checked."""
    blocks, lines = [], []
    for table in tables:
        text = table.buffer.tobytes().decode("latin-1")
        assert table.first_row[0] == 0
        assert len(table.first_row) == len(table.width) + 1
        for k, width in enumerate(table.width.tolist()):
            rows = range(table.first_row[k], table.first_row[k + 1])
            assert width > 0
            assert len(rows) > 0
            block = []
            for r in rows:
                source_at, letters_at = int(table.source_at[r]), int(table.letters_at[r])
                assert source_at >= 0
                assert 0 <= letters_at <= len(text) - width
                block.append(
                    Row(
                        text[source_at : source_at + table.source_length[r]],
                        int(table.start[r]),
                        int(table.size[r]),
                        "+-"[table.is_reverse[r]],
                        int(table.source_size[r]),
                        text[letters_at : letters_at + width],
                    )
                )
                assert block[-1].size == width - block[-1].letters.count("-")
                assert block[-1].start + block[-1].size <= block[-1].source_size
            blocks.append(block)
            lines += table.line[rows.start : rows.stop].tolist()
        assert len(table.line) == table.first_row[-1]
    return blocks, lines


def read(text):
    data = text if isinstance(text, bytes) else text.encode()
    return rows_of(taf.TafReader(io.BufferedReader(io.BytesIO(data)), "a.taf"))[0]


def read_or_refuse(data):
    """Blocks, or None where one line of error said why not."""
    try:
        return read(data)
    except InputError as error:
        message = str(error)
    assert message.startswith("a.taf:")
    assert "\n" not in message
    return None


def maf_blocks(path):
    """An independent reading of a MAF file."""
    blocks = []
    for part in re.split(r"^a.*\n", path.read_text(), flags=re.M)[1:]:
        fields = [line.split()[1:] for line in part.splitlines() if line.startswith("s")]
        blocks.append([Row(f[0], int(f[1]), int(f[2]), f[3], int(f[4]), f[5]) for f in fields])
    return blocks


def merged(blocks):
    """Blocks that go on where the one before ends, put together."""
    out = []
    for block in blocks:
        ends = [(r.source, r.start + r.size, r.strand) for r in out[-1]] if out else None
        if ends == [(r.source, r.start, r.strand) for r in block]:
            out[-1] = [
                a._replace(size=a.size + b.size, letters=a.letters + b.letters)
                for a, b in zip(out[-1], block, strict=True)
            ]
        else:
            out.append(block)
    return out


@st.composite
def alignments(draw):
    """Blocks of rows that come, go, are turned and jump."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    ends = {}
    blocks = []
    for _ in range(draw(st.integers(1, 6))):
        sources = rng.sample("abcdefgh", draw(st.integers(1, 6)))
        width = draw(st.integers(1, 12))
        block = []
        for name in sources:
            source, strand = f"{name}.chr{rng.randint(1, 2)}", rng.choice("+-")
            letters = "".join(rng.choices("ACGTNacgtn*.-", k=width))
            size = width - letters.count("-")
            end = ends.get((source, strand), rng.randint(0, 50))
            start = max(0, end + rng.choice([0, 0, 0, rng.randint(1, 9), -rng.randint(1, 30)]))
            ends[source, strand] = start + size
            block.append(Row(source, start, size, strand, 100_000, letters))
        blocks.append(sorted(block) if rng.random() < 0.8 else block)
    return blocks


@settings(max_examples=50, deadline=None)
@given(alignments(), st.booleans(), st.one_of(st.none(), st.randoms(use_true_random=False)))
def test_what_is_written_is_read(blocks, run_length, noise):
    assert read(write_taf(blocks, run_length=run_length, noise=noise)) == blocks


@settings(max_examples=40, deadline=None)
@given(alignments(), st.booleans(), st.integers(6, 100), st.integers(1, 40))
def test_small_buffers_change_nothing_but_where_blocks_are_cut(blocks, run_length, n, text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taf, "_BLOCK_LETTERS", n)
        patch.setattr(taf, "_TABLE_BYTES", n)
        patch.setattr(taf, "_TABLE_ROWS", 16)
        patch.setattr(taf, "_TEXT", text)
        patch.setattr(taf, "MOST_ROWS", 16)
        got = read(write_taf(blocks, run_length=run_length))
    assert merged(got) == merged(blocks)
    assert max(sum(len(row.letters) for row in block) for block in got) <= n


@settings(max_examples=50, deadline=None)
@given(alignments(), st.booleans(), st.data())
def test_a_file_that_is_cut_is_refused_or_a_shorter_one(blocks, run_length, data):
    text = write_taf(blocks, run_length=run_length, noise=random.Random(1))
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    got = read_or_refuse(cut)
    if got is None:
        return
    columns = [[len(b[0].letters) for b in found] for found in (got, blocks)]
    assert columns[0][:-1] == columns[1][: len(got)][:-1]
    for found, whole in zip(got, blocks, strict=False):
        width = len(found[0].letters)
        for a, b in zip(found, whole, strict=True):
            assert (a.source, a.start, a.strand) == (b.source, b.start, b.strand)
            assert a.letters == b.letters[:width]


@settings(max_examples=75, deadline=None)
@given(alignments(), st.booleans(), st.data())
def test_damaged_bytes_are_refused_or_read_as_rows_that_hold_together(blocks, run_length, data):
    text = bytearray(write_taf(blocks, run_length=run_length).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from(
            [b" ; ", b"-1", b"99999999999999999999", b"\n", b" d 0 ", b"@", b"\0", b" i 0 x 1 + 3"]
        )))  # fmt: skip
        text[at : at + data.draw(st.integers(0, 5))] = new
    read_or_refuse(bytes(text))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_header_end_well(data):
    for header in (b"", b"#taf version:1\n", b"#taf run_length_encode_bases:1\n"):
        read_or_refuse(header + data)


@pytest.mark.parametrize("kind", ["", ".run_length"])
def test_taf_and_maf_by_taffy_hold_the_same_rows(kind):
    with open_input(CASES / f"evolverMammals_4000_4151{kind}.taf") as handle:
        assert alignment_format(handle, "x") == "taf"
        blocks, _ = rows_of(taf.TafReader(handle, "x"))
    assert len(blocks) == 8
    assert blocks == maf_blocks(CASES / "evolverMammals_4000_4151.maf")


def test_tags_are_passed_over():
    blocks = read((CASES / "column_tag_merge_test.taf").read_bytes())
    assert [[row.letters for row in block] for block in blocks] == [["A-C", "A-C"], ["GT", "GT"]]
    assert [row.start for row in blocks[1]] == [2, 2]


def test_letters_between_columns_move_the_rows():
    blocks = read((CASES / "gap_column_gap_seq_test.taf").read_bytes())
    assert [(b[0].start, b[0].size, b[0].letters) for b in blocks] == [
        (0, 2, "AC"),
        (7, 0, "--"),
        (10, 2, "GT"),
    ]


def test_operations_apply_in_order():
    text = HEADER + (
        "AAA ; i 0 a 0 + 9 i 0 b 0 + 9 i 1 c 0 - 9\n"  # b c a
        "TTT ; d 0 i 2 d 4 + 9 g 0 3 s 1 e 7 - 9\n"  # c e d
    )
    first, second = read(text)
    assert [(r.source, r.start, r.strand) for r in first] == [
        ("b", 0, "+"), ("c", 0, "-"), ("a", 0, "+"),
    ]  # fmt: skip
    assert [(r.source, r.start, r.strand) for r in second] == [
        ("c", 4, "-"), ("e", 7, "-"), ("d", 4, "+"),
    ]  # fmt: skip


def test_lines_are_those_of_the_coordinates():
    text = "\ufeff" + SMALL.replace("TT ;", "# x\n\nTT ;")
    reader = taf.TafReader(io.BufferedReader(io.BytesIO(text.encode())), "a")
    assert rows_of(reader)[1] == [2, 2, 6, 6]
    assert reader.n_bytes == len(text.encode())


def test_joined_files_and_compressed_ones_are_read(tmp_path):
    path = tmp_path / "x"
    run_length = (
        HEADER.replace("\n", " run_length_encode_bases:1\n") + "A 2 ; i 0 c 0 + 1 i 1 c 1 - 2\n"
    )
    path.write_bytes(gzip.compress((SMALL + run_length).encode()))
    with open_input(path) as handle:
        blocks, _ = rows_of(taf.TafReader(handle, "x"))
    assert blocks[:2] == read(SMALL)
    assert blocks[2] == [Row("c", 0, 1, "+", 1, "A"), Row("c", 1, 1, "-", 2, "A")]


def test_a_header_alone_is_an_empty_alignment():
    assert read(HEADER) == []
    assert read(HEADER + "# a comment that is cut") == []


RUNS = "#taf run_length_encode_bases:1\nA 2 ; i 0 a 0 + 9 i 1 b 0 + 9\n"
LONG = "x" * 2000


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "does not begin with a line #taf"),
        ("AC\n", 1, "does not begin with a line #taf"),
        ("##maf version=1\na\n", 2, "does not begin with a line #taf"),
        ("#taf version:2\nAC\n", 1, "version '2'"),
        ("#taf run_length_encode_bases:yes\n", 1, "'yes', not 0 or 1"),
        ("#taf version:1", 1, "no line end"),
        ("#taf version:1\rAC ; i 0 a 0 + 9\r", 1, "no line end"),
        ("#taf version:1\rAC ; i 0 a 0 + 9\r\n", 1, "CR only"),
        (HEADER + "AC\n", 2, "no rows"),
        (HEADER + "A ; d 0\n", 2, "'0' is no row: there are 0"),
        (SMALL + "A ; d 0 d 0\n", 5, "there are no rows"),
        (SMALL + "ACG\n", 5, "has 3 letters, but there are 2 rows"),
        (SMALL + "A\n", 5, "has 1 letters"),
        (SMALL + "A C\n", 5, "'C' stands behind"),
        (SMALL + "A\0\n", 5, "'A\\x00' is no letter"),
        (SMALL + "A;\n", 5, "must stand alone"),
        (SMALL + "AC ; ; d 0\n", 5, "must stand alone"),
        (SMALL + "AC @ x:1 ; d 0\n", 5, "must stand alone"),
        (SMALL + "AC ; x 0\n", 5, "'x' is no change"),
        (SMALL + "AC ; g0 1\n", 5, "'g0' is no change"),
        (SMALL + "AC ; g 2 1\n", 5, "'2' is no row: there are 2"),
        (SMALL + "AC ; i 3 a 0 + 9\n", 5, "'3' is no row"),
        (SMALL + "AC ; g -1 1\n", 5, "'-1' is no row"),
        (SMALL + "AC ; g\n", 5, "what is missing is no row"),
        (SMALL + "AC ; g 0 -1\n", 5, "'-1' is no whole number"),
        (SMALL + "AC ; g 0 99999999999999999999\n", 5, "no whole number"),
        (SMALL + "AC ; g 0 11\n", 5, "row 0 is moved beyond"),
        (SMALL + "AC ; G 0 AC7T\n", 5, "no string of letters"),
        (SMALL + "AC ; G 0\n", 5, "no string of letters"),
        (SMALL + "AC ; s 0 a\n", 5, "what is missing is no whole number"),
        (SMALL + "AC ; s 0 a 1 . 9\n", 5, "strand '.'"),
        (SMALL + "AC ; s 0 a 1 + x\n", 5, "'x' is no whole number"),
        (SMALL + f"AC ; s 0 {LONG} 1 + 9\n", 5, "is no name"),
        (SMALL + "AC ; s 0 a\x01 1 + 9\n", 5, "is no name"),
        (SMALL + "AC ; s 0 a 9 + 9\n", 5, "row 0 of the block that begins here"),
        (SMALL + "AC ; s 0 a 8 + 9", 5, "no line end"),
        (SMALL + "AC @ x:1", 5, "no line end"),
        (SMALL + "AC", 5, "no line end"),
        (RUNS + "A 2", 3, "no line end"),
        (RUNS + "A 99999999999999999999\n", 3, "more letters than there are rows: 2"),
        (RUNS + "A 1 C 2\n", 3, "more letters than"),
        (RUNS + "A 1\n", 3, "has 1 letters"),
        (RUNS + "A 0 C 2\n", 3, "'0' is no count"),
        (RUNS + "AC\n", 3, "'AC' is no letter"),
        (RUNS + "A 1x C 1\n", 3, "'1x' is no count"),
        (RUNS + "A 1 ; 7 1\n", 3, "'7' is no change"),
        (RUNS + "A 2 7\n", 3, "'7' is no letter"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_at_their_line(text, line, problem):
    with pytest.raises(InputError) as caught:
        read(text)
    assert caught.value.line == line
    assert problem in str(caught.value)
    assert caught.value.remedy


def test_too_many_rows_are_refused(monkeypatch):
    monkeypatch.setattr(taf, "MOST_ROWS", 3)
    rows = " ".join(f"i 0 a{i} 0 + 9" for i in range(4))
    assert len(read(HEADER + f"AAA ; {rows[: rows.rindex('i')]}\n")[0]) == 3
    with pytest.raises(InputError, match="rows"):
        read(HEADER + f"AAAA ; {rows}\n")


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(taf, "_LONGEST_LINE", 1 << 12)
    monkeypatch.setattr(taf, "_TEXT", 1 << 6)
    with pytest.raises(InputError, match="longer than") as caught:
        read(SMALL + "A" * 5000)
    assert caught.value.line == 5
