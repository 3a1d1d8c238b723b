"""Transcripts out of GFF3 and GTF: which rows make one, and where positions lie in them."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.reading_frame import STOP_CODONS, check_reading_frames
from phylotools.io.regions import Region, RegionSet
from phylotools.io.spliced import (
    ExonIndex,
    PartialGenome,
    SplicedGenome,
    packed,
    placed_transcripts,
    spliced_genome,
)
from phylotools.io.transcripts import Transcripts, read_transcripts


def write(path: Path, *rows: str) -> str:
    """A GFF or GTF of rows whose columns are separated by blanks, the ninth taking the rest."""
    path.write_text("".join("\t".join(row.split(" ", 8)) + "\n" for row in rows))
    return str(path)


def exons_of(found: Transcripts) -> dict[str, tuple[str, str, list[list[int]]]]:
    return {
        name: (found.contigs[k], "+-"[int(found.is_reverse[k])], found.exons(k).tolist())
        for k, name in enumerate(found.names)
    }


def test_rows_of_one_parent_are_one_transcript_in_any_order(tmp_path):
    path = write(
        tmp_path / "t.gff3",
        "chr1 . gene 1 900 . + . ID=gene:G",
        "chr1 . CDS 301 400 . + 2 ID=cds:P;Parent=transcript:T1,transcript:T2",
        "chr1 . mRNA 1 900 . + . ID=transcript:T1;Parent=gene:G",
        "chr1 . exon 1 200 . + . Parent=transcript:T1",
        "chr1 . CDS 101 200 . + 0 ID=cds:P;Parent=transcript:T1",
        "chr1 . CDS 701 750 . - 0 ID=x1;Parent=rna-R",
        "chr1 . CDS 801 810 . - 1 ID=x2;Parent=rna-R",
    )
    found = read_transcripts(path)
    assert exons_of(found) == {
        "T1": ("chr1", "+", [[100, 200], [300, 400]]),
        "T2": ("chr1", "+", [[300, 400]]),
        "R": ("chr1", "-", [[700, 750], [800, 810]]),
    }
    assert found.phases.tolist() == [0, 2, 1]
    assert found.lengths.tolist() == [200, 100, 60]
    assert found.exon_offsets.tolist() == [0, 100, 0, 10, 0]
    assert found.lines.tolist() == [2, 2, 6]
    assert exons_of(read_transcripts(path, "exon")) == {"T1": ("chr1", "+", [[0, 200]])}


def test_children_of_a_gene_are_told_apart_by_their_id(tmp_path):
    """As in NCBI's files of viruses: two products of one gene, one with a ribosome that slips."""
    path = write(
        tmp_path / "t.gff3",
        "NC_1 . gene 266 21555 . + . ID=gene-ORF1ab",
        "NC_1 . CDS 266 13468 . + 0 ID=cds-YP_1;Parent=gene-ORF1ab;transl_table=11",
        "NC_1 . CDS 13468 21555 . + 0 ID=cds-YP_1;Parent=gene-ORF1ab;transl_table=11",
        "NC_1 . CDS 266 13483 . + 0 ID=cds-YP_2;Parent=gene-ORF1ab",
    )
    found = read_transcripts(path)
    assert exons_of(found) == {
        "YP_1": ("NC_1", "+", [[265, 13468], [13467, 21555]]),
        "YP_2": ("NC_1", "+", [[265, 13483]]),
    }
    assert found.genetic_codes.tolist() == [11, 0]
    index = ExonIndex(found, ("NC_1",))
    slip = index.places(np.zeros(3, dtype=np.int64), np.array([13466, 13467, 13468]))
    assert slip.rows.tolist() == [0, 0, 1, 1, 2, 2]
    assert slip.positions.tolist() == [13201, 13201, 13202, 13202, 13204, 13203]


def test_gtf_has_its_stop_codon_apart_maybe_behind_an_intron(tmp_path):
    gtf = write(
        tmp_path / "t.gtf",
        'chr1 . CDS 101 150 . + 0 gene_id "G"; transcript_id "A";',
        'chr1 . stop_codon 151 153 . + 0 gene_id "G"; transcript_id "A";',
        'chr1 . CDS 204 250 . - 0 gene_id "G"; transcript_id "B";',
        'chr1 . stop_codon 201 203 . - 0 gene_id "G"; transcript_id "B";',
        'chr1 . CDS 301 350 . + 0 gene_id "G"; transcript_id "C";',
        'chr1 . stop_codon 351 351 . + 0 gene_id "G"; transcript_id "C";',
        'chr1 . stop_codon 401 402 . + 1 gene_id "G"; transcript_id "C";',
        'chr1 . CDS 501 550 . + 0 gene_id "G"; transcript_id "D";',
        'chr1 . stop_codon 548 550 . + 0 gene_id "G"; transcript_id "D";',
    )
    assert exons_of(read_transcripts(gtf)) == {
        "A": ("chr1", "+", [[100, 153]]),
        "B": ("chr1", "-", [[200, 250]]),
        "C": ("chr1", "+", [[300, 351], [400, 402]]),
        "D": ("chr1", "+", [[500, 550]]),
    }


def test_few_transcripts_that_cannot_be_joined_are_left_out_and_counted(tmp_path, caplog):
    good = [f"chr1 . CDS {k}01 {k}50 . + 0 Parent=good{k}" for k in range(1, 8)]
    path = write(
        tmp_path / "t.gff3", *good, "chr1 . CDS 1 50 . + 0 Parent=bad",
        "chr1 . CDS 20 90 . + 0 Parent=bad", "chr2 . CDS 1 50 . + 0 Parent=worse",
        "chr1 . CDS 1 50 . + 0 Parent=worse", "chr1 . CDS 901 950 . . 0 Parent=lost",
    )  # fmt: skip
    assert read_transcripts(path).names == tuple(f"good{k}" for k in range(1, 8))
    assert f"{path}:8: 1 transcript whose parts overlap left out, first bad" in caplog.text
    assert f"{path}:10: 1 transcript with parts on two contigs left out" in caplog.text
    assert f"{path}:12: 1 transcript without a strand left out" in caplog.text


def test_of_equal_transcripts_the_first_stands_for_all(tmp_path):
    path = write(
        tmp_path / "t.gff3", "chr1 . CDS 1 50 . + 0 Parent=b", "chr1 . CDS 1 50 . + 0 Parent=a",
        "chr1 . CDS 1 50 . - 0 Parent=c",
    )  # fmt: skip
    assert read_transcripts(path).names == ("b", "c")


def test_names_that_would_be_one_keep_their_prefixes(tmp_path):
    path = write(
        tmp_path / "t.gff3", "chr1 . CDS 1 50 . + 0 Parent=rna-X",
        "chr1 . CDS 101 150 . + 0 Parent=gene-X", "chr1 . CDS 201 250 . + 0 Parent=rna-Y",
    )  # fmt: skip
    assert read_transcripts(path).names == ("rna-X", "gene-X", "Y")


def test_names_have_no_blanks_and_are_told_apart(tmp_path):
    path = write(
        tmp_path / "t.gff3", "c . gene 1 9 . + . product=a b", "c . gene 21 29 . + . product=a_b",
        "c . gene 31 39 . + . note=x",
    )  # fmt: skip
    assert read_transcripts(path, "gene").names == ("a_b", "a_b_2", "c:31-39")


@st.composite
def transcript_sets(draw: st.DrawFn) -> dict[str, tuple[str, str, list[list[int]]]]:
    found = {}
    for k in range(draw(st.integers(1, 6))):
        cuts = sorted(draw(st.sets(st.integers(0, 299), min_size=2, max_size=8)))
        exons = [list(pair) for pair in zip(cuts[::2], cuts[1::2], strict=False)]
        found[f"t;{k}"] = (draw(st.sampled_from(["c1", "c2"])), draw(st.sampled_from("+-")), exons)
    return found


def transcripts_of(sets: dict[str, tuple[str, str, list[list[int]]]], path: Path) -> Transcripts:
    rows = [
        f"{contig} . exon {start + 1} {end} . {strand} . Parent={name.replace(';', '%3B')}"
        for name, (contig, strand, exons) in sets.items()
        for start, end in exons
    ]
    return read_transcripts(write(path, *rows), "exon")


def genome_of(seed: int) -> dict[str, str]:
    draw = random.Random(seed)
    return {name: "".join(draw.choice("ACGTN") for _ in range(300)) for name in ("c1", "c2")}


def joined(genome: dict[str, str], contig: str, strand: str, exons: list[list[int]]) -> str:
    text = "".join(genome[contig][start:end] for start, end in exons)
    return text[::-1].translate(str.maketrans("ACGT", "TGCA")) if strand == "-" else text


@given(sets=transcript_sets(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_sequences_places_and_files_are_those_of_a_plain_loop(sets, seed, tmp_path):
    genome = genome_of(seed)
    found = transcripts_of(sets, tmp_path / "t.gff3")
    kept = {name: sets[name] for name in found.names}
    assert exons_of(found) == kept
    reference = ReferenceGenome.from_sequences({n: s.encode() for n, s in genome.items()})
    spliced = SplicedGenome(reference, placed_transcripts(found, reference))
    sequences = {name: joined(genome, *parts) for name, parts in kept.items()}
    assert [spliced.joined(k).decode() for k in range(len(found))] == list(sequences.values())

    index = ExonIndex(spliced.transcripts, ("c1", "c2"))
    contigs, positions = np.repeat([0, 1], 300), np.tile(np.arange(300), 2)
    places = index.places(contigs, positions)
    expected = []
    for row, (contig, position) in enumerate(zip(contigs, positions, strict=True)):
        for k, (own, strand, exons) in enumerate(kept.values()):
            inside = [p for start, end in exons for p in range(start, end)]
            inside = inside[::-1] if strand == "-" else inside
            if own == f"c{contig + 1}" and position in inside:
                expected.append((row, k, inside.index(position)))
    assert list(zip(places.rows, places.transcripts, places.positions, strict=True)) == expected
    touched = index.overlaps(contigs, positions, positions + 1)
    assert np.flatnonzero(touched).tolist() == sorted({row for row, *_ in expected})

    gff, fasta = packed(spliced)
    (tmp_path / "own.gff3").write_text(gff)
    (tmp_path / "own.fa").write_text(fasta)
    again = read_transcripts(tmp_path / "own.gff3", None)
    assert exons_of(again) == kept
    assert again.contig_lengths == {"c1": 300, "c2": 300}
    partial = PartialGenome(ReferenceGenome.open(tmp_path / "own.fa"), again)
    for contig, letters in genome.items():
        known = {p for c, _, exons in kept.values() if c == contig
                 for start, end in exons for p in range(start, end)}  # fmt: skip
        shown = "".join(x if p in known else "N" for p, x in enumerate(letters))
        assert partial.letters(Region(contig, 0, 300)).decode() == shown


@given(sets=transcript_sets(), start=st.integers(0, 40), length=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_regions_of_a_transcript_are_those_of_its_exons(sets, start, length, tmp_path):
    found = transcripts_of(sets, tmp_path / "t.gff3")
    name = found.names[0]
    size = int(found.lengths[0])
    start, end = min(start, size - 1), min(max(start, 1) + length, size)
    contig, strand, exons = sets[name]
    inside = [p for low, high in exons for p in range(low, high)]
    inside = (inside[::-1] if strand == "-" else inside)[start:end]
    regions = RegionSet.of([Region(name, start, end), Region("elsewhere", 0, 9)])
    assert found.in_genome(regions) == RegionSet.of(Region(contig, p, p + 1) for p in inside)


def coding(n_codons: int, stops: tuple[str, ...], seed: int) -> str:
    """A sequence that begins with ATG and has none of some codons."""
    draw = random.Random(seed)
    codons = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    sense = [codon for codon in codons if codon not in stops]
    return "ATG" + "".join(draw.choice(sense) for _ in range(n_codons))


@pytest.mark.parametrize("code", [code for code, stops in STOP_CODONS.items() if stops])
def test_every_genetic_code_reads_its_own(tmp_path, code):
    sequences = {f"g{k}": coding(300, STOP_CODONS[code], k).encode() for k in range(5)}
    rows = [f"{name} . CDS 1 {len(text)} . + 0 ID={name}" for name, text in sequences.items()]
    found = read_transcripts(write(tmp_path / "t.gff3", *rows))
    check_reading_frames(found, lambda k: sequences[f"g{k}"], "g.fa", genetic_code=code)
    # Stops of a code that this one does not have stand within.
    foreign = next(c for c, stops in STOP_CODONS.items() if set(stops) - set(STOP_CODONS[code]))
    with pytest.raises(InputError, match="stop codons within"):
        check_reading_frames(found, lambda k: sequences[f"g{k}"], "g.fa", genetic_code=foreign)


def test_a_phase_is_kept_and_the_last_codon_may_stop(tmp_path, caplog):
    text = "GG" + coding(200, STOP_CODONS[1], 3) + "TAA"
    genome = ReferenceGenome.from_sequences({"c": text.encode()})
    right = write(tmp_path / "a.gff3", f"c . CDS 1 {len(text)} . + 2 Parent=x")
    spliced_genome(genome, right)
    assert "stop codon" not in caplog.text
    wrong = write(tmp_path / "b.gff3", f"c . CDS 1 {len(text)} . + 0 Parent=x")
    with pytest.raises(InputError, match=r"b\.gff3:1: 1 of 1 coding transcript have stop codons"):
        spliced_genome(genome, wrong)


@pytest.mark.parametrize(
    ("fasta", "problem"),
    [
        (">a\nACGT\n>b\nACGTACG\n", "'b'? ?has 7 bases, its parts 8|b has 7 bases"),
        (">a\nACGT\n", "has no sequence of transcript b"),
        (">a\nACGT\n>b\nACCTACGT\n", "disagrees with an earlier one on c:1-8"),
    ],
)
def test_sequences_that_are_not_those_of_their_parts(tmp_path, fasta, problem):
    gff = write(tmp_path / "t.gff3", "c . exon 1 4 . + . ID=a", "c . exon 1 8 . + . ID=b")
    (tmp_path / "own.fa").write_text(fasta)
    with pytest.raises(InputError, match=problem):
        PartialGenome(ReferenceGenome.open(tmp_path / "own.fa"), read_transcripts(gff, "exon"))


def test_a_part_of_gigabases_is_refused_before_room_is_made_for_it(tmp_path):
    gff = write(tmp_path / "t.gff3", "c . exon 1 2000000000 . + . ID=a")
    (tmp_path / "own.fa").write_text(">a\nACGT\n")
    genome = ReferenceGenome.open(tmp_path / "own.fa")
    tracemalloc.start()
    with pytest.raises(InputError, match="a has 4 bases, its parts 2000000000"):
        PartialGenome(genome, read_transcripts(gff, "exon"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


def test_joined_sequences_that_are_kept_are_bounded_in_bytes(tmp_path):
    genome = ReferenceGenome.from_sequences({"c": b"ACGT" * (1 << 20)})
    rows = [f"c . exon {k + 1} {4 << 20} . + . ID=t{k}" for k in range(40)]
    spliced = SplicedGenome(genome, read_transcripts(write(tmp_path / "t.gff3", *rows), "exon"))
    tracemalloc.start()
    for k in range(len(rows)):
        assert len(spliced.joined(k)) == (4 << 20) - k
    assert tracemalloc.get_traced_memory()[0] < 80 << 20
    tracemalloc.stop()


def test_digits_of_other_scripts_are_no_numbers(tmp_path):
    """`str.isdigit` takes superscripts, `int` does not."""
    path = write(tmp_path / "t.gff3", "c . CDS 1 9 . + 0 ID=a;transl_table=²")
    text = Path(path).read_text()
    Path(path).write_text("##sequence-region c 1 ²\n##sequence-region d 1 70\n" + text)
    found = read_transcripts(path)
    assert found.genetic_codes.tolist() == [0]
    assert found.contig_lengths == {"d": 70}


def test_a_byte_order_mark_is_no_text_and_a_blank_is_no_name(tmp_path):
    rows = "c\t.\texon\t1\t9\t.\t+\t.\tID=%20\nc\t.\texon\t1\t8\t.\t+\t.\tID=%09\n"
    (tmp_path / "t.gff3").write_text(rows, encoding="utf-8-sig")
    found = read_transcripts(tmp_path / "t.gff3", "exon")
    assert found.names == ("unnamed", "unnamed_2")
    assert found.contigs == ("c", "c")
