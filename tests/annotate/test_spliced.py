"""Alleles in the context of transcripts, against exons that were joined by hand."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from phylotools.annotate.fields import InfoFields
from phylotools.annotate.variants import VariantAnnotator
from phylotools.io.genome import ReferenceGenome
from phylotools.io.spliced import spliced_genome
from phylotools.io.vcf.text import VcfHeader
from phylotools.scoring.scorer import Scorer

HEADER = VcfHeader((b"##fileformat=VCFv4.3",), b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
OTHER_STRAND = str.maketrans("ACGT", "TGCA")
KEYS = ("LLR", "STATUS", "RATE", "ENTROPY")


@dataclass(frozen=True)
class Gene:
    """A transcript: contig, strand, exons (0-based, half-open)."""

    contig: str
    strand: str
    exons: tuple[tuple[int, int], ...]

    @property
    def positions(self) -> list[int]:
        """Positions of the genome in the order of the joined sequence."""
        found = [p for start, end in self.exons for p in range(start, end)]
        return found[::-1] if self.strand == "-" else found


GENES = {
    "one": Gene("chr1", "+", ((60, 110), (150, 191), (240, 330))),
    "two": Gene("chr1", "-", ((60, 110), (160, 191), (200, 230), (240, 300))),
    "three": Gene("chr2", "-", ((20, 29), (40, 90))),
    # A short exon between two: its context is that of three exons.
    "four": Gene("chr1", "+", ((70, 100), (240, 243), (260, 320))),
}


class Case:
    """A genome, its genes as GFF3, and the same joined by hand as a FASTA."""

    def __init__(self, folder: Path) -> None:
        draw = random.Random(5)
        self.genome = {
            name: "".join(draw.choice("ACGT") for _ in range(length))
            for name, length in (("chr1", 400), ("chr2", 120))
        }
        self.fasta, self.gff, self.joined = (folder / n for n in ("g.fa", "t.gff3", "j.fa"))
        self.fasta.write_text("".join(f">{name}\n{seq}\n" for name, seq in self.genome.items()))
        self.sequences = {name: self.spliced(gene) for name, gene in GENES.items()}
        self.joined.write_text("".join(f">{name}\n{s}\n" for name, s in self.sequences.items()))
        rows = [
            f"{gene.contig}\tt\tCDS\t{start + 1}\t{end}\t.\t{gene.strand}\t0\tParent={name}\n"
            for name, gene in GENES.items()
            for start, end in gene.exons
        ]
        self.gff.write_text("##gff-version 3\n" + "".join(rows))

    def spliced(self, gene: Gene) -> str:
        bases = "".join(self.genome[gene.contig][p] for p in gene.positions)
        return bases.translate(OTHER_STRAND) if gene.strand == "-" else bases

    def annotator(self, model, *, transcripts: bool = True, **options) -> VariantAnnotator:
        genome = ReferenceGenome.open(self.fasta)
        if transcripts:
            genome = spliced_genome(genome, str(self.gff), genetic_code=0)
        fields = InfoFields(in_transcripts=transcripts)
        return VariantAnnotator(Scorer(model, genome), HEADER, "v.vcf", fields=fields, **options)

    def by_hand(self, model) -> VariantAnnotator:
        return VariantAnnotator(Scorer(model, ReferenceGenome.open(self.joined)), HEADER, "j.vcf")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def info(annotator: VariantAnnotator, records: list[tuple[str, int, str, str]]) -> list[dict]:
    """INFO of records with a 0-based position."""
    lines = [f"{c}\t{p + 1}\t.\t{r}\t{a}\t.\t.\t.\n".encode() for c, p, r, a in records]
    written = annotator.annotate(list(enumerate(lines, start=1))).lines
    entries = [line.decode().rstrip("\n").split("\t")[7].split(";") for line in written]
    return [
        {key.removeprefix("PHYLOGPN_"): value for key, value in (e.split("=") for e in row)}
        for row in entries
    ]


def all_substitutions(case: Case) -> list[tuple[str, int, str, str]]:
    return [
        (contig, place, base, alt)
        for contig, sequence in case.genome.items()
        for place, base in enumerate(sequence)
        for alt in "ACGT"
        if alt != base
    ]


def test_every_substitution_has_the_worst_number_of_the_exons_joined_by_hand(case, random_model):
    records = all_substitutions(case)
    found = info(case.annotator(random_model), records)
    places = {name: {p: k for k, p in enumerate(gene.positions)} for name, gene in GENES.items()}
    by_hand, owners = [], []
    for number, (contig, place, ref, alt) in enumerate(records):
        for name, gene in GENES.items():
            if gene.contig == contig and place in places[name]:
                alleles = (ref, alt)
                if gene.strand == "-":
                    alleles = tuple(x.translate(OTHER_STRAND) for x in alleles)
                by_hand.append((name, places[name][place], *alleles))
                owners.append((number, name))
    numbers = info(case.by_hand(random_model), by_hand)
    order = list(GENES)
    worst: dict[int, tuple[float, int, dict]] = {}
    for (number, name), values in zip(owners, numbers, strict=True):
        candidate = (float(values["FIXATION"]), order.index(name), values)
        if number not in worst or candidate[:2] < worst[number][:2]:
            worst[number] = candidate
    assert {order[k] for _, k, _ in worst.values()} == set(GENES)
    for number, values in enumerate(found):
        if number in worst:
            _, k, expected = worst[number]
            assert values == {**expected, "TRANSCRIPT": order[k]}
        else:
            assert values["STATUS"] == "outside_transcripts"
            assert {values[key] for key in ("LLR", "RATE", "ENTROPY", "TRANSCRIPT")} == {"."}


def test_outside_the_transcripts_the_genome_may_be_the_context(case, random_model):
    records = all_substitutions(case)
    found = info(case.annotator(random_model, scores_outside=True), records)
    plain = info(case.annotator(random_model, transcripts=False), records)
    outside = [k for k, values in enumerate(found) if values["TRANSCRIPT"] == "."]
    assert 0 < len(outside) < len(records)
    for k in outside:
        assert found[k] == {**plain[k], "TRANSCRIPT": "."}
    inside = set(range(len(records))) - set(outside)
    assert any(found[k]["LLR"] != plain[k]["LLR"] for k in inside)


def test_a_number_depends_on_nothing_else_in_the_file(case, random_model):
    records = all_substitutions(case)
    together = info(case.annotator(random_model), records)
    chosen = list(range(0, len(records), 37))
    backwards = info(case.annotator(random_model), [records[k] for k in chosen[::-1]])
    assert backwards == [together[k] for k in chosen[::-1]]


def changed(case: Case, start: int, end: int, alt: str) -> tuple[str, int, str, str]:
    return ("chr1", start, case.genome["chr1"][start:end], alt)


def other(base: str) -> str:
    return base.translate(OTHER_STRAND)


def test_several_bases_are_scored_where_a_transcript_has_all_that_change(case, random_model):
    first, last = case.genome["chr1"][109], case.genome["chr1"][150]
    inside = changed(case, 100, 103, "".join(other(b) for b in case.genome["chr1"][100:103]))
    over_the_edge = changed(case, 109, 111, "".join(map(other, case.genome["chr1"][109:111])))
    # Both ends of an intron: next to each other in the transcript, far apart in the genome.
    middle = case.genome["chr1"][110:150]
    joined = ("chr1", 109, first + middle + last, other(first) + middle + other(last))
    padded = ("chr1", 109, first + middle[:5], other(first) + middle[:5])
    single = changed(case, 109, 110, other(first))
    values = info(case.annotator(random_model), [inside, over_the_edge, joined, padded, single])
    assert [v["STATUS"] for v in values[:3]] == ["mnv", "exon_edge", "mnv"]
    assert (values[1]["LLR"], values[1]["TRANSCRIPT"]) == (".", ".")
    assert values[2]["TRANSCRIPT"] == "one"
    assert values[3]["LLR"] == values[4]["LLR"] != "."
    gene = case.sequences["one"]
    by_hand = info(
        case.by_hand(random_model),
        [("one", 49, gene[49:51], other(gene[49]) + other(gene[50]))],
    )
    assert by_hand[0]["LLR"] == values[2]["LLR"]


@pytest.mark.parametrize("scores_outside", [False, True])
def test_indels_within_an_exon_are_those_of_the_joined_sequence(case, random_model, scores_outside):
    sequence = case.genome["chr1"]
    starts = (63, 75, 90, 165, 206, 250, 290)
    records = [changed(case, s, s + 1 + n, sequence[s]) for s in starts for n in (1, 2, 4)]
    records += [changed(case, s, s + 1, sequence[s] + "GAT"[:n]) for s in starts for n in (1, 3)]
    annotator = case.annotator(random_model, scores_outside=scores_outside)
    found = info(annotator, records)
    n_scored = 0
    for (_, start, ref, alt), values in zip(records, found, strict=True):
        if values["STATUS"] == "exon_edge":
            assert values["LLR"] == "."
            continue
        candidates = []
        for name, gene in GENES.items():
            whole = any(s <= start and start + len(ref) < e for s, e in gene.exons)
            if gene.contig != "chr1" or not whole:
                continue
            place = {p: k for k, p in enumerate(gene.positions)}
            if gene.strand == "+":
                record = (name, place[start], ref, alt)
            else:
                # Padded on the other side, as the base before it is the one behind it here.
                after = sequence[start + len(ref)]
                turned = [(x[1:] + after)[::-1].translate(OTHER_STRAND) for x in (ref, alt)]
                record = (name, place[start + len(ref)], *turned)
            (one,) = info(case.by_hand(random_model), [record])
            candidates.append((float(one["FIXATION"]), list(GENES).index(name), name))
        lowest = min(candidates)
        assert float(values["FIXATION"]) == pytest.approx(lowest[0], abs=2e-4)
        assert values["TRANSCRIPT"] == lowest[2]
        n_scored += 1
    assert n_scored > len(records) / 2


def test_indels_at_an_edge_say_so_and_outside_they_are_outside(case, random_model):
    sequence = case.genome["chr1"]
    over = changed(case, 105, 115, sequence[105])
    at_the_border = changed(case, 109, 110, sequence[109] + "ACGTTGCAAC")
    intron = changed(case, 120, 123, sequence[120])
    around = changed(case, 195, 235, sequence[195])
    values = info(case.annotator(random_model), [over, at_the_border, intron, around])
    assert [v["STATUS"] for v in values] == [
        "exon_edge",
        "exon_edge",
        "outside_transcripts",
        "exon_edge",
    ]
    assert {v["LLR"] for v in values} == {"."}


def test_alleles_of_a_record_keep_their_own_transcripts(case, random_model):
    records = all_substitutions(case)
    single = info(case.annotator(random_model), records)
    several = [
        (contig, place, base, ",".join(alt for *_, alt in group))
        for (contig, place, base), group in (
            (key, list(rows)) for key, rows in itertools.groupby(records, key=lambda r: r[:3])
        )
    ]
    found = info(case.annotator(random_model), several)
    for k, values in enumerate(found):
        alone = single[3 * k : 3 * k + 3]
        for key in ("LLR", "STATUS", "TRANSCRIPT"):
            assert values[key] == ",".join(v[key] for v in alone)
        if alone[0]["LLR"] != ".":
            lowest = min(alone, key=lambda v: float(v["LLR"]))
            assert values["RATE"] == lowest["RATE"]
            assert values["ENTROPY"] == lowest["ENTROPY"]


def test_a_wrong_ref_has_no_number_in_any_transcript(case, random_model):
    # Where only one transcript lies: elsewhere the worst of two signs are those of two transcripts.
    base = case.genome["chr2"][70]
    wrong, right = ("chr2", 70, other(base), base), ("chr2", 70, base, other(base))
    skipped, expected = info(case.annotator(random_model), [wrong, right])
    assert (skipped["STATUS"], skipped["LLR"]) == ("ref_mismatch", ".")
    (scored,) = info(case.annotator(random_model, on_ref_mismatch="warn"), [wrong])
    assert (scored["STATUS"], scored["TRANSCRIPT"]) == ("ref_mismatch", "three")
    assert float(scored["LLR"]) == pytest.approx(-float(expected["LLR"]), abs=1e-4)
