"""`annotate` in the context of transcripts, from the command line: files, models, refusals."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from toy_models import CHRM, write_toy_model

from phylotools.cli.main import run
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.spliced import packed, spliced_genome

#: Genes of the human mitochondrion, one of them on the reverse strand: contig, start, end, strand.
MT_GENES = {
    "ND1": (3307, 4262, "+"),
    "COX1": (5904, 7445, "+"),
    "ATP8": (8366, 8572, "+"),
    "ATP6": (8527, 9207, "+"),
    "ND6": (14149, 14673, "-"),
}


def gff_of(genes: dict, contig: str = "chrM") -> str:
    rows = (
        f"{contig}\tsource\tCDS\t{start}\t{end}\t.\t{strand}\t0\tID=cds-{name};Parent=rna-{name}\n"
        for name, (start, end, strand) in genes.items()
    )
    return "##gff-version 3\n" + "".join(rows)


@pytest.fixture
def genes(tmp_path: Path) -> Path:
    path = tmp_path / "genes.gff3"
    path.write_text(gff_of(MT_GENES))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("models") / "toy"))


@pytest.fixture
def carrying(tmp_path: Path, genes: Path) -> str:
    """A model that carries the genes, and no genome."""
    spliced = spliced_genome(ReferenceGenome.open(CHRM), str(genes))
    folder = tmp_path / "carrying"
    return str(write_toy_model(folder, reference=None, transcripts=packed(spliced)))


@pytest.fixture
def variants(tmp_path: Path) -> Path:
    """Substitutions in and between genes, an MNV, indels, alleles without a sequence."""
    letters = ReferenceGenome.open(CHRM).letters(Region("chrM", 0, 16569)).decode()
    wanted = [*range(3280, 3330), *range(8360, 8380), *range(8520, 8580), *range(14140, 14160)]
    rows = []
    for place in wanted:
        ref = letters[place - 1]
        rows.append((place, ref, "ACGT"[("ACGT".index(ref) + 1) % 4]))
        if place % 5 == 0:
            rows.append((place, letters[place - 1 : place + 2], ref))
            rows.append((place, ref, ref + "GA"))
            rows.append((place, letters[place - 1 : place + 1], "TG"))
            rows.append((place, ref, "<DEL>"))
    path = tmp_path / "in.vcf"
    lines = [f"chrM\t{p}\t.\t{ref}\t{alt}\t.\t.\t.\n" for p, ref, alt in rows]
    header = "##fileformat=VCFv4.3\n##contig=<ID=chrM,length=16569>\n"
    path.write_text(header + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(lines))
    return path


def annotate(*arguments: object) -> int:
    return run(["annotate", *map(str, arguments), "-@", "1", "-q"])


def records(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def statuses(path: Path) -> set[str]:
    return {line.split("PHYLOGPN_STATUS=")[1].split(";")[0] for line in records(path)}


def test_the_genes_of_a_model_are_its_context_and_no_genome_is_needed(
    variants, carrying, model, genes, tmp_path
):
    alone, both, given, plain = (tmp_path / f"{n}.vcf" for n in ("alone", "both", "given", "plain"))
    assert annotate(variants, "-m", carrying, "-o", alone) == 0
    assert annotate(variants, "-m", carrying, "-f", CHRM, "-o", both) == 0
    options = ("--transcripts", genes, "--outside-transcripts", "skip")
    assert annotate(variants, "-m", model, *options, "-o", given) == 0
    assert records(alone) == records(both) == records(given)
    assert {"ok", "edge_padded", "outside_transcripts", "exon_edge", "symbolic"} <= statuses(alone)
    assert annotate(variants, "-m", carrying, "-f", CHRM, "--no-transcripts", "-o", plain) == 0
    assert annotate(variants, "-m", model, "-o", tmp_path / "model.vcf") == 0
    assert records(plain) == records(tmp_path / "model.vcf")
    assert "TRANSCRIPT" not in plain.read_text()


def test_the_header_names_the_transcripts(variants, carrying, tmp_path):
    output = tmp_path / "out.vcf"
    assert annotate(variants, "-m", carrying, "-o", output) == 0
    text = output.read_text()
    assert "##INFO=<ID=PHYLOGPN_TRANSCRIPT,Number=A,Type=String" in text
    assert 'Transcripts="transcripts.gff3"' in text
    assert "exon_edge" in text
    names = {line.split("PHYLOGPN_TRANSCRIPT=")[1].split(";")[0] for line in records(output)}
    assert names == {"ND1", "ATP8", "ATP6", "ND6", "."}


def test_records_in_random_order_and_of_a_wrong_ref(variants, carrying, tmp_path):
    lines = records(variants)
    wrong = next(row for row in (line.split("\t") for line in lines) if row[1] == "3321")
    wrong[3] = "ACGT"[("ACGT".index(wrong[3]) + 2) % 4]
    header = variants.read_text().split("#CHROM")[0]
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    shuffled = tmp_path / "shuffled.vcf"
    shuffled.write_text(header + columns + "\n".join([*lines[::-1], "\t".join(wrong)]) + "\n")
    assert annotate(variants, "-m", carrying, "-o", tmp_path / "a.vcf") == 0
    assert annotate(shuffled, "-m", carrying, "-o", tmp_path / "b.vcf") == 0
    *others, last = records(tmp_path / "b.vcf")
    assert others[::-1] == records(tmp_path / "a.vcf")
    assert "PHYLOGPN_STATUS=ref_mismatch" in last


def test_a_second_run_replaces_the_transcripts_of_the_first(variants, carrying, tmp_path):
    once, twice, plain = (tmp_path / f"{n}.vcf" for n in ("once", "twice", "plain"))
    assert annotate(variants, "-m", carrying, "-o", once) == 0
    assert annotate(once, "-m", carrying, "-o", twice) == 0
    assert records(once) == records(twice)
    assert annotate(once, "-m", carrying, "-f", CHRM, "--no-transcripts", "-o", plain) == 0
    assert not any("PHYLOGPN_TRANSCRIPT" in line for line in records(plain))


def test_tables_and_bcf_name_the_transcript_too(variants, carrying, tmp_path):
    table, bcf = tmp_path / "in.tsv", tmp_path / "out.bcf"
    rows = ["\t".join(line.split("\t")[k] for k in (0, 1, 3, 4)) for line in records(variants)]
    table.write_text("chrom\tpos\tref\talt\n" + "\n".join(rows) + "\n")
    assert annotate(variants, "-m", carrying, "-o", tmp_path / "out.vcf") == 0
    assert annotate(table, "-m", carrying, "-o", tmp_path / "out.tsv") == 0
    header, *found = (tmp_path / "out.tsv").read_text().splitlines()
    column = header.split("\t").index("PHYLOGPN_TRANSCRIPT")
    expected = [
        line.split("PHYLOGPN_TRANSCRIPT=")[1].split(";")[0].replace(".", "")
        for line in records(tmp_path / "out.vcf")
    ]
    assert {"ND1", "ND6", ""} < set(expected)
    assert [row.split("\t")[column] for row in found] == expected
    assert annotate(variants, "-m", carrying, "-o", bcf) == 0
    assert bcf.stat().st_size > 1000


def test_gzip_and_gtf_are_read_as_well(variants, model, genes, tmp_path):
    packed_genes, gtf = tmp_path / "genes.gff3.gz", tmp_path / "genes.gtf"
    packed_genes.write_bytes(gzip.compress(genes.read_bytes()))
    rows = []
    for name, (start, end, strand) in MT_GENES.items():
        # GTF has the stop codon in a row of its own.
        cds, stop = ((start, end - 3), (end - 2, end))
        if strand == "-":
            cds, stop = ((start + 3, end), (start, start + 2))
        label = f'gene_id "{name}"; transcript_id "{name}";'
        for kind, (first, last) in (("CDS", cds), ("stop_codon", stop)):
            rows.append(f"MT\tsource\t{kind}\t{first}\t{last}\t.\t{strand}\t0\t{label}\n")
    gtf.write_text("".join(rows))
    outputs = []
    for k, path in enumerate((genes, packed_genes, gtf)):
        outputs.append(tmp_path / f"{k}.vcf")
        assert annotate(variants, "-m", model, "--transcripts", path, "-o", outputs[-1]) == 0
    assert records(outputs[0]) == records(outputs[1]) == records(outputs[2])


HOSTILE = {
    "another assembly": (gff_of({n: (s + 101, e + 101, d) for n, (s, e, d) in MT_GENES.items()}),
                         ":2: ", "stop codons within", "another assembly"),
    "the other strand": (gff_of({n: (s, e, "-+"["-+".index(d) - 1])
                                 for n, (s, e, d) in MT_GENES.items()}),
                         ":2: ", "strand is the wrong one"),
    "another contig": (gff_of(MT_GENES, "chr7"), "no transcript is on a contig", "chr7"),
    "beyond its end": (gff_of({"X": (16000, 17000, "+")}), ":2: ", "chrM:17000", "beyond the end"),
    "overlapping parts": (gff_of({"A": (3307, 4262, "+")}) + gff_of({"A": (4000, 4300, "+")}),
                          ":2: ", "parts overlap"),
    "two strands": (gff_of({"A": (3307, 3400, "+")}) + gff_of({"A": (3501, 3600, "-")}),
                    ":2: ", "two strands"),
    "two contigs": (gff_of({"A": (3307, 3400, "+")}) + gff_of({"A": (3501, 3600, "+")}, "chr1"),
                    ":2: ", "two contigs"),
    "no strand": (gff_of({"A": (3307, 3400, ".")}), ":2: ", "without a strand"),
    "no CDS": (gff_of(MT_GENES).replace("\tCDS\t", "\tmRNA\t"), "no row of type CDS", "5 mRNA"),
    "no GFF": ("chrM\t3306\t4262\n", ":1: ", "columns"),
    "empty": ("", "holds no feature"),
    "no position": (gff_of(MT_GENES).replace("3307", "3,307"), ":2: ", "not a position"),
    "ends before it starts": (gff_of({"A": (4000, 3307, "+")}), ":2: ", "span nothing"),
    "binary": (gff_of(MT_GENES) + "\0\0\n", ":7: ", "is no text"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_wrong_file_is_one_clear_line_and_no_output(case, variants, model, tmp_path, capsys):
    text, *expected = HOSTILE[case]
    path = tmp_path / "wrong.gff3"
    path.write_text(text)
    assert annotate(variants, "-m", model, "--transcripts", path, "-o", tmp_path / "out.vcf") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}")
    assert all(part in line for part in expected), line
    assert not (tmp_path / "out.vcf").exists()


def test_usage_that_cannot_be(variants, model, carrying, genes, tmp_path, capsys):
    output = tmp_path / "out.vcf"
    for arguments, words in (
        ((model, "--transcripts", genes, "--no-transcripts"), "exclude each other"),
        ((model, "--transcripts", "-"), "not stdin"),
        ((carrying, "--outside-transcripts", "genome"), "--fasta"),
        ((carrying, "--scores", tmp_path), "--no-transcripts"),
        ((model, "--transcripts", genes, "--genetic-code", "7"), "--genetic-code"),
    ):
        assert annotate(variants, "-o", output, "-m", *arguments) == 2
        assert words in capsys.readouterr().err
    assert annotate(variants, "-o", output, "-m", carrying, "--no-transcripts") == 1
    assert "--fasta" in capsys.readouterr().err


def test_a_parent_of_itself_is_a_transcript_like_any_other(variants, model, tmp_path):
    path = tmp_path / "circle.gff3"
    rows = gff_of(MT_GENES).replace("ID=cds-ND1;Parent=rna-ND1", "ID=rna-ND1;Parent=rna-ND1")
    path.write_text(rows + "chrM\t.\tmRNA\t1\t9\t.\t+\t.\tID=a;Parent=b\n"
                    "chrM\t.\tmRNA\t1\t9\t.\t+\t.\tID=b;Parent=a\n")  # fmt: skip
    assert annotate(variants, "-m", model, "--transcripts", path, "-o", tmp_path / "o.vcf") == 0


def test_the_genetic_code_is_that_of_the_contig_or_the_one_that_is_named(
    variants, model, genes, tmp_path, capsys
):
    options = ("-m", model, "--transcripts", genes, "-o")
    assert annotate(variants, *options, tmp_path / "a.vcf") == 0
    assert annotate(variants, *options, tmp_path / "b.vcf", "--genetic-code", "1") == 1
    assert "give --genetic-code 2 " in capsys.readouterr().err
    assert annotate(variants, *options, tmp_path / "c.vcf", "--genetic-code", "0") == 0
    assert records(tmp_path / "a.vcf") == records(tmp_path / "c.vcf")


def test_few_stop_codons_within_are_a_warning(variants, model, tmp_path, capsys):
    shifted = MT_GENES | {"odd": (5905, 7444, "+")}
    path = tmp_path / "odd.gff3"
    path.write_text(gff_of(shifted))
    assert annotate(variants, "-m", model, "--transcripts", path, "-o", tmp_path / "o.vcf") == 0
    assert "1 of 6 transcripts looked at have a stop codon within, first odd" in (
        shown := capsys.readouterr().err
    )
    assert f"{path}:7" in shown


@pytest.mark.parametrize("name", ["transcripts.gff3", "transcripts.fa"])
def test_damaged_transcripts_of_a_model_are_refused(variants, carrying, name, tmp_path, capsys):
    path = Path(carrying) / name
    text = path.read_text()
    path.write_text(text.replace("A", "C", 1))
    assert annotate(variants, "-m", carrying, "-o", tmp_path / "o.vcf") == 1
    assert f"{name}: wrong checksum" in capsys.readouterr().err
    path.unlink()
    assert annotate(variants, "-m", carrying, "-o", tmp_path / "o.vcf") == 1
    assert f"{name}: the file is missing" in capsys.readouterr().err
    manifest = Path(carrying) / "manifest.json"
    facts = json.loads(manifest.read_text())
    del facts["sha256"][name]
    manifest.write_text(json.dumps(facts))
    assert annotate(variants, "-m", carrying, "-o", tmp_path / "o.vcf") == 1
    assert f"{name} is missing" in capsys.readouterr().err


def test_a_killed_pipe_and_help(variants, carrying):
    """The verb's help stands without torch, and a closed pipe is quiet."""
    shown = subprocess.run(
        ["phylotools", "annotate", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in ("--transcripts", "--transcript-part", "--no-transcripts", "--genetic-code"):
        assert option in shown


def test_training_regions_may_name_transcripts(variants, genes, tmp_path):
    """As those of a model do that was trained on a store of whole coding sequences."""
    (tmp_path / "trained.bed").write_text("ND1\t0\t10\nND6\t500\t525\nelsewhere\t0\t99\n")
    spliced = spliced_genome(ReferenceGenome.open(CHRM), str(genes))
    model = write_toy_model(
        tmp_path / "model",
        reference=None,
        training_regions=tmp_path / "trained.bed",
        transcripts=packed(spliced),
    )
    assert annotate(variants, "-m", model, "-o", tmp_path / "out.vcf") == 0
    trained = set()
    for line in records(tmp_path / "out.vcf"):
        _, position, _, ref, alt = line.split("\t")[:5]
        is_scored = len(ref) == len(alt) == 1 and "PHYLOGPN_LLR=." not in line
        if is_scored and "outside_training" not in line:
            trained.add(int(position))
    # ND6 is on the reverse strand: its last bases are the first ones of the genome there.
    assert trained == {*range(3307, 3317), *range(14149, 14160)}
