from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from model_folders import draft
from sparse_genomes import write_sparse_fasta

from phylotools.errors import InputError, UsageError
from phylotools.io.chromosomes import BY_NAME
from phylotools.model.folder import open_model, write_model
from phylotools.model.reference_fasta import set_reference
from phylotools.model.settings import reference_of

HG38 = {f"chr{name}": length for name, length in BY_NAME["hg38"].lengths.items()}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models").mkdir(parents=True)
    return tmp_path / "cache"


def model(cache, **facts):
    write_model(draft(facts={"licence": "CC0", **facts}), cache / "models" / "m")
    return open_model(cache / "models" / "m")


@pytest.mark.parametrize(
    "lengths",
    [
        HG38,
        {"chr21": HG38["chr21"]},
        {name.removeprefix("chr"): length for name, length in HG38.items()},
        HG38 | {"chrM": 16569, "chr1_KI270706v1_random": 175055, "chrEBV": 171823},
        {"NC_000021.9": HG38["chr21"]},
    ],
)
def test_its_own_assembly_is_remembered(cache, tmp_path, lengths, caplog):
    fasta = write_sparse_fasta(tmp_path / "hg38.fa", lengths)
    loaded = model(cache, assembly="GRCh38.p14")
    with pytest.raises(InputError, match=r"does not ship.*set-reference m --fasta"):
        loaded.choose_reference(None)
    set_reference(loaded, fasta)
    assert reference_of("m") == fasta
    assert loaded.choose_reference(None) == str(fasta)
    assert loaded.choose_reference("other.fa") == "other.fa"
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ({f"chr{name}": n for name, n in BY_NAME["hg19"].lengths.items()}, r"is hg19 \(GRCh37\)"),
        ({"22": 51304566}, r"is hg19 \(GRCh37\)"),
        (BY_NAME["hs1"].lengths, r"is hs1 \(T2T-CHM13v2.0\)"),
        (BY_NAME["mm10"].lengths, r"is mm10 \(GRCm38\)"),
        (HG38 | {"chr3": 198295558}, "is not quite that"),
    ],
)
def test_another_assembly_is_refused(cache, tmp_path, lengths, said):
    fasta = write_sparse_fasta(tmp_path / "x.fa", lengths)
    with pytest.raises(InputError, match=said + r".*made for hg38 \(GRCh38\); give a FASTA of"):
        set_reference(model(cache, assembly="hg38"), fasta)
    assert reference_of("m") is None


def test_an_unknown_assembly_is_doubted(cache, tmp_path, caplog):
    fasta = write_sparse_fasta(tmp_path / "x.fa", {"chr1": 1000})
    set_reference(model(cache, assembly="hg38"), fasta)
    assert "no chromosome has the length that it has in hg38" in caplog.text
    assert reference_of("m") == fasta


def test_contigs_of_the_manifest_count_where_no_assembly_is_known(cache, tmp_path, caplog):
    loaded = model(cache, assembly="my virus", contigs=["segment_1", "segment_2"])
    with pytest.raises(InputError, match=r"no contig that model toy was trained on \(segment_1"):
        set_reference(loaded, write_sparse_fasta(tmp_path / "x.fa", {"chr1": 1000}))
    set_reference(loaded, write_sparse_fasta(tmp_path / "y.fa", {"segment_2": 1000}))
    assert caplog.text == ""
    assert reference_of("m") == tmp_path / "y.fa"


def test_a_model_that_ships_its_sequence_needs_none(cache, tmp_path):
    (tmp_path / "ref.fa").write_text(">chrM\nACGT\n")
    write_model(draft(reference=tmp_path / "ref.fa"), cache / "models" / "m")
    with pytest.raises(UsageError, match="ships its sequence"):
        set_reference(open_model(cache / "models" / "m"), tmp_path / "ref.fa")


def test_what_cannot_be_read_by_region(cache, tmp_path):
    loaded = model(cache)
    with gzip.open(tmp_path / "x.fa.gz", "wb") as handle:
        handle.write(b">chrM\nACGT\n")
    with pytest.raises(InputError, match=r"is gzip.*bgzip"):
        set_reference(loaded, tmp_path / "x.fa.gz")
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "absent.fa", "."):
        with pytest.raises(InputError):
            set_reference(loaded, tmp_path / name)
    assert reference_of("m") is None


def test_a_long_genome_without_index_is_scanned_each_time(cache, tmp_path, caplog):
    fasta = tmp_path / "x.fa"
    with fasta.open("wb") as handle:
        handle.write(b">chrZ\n" + b"A" * 100_000_001 + b"\n")
    set_reference(model(cache), fasta)
    assert "samtools faidx" in caplog.text
