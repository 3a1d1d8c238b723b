"""Parts of files of variants: every record in one of them, whatever the cut; an index narrows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from field_tools import require

from phylotools.io.bgzf import BgzfWriter
from phylotools.io.regions import Region, RegionSet
from phylotools.io.vcf.parts import cut, open_part
from phylotools.io.vcf.reader import VariantStream, open_variants
from phylotools.io.vcf.records import scan_records
from phylotools.io.vcf.regions import RegionFilter

LENGTH = 3_000_000
HEADER = (
    f"##fileformat=VCFv4.2\n##contig=<ID=1,length={LENGTH}>\n##contig=<ID=2,length={LENGTH}>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


@pytest.fixture(scope="module")
def vcf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 records on two contigs, of which some span windows of the index; small blocks."""
    require("bcftools")
    chance = np.random.default_rng(4)
    lines = []
    for contig in (1, 2):
        for position in np.sort(chance.integers(1, LENGTH, 10_000)).tolist():
            ref = "A" * int(chance.choice([1, 1, 1, 3, 200]))
            lines.append(f"{contig}\t{position}\t.\t{ref}\tC\t.\t.\t.\n")
    path = tmp_path_factory.mktemp("parts") / "in.vcf.gz"
    with open(path, "wb") as raw, BgzfWriter(raw) as writer:
        for start in range(0, len(lines), 50):
            writer.write(
                ("".join(lines[start : start + 50])).encode() if start else HEADER.encode()
            )
            if not start:
                writer.write("".join(lines[:50]).encode())
            writer.end_block()
        writer.finish()
    subprocess.run(["bcftools", "index", "-t", str(path)], check=True)
    return path


def lines_of(source: VariantStream, wanted: RegionFilter | None) -> list[bytes]:
    found = []
    for block in source.blocks:
        records = scan_records(block, source.header.n_columns, "x")
        records = records if wanted is None else wanted.select(records)
        begins, ends = records.begins.tolist(), records.ends.tolist()
        found += [block.text[begin:end] for begin, end in zip(begins, ends, strict=True)]
    return found


def whole_and_parts(
    path: Path, size: int, wanted: RegionFilter | None
) -> tuple[list[bytes], list[list[bytes]], int]:
    """Lines of the whole file and of its parts, and how many bytes of the file the parts read."""
    with open_variants(str(path)) as source:
        layout, parts = cut(str(path), source, size, wanted)
        whole = lines_of(source, wanted)
    found = []
    for part in parts:
        with open_part(str(path), layout, part) as source:
            found.append(lines_of(source, wanted))
    shift = 16 if layout.storage == "bgzip" else 0
    end = path.stat().st_size << shift
    n_read = sum(((part.end or end) - part.begin) >> shift for part in parts)
    return whole, found, n_read


@pytest.mark.parametrize("form", ["vcf", "vcf.gz", "bcf"])
@pytest.mark.parametrize("size", [1 << 12, 1 << 14, 1 << 16])
def test_every_record_is_in_one_part(vcf: Path, tmp_path: Path, form: str, size: int) -> None:
    path = vcf
    if form != "vcf.gz":
        path = tmp_path / f"in.{form}"
        kind = {"vcf": "-Ov", "bcf": "-Ob"}[form]
        subprocess.run(["bcftools", "view", kind, "-o", str(path), str(vcf)], check=True)
    whole, parts, _ = whole_and_parts(path, size, None)
    assert len(whole) == 20_000
    assert [line for part in parts for line in part] == whole
    assert len(parts) > 1
    lengths = [len(part) for part in parts]
    assert max(lengths) < 4 * np.mean(lengths)


@pytest.mark.parametrize("form", ["vcf.gz", "bcf"])
@pytest.mark.parametrize(
    "regions",
    [
        ["1:1000000-1005000"],
        ["1:500000-600000", "2:1-100000", "2:2900000-3000000"],
        ["2:1-3000000"],
        ["1:65000-66500", "1:130500-131800"],
    ],
)
def test_an_index_leads_to_the_parts(
    vcf: Path, tmp_path: Path, form: str, regions: list[str]
) -> None:
    path = vcf
    if form == "bcf":
        path = tmp_path / "in.bcf"
        subprocess.run(["bcftools", "view", "-Ob", "-o", str(path), str(vcf)], check=True)
        subprocess.run(["bcftools", "index", str(path)], check=True)
    chosen = []
    for text in regions:
        contig, _, span = text.partition(":")
        begin, _, end = span.partition("-")
        chosen.append(Region(contig, int(begin) - 1, int(end)))
    wanted = RegionFilter(RegionSet.of(chosen), lambda name: name.decode())
    whole, parts, n_read = whole_and_parts(path, 1 << 14, wanted)
    assert whole
    assert [line for part in parts for line in part] == whole
    told = subprocess.run(
        ["bcftools", "view", "-H", "-r", ",".join(regions), str(path)],
        capture_output=True,
        check=True,
    )
    assert len(told.stdout.splitlines()) == len(whole)
    share = sum(len(region) for region in chosen) / (2 * LENGTH)
    assert n_read < path.stat().st_size * (share + 0.6)
