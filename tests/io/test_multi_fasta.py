from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.alignment import multi_fasta
from phylotools.io.alignment.formats import alignment_format
from phylotools.io.alignment.multi_fasta import MultiFastaReader
from phylotools.io.files import open_input

TAF_CASES = Path(__file__).parents[1] / "data" / "taf_cases"
MAF_CASES = TAF_CASES.parent / "maf_edge_cases"


def tables_of(text):
    data = text if isinstance(text, bytes) else text.encode()
    reader = MultiFastaReader(io.BufferedReader(io.BytesIO(data)), "a.fa")
    tables = list(reader)
    assert reader.n_bytes == len(data)
    return tables


def rows_of(table):
    text = table.buffer.tobytes().decode()
    assert table.first_row.tolist() == [0, len(table.start)]
    (width,) = table.width.tolist()
    return [
        (
            text[table.source_at[r] : table.source_at[r] + table.source_length[r]],
            int(table.start[r]),
            int(table.size[r]),
            int(table.source_size[r]),
            text[table.letters_at[r] : table.letters_at[r] + width],
        )
        for r in range(len(table.start))
    ]


def test_names_lengths_and_lines():
    text = "\ufeff>a.chr1 some words\r\nAC-\r\ngt\r\n\r\n>b|gene|x\nNNNNN  \n> c d\n--T--"
    (table,) = tables_of(text)
    assert rows_of(table) == [
        ("a.chr1", 0, 4, 4, "AC-gt"),
        ("b", 0, 5, 5, "NNNNN"),
        ("c", 0, 1, 1, "--T--"),
    ]
    assert table.line.tolist() == [1, 5, 7]
    assert not table.is_reverse.any()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_way_to_wrap_lines_gives_the_same_rows(data):
    n_rows, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 40))
    letters = st.text("ACGTNacgtn-*RY", min_size=width, max_size=width)
    rows = [data.draw(letters) for _ in range(n_rows)]
    text = ""
    for i, row in enumerate(rows):
        step = data.draw(st.integers(1, width))
        end = data.draw(st.sampled_from(["\n", "\r\n", " \n", "\n\n"]))
        text += f">s{i}.x{end}" + "".join(row[k : k + step] + end for k in range(0, width, step))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multi_fasta, "_PIECE", data.draw(st.integers(12, 50)))
        patch.setattr(multi_fasta, "_BLOCK_LETTERS", data.draw(st.integers(1, 300)))
        tables = [rows_of(table) for table in tables_of(text)]
    assert ["".join(table[r][4] for table in tables) for r in range(n_rows)] == rows
    for r, row in enumerate(rows):
        at = 0
        for table in tables:
            name, start, size, source_size, part = table[r]
            n_bases = len(part.replace("-", ""))
            assert (name, start, size) == (f"s{r}.x", at, n_bases)
            assert source_size == len(row.replace("-", ""))
            at += size


@settings(max_examples=75, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(">ACG-\n\r |.x", max_size=60)))
def test_any_bytes_are_refused_or_read(data):
    data = data if isinstance(data, bytes) else data.encode()
    try:
        tables = tables_of(data)
    except InputError as error:
        message = str(error)
        assert message.startswith("a.fa:")
        assert "\n" not in message
    else:
        assert len(rows_of(tables[0])) == data.count(b">")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "holds no sequence"),
        ("\n\n", 2, "holds no sequence"),
        ("ACGT\n>a\nACGT\n", 1, "before the first header"),
        (">a\nACGT\n>b\nACG\n", 3, "'b' has 3 letters, those before it 4"),
        (">a\nACGT\n>b\n", 3, "'b' is empty"),
        (">a\n>b\nA\n", 1, "'a' is empty"),
        (">a\nACGT\n>b", 3, "no line end"),
        (">a x\nA\n\n>a y\nC\n", 4, "'a' stands here again, first in line 1"),
        (">a|1\nA\n>a|2\nC\n", 3, "'a' stands here again"),
        (">\nA\n", 1, "names no sequence"),
        (">|x\nA\n", 1, "names no sequence"),
        (">\x01\nA\n", 1, "names no sequence"),
        (">a\nAC\nA?C\n", 3, "'?' is no letter"),
        (">a\nA C\n", 2, "' ' is no letter"),
        (">a\nA\0C\n", 2, "'\\x00' is no letter"),
        (">a\nA.C\n", 2, "'.' is no letter"),
        (
            ">a\nMKV\nACE\n",
            3,
            "'E' is no letter of a nucleotide alignment; give the alignment of",
        ),
        (">a\nACl\n", 2, "'l' is no letter of a nucleotide alignment"),
        ("> 1:1-4 + A.fa\nACGT\n> 2:1-4 + B.fa\nACGT\n=\n", 5, "XMFA"),
        (">a\rACGT\r>b\rACGT\r", 1, "CR only"),
        (">a\rACGT\r>b\rACGT\r\n", 1, "CR only"),
    ],
)
def test_wrong_files_are_refused_at_their_line(text, line, problem):
    with pytest.raises(InputError) as caught:
        tables_of(text)
    assert problem in str(caught.value)
    assert caught.value.line == line
    assert caught.value.remedy


def test_too_much_is_refused_while_it_is_read(monkeypatch):
    monkeypatch.setattr(multi_fasta, "MOST_LETTERS", 1 << 20)
    text = b">a\n" + b"A" * (3 << 20)
    handle = io.BufferedReader(io.BytesIO(text))
    with pytest.raises(InputError, match="more than 1 million letters") as caught:
        list(MultiFastaReader(handle, "a"))
    assert caught.value.line == 2
    monkeypatch.setattr(multi_fasta, "MOST_SEQUENCES", 2)
    with pytest.raises(InputError, match="more than 2 sequences"):
        tables_of(">a\nA\n>b\nA\n>c\nA\n")


def test_files_of_either_storage_are_told_by_their_first_line(tmp_path):
    cases = {
        ">a\nACGT\n": "fasta",
        "\ufeff\n\n>a\nACGT\n": "fasta",
        "#taf version:1\n": "taf",
        "\ufeff# made by x\n#taf\n": "taf",
        "##maf version=1\n": "maf",
        "track name=x\n##maf version=1\n": "maf",
        "# only a comment\n": "maf",
        "a score=1\ns a.1 0 1 + 2 A\n": "maf",
        "\n\na\n": "maf",
        "s a.1 0 1 + 2 A\n": "maf",
    }
    for text, expected in cases.items():
        for data in (text.encode(), gzip.compress(text.encode())):
            (tmp_path / "x").write_bytes(data)
            with open_input(tmp_path / "x") as handle:
                assert alignment_format(handle, "x") == expected
                assert handle.read() == text.encode()
    for folder, suffix, expected in ((TAF_CASES, "taf", "taf"), (MAF_CASES, "maf", "maf")):
        for path in folder.glob(f"*.{suffix}"):
            with open_input(path) as handle:
                assert alignment_format(handle, str(path)) == expected


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"", None, "is empty"),
        (b"\x89HDF\r\n\x1a\n\0", 1, "hal2maf --noAncestors --refGenome"),
        (b"BAM\x01", 1, "is BAM"),
        (b"##fileformat=VCFv4.2\n", 1, "is VCF"),
        (b"\x43\x27\x41\x1a\0", 1, "is 2bit"),
        (b"#NEXUS\n", 1, "is NEXUS"),
        (b"#FormatVersion Mauve1\n#Sequence1File\tA.fa\n> 1:1-10 + A.fa\nACGT\n", 1, "is XMFA"),
        (b"4 10\nA         ACGTACGTAC\n", 1, "is PHYLIP"),
        (b"  4   10  I\nA         ACGTACGTAC\n", 1, "is PHYLIP"),
        (b"#version 2.4\nHugo_Symbol\tEntrez_Gene_Id\n", 2, "is a table of mutations"),
        (b"Hugo_Symbol\tEntrez_Gene_Id\n", 1, "is a table of mutations"),
        (b"0 chr1 1 5 chr2 11 15 - 3500\nACGTA\nACGTA\n", 1, "axtToMaf"),
        (b"#:lav\n", 1, "--format=maf"),
        (b"@read1\nACGT\n+\nIIII\n", 1, "is FASTQ"),
        (b"LOCUS       NC_012920\n", 1, "is GenBank"),
        (b"(a:1,b:2);\n", 1, "Newick"),
        (b"<!DOCTYPE html>", 1, "download"),
        (b"\xff\xfe>\0a\0", 1, "UTF-16"),
        (b"ab\0\0", 1, "binary"),
        (b"# x\n\n1\t2\t3\n", 3, "'1\\t2\\t3' begins no line"),
        (b"chr1 1 2\n", 1, "begins no line"),
    ],
)
def test_other_files_are_named(data, line, problem):
    with pytest.raises(InputError) as caught:
        alignment_format(io.BufferedReader(io.BytesIO(data)), "x")
    assert problem in str(caught.value)
    assert caught.value.line == line
    assert caught.value.remedy
