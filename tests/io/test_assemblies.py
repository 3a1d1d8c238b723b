from __future__ import annotations

import pytest

from phylotools.io.assemblies import (
    assembly_of_text,
    has_nuclear_chromosome,
    recognise,
)
from phylotools.io.chromosomes import ASSEMBLIES, BY_NAME


def name_of(lengths):
    found = recognise(lengths)
    return None if found is None else found.assembly.name


def test_sums_of_the_chromosomes():
    """Bases of the chromosomes, as NCBI's reports of the assemblies give them in one number."""
    sums = {name: sum(assembly.lengths.values()) for name, assembly in BY_NAME.items()}
    assert sums == {
        "hg38": 3088269832,
        "hg19": 3095677412,
        "hg18": 3080419480,
        "hs1": 3117275501,
        "mm39": 2723414844,
        "mm10": 2725521370,
    }


@pytest.mark.parametrize("prefix", ["chr", ""])
@pytest.mark.parametrize("assembly", ASSEMBLIES, ids=lambda assembly: assembly.name)
def test_each_is_recognised_by_all_and_by_one(assembly, prefix):
    lengths = {prefix + name: length for name, length in assembly.lengths.items()}
    found = recognise(lengths)
    assert found == (assembly, len(lengths), 0)
    assert recognise(lengths | {"chrM": 16569, "chrUn_1": 5, "HLA-A*01": 3}) == found
    for name, length in lengths.items():
        assert name_of({name: length}) == assembly.name


def test_lengths_are_of_one_assembly_each():
    seen = [(name, length) for assembly in ASSEMBLIES for name, length in assembly.lengths.items()]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    "lengths",
    [
        {},
        {"chrM": 16569},
        {"MT": 16569},
        {"chr1": None, "chr2": None},
        {"chr1": 248956421},
        {"chr1": 248956422, "chr2": 1},
        {"dengue": 10649},
        {"chr1": 249250621, "chr2": 242193529},
        {"NC_000001.11": 249250621},
    ],
)
def test_what_says_nothing_or_both(lengths):
    assert name_of(lengths) is None


def test_most_chromosomes_decide():
    mixed = BY_NAME["hs1"].lengths | {"Y": BY_NAME["hg38"].lengths["Y"]}
    assert recognise(mixed) == (BY_NAME["hs1"], 23, 1)


def test_accessions_name_their_assembly():
    assert name_of({"NC_000001.11": None}) == "hg38"
    assert name_of({"NC_000001.10": None, "NC_012920.1": None}) == "hg19"
    assert name_of({"CM000684.2": 50818468}) == "hg38"
    assert name_of({"NC_000001.10": 249250621}) == "hg19"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hg38", "hg38"),
        ("hg38 chrM (rCRS, NC_012920.1)", "hg38"),
        ("hg38, coding sequence", "hg38"),
        ("GRCh38.p14", "hg38"),
        ("human b37", "hg19"),
        ("T2T-CHM13v2.0", "hs1"),
        ("CHM13v2.0", "hs1"),
        ("GRCm39", "mm39"),
        ("dengue virus, Nextstrain dengue/all", None),
        ("", None),
    ],
)
def test_assemblies_in_words(text, name):
    found = assembly_of_text(text)
    assert (found and found.name) == name


def test_nuclear_names():
    assert has_nuclear_chromosome(["chrM", "7"])
    assert has_nuclear_chromosome(["NC_000007.14"])
    assert not has_nuclear_chromosome(["chrM", "MT", "dengue_all", "chr1_random"])
