"""Files of other projects' tests, odd and broken: right output or one clear line."""

from __future__ import annotations

import bz2
import gzip
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from field_tools import require
from toy_models import write_toy_model

from phylotools.annotate.fields import InfoFields
from phylotools.cli.main import run

DATA = Path(__file__).parents[1] / "data"
VARIANTS = sorted((DATA / "hostile_variants").iterdir())
REGIONS = sorted((DATA / "hostile_regions").iterdir())
FIELDS = InfoFields().keys  # of the toy model
PLAIN = DATA / "vcf_edge_cases" / "plain.vcf"
#: File -> what the one line says.
BROKEN = {
    "bedtools__a_vcfSVtest.vcf": ":2: there is no #CHROM line before the first record; add",
    "bedtools__jim.vcf": ":2: the columns are not separated by tabs; replace the spaces",
    "ebi__v4.3__passed_compressed.vcf.bz2": ": the file is compressed with bzip2; unpack it",
    "ebi__v4.4__body_chrom_001.vcf": ": no record is on a contig of the reference",
    "ebi__v4.4__header_000.vcf": ":2: the header line lacks POS; a VCF has the columns",
    "ebi__v4.4__meta_002.vcf": ":4: there is no #CHROM line",
    "ebi__v4.4__meta_004.vcf": ":3: there is no #CHROM line",
    "ebi__v4.4__passed_empty_vcf.vcf": ": is empty; give a VCF",
    "htslib__index.expected1.vcf": ":1: is neither VCF nor BCF",
    "vcfanno__number-input.vcf": ":2: the columns are not separated by tabs; replace the spaces",
    "vep__windows.vcf": ":1: is neither VCF nor BCF",
}
#: Longest contig made to fit the records; on longer ones most records lie beyond the end.
LONGEST_CONTIG = 3_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("models") / "toy"))


def text_of(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    return bz2.decompress(data) if data[:3] == b"BZh" else data


def records_of(text: bytes) -> list[list[bytes]]:
    lines = text.replace(b"\r\n", b"\n").split(b"\n")
    return [line.split(b"\t") for line in lines if line.strip() and not line.startswith(b"#")]


def write_reference(records: list[list[bytes]], path: Path) -> Path:
    """A genome on which most REF alleles are right."""
    contigs: dict[bytes, np.ndarray] = {b"unused": np.frombuffer(b"ACGT", dtype=np.uint8).copy()}
    rng = np.random.default_rng(1)
    for kept in (False, True):
        for chrom, pos, _, ref, *_ in (record for record in records if len(record) > 4):
            if not pos.isdigit() or re.search(rb"\s", chrom) or not chrom:
                continue
            start, end = int(pos) - 1, int(pos) - 1 + len(ref)
            if kept and start >= 0 and end <= len(contigs[chrom]) and ref.isalpha():
                contigs[chrom][start:end] = list(ref)
            elif not kept:
                length = end + 20 if end < LONGEST_CONTIG else 1000
                if length > len(contigs.get(chrom, b"")):
                    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
                    contigs[chrom] = rng.choice(letters, size=length)
    path.write_bytes(
        b"".join(b">%b\n%b\n" % (name, letters.tobytes()) for name, letters in contigs.items())
    )
    return path


def complaint_of(capfd) -> list[str]:
    text = capfd.readouterr().err
    assert "Traceback" not in text
    assert "internal" not in text
    return text.splitlines()


def without_ours(info: bytes) -> bytes:
    kept = re.sub(rb"(^|;)PHYLOGPN_LLR=[^;]*(;PHYLOGPN_[A-Z_]+=[^;]*)*$", b"", info)
    return kept or b"."


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.name)
def test_variants(model: str, tmp_path: Path, path: Path, capfd) -> None:
    before = records_of(text_of(path))
    fasta = write_reference(before, tmp_path / "genome.fa")
    (tmp_path / "out").mkdir()
    options = ["-m", model, "-f", str(fasta), "--on-ref-mismatch", "warn", "-@", "1", "-q"]
    text, packed = tmp_path / "out" / "x.vcf", tmp_path / "out" / "x.vcf.gz"
    code = run(["annotate", str(path), "-o", str(text), *options])
    complaints = complaint_of(capfd)
    if path.name in BROKEN:
        assert code == 1
        assert len(complaints) == 1
        assert complaints[0].startswith(f"error: {path}{BROKEN[path.name]}")
        assert list((tmp_path / "out").iterdir()) == []
        return
    assert code == 0
    assert all(line.startswith("phylotools: warning: ") for line in complaints)
    after = records_of(text.read_bytes())
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        assert old[:7] + old[8:] == new[:7] + new[8:]
        assert without_ours(new[7]) == (old[7].rstrip(b";") or b".")
        fields = dict(re.findall(rb"PHYLOGPN_(\w+)=([^;]*)", new[7]))
        assert [b"PHYLOGPN_" + key for key in fields] == [key.encode() for key in FIELDS]
        n_alts = old[4].count(b",") + 1
        assert fields[b"LLR"].count(b",") == fields[b"STATUS"].count(b",") == n_alts - 1
    assert run(["annotate", str(path), "-o", str(packed), *options]) == 0
    strip = rb"##phylotools_annotate.*\n"
    assert re.sub(strip, b"", gzip.decompress(packed.read_bytes())) == re.sub(
        strip, b"", text.read_bytes()
    )
    same_to_bcftools(path, text)


def same_to_bcftools(source: Path, output: Path) -> None:
    """bcftools reads the output if it reads the input, and sees the same records."""
    require("bcftools")
    views = []
    for path in (source, output):
        view = ["bcftools", "view", "-H", path]
        views.append(subprocess.run(view, capture_output=True, check=False))
    before, after = views
    if before.returncode != 0:
        return
    assert after.returncode == 0, after.stderr
    rows = [[record.split(b"\t") for record in view.stdout.splitlines()] for view in views]
    for old, new in zip(*rows, strict=True):
        assert old[:7] + old[8:] == new[:7] + new[8:]
        assert without_ours(new[7]) == old[7]


@pytest.mark.parametrize("path", REGIONS, ids=lambda path: path.name)
def test_regions(model: str, tmp_path: Path, path: Path, capfd) -> None:
    """None of them is on the mitochondrion, so that none can be right."""
    output = tmp_path / "x.vcf"
    code = run(["annotate", str(PLAIN), "-m", model, "-R", str(path), "-o", str(output), "-q"])
    errors = [line for line in complaint_of(capfd) if line.startswith("error: ")]
    assert code == 1
    assert len(errors) == 1
    assert str(path) in errors[0]
    assert not output.exists()
