"""Random, damaged and cut MAF files: read as they are meant, or refused in one line."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_alignments import SCRAPS, RandomAlignment, alignments, damaged
from slow_projection import Row, blocks_by_rules

from phylotools.errors import InputError
from phylotools.io.alignment.maf import MafReader

MANY = settings(max_examples=100, deadline=None)


def rows_read(data: bytes, piece: int) -> list[list[Row]]:
    """Blocks as the reader under test gives them, looking at `piece` bytes at once."""
    blocks = []
    for table in MafReader(io.BufferedReader(io.BytesIO(data)), "a.maf", piece=piece):
        assert table.first_row[-1] == len(table.line)
        for block, width in enumerate(table.width.tolist()):
            rows = range(table.first_row[block], table.first_row[block + 1])
            assert len(rows) >= 1
            assert width >= 1
            blocks.append([_row(table, row, width) for row in rows])
    return blocks


def _row(table, row: int, width: int) -> Row:
    def text(at: int, length: int) -> str:
        assert 0 <= at <= at + length <= len(table.buffer)
        return table.buffer[at : at + length].tobytes().decode("latin-1")

    return Row(
        text(int(table.source_at[row]), int(table.source_length[row])),
        int(table.start[row]),
        int(table.size[row]),
        "+-"[int(table.is_reverse[row])],
        int(table.source_size[row]),
        text(int(table.letters_at[row]), width),
    )


def assert_read_or_refused(data: bytes, piece: int) -> None:
    try:
        expected = blocks_by_rules(data)
    except ValueError:
        with pytest.raises(InputError) as caught:
            rows_read(data, piece)
        assert caught.value.line is not None
        assert caught.value.remedy
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()
    else:
        assert rows_read(data, piece) == expected


pieces = st.sampled_from([1, 7, 30, 64, 200, 1 << 16])


@MANY
@given(alignments(), pieces)
def test_every_spelling_is_read(alignment: RandomAlignment, piece: int):
    assert blocks_by_rules(alignment.text) == alignment.blocks
    assert rows_read(alignment.text, piece) == alignment.blocks


@MANY
@given(damaged(), pieces)
def test_damaged_files(text: bytes, piece: int):
    assert_read_or_refused(text, piece)


@MANY
@given(st.lists(SCRAPS, max_size=30), pieces)
def test_scraps(scraps: list[bytes], piece: int):
    assert_read_or_refused(b"".join(scraps), piece)


@settings(parent=MANY, max_examples=40)
@given(alignments(), alignments(), pieces, st.data())
def test_cut_and_joined_files(one: RandomAlignment, two: RandomAlignment, piece: int, data):
    cut = data.draw(st.integers(0, len(one.text)))
    assert_read_or_refused(one.text[:cut], piece)
    # As `cat` joins them, the byte-order mark of the second in the middle.
    assert_read_or_refused(one.text[:cut] + two.text, piece)


def test_a_row_that_ends_early_hides_no_other():
    # As long as the row should be, with the whole next row in it.
    text = b"a\ns A.1 0 9 + 9 ACGTACGTACGTACGTACGTACG\ns Anc.1 0 4 + 9 ACGT\ns B.1 0 4 + 9 ACGT\n"
    assert len(b"ACGT\ns B.1 0 4 + 9 ACGT") == 23
    assert_read_or_refused(text, 1 << 16)


@pytest.mark.parametrize("cut", range(0, 400, 3))
def test_a_long_row_cut_anywhere(cut: int):
    row = b"s A.1 0 300 + 300 " + b"ACGT" * 75 + b"\n"
    text = b"##maf version=1\n\na score=1\n" + row + row.replace(b"A.1", b"B.1")
    assert_read_or_refused(text[:cut], 50)
