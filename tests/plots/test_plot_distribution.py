from __future__ import annotations

import csv
import gzip

import numpy as np
import pysam
import pytest

from phylotools.errors import InputError, UsageError
from phylotools.plots.alleles import AlleleQuery
from phylotools.plots.distribution import (
    MOST_CLASSES,
    OUTSIDE,
    distribution_table,
    distributions_by_class,
)
from phylotools.plots.distribution_drawing import smooth_density


def by_hand(path, column, score):
    """Score by class, read with htslib."""
    found = {}
    with pysam.VariantFile(str(path)) as source:
        for record in source:
            name = record.info.get(column)
            if name not in (None, "."):
                found.setdefault(name, []).append(record.info[score])
    return found


def test_numbers_are_those_of_an_independent_reading(example):
    path = example / "labelled_snvs.vcf.gz"
    found = distributions_by_class(AlleleQuery(str(path), "PHYLOP"), "CLASS")
    expected = by_hand(path, "CLASS", "PHYLOP")
    assert set(found.tallies) == set(expected)
    for name, values in expected.items():
        tally = found.tallies[name]
        assert tally.n == len(values)
        assert tally.quantiles() == pytest.approx(
            np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]), abs=1e-6
        )
        assert tally.mean == pytest.approx(np.mean(values), abs=1e-6)
    medians = [tally.quantiles([0.5])[0] for tally in found.tallies.values()]
    assert medians == sorted(medians)
    numbers = distribution_table(found, {})
    rows = [dict(zip(numbers.columns, row, strict=True)) for row in numbers.rows]
    assert [row["n"] for row in rows] == [len(expected[row["class"]]) for row in rows]


def test_classes_of_a_table_are_joined_by_variant(example, tmp_path):
    labels = example / "chrM_all_snvs_labels.tsv.gz"
    path = str(example / "labelled_snvs.vcf.gz")
    found = distributions_by_class(AlleleQuery(path, "PHYLOP"), f"{labels}:label")
    assert {n: t.n for n, t in found.tallies.items()} == {"pathogenic": 270, "common": 2636}
    assert found.class_source == "label of chrM_all_snvs_labels.tsv.gz"
    with pytest.raises(UsageError, match="has several columns"):
        distributions_by_class(AlleleQuery(path, "PHYLOP"), str(labels))
    # Alleles are trimmed, and contigs may be spelled otherwise.
    table = tmp_path / "t.tsv"
    table.write_text("chrom\tpos\tref\talt\tclass\nMT\t15\tCA\tCT\tmine\n")
    found = distributions_by_class(AlleleQuery(path, "PHYLOP"), str(table))
    assert {n: t.n for n, t in found.tallies.items()} == {"mine": 1}
    assert found.counts["without_class"] == 2905


def test_names_of_intervals_are_classes(example):
    path = str(example / "labelled_snvs.vcf.gz")
    bed = example / "genes.bed"
    found = distributions_by_class(AlleleQuery(path, "PHYLOP"), str(bed))
    genes = [line.split("\t") for line in bed.read_text().splitlines()]
    with pysam.VariantFile(path) as source:
        positions = [record.start for record in source]
    for gene in genes:
        n = sum(int(gene[1]) <= p < int(gene[2]) for p in positions)
        assert found.tallies[gene[3]].n == n
    inside = sum(found.tallies[gene[3]].n for gene in genes)
    assert found.tallies[OUTSIDE].n == len(positions) - inside > 0


def test_alleles_of_one_record_have_their_own_scores(make_vcf):
    path = make_vcf(["PHYLOGPN_LLR=-1|-3;CLASS=a", "PHYLOGPN_LLR=.;CLASS=a", "PHYLOGPN_LLR=2"])
    found = distributions_by_class(AlleleQuery(path), "CLASS")
    assert found.tallies["a"].sample.tolist() == [-3, -1]
    assert found.counts == {"alleles": 4, "without_score": 1, "without_class": 1}


def test_numbers_that_are_not_finite_are_counted_apart(make_vcf):
    path = make_vcf(["PHYLOGPN_LLR=inf", "PHYLOGPN_LLR=-inf", "PHYLOGPN_LLR=nan"] * 2 + [
        "PHYLOGPN_LLR=0.5"
    ])  # fmt: skip
    found = distributions_by_class(AlleleQuery(path), None)
    assert found.tallies["all"].sample.tolist() == [0.5]
    assert found.counts == {"alleles": 7, "not_finite": 4, "without_score": 2}


def test_only_chooses_and_orders(make_vcf):
    path = make_vcf([f"PHYLOGPN_LLR={n};CLASS={name}" for n, name in enumerate("abcabc")])
    found = distributions_by_class(AlleleQuery(path), "CLASS", only=["c", "a", "x"])
    assert list(found.tallies) == ["c", "a"]
    assert found.counts["of_other_classes"] == 2


def test_where_and_regions_filter(example):
    path = str(example / "labelled_snvs.vcf.gz")
    where = (("GENE", frozenset({"MT-ND1"})),)
    found = distributions_by_class(AlleleQuery(path, "PHYLOP", where=where), "LABEL")
    with pysam.VariantFile(path) as source:
        n = sum(record.info.get("GENE") == "MT-ND1" for record in source)
    assert sum(tally.n for tally in found.tallies.values()) == n > 0


def test_what_the_file_says_of_the_model(make_vcf):
    notes = (
        '##phylotools_annotate=<ID=PHYLOGPN,Version="1",Model="a \\"b\\", c",'
        'Revision="2",Sha256=x>\n'
        '##phylotools_annotate=<ID=OTHER,Version="1",Model="not this",Revision="9">'
    )
    path = make_vcf(["PHYLOGPN_LLR=1;CLASS=a"], header=notes)
    found = distributions_by_class(AlleleQuery(path), "CLASS")
    assert found.made_by["Model"] == 'a "b", c'
    assert (found.made_by["Revision"], found.made_by["Sha256"]) == ("2", "x")


def test_a_table_of_scores_has_its_own_column(tmp_path):
    path = tmp_path / "snv.tsv.gz"
    header = '##phylotools_scores=<Model="m",Revision="3">\n#contig\tpos\tref\talt\tllr\trate\n'
    path.write_bytes(gzip.compress((header + "chr1\t5\tA\tC\t-1.5\t1\n").encode()))
    found = distributions_by_class(AlleleQuery(str(path)), None)
    assert (found.score, found.made_by["Model"]) == ("llr", "m")
    assert found.tallies["all"].sample.tolist() == [-1.5]


def test_more_classes_than_can_be_are_refused(make_vcf):
    path = make_vcf([f"PHYLOGPN_LLR=1;CLASS=c{n}" for n in range(MOST_CLASSES + 1)])
    with pytest.raises(InputError, match="gives more than 256 classes: c0, c1"):
        distributions_by_class(AlleleQuery(path), "CLASS")
    assert distributions_by_class(AlleleQuery(path), "CLASS", only=["c7"]).tallies["c7"].n == 1


@pytest.mark.parametrize(
    ("infos", "classes", "problem"),
    [
        ([], "CLASS", "no allele has a score and a class"),
        (["PHYLOGPN_LLR=.;CLASS=a"], "CLASS", "1 without score"),
        (["PHYLOGPN_LLR=x;CLASS=a"], "CLASS", ":8: 'x' in column 'PHYLOGPN_LLR' is not a number"),
        (["PHYLOGPN_LLR=1"], "LABEL", "neither a column of the file nor another file"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_error(make_vcf, infos, classes, problem):
    with pytest.raises(InputError) as error:
        distributions_by_class(AlleleQuery(make_vcf(infos)), classes)
    assert problem in str(error.value)


def test_a_missing_score_column_lists_those_there_are(make_vcf):
    with pytest.raises(InputError, match=r"no column 'X_LLR'.*--tag; it has PHYLOGPN_LLR, CLASS"):
        distributions_by_class(AlleleQuery(make_vcf([]), tag="X"), None)


def test_memory_is_bounded_however_long_the_file(make_vcf, monkeypatch):
    from phylotools.plots import sampling

    monkeypatch.setattr(sampling.Tally.__init__, "__kwdefaults__", {"size": 100})
    path = make_vcf([f"PHYLOGPN_LLR={n};CLASS=a" for n in range(5000)])
    tally = distributions_by_class(AlleleQuery(path), "CLASS").tallies["a"]
    assert (tally.n, len(tally.sample)) == (5000, 100)
    assert abs(tally.quantiles([0.5])[0] - 2500) < 5 * 5000 * 0.05
    again = distributions_by_class(AlleleQuery(path), "CLASS", seed=1).tallies["a"]
    other = distributions_by_class(AlleleQuery(path), "CLASS", seed=2).tallies["a"]
    assert (again.sample == tally.sample).all()
    assert (other.sample != tally.sample).any()


def test_density_integrates_to_one_and_stays_in_the_range_of_the_sample():
    sample = np.sort(np.random.default_rng(1).normal(size=4000))
    grid, density = smooth_density(sample, (-8.0, 8.0))
    step = grid[1] - grid[0]
    assert density.sum() * step == pytest.approx(1, abs=0.02)
    assert grid[0] >= sample[0] - step
    expected = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    assert np.abs(density - expected).max() < 0.03
    grid, density = smooth_density(np.full(50, 2.0), (-1.0, 3.0))
    assert abs(grid[np.argmax(density)] - 2) < 0.02


def test_example_labels_are_what_the_tests_take_them_for(example):
    with gzip.open(example / "chrM_all_snvs_labels.tsv.gz", "rt") as handle:
        labels = [row["label"] for row in csv.DictReader(handle, delimiter="\t")]
    assert (labels.count("pathogenic"), labels.count("common")) == (270, 2636)
