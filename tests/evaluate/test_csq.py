"""Consequences made of a GFF and a FASTA."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.evaluate.consequences import bcftools_column
from phylotools.evaluate.csq import csq_factors
from phylotools.evaluate.labelled import Variants
from phylotools.io.bases import reverse_complement

EXAMPLES = Path(__file__).parents[2] / "examples"
MTDNA = EXAMPLES / "human_mtdna" / "data"
CODONS = ["".join(codon) for codon in itertools.product("TCAG", repeat=3)]
STANDARD = dict(
    zip(CODONS, "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG", strict=True)
)
SENSE = [codon for codon in CODONS if STANDARD[codon] != "*"]


def variants(rows, contig="chr1"):
    """Of (1-based position, REF, ALT)."""
    return Variants(
        (contig,),
        np.zeros(len(rows), dtype=np.int32),
        np.array([row[0] - 1 for row in rows], dtype=np.int64),
        tuple(row[1] for row in rows),
        tuple(row[2] for row in rows),
    )


def all_snvs(sequence):
    return [
        (place + 1, base, other)
        for place, base in enumerate(sequence)
        for other in "ACGT"
        if base in "ACGT" and other != base
    ]


def write_fasta(path, sequence, name="chr1"):
    path.write_text(f">{name}\n{sequence}\n")
    return str(path)


def gff_lines(rows, contig="chr1"):
    lines = ["##gff-version 3"]
    for kind, start, end, strand, phase, label in rows:
        lines.append(f"{contig}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t{phase}\t{label}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def mitochondrion(tmp_path_factory):
    """GFF3 of the 13 genes, the sequence, and all its SNVs."""
    folder = tmp_path_factory.mktemp("mt")
    rows = []
    for line in (MTDNA / "genes.bed").read_text().splitlines():
        _, start, end, name, _, strand = line.split("\t")
        place = (int(start) + 1, int(end), strand)
        rows.append(("gene", *place, ".", f"ID=gene-{name};Name={name}"))
        rows.append(("CDS", *place, "0", f"ID=cds-{name};Parent=gene-{name};gene={name}"))
    (folder / "mt.gff3").write_text(gff_lines(rows, "NC_012920.1"))
    letters = "".join((MTDNA / "chrM.fa").read_text().split("\n")[1:]).upper()
    return str(folder / "mt.gff3"), str(MTDNA / "chrM.fa"), letters


def bcftools_says(folder, rows, genes, fasta, contig, *options):
    """Consequence and gene of each row by bcftools itself, on a GFF that it takes as it is."""
    lines = [f"{contig}\t{p}\t.\t{ref}\t{alt}\t.\t.\t.\n" for p, ref, alt in rows]
    header = f"##fileformat=VCFv4.2\n##contig=<ID={contig}>\n"
    header += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "in.vcf").write_text(header + "".join(lines))
    child = "import sys, pysam.bcftools as b; b.csq(*sys.argv[1:], catch_stdout=False)"
    arguments = ["-l", "-s", "-", "-f", fasta, "-g", genes, *options, "-o", "out.vcf", "in.vcf"]
    subprocess.run([sys.executable, "-c", child, *arguments], check=True, cwd=folder,
                   capture_output=True)  # fmt: skip
    column, found = bcftools_column(), []
    for line in (folder / "out.vcf").read_text().splitlines():
        if not line.startswith("#"):
            cells = line.split("\t")
            said = column.classify(cells[7].removeprefix("BCSQ="), cells[4], cells[3])
            found.append((said.name.replace(".", "intergenic"), said.gene))
    return found


def test_the_whole_mitochondrion_is_what_bcftools_says(mitochondrion, tmp_path):
    gff, fasta, letters = mitochondrion
    rows = all_snvs(letters)
    consequence, gene = csq_factors(variants(rows, "MT"), gff, fasta)
    genes = []
    for line in (MTDNA / "genes.bed").read_text().splitlines():
        contig, start, end, name, _, strand = line.split("\t")
        place = (int(start) + 1, int(end), strand)
        own = "biotype=protein_coding"
        genes.append(("gene", *place, ".", f"ID=gene:{name};Name={name};{own}"))
        genes.append(("mRNA", *place, ".", f"ID=transcript:{name};Parent=gene:{name};{own}"))
        genes.append(("exon", *place, ".", f"Parent=transcript:{name}"))
        genes.append(("CDS", *place, "0", f"ID=CDS:{name};Parent=transcript:{name}"))
    (tmp_path / "genes.gff3").write_text(gff_lines(genes, contig))
    (tmp_path / "chrM.fa").write_text(Path(fasta).read_text())
    expected = bcftools_says(tmp_path, rows, "genes.gff3", "chrM.fa", contig, "-C", "2")
    found = list(zip(consequence.texts, gene.texts, strict=True))
    differing = [(f, e) for f, e in zip(found, expected, strict=True) if f != e]
    # bcftools calls the bases beyond the last whole codon of a gene introns.
    assert all(f[0] == "coding" and e[0] == "intron" for f, e in differing)
    assert len(differing) < 10
    counts = {name: consequence.texts.count(name) for name in consequence.levels}
    assert counts["missense"] > 20_000
    assert counts["stop_gained"] > 1_000


def test_a_wrong_genetic_code_does_not_pass(mitochondrion):
    gff, fasta, letters = mitochondrion
    rows = all_snvs(letters)[::100]
    with pytest.raises(InputError, match="genetic code 2 would read them"):
        csq_factors(variants(rows, "chrM"), gff, fasta, genetic_code=1)
    other = Path(gff).read_text().replace("NC_012920.1", "chrM")
    Path(gff).with_name("code.gff3").write_text(other.replace(";gene=", ";transl_table=1;gene="))
    with pytest.raises(InputError, match="genetic code 2 would read them"):
        csq_factors(variants(rows, "chrM"), str(Path(gff).with_name("code.gff3")), fasta)


def random_gene(seed, *, is_reverse):
    """A gene of three exons between random bases; its parts, and its coding positions in order."""
    draw = np.random.default_rng(seed)
    bases = draw.choice(list("ACGT"), 400).tolist()
    codons = ["ATG", *draw.choice(SENSE, 28).tolist(), "TAA"]
    coding = [(70, 100), (140, 171), (230, 259)]
    places = [place for start, end in coding for place in range(start, end)]
    letters = "".join(codons)
    if is_reverse:
        letters = reverse_complement(letters.encode()).decode()
    for place, letter in zip(places, letters, strict=True):
        bases[place] = letter
    exons = [(50, 100), (140, 171), (230, 290)]
    return "".join(bases), exons, coding, places[::-1] if is_reverse else places


def written(exons, coding, is_reverse, form):
    strand = "-" if is_reverse else "+"
    lines, done = [], 0
    phases = {}
    for start, end in coding[::-1] if is_reverse else coding:
        phases[start] = -done % 3
        done += end - start
    if form == "gtf":
        label = 'gene_id "G1"; transcript_id "T1"; gene_name "SYMB";'
        for start, end in exons:
            lines.append(f"1\tx\texon\t{start + 1}\t{end}\t.\t{strand}\t.\t{label}")
        for start, end in coding:
            # The stop codon is a row of its own.
            cut = (start + 3, end) if is_reverse else (start, end - 3)
            inner = (
                cut if (start, end) == (coding[0] if is_reverse else coding[-1]) else (start, end)
            )
            lines.append(
                f"1\tx\tCDS\t{inner[0] + 1}\t{inner[1]}\t.\t{strand}\t{phases[start]}\t{label}"
            )
        stop = (
            (coding[0][0], coding[0][0] + 3) if is_reverse else (coding[-1][1] - 3, coding[-1][1])
        )
        lines.append(f"1\tx\tstop_codon\t{stop[0] + 1}\t{stop[1]}\t.\t{strand}\t0\t{label}")
        return "\n".join(lines) + "\n"
    ids = {
        "ensembl": ("gene:G1", "transcript:T1", "Name=SYMB"),
        "ncbi": ("gene-SYMB", "rna-T1", "gene=SYMB"),
    }[form]
    span = f"{exons[0][0] + 1}\t{exons[-1][1]}\t.\t{strand}\t."
    lines.append(f"1\tx\tgene\t{span}\tID={ids[0]};{ids[2]}")
    lines.append(f"1\tx\tmRNA\t{span}\tID={ids[1]};Parent={ids[0]}")
    for start, end in exons:
        lines.append(f"1\tx\texon\t{start + 1}\t{end}\t.\t{strand}\t.\tParent={ids[1]}")
    for start, end in coding:
        lines.append(
            f"1\tx\tCDS\t{start + 1}\t{end}\t.\t{strand}\t{phases[start]}\tID=cds;Parent={ids[1]}"
        )
    return "##gff-version 3\n" + "\n".join(lines) + "\n"


def slow_class(sequence, exons, places, is_reverse, place, alt):
    """The class of one SNV, looked up position by position."""
    distance = min(
        min(abs(place - (exons[k][1] - 1)), abs(place - exons[k + 1][0])) for k in range(2)
    )
    if place in places:
        letters = [sequence[p] for p in places]
        index = places.index(place)
        changed = [*letters[:index], alt, *letters[index + 1 :]]
        if is_reverse:
            swap = str.maketrans("ACGT", "TGCA")
            letters, changed = ("".join(t).translate(swap) for t in (letters, changed))
        at = index // 3 * 3
        before, after = (STANDARD["".join(t[at : at + 3])] for t in (letters, changed))
        if at == 0:
            return "start_lost"
        if before != after:
            return "stop_lost" if before == "*" else "stop_gained" if after == "*" else "missense"
        return "splice_region" if distance < 3 else "synonymous"
    if any(start <= place < end for start, end in exons):
        return "5_prime_utr" if (place < places[0]) != is_reverse else "3_prime_utr"
    if exons[0][0] <= place < exons[-1][1]:
        return "splice_site" if distance <= 2 else "splice_region" if distance <= 8 else "intron"
    return "intergenic"


@pytest.mark.parametrize("form", ["ensembl", "ncbi", "gtf"])
@pytest.mark.parametrize("is_reverse", [False, True])
def test_every_snv_of_a_gene_of_three_exons(tmp_path, form, is_reverse):
    sequence, exons, coding, places = random_gene(3, is_reverse=is_reverse)
    gff = tmp_path / "genes"
    gff.write_text(written(exons, coding, is_reverse, form))
    rows = all_snvs(sequence)
    fasta = write_fasta(tmp_path / "g.fa", sequence)
    consequence, gene = csq_factors(variants(rows), str(gff), fasta)
    expected = [slow_class(sequence, exons, places, is_reverse, p - 1, alt) for p, _, alt in rows]
    differing = [
        (row, found, said)
        for row, found, said in zip(rows, consequence.texts, expected, strict=True)
        if found != said
    ]
    assert not differing
    assert set(gene.texts) == {"SYMB", "."}


def test_indels_and_changes_of_several_bases(tmp_path):
    sequence = "GGGGGGGGGG" + "ATGAAACCCGGGTTTAAACCCTGGTAA" + "GGGGGGGGGG"
    rows = [("CDS", 11, 37, "+", "0", "ID=p1;gene=G")]
    (tmp_path / "g.gff3").write_text(gff_lines(rows))
    asked = [
        (14, "AAA", "A"),
        (13, "GAAA", "G"),
        (20, "G", "GAAA"),
        (20, "G", "GA"),
        (17, "CCC", "TAA"),
        (17, "CC", "CC"),
        (18, "C", "<DEL>"),
        (20, "G", "*"),
        (5, "G", "T"),
    ]
    fasta = write_fasta(tmp_path / "g.fa", sequence)
    consequence, _ = csq_factors(variants(asked), str(tmp_path / "g.gff3"), fasta)
    own = ("frameshift", "inframe", "inframe", "frameshift", "stop_gained")
    assert consequence.texts == (*own, ".", ".", ".", "intergenic")


def test_a_non_coding_transcript_and_overlapping_genes(tmp_path):
    draw = np.random.default_rng(1)
    sequence = "".join(draw.choice(list("ACGT"), 300).tolist())
    rows = [
        ("gene", 21, 200, "+", ".", "ID=gene:N;Name=NC"),
        ("lnc_RNA", 21, 200, "+", ".", "ID=transcript:N;Parent=gene:N"),
        ("exon", 21, 60, "+", ".", "Parent=transcript:N"),
        ("exon", 121, 200, "+", ".", "Parent=transcript:N"),
    ]
    (tmp_path / "g.gff3").write_text(gff_lines(rows))
    asked = [next(row for row in all_snvs(sequence) if row[0] == p) for p in (30, 90, 62, 250)]
    fasta = write_fasta(tmp_path / "g.fa", sequence)
    consequence, gene = csq_factors(variants(asked), str(tmp_path / "g.gff3"), fasta)
    assert consequence.texts == ("non_coding_exon", "intron", "intron", "intergenic")
    assert gene.texts == ("NC", "NC", "NC", ".")


def test_genes_that_say_where_codons_start(tmp_path):
    """As the annotation of viruses by Nextstrain, whose contigs have slashes in their names."""
    gff = EXAMPLES / "dengue" / "data" / "dengue_all.gff3"
    contig = "Reconstructed_root_sequence_of_https_nextstrain_org_dengue/all/genome"
    model = Path(__file__).parents[2] / "models" / "dengue1509"
    letters = "".join((model / "reference.fa").read_text().split("\n")[1:])
    fasta = write_fasta(tmp_path / "g.fa", letters, contig)
    rows = all_snvs(letters)[::50]
    consequence, gene = csq_factors(variants(rows, contig), str(gff), str(fasta))
    assert {"missense", "synonymous", "stop_gained", "intergenic"} <= set(consequence.levels)
    assert {"E", "NS5", "NS1"} <= set(gene.levels)


class TestRefused:
    rows = property(lambda self: [("CDS", 11, 37, "+", "0", "ID=p1;gene=G")])
    sequence = "GGGGGGGGGG" + "ATGAAACCCGGGTTTAAACCCTGGTAA" + "GGGGGGGGGG"

    def asked(self, tmp_path, rows, gff=None, contig="chr1"):
        path = tmp_path / "g.gff3"
        path.write_text(gff or gff_lines(self.rows))
        fasta = write_fasta(tmp_path / "g.fa", self.sequence)
        return csq_factors(variants(rows, contig), str(path), fasta)

    def test_ref_of_another_assembly(self, tmp_path):
        rows = [(20, "A", "T"), (21, "A", "T"), (22, "C", "T")]
        with pytest.raises(InputError, match=r"REF of 3 of 3 variants .*another assembly"):
            self.asked(tmp_path, rows)

    def test_some_refs_are_left_out(self, tmp_path, caplog):
        rows = [(20, "G", "T"), (21, "G", "T"), (22, "C", "T"), (99, "G", "T")]
        rows = [*[(place, self.sequence[place - 1], "N") for place in range(1, 40)], (20, "A", "T")]
        consequence, _ = self.asked(tmp_path, rows)
        assert consequence.texts[-1] == "."
        assert "REF of 1 variant" in caplog.text

    def test_a_contig_that_the_fasta_has_not(self, tmp_path):
        with pytest.raises(InputError, match="none of the variants' contigs"):
            self.asked(tmp_path, [(20, "G", "T")], contig="chr2")

    def test_a_contig_that_the_annotation_has_not(self, tmp_path):
        with pytest.raises(InputError, match=r"no transcript on a contig .*; it has chr7"):
            self.asked(tmp_path, [(20, "G", "T")], gff=gff_lines(self.rows, "chr7"))

    def test_a_transcript_beyond_the_end(self, tmp_path):
        rows = [("CDS", 11, 137, "+", "0", "ID=p1;gene=G")]
        with pytest.raises(InputError, match="beyond the end of that contig"):
            self.asked(tmp_path, [(20, "G", "T")], gff=gff_lines(rows))

    def test_sequences_that_cannot_be_read(self, tmp_path):
        draw = np.random.default_rng(0)
        sequence = "".join(draw.choice(list("ACGT"), 3000).tolist())
        rows = [("CDS", 11, 2410, "+", "0", "ID=p1;gene=G")]
        (tmp_path / "g.gff3").write_text(gff_lines(rows))
        fasta = write_fasta(tmp_path / "g.fa", sequence)
        with pytest.raises(InputError, match="stop codons within"):
            csq_factors(variants(all_snvs(sequence)[:9]), str(tmp_path / "g.gff3"), fasta)

    def test_a_file_that_is_none(self, tmp_path):
        with pytest.raises(InputError, match=r"nine columns|columns where a GFF row"):
            self.asked(tmp_path, [(20, "G", "T")], gff="not a gff\n")
        with pytest.raises(InputError, match="no rows of type CDS or exon"):
            self.asked(
                tmp_path, [(20, "G", "T")], gff=gff_lines([("gene", 1, 9, "+", ".", "ID=g")])
            )

    def test_bcftools_that_takes_too_long(self, tmp_path):
        path = tmp_path / "g.gff3"
        path.write_text(gff_lines(self.rows))
        fasta = write_fasta(tmp_path / "g.fa", self.sequence)
        with pytest.raises(InputError, match="took more than 0 seconds"):
            csq_factors(variants([(20, "G", "T")]), str(path), fasta, timeout=0)


def test_nothing_is_written_beside_the_files_nor_left_behind(tmp_path, monkeypatch):
    scratch, here = tmp_path / "a scratch; folder", tmp_path / "here"
    scratch.mkdir()
    here.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(here)
    (here / "pysam.py").write_text("raise SystemExit('imported from the working folder')")
    gff, fasta = here / "--g.gff3", here / "g file.fa"
    gff.write_text(gff_lines(TestRefused().rows))
    write_fasta(fasta, TestRefused.sequence)
    before = sorted(os.listdir(here))
    consequence, _ = csq_factors(variants([(20, "G", "T")]), gff.name, fasta.name)
    assert consequence.texts == ("missense",)
    assert sorted(os.listdir(here)) == before
    assert not os.listdir(scratch)


@pytest.mark.parametrize("slip", [-1, 1])
def test_a_ribosome_that_slips(tmp_path, slip):
    """A base read twice, or left out, as in coronaviruses and in PEG10."""
    draw = np.random.default_rng(2)
    head = "ATG" + "".join(draw.choice(SENSE, 60).tolist())
    tail = "".join(draw.choice(SENSE, 60).tolist()) + "TAA"
    tail = tail if slip > 0 else head[-1] + tail[1:]
    sequence = "CC" + head + ("A" + tail if slip > 0 else tail[1:]) + "CC"
    middle, end = 2 + len(head), len(sequence) - 2
    rows = [
        ("CDS", 3, middle, "+", "0", "ID=p1;gene=G"),
        ("CDS", middle + 1 + slip, end, "+", "0", "ID=p1;gene=G"),
    ]
    (tmp_path / "g.gff3").write_text(gff_lines(rows))
    fasta = write_fasta(tmp_path / "g.fa", sequence)
    asked = [
        row
        for row in all_snvs(sequence)
        if 5 < row[0] < middle - 9 or middle + 9 < row[0] < end - 3
    ]
    consequence, _ = csq_factors(variants(asked), str(tmp_path / "g.gff3"), fasta)
    for (place, _, alt), found in zip(asked, consequence.texts, strict=True):
        start = 2 if place <= middle else middle + slip
        at = start + (place - 1 - start) // 3 * 3
        codon = sequence[at : at + 3]
        changed = sequence[at : place - 1] + alt + sequence[place : at + 3]
        before, after = STANDARD[codon], STANDARD[changed]
        expected = (
            "stop_gained" if after == "*" else "synonymous" if before == after else "missense"
        )
        assert found == expected, (place, codon, changed)
