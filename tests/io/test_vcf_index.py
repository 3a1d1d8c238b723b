"""Indexes that are those of a file, and indexes that are not."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from field_tools import require

from phylotools.io.bgzf import BgzfWriter
from phylotools.io.vcf.index import disagreement

CONTIGS = [b"chr2", b"chr1", b"unused", b"HLA:A*01"]
HEADER = "##fileformat=VCFv4.2\n" + "".join(
    f"##contig=<ID={name.decode()},length=300000000>\n" for name in CONTIGS
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
KINDS = ("tbi", "csi", "bcf")


def text_of(seed: int, n: int, names: tuple[str, ...] = ("chr2", "chr1", "HLA:A*01")) -> str:
    draw = random.Random(seed)
    rows = [
        f"{name}\t{position}\t{draw.getrandbits(60)}\tA\tC\t.\t.\t.\n"
        for name in names
        for position in sorted(draw.randint(1, 250_000_000) for _ in range(n))
    ]
    return HEADER + COLUMNS + "".join(rows)


def write(path: Path, text: str, kind: str) -> Path:
    """A file with its index."""
    require("bcftools")
    path.write_text(text)
    output = path.with_suffix(".bcf" if kind == "bcf" else ".vcf.gz")
    flag = "-Ob" if kind == "bcf" else "-Oz"
    subprocess.run(["bcftools", "view", "--no-version", flag, "-o", output, path], check=True)
    option = "-t" if kind == "tbi" else "-c"
    subprocess.run(["bcftools", "index", "-f", option, output], check=True)
    return output


def index_of(path: Path) -> Path:
    return next(path.parent.glob(path.name + ".?[sb]i"))


def verdict(path: Path, contigs: list[bytes] = CONTIGS) -> str | None:
    return disagreement(str(path), str(index_of(path)), contigs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 9000])
def test_the_index_of_a_file(tmp_path: Path, kind: str, n: int) -> None:
    assert verdict(write(tmp_path / "a", text_of(1, n), kind)) is None


def test_an_index_made_by_tabix_of_blocks_of_any_size(tmp_path: Path) -> None:
    require("tabix")
    path = tmp_path / "a.vcf.gz"
    text, draw = text_of(2, 3000).encode(), random.Random(2)
    with open(path, "wb") as raw:
        while text:
            n = draw.choice([1, 50, 500, 20_000])
            writer = BgzfWriter(raw)
            writer.write(text[:n])
            writer.finish()
            text = text[n:]
    subprocess.run(["tabix", "-p", "vcf", path], check=True)
    assert verdict(path) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_of_another_file(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", text_of(1, 3000), kind)
    whole = text_of(1, 3000)
    lines = whole.splitlines(keepends=True)
    others = {
        "longer": "".join([*lines, *(line for line in lines[-1:] for _ in range(50))]),
        "shorter": "".join(lines[:-4000]),
        "empty": HEADER + COLUMNS,
        "other header": "##fileformat=VCFv4.2\n##x=1\n" + whole.partition("\n")[2],
        "other records": text_of(5, 3000),
        "other contigs": text_of(1, 3000, ("chr1", "unused", "HLA:A*01")),
        "fewer contigs": text_of(1, 9000, ("chr1",)),
    }
    for name, text in others.items():
        other = write(tmp_path / "b", text, kind)
        assert verdict(other) is None, name
        shutil.copy(index_of(path), index_of(other))
        assert verdict(other) is not None, name


def test_damage(tmp_path: Path, data: Path) -> None:
    path = write(tmp_path / "a", text_of(1, 300), "csi")
    index = index_of(path)
    for damaged in (b"", b"CSI\1", index.read_bytes()[:40], b"x" * 500):
        index.write_bytes(damaged)
        assert verdict(path) == "it is damaged, or of another kind"
    for name, contigs, expected in (
        ("foreign_tbi/v4.vcf.gz", [b"chrM"], "it does not begin with the first record"),
        ("damaged_csi/g.bcf", [b"chrM"], "it is damaged, or of another kind"),
        ("stale_copied/st.vcf.gz", [b"chrM"], "it leads to places where no record begins"),
    ):
        assert verdict(data / "foreign_indexes" / name, contigs) == expected
