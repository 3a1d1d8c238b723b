"""Records within regions, against `bcftools view -r` and `-R`."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pysam
import pytest
from field_tools import require

from phylotools.errors import InputError
from phylotools.io.regions import Region, RegionSet
from phylotools.io.vcf.reader import open_variants
from phylotools.io.vcf.records import scan_records
from phylotools.io.vcf.regions import RegionFilter, indexed_blocks

HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr2>\n##contig=<ID=chr1>\n##contig=<ID=HLA:A*01>\n"
    '##ALT=<ID=DEL,Description="x">\n##FILTER=<ID=PASS,Description="All filters passed">\n'
    '##INFO=<ID=END,Number=1,Type=Integer,Description="x">\n'
    '##INFO=<ID=N,Number=1,Type=Integer,Description="x">\n'
    '##INFO=<ID=XEND,Number=1,Type=Integer,Description="x">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)
CONTIGS = ("chr2", "chr1", "HLA:A*01")


def bcftools(*arguments: str | Path) -> bytes:
    require("bcftools")
    return subprocess.run(
        ["bcftools", *map(str, arguments)], check=True, capture_output=True
    ).stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """Records of all lengths, some reaching far by END, on three contigs."""
    draw = random.Random(4)
    rows = []
    for contig in CONTIGS:
        for index, position in enumerate(sorted(draw.randint(1, 60_000) for _ in range(700))):
            ref = "".join(draw.choice("ACGT") for _ in range(draw.choice([1, 1, 1, 2, 9, 300])))
            alt, info = "T" if ref[0] != "T" else "A", f"XEND={position + 9999};N={index}"
            if draw.random() < 0.1:
                alt, ref = "<DEL>", "A"
                end = position + draw.choice([0, 5, 2000])
                info = f"N={index};END={end}" if draw.random() < 0.5 else f"END={end}"
            rows.append(f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\t.\t{info}\n")
    path = tmp_path_factory.mktemp("regions") / "plain.vcf"
    path.write_text(HEADER + "".join(rows))
    return path


@pytest.fixture(scope="module", params=["vcf", "tbi", "csi", "bcf", "bcf without index"])
def variants(request, plain: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    if request.param == "vcf":
        return plain
    if request.param.startswith("bcf"):
        path = folder / "a.bcf"
        bcftools("view", "--no-version", "-Ob", "-o", path, plain)
        if request.param == "bcf":
            bcftools("index", path)
        return path
    path = folder / "a.vcf.gz"
    bcftools("view", "--no-version", "-Oz", "-o", path, plain)
    bcftools("index", "-t" if request.param == "tbi" else "-c", path)
    return path


def selected(path: Path, regions: list[Region]) -> bytes:
    wanted = RegionFilter(RegionSet.of(regions), bytes.decode)
    with open_variants(path) as source:
        header = source.header
        blocks = indexed_blocks(str(path), wanted, header.contigs, header.line_end)
        tables = [
            wanted.select(scan_records(block, 8, "x"))
            for block in (source.blocks if blocks is None else blocks)
        ]
        return b"".join(
            table.block.text[begin:end]
            for table in tables
            for begin, end in zip(table.begins.tolist(), table.ends.tolist(), strict=True)
        )


def test_a_name_that_begins_with_a_dash_is_no_option(plain, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    bcftools("view", "--no-version", "-Ob", "-o", tmp_path / "-name.bcf", plain)
    bcftools("index", tmp_path / "-name.bcf")
    region = Region("chr1", 1000, 20_000)
    assert selected(Path("-name.bcf"), [region]) == selected(plain, [region]) != b""


def make_regions(seed: int) -> list[Region]:
    draw = random.Random(seed)
    regions = []
    for contig in draw.sample(CONTIGS, draw.randint(1, 3)):
        cuts = sorted(draw.sample(range(61_000), 2 * draw.randint(1, 12)))
        if draw.random() < 0.3:
            cuts[1] = cuts[0] + 1
        regions += [
            Region(contig, start, end)
            for start, end in zip(cuts[::2], cuts[1::2], strict=True)
            if start < end
        ]
    return regions


@pytest.mark.parametrize("seed", range(6))
def test_regions_are_those_of_bcftools(
    variants: Path, plain: Path, tmp_path: Path, seed: int
) -> None:
    regions = make_regions(seed)
    indexed = tmp_path / "oracle.bcf"
    bcftools("view", "-Ob", "-o", indexed, plain)
    bcftools("index", indexed)
    bed = tmp_path / "r.bed"
    bed.write_text("".join(f"{r.contig}\t{r.start}\t{r.end}\n" for r in regions))
    expected = bcftools("view", "-H", "-R", bed, indexed).splitlines()
    # bcftools goes by the order of the regions' contigs.
    names = [name.encode() for name in CONTIGS]
    expected.sort(key=lambda line: names.index(line.split(b"\t")[0]))
    assert selected(variants, regions).splitlines() == expected
    assert expected


def test_no_region_on_the_file(variants: Path) -> None:
    assert selected(variants, [Region("chr7", 0, 100)]) == b""
    assert selected(variants, []) == b""


def test_an_index_older_than_its_file_is_not_used(
    plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.vcf.gz"
    bcftools("view", "-Oz", "-o", path, plain)
    bcftools("index", "-t", path)
    index = path.with_name("a.vcf.gz.tbi")
    index.write_bytes(b"nonsense")
    os.utime(index, (1, 1))
    assert selected(path, [Region("chr1", 0, 30_000)]).count(b"\n") > 100
    assert "older" in caplog.text


def test_damage_is_an_error_with_an_index_too(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.vcf.gz"
    bcftools("view", "-Oz", "-o", path, plain)
    bcftools("index", "-t", path)
    data = path.read_bytes()
    index = path.with_name("a.vcf.gz.tbi")
    path.write_bytes(data[:-28])
    index.touch()
    with pytest.raises(InputError, match="no end marker"):
        selected(path, [Region("chr1", 0, 30_000)])
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(2000) + data[middle + 2000 :])
    index.touch()
    with pytest.raises(InputError, match="truncated or damaged"):
        selected(path, [Region(name, 0, 60_000) for name in CONTIGS])


def test_line_ends_of_the_file_are_kept(plain: Path, tmp_path: Path) -> None:
    text = plain.read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "a.vcf").write_bytes(text)
    path = Path(pysam.tabix_index(str(tmp_path / "a.vcf"), preset="vcf"))
    found = selected(path, [Region("chr1", 0, 30_000)])
    assert found
    assert found.count(b"\r\n") == found.count(b"\n")
    assert found in text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("name", "start", "end", "n_expected"),
    [
        ("foreign_tbi/v4.vcf.gz", 7999, 9000, 1194),
        ("damaged_csi/g.bcf", 2999, 3600, 216),
        ("stale_copied/st.vcf.gz", 14999, 15100, 101),
    ],
)
def test_an_index_of_another_file_is_not_used(
    data: Path, tmp_path: Path, caplog, name: str, start: int, end: int, n_expected: int
) -> None:
    for source in (data / "foreign_indexes" / name).parent.iterdir():
        shutil.copyfile(source, tmp_path / source.name)
    for index in [*tmp_path.glob("*.tbi"), *tmp_path.glob("*.csi")]:
        index.touch()
    path = tmp_path / Path(name).name
    assert selected(path, [Region("chrM", start, end)]).count(b"\n") == n_expected
    assert "is not the index of" in caplog.text
