from __future__ import annotations

import gzip
import math
import os
import re
import threading
from types import SimpleNamespace

import numpy
import pyarrow
import pyarrow.parquet
import pysam
import pysam.bcftools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.scored import open_scored, score_number, trimmed

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
    with open_scored(path) as file:
        return [((a.contig, a.position, a.ref, a.alt), *a.values) for a in file.alleles(columns)]


def read_blocks(path, *columns):
    """As `read`, out of blocks."""
    rows = []
    with open_scored(path) as file:
        for block in file.blocks(columns):
            every = numpy.arange(len(block))
            texts = [block.texts(index, every) for index in range(len(columns))]
            for row in every.tolist():
                place = (block.contigs[block.contig_index[row]], int(block.starts[row]))
                values = [each.distinct[each.codes[row]] for each in texts]
                rows.append(((*place, *block.alleles(row)), *values))
    return rows


def test_blocks_hold_what_alleles_are(tmp_path):
    path = write(tmp_path, VCF, "a.vcf")
    for columns in (["LLR", "AD", "AF", "CLNSIG", "DB", "FILTER", "ID"], ["QUAL", "LLR"], []):
        assert read_blocks(path, *columns) == read(path, *columns)
    rows = 'MT\t3\ta\tg,AT\t1.5,2\tfoo\n\n MT\t4 \tCA\tCT\t.\t"q\tr"\nMT\t5.0\tC\tT\t3\ty\n'
    for sign in "\t;":
        text = "Chrom\tPOS\tref\tALT\tx\tn\n" + rows * 3
        table = write(tmp_path, text.replace("\t", sign), "a.tsv")
        assert read_blocks(table, "n", "x") == read(table, "n", "x")
    columns = {
        "chrom": ["1", "1", "2"], "pos": [5, 6, 7],
        "ref": ["A", "CA", "g"], "alt": ["C", "CT", "GTT"],
        "s": pyarrow.array([1.5, None, 0.1], pyarrow.float32()), "flag": [True, None, False],
        "number": [3, 4, None], "text": ["x", None, "."],
    }  # fmt: skip
    for alt in ("CT", "CT,CG", " CT"):
        columns["alt"][1] = alt
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        names = ["s", "flag", "number", "text"]
        path = str(tmp_path / "a.parquet")
        assert read_blocks(path, *names) == read(path, *names)


def test_headers_say_what_fields_are_and_how_long_contigs(tmp_path):
    text = VCF.replace("##INFO=<ID=LLR", "##contig=<ID=chr1,length=500>\n##INFO=<ID=LLR", 1)
    text = text.replace('Description="x, ID=no"', 'Description="a \\"b\\" c"')
    with open_scored(write(tmp_path, text)) as file:
        assert file.descriptions["LLR"] == 'a "b" c'
        assert file.lengths == {"chr1": 500}


def test_a_table_may_lack_its_header_where_that_is_allowed(tmp_path):
    path = write(tmp_path, "17\t5\tA\tC\t-1.5\tmore\n17\t6\tA\tC\t2\tx\n")
    with open_scored(path, may_lack_header=True) as file:
        assert file.columns == ("score", "column_6")
        assert [(a.line, a.position, *a.values) for a in file.alleles(["score"])] == [
            (1, 4, "-1.5"),
            (2, 5, "2"),
        ]
    with pytest.raises(InputError), open_scored(path):
        pass


def test_vcf_gives_each_allele_its_values(tmp_path):
    rows = read(write(tmp_path, VCF), "LLR", "AD", "AF", "CLNSIG", "DB", "FILTER", "ID")
    assert rows == [
        (("chr1", 9, "A", "C"), "-1", "6", "0.5", "P", "1", "PASS", "rs1"),
        (("chr1", 9, "A", "T"), None, "7", "0.5", "B", "1", "PASS", "rs1"),
        (("chr1", 20, "A", "C"), None, None, None, "P,B", None, "q10", None),
        (("chr1", -1, "N", "<DEL>"), None, None, None, None, None, None, None),
    ]


def test_vcf_columns_are_the_declared_ones(tmp_path):
    with open_scored(write(tmp_path, VCF)) as file:
        assert file.columns == ("LLR", "AD", "AF", "CLNSIG", "DB", "ID", "QUAL", "FILTER")


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
        ("a\tb\n1\t2\n", "whose header names CHROM, POS, REF and ALT"),
        ("chrom\tref\talt\n", "whose header names CHROM, POS, REF and ALT"),
        ("chrom\tpos\tref\talt\tx\tx\n", "column 'x' occurs twice"),
        ("chrom\tpos\tref\talt\nchr1\t1.5\tA\tC\n", ":2: '1.5' is not a position"),
        ("chrom\tpos\tref\talt\nchr1\t-1\tA\tC\n", "is not a position"),
        ("chrom\tpos\tref\talt\nchr1\t" + "9" * 5000 + "\tA\tC\n", "is not a position"),
        ("chrom\tpos\tref\talt\n1\t1\tA\tC\n1\t1\tA\n", ":3: 3 columns where the header has 4"),
        ("##fileformat=VCFv4.2\n", "no #CHROM line"),
        ("##fileformat=VCFv4.2\nchr1\t1\n", "no #CHROM line"),
        (VCF + "chr1\t1\t.\tA\n", ":11: the record has 4 tab-separated columns"),
        (VCF + VCF, "second header"),
        (VCF + "chr1\tx" + "\t." * 8 + "\n", ":11: POS 'x' is not a whole number"),
        (VCF + "\nchr1\t-5" + "\t." * 8 + "\n", ":12: POS -5 is not a position"),
        (VCF + "\n\nchr1\t" + "9" * 17 + "\t." * 8 + "\n", ":13: POS 9999"),
        (VCF + "chr1\t1\t.\tA\tC\0" + "\t." * 5 + "\n", ":11: is not text"),
        (VCF + "chr1\t1\t.\tA\t" + ",".join("C" * 70_000) + "\t." * 5 + "\n", ":11: the record is"),
        (b"BCF\x02\x02", "truncated or damaged"),
        (b"\x89PNG\x00\x00", "is neither VCF nor BCF"),
        (VCF.encode("utf-16"), "UTF-16"),
        ("chrom,pos\n".encode("utf-16"), "UTF-16"),
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
    path = write(tmp_path, VCF + "\nchr1\t30\t.\tA\tC,G\t.\t.\tLLR=1,2,3\tGT\t.\n")
    with pytest.raises(InputError, match=r":12: 3 values \('1,2,3'\) for 2 ALT"):
        read(path, "LLR")


def test_fields_with_similar_names_are_told_apart(tmp_path):
    declared = '##INFO=<ID=X_LLR,Number=1,Type=Float,Description="x">\n##INFO=<ID=LLR'
    text = SIMPLE.replace("##INFO=<ID=LLR", declared)
    text += "chr1\t30\t.\tA\tC\t.\t.\tX_LLR=1;LLRX=2;LLR=3;LLR=4;X=LLR\n"
    text += "chr1\t31\t.\tA\tC\t.\t.\tLLRX=2;X_LLR;LL=1\n"
    assert [row[1:] for row in read(write(tmp_path, text), "LLR", "X_LLR")[-2:]] == [
        ("3", "1"),
        (None, "1"),
    ]


def test_a_quality_that_is_no_number_is_an_error(tmp_path):
    path = write(tmp_path, VCF + "chr1\t30\t.\tA\tC\thigh\t.\t.\tGT\t.\n")
    assert len(read(path, "ID")) == 5
    with pytest.raises(InputError, match=":11: QUAL 'high' is not a number"):
        read(path, "QUAL")


def test_values_are_the_text_of_the_file(tmp_path):
    # Neither rounded to 32 bits nor dropped where they are not of the declared type.
    path = write(tmp_path, VCF + "chr1\t30\t.\tA\tC\t1.5\tq1;q2\tLLR=0.123456789;AF=n\xe9\tGT\t.\n")
    assert read(path, "LLR", "AF", "QUAL", "FILTER")[-1][1:] == (
        "0.123456789",
        "n\xe9",
        "1.5",
        "q1;q2",
    )
    latin = VCF.encode() + b"chr1\t30\t.\tA\tC\t.\t.\tCLNSIG=\xe9\tGT\t.\n"
    assert read(write(tmp_path, latin), "CLNSIG")[-1][1] == "\N{REPLACEMENT CHARACTER}"


def to_bcf(tmp_path, text):
    source, bcf = write(tmp_path, text, "source.vcf"), tmp_path / "x.bcf"
    pysam.bcftools.view("-O", "b", "-o", str(bcf), source, catch_stdout=False)
    return bcf


#: `VCF` without samples, and with all that BCF needs declared.
SIMPLE = re.sub("\t(FORMAT|GT)\t.*", "", VCF).replace(
    "##INFO=<ID=LLR", '##contig=<ID=chr1>\n##FILTER=<ID=q10,Description="x">\n##INFO=<ID=LLR', 1
)


def test_bcf_says_the_same_as_its_vcf(tmp_path):
    columns = ("LLR", "AD", "AF", "CLNSIG", "DB", "FILTER", "ID", "QUAL")
    bcf = to_bcf(tmp_path, SIMPLE)
    assert read(str(bcf), *columns) == read(write(tmp_path, SIMPLE), *columns)
    assert len(read(str(bcf))) == 4


@pytest.mark.parametrize("kind", ["gzip", "bgzip", "bcf"])
def test_every_truncated_file_is_an_error(tmp_path, kind):
    lines = "".join(f"chr1\t{i}\t.\tA\tC\t.\t.\tLLR={i * 7919 % 1000}\n" for i in range(30, 3000))
    text = SIMPLE + lines
    if kind == "bcf":
        data = to_bcf(tmp_path, text).read_bytes()
    elif kind == "gzip":
        data = gzip.compress(text.encode())
    else:
        source = write(tmp_path, text)
        pysam.tabix_compress(source, source + ".gz", force=True)
        data = (tmp_path / "table.gz").read_bytes()
    assert len(read(write(tmp_path, data), "LLR")) == 2974
    for n_bytes in (30, len(data) // 2, len(data) - 29, len(data) - 28, len(data) - 1):
        with pytest.raises(InputError, match=r"truncated|damaged|cut"):
            read(write(tmp_path, data[:n_bytes]), "LLR")


def test_a_file_may_be_a_pipe_and_is_let_go_early(tmp_path):
    n_open = len(os.listdir("/dev/fd"))
    big = SIMPLE + "chr1\t30\t.\tA\tC\t.\t.\tLLR=1\n" * 50_000
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(big.encode()), daemon=True)
    writer.start()
    assert len(read(str(pipe), "LLR")) == 50_004
    writer.join()
    path = write(tmp_path, big)
    with open_scored(path) as file:
        for _ in file.alleles(["LLR"]):
            break
    # Fewer where files of an earlier test were let go meanwhile.
    assert len(os.listdir("/dev/fd")) <= n_open


def test_names_that_look_like_urls_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("https://example.org/x.vcf.gz", "s3://bucket/x.bcf", "gs://x", "file:x"):
        with pytest.raises(InputError):
            read(name)
    (tmp_path / "data:").mkdir()
    write(tmp_path / "data:", SIMPLE)
    assert len(read("data:/table")) == 4


def test_contigs_need_no_declaration(tmp_path):
    text = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    text += "".join(f"s{i}\t1\t.\tA\t.\t.\t.\t.\n" for i in range(2000))
    rows = read(write(tmp_path, text))
    assert rows[0] == (("s0", 0, "A", "."),)
    assert [row[0][0] for row in rows] == [f"s{i}" for i in range(2000)]


def test_nothing_is_written_to_stderr(tmp_path, capfd):
    read(write(tmp_path, VCF), "LLR")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffCHROM;POS;REF;ALT;label\nchrM;3310;C;T;P\n",
        'CHROM,POS,REF,ALT,label\n"chrM","3310","C","T","P"\n',
        '"","CHROM","POS","REF","ALT","label"\n"1","chrM",3310,"C","T","P"\n',
        "CHROM\tPOS\tREF\tALT\tlabel\n7\tchrM\t3310\tC\tT\tP\n",
        "CHROM,POS,REF,ALT,label\nchrM,3310.0,C,T,P\n",
        "variant,label\nchrM:3310:C:T,P\n",
        "chrom\tposition\treference\talternate\tlabel\nchrM\t3310\tC\tT\tP\n",
    ],
)
def test_spreadsheets_of_all_kinds_say_the_same(tmp_path, text):
    assert read(write(tmp_path, text), "label") == [(("chrM", 3309, "C", "T"), "P")]


def test_parquet(tmp_path):
    table = pyarrow.table(
        {
            "CHROM": ["chrM", "chrM"],
            "POS": [3310, 3311],
            "REF": ["CA", "C"],
            "ALT": ["TA", "T,G"],
            "score": [0.1, None],
            "label": ["P", "x,y"],
            "n": [1, 2],
        }
    )
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(table, path)
    with open_scored(str(path)) as file:
        assert file.columns == ("score", "label", "n")
    assert read(str(path), "label", "score", "n") == [
        (("chrM", 3309, "C", "T"), "P", "0.1", "1"),
        (("chrM", 3310, "C", "T"), "x", None, "2"),
        (("chrM", 3310, "C", "G"), "y", None, "2"),
    ]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="Parquet file is damaged"):
        read(str(path), "label")


def test_scores_are_numbers_or_missing_or_errors(tmp_path):
    file = SimpleNamespace(path="x.tsv")
    assert score_number("-1.5e-3", "s", file, 3) == -0.0015
    assert score_number("-Infinity", "s", file, 3) == -math.inf
    for text in (None, "NA", "nan", "null", "-", "N/A"):
        assert math.isnan(score_number(text, "s", file, 3))
    for text in ("abc", "1_000", "1,5"):
        with pytest.raises(InputError, match=r"x.tsv:3: .* in column 's' is not a number"):
            score_number(text, "s", file, 3)
    with pytest.raises(InputError, match="write decimal points"):
        score_number("4,676", "s", file, 3)


BASES = st.text("ACGT", min_size=1, max_size=6)


@given(BASES, BASES, st.text("ACGT", max_size=4), st.text("ACGT", max_size=4))
def test_trimming_forgets_shared_bases(ref, alt, left, right):
    if ref == alt:
        return
    position, short_ref, short_alt = trimmed(100, left + ref + right, left + alt + right)
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
    assert trimmed(5, "AT", "<DEL>") == (5, "AT", "<DEL>")
    assert trimmed(5, "A", "*") == (5, "A", "*")
    assert trimmed(5, "AT", "AT") == (5, "AT", "AT")
