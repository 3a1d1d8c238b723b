"""Delimited text against the csv module, and as spreadsheets, R and databases write it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.delimited import (
    DelimitedText,
    NamedVariant,
    VariantColumns,
    parse_position,
    parse_variant,
    quoted_cell,
)

SNV = NamedVariant("chrM", 3310, "A", "C")


def table_of(data: bytes) -> DelimitedText:
    return DelimitedText("x", enumerate(io.BytesIO(data), start=1))


cells = st.text(st.sampled_from('ab,;"\n é'), max_size=5)


@settings(max_examples=75, deadline=None)
@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1), st.sampled_from(",;"))
def test_cells_are_those_of_the_csv_module(rows: list[list[str]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["x", "y", "z"], *rows])
    table = table_of(text.getvalue().encode())
    found = list(table.rows())
    assert [table.texts(row) for row in found] == rows
    assert b"\n".join([table.header, *(row.text for row in found), b""]) == text.getvalue().encode()
    for row in found:
        again = [quoted_cell(value.encode(), table.delimiter) for value in table.texts(row)]
        assert table.split(table.delimiter.join(again)) == again


@pytest.mark.parametrize(
    "data",
    [
        b"chrom\tpos\tref\talt\nchrM\t3310\tA\tC\n",
        b"\xef\xbb\xbfchrom,pos,ref,alt\r\nchrM,3310,A,C\r\n",
        b"chrom;pos;ref;alt;llr\nchrM;3310.0;A;C;4,6\n",
        b'"","CHROM","POS","REF","ALT"\n"1","chrM",3310,"A","C"\n',
        b"chr\tposition\treference\talternate\trow\nchrM\t3310\tA\tC\t1\n",
        b"chrom\tpos\tref\talt\n1\tchrM\t3310\tA\tC\n",  # row names without a header, as R has it
        b"## CADD v1.7\n#Chrom\tPos\tRef\tAlt\tRawScore\nchrM\t3310\tA\tC\t0.1\n",
        b"# Copyright\n#\n#CHROM\tPOS\tREF\tALT\nchrM\t3310\tA\tC\n",
        b"Chromosome,Start_Position,Reference_Allele,Tumor_Seq_Allele2\nchrM,3310,A,C\n",
        b"#chr\tpos(1-based)\tref\talt\nchrM\t3310\tA\tC\n",
        b"variant_id\nchrM:3310:A:C\n",
        b"gene\tvariant_id\nMT-ND1\tchrM_3310_A_C_b38\n",
        b"SNP,beta\nchrM-3310-A-C,0.1\n",
        b"id;x\nchrM:3310_A/C;2\n",
        b'note,variant\n"a,\nb",chrM:3310:A>C\n',
        b'name\tvariant\na "lone quote\tchrM:3310:A:C\n"another\tchrM:3310:A:C\n',
    ],
)
def test_variants_by_their_usual_columns(data: bytes) -> None:
    table = table_of(data)
    rows = list(table.rows())
    assert rows
    assert {table.variant(row) for row in rows} == {SNV}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "x: is empty; give a table"),
        (b"# a\n", "x: has no header"),
        ("chrom,pos,ref,alt\n".encode("utf-16"), "x:1: is UTF-16; save it as UTF-8"),
        (b"chrom,pos,ref,alt\nchr\xe9,1,A,C\n", "x:2: is not UTF-8; convert it"),
        (b"chrom,pos,ref,alt\n\nchrM,1,A\n", "x:3: 3 columns where the header has 4"),
        (b"chrom,pos,ref,alt\nchrM,x,A,C\n", "x:2: 'x' is not a position"),
        (b"chrom,pos,ref,alt\nchrM,1e+05,A,C\n", "exponents lose digits"),
        (b"chrom,pos,ref,alt\nchrM,3310.5,A,C\n", "'3310.5' is not a position"),
        (b"chrom,pos,ref,alt\nchrM,,A,C\n", "'' is not a position"),
        (b"chrom,pos,ref,alt\nchrM,5,,C\n", "the row lacks contig, REF or ALT"),
        (b"id,x\nrs12,1\n", "x:2: 'rs12' is no variant chr:pos:ref:alt"),
        (b'id,x\nchrM:1:A:C,"a\nb\n', "x:2: a quote that opens on this line is never closed"),
        (b"a,b\n1,2\n", "x: names no variants; give a table"),
        (b"chrom,pos\rchrM,1\r", "x:1: line ends are CR only"),
        (b"chrom,pos,ref,alt\n\0\n", "x:2: is no text"),
        (b"chrom,pos,ref,alt\n" + b"\n" * 1_100_000, "has more than 1048576 blank lines"),
        (b"#\n" * 110_000, "x:100001: has no header"),
    ],
)
def test_what_is_wrong_is_one_line(data: bytes, expected: str) -> None:
    def read() -> None:
        table = table_of(data)
        for row in table.rows():
            table.variant(row)

    with pytest.raises(InputError) as caught:
        read()
    assert expected in str(caught.value)


def test_spelled_variants() -> None:
    assert parse_variant("HLA:A*01:100:a:<DEL>") == ("HLA:A*01", 100, "a", "<DEL>")
    assert parse_variant("chrUn_KI270302v1_7_AC_A") == ("chrUn_KI270302v1", 7, "AC", "A")
    assert parse_variant("1-55051215-G-GA,T") == ("1", 55051215, "G", "GA,T")
    for text in ("chr1:100", "chr1:x:A:C", "chr1:100:A", "", "chr1:100:1:2"):
        with pytest.raises(ValueError, match="is no variant"):
            parse_variant(text)
    assert parse_position("007") == 7
    with pytest.raises(ValueError, match="is not a position"):
        parse_position("9" * 13)


def test_effect_alleles_are_no_alternatives() -> None:
    assert VariantColumns.find(["chr", "pos", "ref", "effect_allele"]) is None
    assert VariantColumns.find(["ALT", "REF", "pos", "#CHROM"]) == VariantColumns((3, 2, 1, 0))
