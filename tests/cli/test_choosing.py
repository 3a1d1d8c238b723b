"""No option for the common case: the verbs choose model and reference by what they are given."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from only_error import only_error
from sparse_genomes import write_sparse_fasta

from phylotools.cli.main import run
from phylotools.io.chromosomes import BY_NAME

pytestmark = pytest.mark.usefixtures("one_thread")
DATA = Path(__file__).parents[1] / "data"
GNOMAD = Path(__file__).parents[2] / "examples/human_mtdna/data/gnomad_v3.1_chrM.vcf.gz"
COMMAND = [sys.executable, "-m", "phylotools"]
#: Where the genome of these tests has letters: whole blocks, as REF is read.
START, N_LETTERS = 4883 * 4096, 4 * 4096
LETTERS = "".join(np.random.default_rng(7).choice(list("ACGT"), size=N_LETTERS))
HEAD = "##fileformat=VCFv4.2\n{}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def declared(name: str, prefix: str = "chr") -> str:
    """Lines of a header."""
    lengths = {prefix + key: n for key, n in BY_NAME[name].lengths.items()}
    return "".join(f"##contig=<ID={key},length={n}>\n" for key, n in lengths.items())


def rows(contig: str = "chr22") -> list[tuple[str, int, str, str]]:
    """Variants of the genome: contig, 1-based position, REF, ALT."""
    places = range(5000, 7000, 97)
    return [(contig, START + k + 1, LETTERS[k], "ACGT"["CGTA".index(LETTERS[k])]) for k in places]


def vcf(contigs: str, contig: str = "chr22") -> str:
    lines = (f"{c}\t{p}\t.\t{ref}\t{alt}\t.\t.\t.\n" for c, p, ref, alt in rows(contig))
    return HEAD.format(contigs) + "".join(lines)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A cache with a small network in the authors' layout, as `phylogpn`, and its genome."""
    place = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHYLOTOOLS_CACHE", str(place))
        (place / "models").mkdir()
        layout = str(DATA / "published_layouts" / "huggingface_layernorm")
        model = str(place / "models" / "phylogpn")
        assert run(["model", "import", layout, "--name", "phylogpn", "-o", model, "-q"]) == 0
        lengths = {"chr21": BY_NAME["hg38"].lengths["21"], "chr22": BY_NAME["hg38"].lengths["22"]}
        fasta = write_sparse_fasta(place / "hg38.fa", lengths, {"chr22": (START, LETTERS)})
        command = ["model", "set-reference", "phylogpn", "--fasta", str(fasta), "-q"]
        assert run(command) == 0
    return place


@pytest.fixture
def workplace(cache, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_command(path: str | Path) -> list[bytes]:
    """Lines of a VCF but the one that says who made it."""
    lines = Path(path).read_bytes().splitlines()
    return [line for line in lines if not line.startswith(b"##phylotools_annotate")]


@pytest.mark.parametrize(
    ("contigs", "contig"),
    [(declared("hg38"), "chr22"), (declared("hg38", ""), "22"), ("", "chr22"), ("", "22")],
)
def test_an_hg38_vcf_needs_no_option(workplace, cache, capsys, contigs, contig):
    Path("in.vcf").write_text(vcf(contigs, contig))
    assert run(["annotate", "in.vcf", "-o", "chosen.vcf"]) == 0
    told = capsys.readouterr().err
    assert "model phylogpn is used: in.vcf is on " + contig in told
    assert "(21 of 21 alleles scored)" in told
    explicit = ["-m", "phylogpn", "-f", str(cache / "hg38.fa"), "-o", "named.vcf", "-q"]
    assert run(["annotate", "in.vcf", *explicit]) == 0
    assert capsys.readouterr().err == ""
    assert without_command("chosen.vcf") == without_command("named.vcf")


@pytest.mark.parametrize("kind", ["gzip", "bcf", "gvcf", "tsv", "csv", "parquet", "pipe"])
def test_every_form_of_input_is_told_and_loses_nothing(workplace, kind, monkeypatch):
    text = vcf(declared("hg38"))
    Path("in.vcf").write_text(text)
    columns = ["CHROM", "POS", "REF", "ALT"]
    match kind:
        case "gzip":
            Path("in.x").write_bytes(gzip.compress(text.encode()))
        case "bcf":
            options = ["-m", "dengue1509", "--tag", "X", "-f", "hg38.fa"]
            Path("hg38.fa").symlink_to(Path(os.environ["PHYLOTOOLS_CACHE"]) / "hg38.fa")
            Path("hg38.fa.fai").symlink_to(Path(os.environ["PHYLOTOOLS_CACHE"]) / "hg38.fa.fai")
            assert run(["annotate", "in.vcf", *options, "-O", "b", "-o", "in.x", "-q"]) == 0
        case "parquet":
            table = pa.table(dict(zip(columns, zip(*rows(), strict=True), strict=True)))
            pyarrow.parquet.write_table(table, "in.x")
        case "gvcf":
            block = "chr22\t{}\t.\t{}\t<NON_REF>\t.\t.\tEND={}\n"
            header = text[: text.index("\nchr22") + 1]
            lines = text[len(header) :].splitlines(keepends=True)
            blocks = [block.format(p + 1, LETTERS[p - START], p + 96) for _, p, _, _ in rows()]
            pairs = zip(lines, blocks, strict=True)
            Path("in.x").write_text(header + "".join(line + each for line, each in pairs))
        case "pipe":
            Path("in.x").write_text(text)
        case _:
            separator = "\t" if kind == "tsv" else ","
            lines = [columns, *(map(str, row) for row in rows())]
            Path("in.x").write_text("".join(separator.join(line) + "\n" for line in lines))
    outputs = []
    for options in ([], ["-m", "phylogpn"]):
        command = [*COMMAND, "annotate", "-" if kind == "pipe" else "in.x", *options, "-q"]
        with open("in.x", "rb") as stdin:
            piped = subprocess.Popen(["cat"], stdin=stdin, stdout=subprocess.PIPE)
            done = subprocess.run(command, stdin=piped.stdout, capture_output=True, check=True)
            piped.communicate()
        lines = done.stdout.splitlines()
        outputs.append([line for line in lines if not line.startswith(b"##phylotools_annotate")])
    assert outputs[0] == outputs[1]
    assert len([line for line in outputs[0] if b"chr22" in line and b"##" not in line]) >= 21 or (
        kind == "parquet"
    )


@pytest.mark.parametrize("text", [HEAD.format(declared("hg38")), HEAD.format("")])
def test_a_file_without_records_needs_no_model_of_its_own(workplace, monkeypatch, text):
    Path("in.vcf").write_text(text)
    assert run(["annotate", "in.vcf", "-o", "a.vcf", "-q"]) == 0
    name = b"phylogpn" if "contig" in text else b"mammals671-mtdna"
    assert b'Model="' + name in Path("a.vcf").read_bytes()
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(workplace / "empty"))
    assert run(["annotate", "in.vcf", "-o", "b.vcf", "-q"]) == 0


def test_the_mitochondrion_keeps_its_model_in_a_large_pipe(workplace):
    done = {}
    for name, options in {"chosen": [], "named": ["-m", "mammals671-mtdna"]}.items():
        command = (
            f"zcat {GNOMAD} | {' '.join(COMMAND)} annotate {' '.join(options)} -q > {name}.vcf"
        )
        done[name] = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], check=True)
    assert without_command("chosen.vcf") == without_command("named.vcf")
    assert len(without_command("chosen.vcf")) > 18_000


def test_embed_plot_and_tracks_choose_by_their_regions(workplace, capsys):
    region = f"chr22:{START + 5001}-{START + 5060}"
    Path("in.bed").write_text(f"chr22\t{START + 5000}\t{START + 5060}\n")
    chosen = "model phylogpn is used: "
    commands = {
        "in.bed": ["embed", "in.bed", "-o", "a.npz"],
        region: ["embed", "-r", region, "-o", "b.npz"],
        f"{region} is on": ["plot", "logo", "-r", region, "-o", "logo"],
        f"{region} is on chr22": ["tracks", "-r", region, "-o", "tracks", "--tracks", "rate"],
        "in.bed is on chr22": ["tracks-init", "-R", "in.bed", "--work", "work"],
    }
    for subject, command in commands.items():
        assert run(command) == 0
        assert chosen + subject in capsys.readouterr().err
    with np.load("a.npz") as first, np.load("b.npz") as second:
        np.testing.assert_array_equal(first["vector"], second["vector"])
    Path("m.bed").write_text("chrM\t3306\t3400\n")
    assert run(["embed", "m.bed"]) == 0
    assert "model mammals671-mtdna is used: m.bed is on chrM" in capsys.readouterr().err


def test_a_fasta_decides_for_tracks_of_a_whole_genome(workplace, cache, capsys):
    assert run(["tracks-init", "--work", "w", "-f", str(cache / "hg38.fa")]) == 0
    assert "model phylogpn is used" in capsys.readouterr().err
    Path("toy.fa").write_text(">toy\nACGT\n")
    assert run(["tracks", "-o", "t", "-f", "toy.fa"]) == 1
    only_error(*capsys.readouterr(), "toy.fa: no model at hand is made for toy (4 bases)")
    assert {path.name for path in workplace.iterdir()} == {"w", "toy.fa"}


@pytest.mark.parametrize(
    ("assembly", "said"),
    [
        ("hg19", ["is on hg19 (GRCh37)", "lift it over", "CrossMap"]),
        ("hs1", ["is on hs1 (T2T-CHM13v2.0)", "bcftools +liftover"]),
        ("mm39", ["is on mm39 (GRCm39)", "phylotools train"]),
    ],
)
def test_another_assembly_is_one_line_that_names_it(workplace, capsys, assembly, said):
    Path("in.vcf").write_text(vcf(declared(assembly), "chr7"))
    assert run(["annotate", "in.vcf", "-o", "out.vcf"]) == 1
    only_error(*capsys.readouterr(), "in.vcf: ", *said)
    assert not Path("out.vcf").exists()


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        (
            declared("hg19"),
            "in.vcf: is on hg19 (GRCh37) by the lengths in its header, and the reference {fasta} "
            "is hg38 (GRCh38): lift the file over to hg38, or give hg19 with --fasta",
        ),
        (
            "##contig=<ID=chr22,length=7>\n",
            "in.vcf: its header says that chr22 has 7 bases, the reference has 50818468: is it "
            "another assembly?",
        ),
    ],
)
def test_another_assembly_is_named_where_the_model_is_given(
    workplace, cache, capsys, lengths, said
):
    Path("in.vcf").write_text(vcf(lengths))
    assert run(["annotate", "in.vcf", "-m", "phylogpn", "-o", "out.vcf", "-q"]) == 0
    fasta = cache / "hg38.fa"
    assert capsys.readouterr().err == f"phylotools: warning: {said.format(fasta=fasta)}\n"


def test_a_header_of_other_lengths_gets_few_warnings(workplace, capsys):
    n_contigs = 12
    lengths = "".join(f"##contig=<ID=c{k},length=7>\n" for k in range(n_contigs))
    genome = "".join(f">c{k}\nACGTACGT\n" for k in range(n_contigs))
    Path("genome.fa").write_text(genome)
    Path("in.vcf").write_text(HEAD.format(lengths) + "c0\t1\t.\tA\tC\t.\t.\t.\n")
    command = ["annotate", "in.vcf", "-m", "phylogpn", "-f", "genome.fa", "-o", "out.vcf", "-q"]
    assert run(command) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 6
    assert warnings[-1].endswith("in.vcf: 7 more contigs of its header have other lengths")


def test_another_assembly_without_a_header_is_told_by_its_bases(workplace, capsys):
    shifted = [(c, p + 1, ref, alt) for c, p, ref, alt in rows()]
    lines = ["\t".join(map(str, row)) + "\n" for row in [("CHROM", "POS", "REF", "ALT"), *shifted]]
    Path("in.tsv").write_text("".join(lines))
    assert run(["annotate", "in.tsv", "-o", "out.tsv"]) == 1
    said = only_error(*capsys.readouterr(), "hg38.fa, the reference of model phylogpn, in ")
    assert "of 21 records: this is another assembly" in said


def test_without_the_model_the_command_that_brings_it_is_named(workplace, monkeypatch, capsys):
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(workplace / "empty"))
    Path("in.vcf").write_text(vcf(declared("hg38")))
    Path("in.bed").write_text("chr22\t5\t9\n")
    fetch = "`phylotools model fetch phylogpn --fasta hg38.fa` brings one"
    for command in (
        ["annotate", "in.vcf", "-o", "o.vcf"],
        ["embed", "in.bed"],
        ["plot", "logo", "-r", "chr22:5-9", "-o", "logo"],
        ["tracks", "-R", "in.bed", "-o", "t"],
    ):
        assert run(command) == 1
        only_error(*capsys.readouterr(), "no model at hand is made for chr22", fetch)
    assert {path.name for path in workplace.iterdir()} == {"in.vcf", "in.bed"}


def test_a_model_that_lacks_its_fasta_names_the_command(workplace, cache, monkeypatch, capsys):
    other = workplace / "cache"
    (other / "models").mkdir(parents=True)
    (other / "models" / "phylogpn").symlink_to(cache / "models" / "phylogpn")
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(other))
    Path("in.vcf").write_text(vcf(declared("hg38")))
    assert run(["annotate", "in.vcf", "-o", "o.vcf"]) == 1
    said = only_error(*capsys.readouterr(), among_others=True)
    assert "`phylotools model set-reference phylogpn --fasta FASTA` has it remembered" in said
    fasta = write_sparse_fasta(workplace / "g.fa", {"chr22": 50818468}, {"chr22": (START, LETTERS)})
    assert run(["model", "set-reference", "phylogpn", "-f", str(fasta)]) == 0
    assert run(["annotate", "in.vcf", "-o", "o.vcf", "-q"]) == 0
    capsys.readouterr()
    fasta.rename("away.fa")
    assert run(["annotate", "in.vcf", "-o", "p.vcf"]) == 1
    only_error(*capsys.readouterr(), "g.fa: the FASTA", "not there any more", among_others=True)
    write_sparse_fasta(fasta, {"chr22": 50818467}, {"chr22": (START, LETTERS)})
    assert run(["annotate", "in.vcf", "-o", "p.vcf"]) == 1
    only_error(*capsys.readouterr(), "g.fa: has other contigs than when", among_others=True)


def test_damaged_settings_matter_only_where_they_are_needed(workplace, monkeypatch, capsys):
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(workplace))
    Path("settings.json").write_text("{")
    text = HEAD.format("") + "chrM\t3308\t.\tT\tC\t.\t.\t.\n"
    Path("in.vcf").write_text(text)
    assert run(["annotate", "in.vcf", "-o", "o.vcf"]) == 1
    only_error(*capsys.readouterr(), "settings.json: is damaged", "mend or delete it")
    assert run(["annotate", "in.vcf", "-m", "mammals671-mtdna", "-o", "o.vcf", "-q"]) == 0
    monkeypatch.setenv("PHYLOTOOLS_MODEL", "mammals671-mtdna")
    assert run(["annotate", "in.vcf", "-o", "p.vcf", "-q"]) == 0
    monkeypatch.setenv("PHYLOTOOLS_MODEL", "nonsense")
    assert run(["annotate", "in.vcf", "-o", "q.vcf"]) == 1
    only_error(*capsys.readouterr(), "no model is called 'nonsense'", "PHYLOTOOLS_MODEL names it")


def test_a_fasta_from_a_pipe_is_read_once(workplace, capsys):
    Path("in.vcf").write_text(HEAD.format("") + "chrM\t3308\t.\tT\tC\t.\t.\t.\n")
    fasta = Path(__file__).parents[2] / "models" / "mammals671-mtdna" / "reference.fa"
    os.mkfifo("pipe.fa")
    writer = threading.Thread(target=lambda: Path("pipe.fa").write_bytes(fasta.read_bytes()))
    writer.start()
    assert run(["annotate", "in.vcf", "-f", "pipe.fa", "-o", "o.vcf"]) == 0
    writer.join()
    assert "1 of 1 alleles scored" in capsys.readouterr().err


def test_choosing_needs_no_torch():
    code = (
        "import sys; from phylotools.scoring.choice import *; "
        "from phylotools.scoring.evidence import region_evidence; "
        "model_folder(None, lambda: region_evidence(['chrM:1-5'])); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
