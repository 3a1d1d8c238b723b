"""Which names mean the same contig, and which do not."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from phylotools.errors import InputError
from phylotools.io.contigs import contig_stem, log_other_names, resolve_contigs, use_aliases

HG38 = {"chr1": 248956422, "chr10": 133797422, "chrX": 156040895, "chrY": 57227415, "chrM": 16569}
HG19 = {"1": 249250621, "10": 135534747, "X": 155270560, "Y": 59373566, "MT": 16569}


@pytest.fixture(autouse=True)
def no_aliases() -> Iterator[None]:
    use_aliases(None)
    yield
    use_aliases(None)


def resolve(name: str, available) -> str | None:
    return resolve_contigs([name], available).get(name)


@pytest.mark.parametrize(
    ("name", "in_hg38", "in_hg19"),
    [
        ("NC_000001.11", "chr1", None),
        ("NC_000001.10", None, "1"),
        ("NC_000010.11", "chr10", None),
        ("NC_000010.10", None, "10"),
        ("CM000663.2", "chr1", None),
        ("CM000685.1", None, "X"),
        ("NC_000023.11", "chrX", None),
        ("NC_000024.9", None, "Y"),
        ("NC_012920.1", "chrM", "MT"),
        ("J01415.2", "chrM", "MT"),
        ("NC_000001.9", None, None),
        ("23", "chrX", "X"),
        ("24", "chrY", "Y"),
        ("25", "chrX", "X"),
        ("XY", "chrX", "X"),
        ("26", "chrM", "MT"),
        ("chr26", "chrM", "MT"),
        ("27", None, None),
        ("1", "chr1", "1"),
        ("chr2", None, None),
    ],
)
def test_names_of_human_chromosomes(name: str, in_hg38: str | None, in_hg19: str | None) -> None:
    assert resolve(name, HG38) == in_hg38
    assert resolve(name, HG19) == in_hg19


def test_an_accession_of_another_assembly_is_said(caplog) -> None:
    assert resolve("NC_000001.10", HG38) is None
    assert "NC_000001.10 is chromosome 1 of GRCh37, and is not taken for chr1" in caplog.text
    assert resolve("NC_000001.10", {"NC_000001.11": 248956422}) is None
    assert resolve("chr1", {"NC_000001.11": 248956422}) == "NC_000001.11"
    assert resolve("NC_000001.11", {"CM000663.2": 248956422}) == "CM000663.2"


def test_lengths_decide_what_a_number_means() -> None:
    cattle = {str(number): 42_350_435 + number for number in range(1, 25)} | {"X": 139_009_144}
    assert resolve("25", cattle) is None
    assert resolve("23", cattle) == "23"
    # Where nobody knows lengths, accessions are taken, numbers are not.
    assert resolve("NC_000023.10", ["X"]) == "X"
    assert resolve("23", ["X"]) is None
    assert resolve("26", ["chrM"]) is None


def test_two_names_never_end_on_one_contig() -> None:
    assert resolve_contigs(["23", "25", "X"], HG38) == {"X": "chrX"}
    assert resolve_contigs(["NC_000001.11", "chr1"], HG38) == {"chr1": "chr1"}


CHROM_ALIAS = """# ucsc\tassembly\tgenbank\trefseq
chr1\t1\tCP086569.2\tNC_060925.1
chrU_7\tscaffold7\t\tNW_7.1
"""
OLD_CHROM_ALIAS = "CP086569.2\tchr1\tgenbank\n1\tchr1\tassembly,ensembl\nNW_7.1\tchrU_7\trefseq\n"


@pytest.mark.parametrize(
    "text",
    [
        CHROM_ALIAS,
        CHROM_ALIAS.replace("\n", "\r\n"),
        "\ufeff" + CHROM_ALIAS,
        OLD_CHROM_ALIAS,
        "CP086569.2 chr1\nNW_7.1 chrU_7\n",  # as bcftools annotate --rename-chrs has it
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_table_of_aliases(tmp_path: Path, text: str, pack) -> None:
    path = tmp_path / "aliases"
    path.write_bytes(pack(text.encode()))
    use_aliases(path)
    for available in (["chr1", "chrU_7"], {"1": 9, "U_7": 9}):
        first, seventh = available
        assert resolve("CP086569.2", available) == first
        assert resolve("NW_7.1", available) == seventh
        assert resolve("NW_8.1", available) is None
    assert contig_stem("CP086569.2") == contig_stem("chr1") == contig_stem("1")
    use_aliases(None)
    assert resolve("CP086569.2", ["chr1"]) is None


@pytest.mark.parametrize("data", [b"", b"# chr1\tx\n", b"chr1\nchr2\n", b"chr1\t\xff\xfe\n"])
def test_tables_that_are_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "aliases"
    path.write_bytes(data)
    with pytest.raises(InputError, match="as UCSC's chromAlias"):
        use_aliases(path)


@pytest.mark.parametrize(
    "text",
    [
        "new\tchr1\nnew\tchrX\n",
        "new\tna\tchr1\nother\tna\tchrX\n",
        "new\tassembled-molecule\t=\tchr1\nother\tassembled-molecule\t=\tchrX\n",
    ],
)
@pytest.mark.parametrize("beside", [[], ["chr1"], ["chrX"]])
def test_a_table_that_makes_one_of_two_contigs(tmp_path: Path, caplog, text, beside) -> None:
    """It decides nothing, whichever other names the file of variants has."""
    path = tmp_path / "aliases"
    path.write_text(text)
    use_aliases(path)
    assert resolve_contigs(["new", *beside], HG38) == dict(zip(beside, beside, strict=True))
    assert "by the table of aliases chr1 and chrX would be one contig (new)" in caplog.text
    assert resolve_contigs(["new"], ["chr1"]) == {"new": "chr1"}


def test_other_names_are_one_line_however_many(caplog):
    with caplog.at_level("INFO", "phylotools"):
        log_other_names({"1": "chr1", "MT": "chrM"})
        log_other_names({f"{number}": f"chr{number}" for number in range(100_000)})
        log_other_names({})
    first, second = caplog.messages
    assert first == "contigs in the reference: 1 is chr1, MT is chrM"
    assert second.endswith("24 is chr24 and 99,975 more")
