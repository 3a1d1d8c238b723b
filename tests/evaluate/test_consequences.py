"""Consequences read out of what VEP, SnpEff, bcftools and ClinVar write."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.evaluate.consequence_terms import CLASSES, UNRANKED, class_of, severity, worst_term
from phylotools.evaluate.consequences import NOTHING_SAID, Consequence, find_annotation

VEP = (
    "Consequence annotations from Ensembl VEP. Format: Allele|Consequence|IMPACT|SYMBOL|Gene|"
    "Feature_type|Feature|BIOTYPE|HGVSp|Protein_position|Amino_acids"
)


def annotation(column, description="", **others):
    columns = (column, *others)
    found = find_annotation(
        SimpleNamespace(path="x.vcf", columns=columns, descriptions={column: description, **others})
    )
    assert found is not None
    return found


def vep(consequence, *, allele="T", gene="G", feature="T1", **more):
    parts = [allele, consequence, "", gene, "ENSG1", "Transcript", feature, "protein_coding"]
    return "|".join([*parts, more.get("hgvsp", ""), more.get("place", ""), more.get("acids", "")])


def test_the_order_is_that_of_ensembl():
    order = ["transcript_ablation", "splice_acceptor_variant", "splice_donor_variant",
             "stop_gained", "frameshift_variant", "stop_lost", "start_lost", "inframe_insertion",
             "inframe_deletion", "missense_variant", "protein_altering_variant",
             "splice_donor_5th_base_variant", "splice_region_variant", "synonymous_variant",
             "5_prime_UTR_variant", "3_prime_UTR_variant", "non_coding_transcript_exon_variant",
             "intron_variant", "upstream_gene_variant", "downstream_gene_variant",
             "regulatory_region_variant", "intergenic_variant"]  # fmt: skip
    ranks = [severity(term) for term in order]
    assert ranks == sorted(set(ranks))
    assert severity("nonsense_of_a_kind") == UNRANKED
    assert worst_term("intron_variant&splice_donor_variant") == "splice_donor_variant"


@pytest.mark.parametrize(
    ("term", "name"),
    [
        ("missense_variant", "missense"),
        ("missense", "missense"),
        ("synonymous", "synonymous"),
        ("splice_acceptor", "splice_site"),
        ("splice_region_variant", "splice_region"),
        ("5_prime_utr", "5_prime_utr"),
        ("3_prime_UTR_variant", "3_prime_utr"),
        ("inframe_deletion", "inframe"),
        ("disruptive_inframe_insertion", "inframe"),
        ("frameshift", "frameshift"),
        ("intron", "intron"),
        ("intergenic_region", "intergenic"),
        ("non_coding", "non_coding_exon"),
        ("upstream_gene_variant", "upstream"),
        ("what_is_this", "other"),
    ],
)
def test_terms_have_classes(term, name):
    assert class_of(term) == name
    assert name in CLASSES


class TestVep:
    def test_the_most_severe_of_the_transcripts(self):
        terms = "missense_variant&splice_region_variant"
        worst = vep(terms, acids="R/G", place="10/200")
        text = f"{vep('intron_variant', feature='T0')},{worst}"
        found = annotation("CSQ", VEP).classify(text, "T")
        assert found == Consequence("missense", "G", "T1", "R10G", "missense_variant")

    def test_the_parts_may_stand_in_any_order(self):
        column = annotation("vep", "x. Format: 'SYMBOL|Feature|Consequence|HGVSp|Allele'")
        found = column.classify("BRCA2|T9|stop_gained|ENSP9.1:p.Arg10Ter|A", "A")
        assert found == Consequence("stop_gained", "BRCA2", "T9", "p.Arg10Ter", "stop_gained")

    def test_the_gene_has_its_id_where_it_has_no_symbol(self):
        found = annotation("CSQ", VEP).classify(vep("intron_variant", gene=""), "T")
        assert found.gene == "ENSG1"

    @pytest.mark.parametrize(
        ("flags", "name"),
        [
            ("PICK|MANE_SELECT|CANONICAL", "intron"),
            ("IMPACT|MANE_SELECT|CANONICAL", "synonymous"),
            ("IMPACT|STRAND|CANONICAL", "missense"),
            ("IMPACT|STRAND|DISTANCE", "stop_gained"),
        ],
    )
    def test_picked_then_mane_then_canonical_then_all(self, flags, name):
        entries = [
            "T|intron_variant|1||", "T|synonymous_variant||NM_1.2|",
            "T|missense_variant|||YES", "T|stop_gained|||",
        ]  # fmt: skip
        column = annotation("CSQ", f"Format: Allele|Consequence|{flags}")
        # Only what the header calls so is such a flag.
        assert column.classify(",".join(entries), "T").name == name

    @pytest.mark.parametrize(
        ("ref", "alt", "alleles", "own"),
        [
            ("C", "CAG", ["AG", "T"], "AG"),
            ("CA", "C", ["-", "T"], "-"),
            ("CA", "CT", ["-", "T"], "T"),
            ("CAA", "CA", ["A", "-"], "A"),
            ("A", "AA", ["A", "AA"], "A"),
            ("A", "AAA", ["A", "AA"], "AA"),
            ("C", "CA", ["CA", "G"], "CA"),
            ("C", "G", ["CA", "G"], "G"),
            ("A", "G", ["G", "T"], "G"),
        ],
    )
    def test_alleles_as_vep_spells_them(self, ref, alt, alleles, own):
        text = ",".join(
            vep("missense_variant" if each == own else "intron_variant", allele=each)
            for each in alleles
        )
        assert annotation("CSQ", VEP).classify(text, alt, ref).name == "missense"

    def test_trimmed_alleles_are_found_where_there_is_no_doubt(self):
        column = annotation("CSQ", VEP)
        text = f"{vep('missense_variant', allele='T')},{vep('frameshift_variant', allele='-')}"
        assert column.classify(text, "T").name == "missense"
        assert column.classify(text, "C", "CA").name == "frameshift"

    def test_an_allele_that_is_not_there_has_nothing(self):
        text = f"{vep('missense_variant', allele='T')},{vep('intron_variant', allele='G')}"
        assert annotation("CSQ", VEP).classify(text, "A", "C") == NOTHING_SAID

    def test_csq_without_a_format_is_refused(self):
        with pytest.raises(InputError, match="which part of CSQ"):
            annotation("CSQ", "Consequences")


def snpeff(term, allele="T", gene="G", protein="p.Arg10Gly"):
    return "|".join([allele, term, "MODERATE", gene, "ENSG1", "transcript", "T1", "protein_coding",
                     "1/2", "c.28C>G", protein, "28/300", "28/300", "10/100", "", ""])  # fmt: skip


def test_snpeff_has_sixteen_parts():
    column = annotation("ANN", "Functional annotations: 'Allele | Annotation | ...'")
    text = f"{snpeff('upstream_gene_variant', gene='H')},{snpeff('missense_variant')}"
    expected = Consequence("missense", "G", "T1", "p.Arg10Gly", "missense_variant")
    assert column.classify(text, "T") == expected
    text = f"{snpeff('stop_gained', 'TA')},{snpeff('synonymous_variant', 'G')}"
    assert column.classify(text, "G", "T").name == "synonymous"
    assert column.classify(text, "TA", "T").name == "stop_gained"


class TestBcftools:
    column = property(lambda self: annotation("BCSQ", "Local consequence annotation"))

    def test_an_entry(self):
        text = "missense|PER3|ENST1|protein_coding|+|1028M>1028T|7829913T>C,intron|PER3|ENST2|x"
        expected = Consequence("missense", "PER3", "ENST1", "M1028T", "missense")
        assert self.column.classify(text, "C") == expected

    def test_a_star_stands_before_what_follows_a_stop(self):
        text = "*missense&splice_region|G|T|protein_coding|+|3K>3R|9A>G"
        assert self.column.classify(text, "G").term == "missense"

    def test_alleles_are_told_apart_by_their_change(self):
        text = "stop_gained|G|T|p|+|3K>3*|7A>T,synonymous|G|T|p|+|3K|7A>G"
        assert self.column.classify(text, "G", "A").name == "synonymous"
        assert self.column.classify(text, "T", "A").name == "stop_gained"

    def test_a_reference_back_means_what_stands_there(self):
        column = self.column
        text = "missense|G|T|protein_coding|+|9R>9G|25G>A+26C>G"
        assert column.classify(text, "A", "G").protein_change == "R9G"
        assert column.classify("@25", "G", "C") == Consequence(
            "missense", "G", "T", "R9G", "missense"
        )
        assert column.classify("@99999", "G", "C") == NOTHING_SAID


def test_clinvars_molecular_consequence():
    column = annotation("MC", "comma separated list of molecular consequence")
    text = "SO:0001627|intron_variant,SO:0001587|nonsense"
    assert column.classify(text, "T") == Consequence("stop_gained", term="nonsense")


def test_vep_comes_before_the_others():
    assert annotation("CSQ", VEP, ANN="", MC="").column == "CSQ"
    file = SimpleNamespace(path="x", columns=("AF", "GENE"), descriptions={"AF": "Frequency"})
    assert find_annotation(file) is None


@pytest.mark.parametrize("text", ["", ".", None, "|", "||||", ",,,", "a b|c d|e", "@", "*"])
@pytest.mark.parametrize("column", ["CSQ", "ANN", "BCSQ", "MC"])
def test_what_is_no_annotation_says_nothing(column, text):
    found = annotation(column, VEP if column == "CSQ" else "").classify(text, "T")
    assert found.name == "."


@pytest.mark.parametrize("column", ["CSQ", "ANN", "BCSQ", "MC"])
def test_a_hundred_thousand_transcripts_and_long_names(column):
    entry = {"CSQ": vep("intron_variant", gene="G" * 1000), "ANN": snpeff("intron_variant"),
             "BCSQ": "intron|G|T|x", "MC": "SO:1|intron_variant"}[column]  # fmt: skip
    found = annotation(column, VEP if column == "CSQ" else "")
    result = found.classify(",".join([entry] * 100_000), "T")
    assert result.name == "intron"
    assert max(map(len, result)) <= 100
    assert found.classify("T|" + "x" * 10**7, "T").name in (".", "other")


@given(st.text(alphabet="ACGT|,&@*-.>0123456789abc_ ", max_size=80), st.text("ACGT", max_size=3))
def test_any_text_gives_a_class_or_nothing(text, alt):
    for column in ("CSQ", "ANN", "BCSQ", "MC"):
        found = annotation(column, VEP if column == "CSQ" else "")
        assert found.classify(text, alt).name in (*CLASSES, "other", ".")
