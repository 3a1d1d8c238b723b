from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.evaluate.readers import open_table, trim_alleles

VCF = """##fileformat=VCFv4.2
##INFO=<ID=LLR,Number=A,Type=Float,Description="x, ID=no">
##INFO=<ID=AD,Number=R,Type=Integer,Description="x">
##INFO=<ID=AF,Number=1,Type=Float,Description="x">
##INFO=<Number=.,Type=String,ID=CLNSIG,Description="x">
##INFO=<ID=DB,Number=0,Type=Flag,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1
chr1\t10\trs1\ta\tC,T\t50\tPASS\tLLR=-1,.;AD=5,6,7;AF=0.5;CLNSIG=P,B;DB\tGT\t0/1
chr1\t20\t.\tGAT\tGCT\t.\tq10\tLLR=.;CLNSIG=P,B\tGT\t0/0
chr1\t0\t.\tN\t<DEL>\t.\t.\t.\tGT\t.
"""


def write(tmp_path, text, name="table"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def read(path, *columns):
    table = open_table(path)
    return [
        ((v.contig, v.position, v.ref, v.alt), *(table.value(v, c) for c in columns))
        for v in table.variants()
    ]


def test_vcf_gives_each_allele_its_values(tmp_path):
    rows = read(write(tmp_path, VCF), "LLR", "AD", "AF", "CLNSIG", "DB", "FILTER", "ID")
    assert rows == [
        (("chr1", 9, "A", "C"), "-1", "6", "0.5", "P", "1", "PASS", "rs1"),
        (("chr1", 9, "A", "T"), None, "7", "0.5", "B", "1", "PASS", "rs1"),
        (("chr1", 20, "A", "C"), None, None, None, "P,B", None, "q10", None),
        (("chr1", -1, "N", "<DEL>"), None, None, None, None, None, None, None),
    ]


def test_vcf_columns_are_the_declared_ones(tmp_path):
    table = open_table(write(tmp_path, VCF))
    assert table.columns == ("LLR", "AD", "AF", "CLNSIG", "DB", "ID", "QUAL", "FILTER")


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_tables_are_sniffed(tmp_path, compress, separator, ending):
    lines = ["Chrom,POS,ref,ALT,my score", "MT,3,a,g,1.5", "", "MT,4,C,T,."]
    text = ending.join(line.replace(",", separator) for line in lines)
    assert read(write(tmp_path, compress(text.encode())), "my score") == [
        (("MT", 2, "A", "G"), "1.5"),
        (("MT", 3, "C", "T"), None),
    ]


def test_csv_quotes_comments_and_byte_order_mark(tmp_path):
    text = '\ufeff##made by hand\ncontig,pos,ref,alt,note\n1,5,A,G,"P, likely"\n'
    assert read(write(tmp_path, text), "note") == [(("1", 4, "A", "G"), "P, likely")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a\tb\n1\t2\n", "no column contig, pos, ref, alt in the header"),
        ("chrom\tref\talt\n", "no column pos in the header"),
        ("chrom\tpos\tref\talt\tx\tx\n", "column 'x' occurs twice"),
        ("chrom\tpos\tref\talt\nchr1\t1.5\tA\tC\n", ":2: '1.5' is not a position"),
        ("chrom\tpos\tref\talt\nchr1\t-1\tA\tC\n", "is not a position"),
        ("chrom\tpos\tref\talt\nchr1\t" + "9" * 5000 + "\tA\tC\n", "is not a position"),
        ("chrom\tpos\tref\talt\nchr1\t1\tA\n", ":2: 3 columns where the header has 4"),
        ('chrom,pos,ref,alt\n1,1,A,"C\n', "unexpected end of data"),
        ("##fileformat=VCFv4.2\n", "no #CHROM line"),
        ("##fileformat=VCFv4.2\nchr1\t1\n", "no #CHROM line"),
        ("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", "a VCF without its first line"),
        (VCF + "chr1\t1\t.\tA\n", ":11: a VCF record has at least 8"),
        (b"BCF\x02\x02", "is BCF"),
        (b"\x89PNG\x00\x00", "is not text"),
        (gzip.compress(VCF.encode(), mtime=0)[:-9], "truncated"),
    ],
)
def test_bad_files_are_named_errors(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(path)


def test_wrong_number_of_values_is_an_error_with_its_line(tmp_path):
    path = write(tmp_path, VCF + "chr1\t30\t.\tA\tC,G\t.\t.\tLLR=1,2,3\tGT\t.\n")
    with pytest.raises(InputError, match=r":11: INFO/LLR has 3 values for 2 ALT"):
        read(path, "LLR")


def test_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("phylotools.evaluate.readers.MAX_LINE_BYTES", 1000)
    with pytest.raises(InputError, match="is not text"):
        read(write(tmp_path, "chrom\tpos\tref\talt\n" + "A" * 2000))


BASES = st.text("ACGT", min_size=1, max_size=6)


@given(BASES, BASES, st.text("ACGT", max_size=4), st.text("ACGT", max_size=4))
def test_trimming_forgets_shared_bases(ref, alt, left, right):
    if ref == alt:
        return
    position, short_ref, short_alt = trim_alleles(100, left + ref + right, left + alt + right)
    # The same change to the same sequence ...
    offset = position - 100
    sequence = left + ref + right
    changed = sequence[:offset] + short_alt + sequence[offset + len(short_ref) :]
    assert sequence[offset : offset + len(short_ref)] == short_ref
    assert changed == left + alt + right
    # ... in its shortest form.
    assert min(len(short_ref), len(short_alt)) == 1 or (
        short_ref[0] != short_alt[0] and short_ref[-1] != short_alt[-1]
    )


def test_trimming_leaves_symbols_alone():
    assert trim_alleles(5, "AT", "<DEL>") == (5, "AT", "<DEL>")
    assert trim_alleles(5, "A", "*") == (5, "A", "*")
    assert trim_alleles(5, "AT", "AT") == (5, "AT", "AT")
