from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from model_folders import draft
from sparse_genomes import write_sparse_fasta

from phylotools.errors import InputError
from phylotools.io.chromosomes import BY_NAME
from phylotools.model.folder import open_model, write_model
from phylotools.model.reference_fasta import set_reference
from phylotools.model.registry import list_models
from phylotools.model.settings import use_model
from phylotools.scoring.choice import Candidate, choose_model, model_folder
from phylotools.scoring.evidence import ContigUse, Evidence, RefAllele

MTDNA = "mammals671-mtdna"
FETCH = "`phylotools model fetch phylogpn --fasta hg38.fa` brings one"
#: Who has the model for hg38 is not told to fetch it.
NO_FETCH = "model phylogpn has chr1 with 248,956,422 bases; name a model with --model"
LIFT = r"lift it over to hg38 first \(bcftools \+liftover, CrossMap or Picard LiftoverVcf\)"


def lengths_of(name: str, prefix: str = "chr", mitochondrion: int = 16569) -> dict[str, int]:
    """Lengths as the header of a file on an assembly has them."""
    nuclear = {prefix + chromosome: n for chromosome, n in BY_NAME[name].lengths.items()}
    return nuclear | {"chrM" if prefix else "MT": mitochondrion}


HG38 = lengths_of("hg38")
HG19 = lengths_of("hg19", mitochondrion=16571)
B37 = lengths_of("hg19", prefix="")
DECOYS = {"chrUn_KI270442v1": 392061, "HLA-A*01:01:01:01": 3503, "chrEBV": 171823}


def records(lengths: dict[str, int], **uses: int) -> Evidence:
    """Evidence of a file that declares contigs and has so many records on each."""
    found = {name.replace("__", ":"): ContigUse(n, 100) for name, n in uses.items()}
    return Evidence("in.vcf", "records", found, lengths)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models").mkdir(parents=True)
    return tmp_path / "cache" / "models"


def add_model(cache: Path, name: str, **facts) -> Path:
    write_model(draft(name=name, facts=facts), cache / name)
    return cache / name


def chosen(evidence: Evidence) -> str:
    """Name of the model that is chosen, or the message of the refusal."""
    try:
        return choose_model(evidence, map(Candidate.of, list_models())).folder.name
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(
    ("evidence", "without", "with_phylogpn"),
    [
        # The mitochondrion alone, whatever the header lists.
        (records(HG38, chrM=9), MTDNA, MTDNA),
        (records(HG38 | DECOYS, chrM=9), MTDNA, MTDNA),
        (records({}, MT=9), MTDNA, MTDNA),
        (records(B37, MT=9), MTDNA, MTDNA),
        (records(lengths_of("hs1"), chrM=9), MTDNA, MTDNA),
        (Evidence("x", "records", {"NC_012920.1": ContigUse(9, 9)}), MTDNA, MTDNA),
        (Evidence("x", "records", {"26": ContigUse(9, 9)}), MTDNA, MTDNA),
        # A genome, or a part of one.
        (records(HG38, chr1=9), FETCH, "phylogpn"),
        (records(HG38, chr1=9, chrX=2, chrM=5), FETCH, "phylogpn"),
        (records({"chr7": HG38["chr7"]}, chr7=1), FETCH, "phylogpn"),
        (records(lengths_of("hg38", prefix=""), **{"1": 9, "MT": 1}), FETCH, "phylogpn"),
        (records({}, chr1=9, chr2=9), FETCH, "phylogpn"),
        (records({}, **{"1": 9, "23": 9}), FETCH, "phylogpn"),
        (Evidence("x", "records", {"NC_000001.11": ContigUse(9, 9)}), FETCH, "phylogpn"),
        (records(HG38 | DECOYS, chr1=6, chrUn_KI270442v1=3, chrEBV=2), FETCH, "phylogpn"),
        # Most records count; where a model has more of them, that one.
        (records(HG38, chrM=6, chr1=5), MTDNA, "phylogpn"),
        (records(HG38, chrM=5, chr1=5), FETCH, "phylogpn"),
        (records(HG38, chrM=5, chr1=6), FETCH, "phylogpn"),
        (
            records(HG38 | DECOYS, chrUn_KI270442v1=9, chr1=8),
            FETCH,
            "no model at hand is made for chrUn_KI270442v1",
        ),
        # Another assembly is named, with what to do.
        (records(HG19, chr1=9), r"is on hg19 \(GRCh37\).*" + LIFT, LIFT),
        (records(HG19, chrM=9), r"is on hg19 \(GRCh37\).*16,571.*has chrM with 16,569", "hg19"),
        (records(B37, **{"1": 9}), r"is on hg19 \(GRCh37\)", r"is on hg19 \(GRCh37\)"),
        (Evidence("x", "records", {"NC_000001.10": ContigUse(9, 9)}), "is on hg19", "is on hg19"),
        (records(lengths_of("hs1"), chr1=9), r"is on hs1 \(T2T-CHM13v2.0\).*" + LIFT, LIFT),
        (records(lengths_of("hg18"), chr1=9), r"is on hg18 \(NCBI36\).*" + LIFT, LIFT),
        (records(lengths_of("mm10"), chr1=9), r"is on mm10 \(GRCm38\).*train one", "is on mm10"),
        (records({"chr1": 5000}, chr1=9), "of no assembly that is known here: name a", NO_FETCH),
        # Other genomes.
        (records({"dengue_all": 10649}, dengue_all=9), "dengue1509", "dengue1509"),
        (records({}, dengue_all=9), "dengue1509", "dengue1509"),
        (records({}, scaffold_1=9), "--contig-aliases.*at hand: ", "--contig-aliases"),
        (
            records({"chrM": 16299}, chrM=9),
            "has chrM with 16,569 bases",
            "has chrM with 16,569 bases",
        ),
        # Nothing to go by.
        (Evidence("no region", "bases", {}), MTDNA, MTDNA),
    ],
)
def test_which_model(cache, evidence, without, with_phylogpn):
    found = chosen(evidence)
    assert found == without or re.search(without, found), found
    add_model(cache, "phylogpn", assembly="hg38")
    found = chosen(evidence)
    assert found == with_phylogpn or re.search(with_phylogpn, found), found


def test_a_whole_fasta_counts_by_its_bases(cache):
    add_model(cache, "phylogpn", assembly="hg38")
    scraps = {f"chrUn_{k}": 1000 for k in range(600)}

    def whole(lengths):
        uses = {name: ContigUse(n, n) for name, n in lengths.items()}
        return Evidence("hg38.fa", "bases", uses, lengths)

    assert chosen(whole(HG38 | scraps)) == "phylogpn"
    assert chosen(whole({"chrM": 16569})) == MTDNA
    assert "is on hg19" in chosen(whole(HG19 | scraps))
    assert "no model at hand" in chosen(whole({"toy": 5000}))


def test_a_file_without_records_wants_no_more_than_there_is(cache, tmp_path):
    uses = {name: ContigUse(n, n) for name, n in HG38.items()}
    evidence = Evidence("in.vcf", "bases", uses, HG38, has_records=False)
    assert chosen(evidence) == MTDNA
    folder = add_model(cache, "phylogpn", assembly="hg38")
    assert chosen(evidence) == MTDNA
    fasta = write_sparse_fasta(tmp_path / "hg38.fa", {"chr21": HG38["chr21"]})
    set_reference(open_model(folder), fasta)
    assert chosen(evidence) == "phylogpn"
    declared = {"foo": ContigUse(1, 1)}
    assert chosen(Evidence("in.vcf", "bases", declared, {}, has_records=False)) == MTDNA


def test_regions_decide_only_where_no_model_is_for_the_file(cache):
    """So that `annotate -r CONTIG`, contig by contig, is by one model."""
    part = Evidence("the part of in.vcf", "regions", {"chrM": ContigUse(1, 9)}, HG38)
    uses = {"chr1": ContigUse(9, 9), "chrM": ContigUse(1, 9)}
    evidence = Evidence("in.vcf", "records", uses, HG38, part=part)
    assert chosen(evidence) == MTDNA
    add_model(cache, "phylogpn", assembly="hg38")
    assert chosen(evidence) == "phylogpn"
    foreign = Evidence("in.vcf", "records", uses, HG19, part=replace(part, lengths=HG19))
    assert "is on hg19" in chosen(foreign)


def test_the_smaller_sequence_wins(cache):
    add_model(cache, "phylogpn", assembly="hg38")
    add_model(cache, "mine", assembly="hg38", contigs=["chr22"])
    assert chosen(records(HG38, chr22=9)) == "mine"
    assert chosen(records(HG38, chr22=9, chr1=1)) == "phylogpn"


def test_two_that_fit_alike_are_both_named(cache):
    add_model(cache, "phylogpn", assembly="hg38")
    add_model(cache, "phylogpn old", assembly="GRCh38.p14")
    said = chosen(records(HG38, chr1=9))
    assert "models phylogpn and phylogpn old fit it equally well; name one with --model" in said
    assert "`phylotools model use phylogpn`" in said
    assert chosen(records(HG38, chrM=9)) == MTDNA


def test_a_damaged_model_keeps_no_other_from_being_used(cache):
    (add_model(cache, "broken", assembly="?") / "reference.fa").write_text("no FASTA")
    add_model(cache, "worse")
    (cache / "worse" / "manifest.json").write_text("{")
    assert chosen(records(HG38, chrM=9)) == MTDNA


# REF alleles

SEQUENCES = {"one": "ACGTTGCAAC" * 30, "two": "TGACCATGGT" * 30}


@pytest.fixture
def two_of_one_name(cache, tmp_path) -> Path:
    """Models `one` and `two`, whose sequences have the same name and length."""
    for name, letters in SEQUENCES.items():
        (tmp_path / f"{name}.fa").write_text(f">c1\n{letters}\n")
        write_model(draft(name=name, facts={}, reference=tmp_path / f"{name}.fa"), cache / name)
    return cache


def alleles(letters: str, n: int, lengths: dict[str, int] | None = None) -> Evidence:
    refs = [RefAllele("c1", k, letters[k : k + 1].encode()) for k in range(n)]
    return Evidence("in.tsv", "records", {"c1": ContigUse(n, n)}, lengths or {}, refs)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("lengths", [{}, {"c1": 300}])
def test_ref_decides_between_models(two_of_one_name, name, lengths):
    assert chosen(alleles(SEQUENCES[name], 200, lengths)) == name
    wrong = bytearray(SEQUENCES[name].encode())
    wrong[:15] = wrong[:15].translate(bytes.maketrans(b"ACGT", b"CGTA"))
    assert chosen(alleles(wrong.decode(), 200, lengths)) == name


def test_too_few_ref_alleles_decide_nothing(two_of_one_name):
    said = chosen(alleles(SEQUENCES["one"], 9))
    assert "models one and two fit it equally well" in said


def test_ref_that_fits_no_model(two_of_one_name):
    said = chosen(alleles("A" * 300, 200))
    assert "REF disagrees with" in said
    assert "in 140 of 200 records: this is another assembly; lift it over" in said


def test_ref_is_not_asked_where_lengths_tell(two_of_one_name):
    """The run itself refuses a file of another assembly, with its own count."""
    (two_of_one_name / "two").rename(two_of_one_name.parent / "away")
    assert chosen(alleles("A" * 300, 200, {"c1": 300})) == "one"
    assert "REF disagrees" in chosen(alleles("A" * 300, 200))


def test_positions_beyond_the_end_exclude(cache, tmp_path):
    for name, n in (("long", 300), ("short", 200)):
        (tmp_path / f"{name}.fa").write_text(f">c1\n{'A' * n}\n")
        write_model(draft(name=name, facts={}, reference=tmp_path / f"{name}.fa"), cache / name)
    ends = {200: "short", 201: "long", 300: "long", 301: "short"}
    for end, name in ends.items():
        assert chosen(Evidence("in.bed", "regions", {"c1": ContigUse(1, end)})) == name


# what goes before the file


def test_the_order_of_who_is_heard(cache, monkeypatch, caplog):
    caplog.set_level("INFO")
    toy = add_model(cache, "toy")
    evidence = records(HG38, chrM=9)
    assert model_folder(None, lambda: evidence).name == MTDNA
    assert f"model {MTDNA} is used: in.vcf is on chrM (16,569 bases)" in caplog.text
    use_model("toy")

    def unasked() -> Evidence:
        raise AssertionError("nobody needs the file")

    assert model_folder(None, unasked) == toy
    assert "model toy is used: `phylotools model use` names it" in caplog.text
    monkeypatch.setenv("PHYLOTOOLS_MODEL", "dengue1509")
    assert model_folder(None, unasked).name == "dengue1509"
    assert "PHYLOTOOLS_MODEL names it" in caplog.text
    caplog.clear()
    assert model_folder("toy", unasked) == toy
    assert caplog.text == ""
