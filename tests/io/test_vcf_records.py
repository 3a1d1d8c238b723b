"""Columns found by compiled loops, against `bytes.split`."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.vcf.records import LineBlock, RecordTable, scan_records

field = st.binary(max_size=6).map(lambda text: re.sub(rb"[\t\n\r]", b"", text))
positions = st.integers(-5, 10**9) | st.sampled_from([0, 10**17])
info = st.sampled_from(
    [
        b".",
        b"",
        b"END=77",
        b"A=1;END=500;B",
        b"XEND=9",
        b"END=",
        b"END=x",
        b"A;END=3x;END=9",
        b"END",
    ]
)
rows = st.tuples(
    st.sampled_from([b"chr1", b"chr1", b"chr2", b""]),
    positions,
    field,
    st.sampled_from([b"A", b"ACGT", b"a" * 300]),
    field,
    field,
    field,
    info,
    field,
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n\r\n"]),
)


def text_of(row: tuple) -> bytes:
    return b"\t".join([row[0], b"%d" % row[1], *row[2:9]]) + row[9]


def lines_of(records: RecordTable) -> list[bytes]:
    bounds = zip(records.begins.tolist(), records.ends.tolist(), strict=True)
    return [records.block.text[begin:end] for begin, end in bounds]


def span_end(row: tuple) -> int:
    """As htslib: REF, or the first END that is a number."""
    for entry in row[7].split(b";"):
        if entry.startswith(b"END="):
            digits = re.match(rb"\d*", entry[4:])[0]
            if digits and int(digits) >= row[1]:
                return int(digits)
            break
    return row[1] - 1 + len(row[3])


@settings(deadline=None)
@given(st.lists(rows, max_size=12), st.integers(1, 1000))
def test_columns_are_where_split_finds_them(generated: list, first_line: int) -> None:
    block = LineBlock(b"".join(map(text_of, generated)), first_line)
    records = scan_records(block, 9, "x")
    numbered = list(block.numbered())
    assert lines_of(records) == [line for _, line in numbered]
    assert [records.line_number(index) for index in range(len(records))] == [n for n, _ in numbered]
    assert records.positions.tolist() == [row[1] for row in generated]
    for index, row in enumerate(generated):
        expected = [b"%d" % row[1], *row[2:8]]
        assert [records.column(index, column) for column in range(1, 8)] == expected
    names = np.repeat(np.array(records.run_names, dtype=object), records.run_lengths)
    assert names.tolist() == [row[0] for row in generated]
    assert all(a != b for a, b in zip(records.run_names, records.run_names[1:], strict=False))
    assert records.span_ends().tolist() == [span_end(row) for row in generated]
    assert records.info_contains(b"END").tolist() == [b"END" in row[7] for row in generated]


@settings(deadline=None)
@given(st.lists(st.tuples(rows, st.booleans(), st.none() | field), max_size=8))
def test_some_records_and_other_info(generated: list) -> None:
    block = LineBlock(b"".join(text_of(row) for row, _, _ in generated), 1)
    records = scan_records(block, 9, "x")
    kept = records.subset(np.array([is_kept for _, is_kept, _ in generated], dtype=bool))
    chosen = [each for each in generated if each[1]]
    assert len(kept) == len(chosen)
    changed = {index: info for index, (_, _, info) in enumerate(chosen) if info is not None}
    after = kept.with_info(changed)
    for index, (row, _, new) in enumerate(chosen):
        line = row if new is None else (*row[:7], new, *row[8:])
        end = b"\r\n" if row[9] == b"\r\n" else b"\n"
        assert lines_of(after)[index] == text_of((*line[:9], end))
        assert after.column(index, 7) == line[7]
        assert after.column(index, 4) == row[4]
        assert bytes(after.text[after.begins[index] : after.tabs[index, 0]]) == row[0]


@pytest.mark.parametrize("first_line", [0, 7])
def test_a_line_that_is_no_record_is_named(first_line: int) -> None:
    good = b"chr1\t5\t.\tA\tC\t.\t.\t.\n"
    block = LineBlock(good + b"\n" + good.replace(b"5", b"five") + b"x\n", first_line)
    place = "x:9: " if first_line else "x: "
    with pytest.raises(InputError, match=f"{place}POS 'five' is not a whole number"):
        scan_records(block, 8, "x")
