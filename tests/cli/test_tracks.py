"""`phylotools tracks` and its stages at the shell."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyBigWig
import pysam
import pytest
from only_error import only_error
from waiting import PATIENCE, held, wait_until

from phylotools.cli.main import run
from phylotools.cli.tracks import TRACKS
from phylotools.tracks.catalogue import TRACK_NAMES

#: No model is made for the genomes that these tests make up.
OF = ["-m", "mammals671-mtdna"]
COMMAND = [sys.executable, "-m", "phylotools"]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("g.fa").write_text(">chr1\nACGTNacgtRACGT\n>chr2 two\nTTGACA\n>chrX:1\nGATTACA\n")
    return tmp_path


def positions(path: str) -> list[tuple[str, int, int]]:
    """Intervals that a bigWig has values in."""
    found: list[tuple[str, int, int]] = []
    with pyBigWig.open(path) as track:
        for contig in track.chroms():
            for start, end, _ in track.intervals(contig) or ():
                if found and found[-1][0] == contig and found[-1][2] == start:
                    start = found.pop()[1]
                found.append((contig, start, end))
    return found


def test_the_shipped_model_needs_no_option_but_the_output(workplace, capsys):
    assert run(["tracks", "-o", "out", "--summary-json", "s.json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    *_, warning, last = captured.err.splitlines()
    assert "5252 of 16569 positions lie outside the regions that model" in warning
    assert "out: " in last
    assert "positions/s" in last
    names = {path.name for path in Path("out").iterdir()}
    assert {
        "llr_mean.bw", "llr_min.bw", "rate.bw", "entropy.bw", "snv_scores.tsv.gz",
        "snv_scores.tsv.gz.tbi", "chrom.sizes", "tracks.json", "trained_regions.bed.gz",
        "hub.txt", "igv.html", "config.json",
        *(f"{group}_{base}.bw" for group in ("log_probability", "logo") for base in "ACGT"),
    } <= names  # fmt: skip
    summary = json.loads(Path("s.json").read_text())
    assert (summary["positions"], summary["sites"]) == (16569, 16568)
    assert set(summary["files"]) == names
    # rCRS has one N, at 3107.
    assert positions("out/rate.bw") == [("chrM", 0, 3106), ("chrM", 3107, 16569)]
    assert Path("out/chrom.sizes").read_text() == "chrM\t16569\n"
    assert {path.name for path in Path().iterdir()} == {"g.fa", "out", "s.json"}
    assert run(["tracks", "-o", "out"]) == 1
    assert "--force" in only_error(*capsys.readouterr(), among_others=True)
    assert run(["tracks", "-o", "out", "--force", "-q", "-r", "MT:1-10", "--tracks", "rate"]) == 0
    assert positions("out/rate.bw") == [("chrM", 0, 10)]
    assert not Path("out/entropy.bw").exists()


@pytest.mark.parametrize(
    ("assembly", "title"),
    [("mm39", "mammals671-mtdna on mm39"), ("mammals671-mtdna", "mammals671-mtdna")],
)
def test_the_title_says_model_and_assembly_once(workplace, assembly, title):
    arguments = ["tracks", "-o", "out", "-q", "-r", "MT:1-10", "--tracks", "rate"]
    assert run([*arguments, "--assembly", assembly]) == 0
    assert f'"{title}"' in Path("out/igv.html").read_text() + Path("out/config.json").read_text()


def test_annotate_writes_the_same_numbers(workplace):
    more = ["--score", "rate-to-alt", "--score", "fitness"]
    assert (
        run(["tracks", "-o", "out", "-q", "-r", "chrM:3300-3400", "--tracks", "none", *more]) == 0
    )
    assert not list(Path("out").glob("*.bw"))
    text = gzip.decompress(Path("out/snv_scores.tsv.gz").read_bytes()).decode()
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    (names,) = [line.split("\t")[4:] for line in text.splitlines() if line.startswith("#contig")]
    assert {"llr", "fitness", "rate_to_alt"} <= set(names)
    assert len(rows) == 303
    lines = [f"{c}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for c, pos, ref, alt, *_ in rows]
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    Path("all.vcf").write_text(head + "".join(lines))
    assert run(["annotate", "all.vcf", "-q", "-o", "scored.vcf", *more]) == 0
    found = []
    for line in Path("scored.vcf").read_text().splitlines():
        if line.startswith("#"):
            continue
        contig, pos, _, ref, alt, _, _, info = line.split("\t")
        fields = dict(entry.split("=") for entry in info.split(";"))
        numbers = (fields[f"PHYLOGPN_{name.upper()}"] for name in names)
        found.append([contig, pos, ref, alt, *numbers])
    assert found == rows


def test_tabix_reads_the_table_and_the_regions(workplace):
    assert run(["tracks", "-o", "out", "-q"]) == 0
    with pysam.TabixFile("out/snv_scores.tsv.gz") as table:
        rows = [line.split("\t") for line in table.fetch(region="chrM:3400-3401")]
    assert [row[1] for row in rows] == ["3400"] * 3 + ["3401"] * 3
    assert all(row[3] != row[2] for row in rows)
    with pysam.TabixFile("out/trained_regions.bed.gz") as regions:
        found = list(regions.fetch(region="chrM:4260-4473"))
    assert found == ["chrM\t3306\t4260", "chrM\t4472\t5510"]


def test_long_contigs_get_the_other_kind_of_index(workplace, monkeypatch):
    monkeypatch.setattr("phylotools.io.position_index.encoding._LONGEST_TBI", 16569)
    assert run(["tracks", "-o", "out", "-q", "-r", "chrM:3301-3310"]) == 0
    assert Path("out/snv_scores.tsv.gz.csi").exists()
    assert Path("out/trained_regions.bed.gz.csi").exists()
    assert not list(Path("out").glob("*.tbi"))


@pytest.mark.usefixtures("small_units")
def test_stages(workplace, capsys):
    base = ["--tracks", "rate,logo", "--no-snv-table", "-f", "g.fa", *OF]
    assert run(["tracks-init", *base, "--work", "w", "--partition-size", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "3\n"
    assert "w: 3 partitions, 27 positions" in captured.err
    assert run(["tracks-finalise", "w", "-o", "out"]) == 1
    assert "3 of 3 partitions are missing: 0, 1, 2; run `phylotools tracks-partition`" in (
        only_error(*capsys.readouterr(), among_others=True)
    )
    assert run(["tracks-partition", "w", "2", "0", "-@", "1"]) == 0
    assert run(["tracks-partition", "w", "3"]) == 2
    # From another folder, too: what the plan names is absolute.
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    assert run(["tracks-partition", "../w", "1", "2"]) == 0
    os.chdir("..")
    assert run(["tracks-finalise", "w", "-o", "out", "--assembly", "mm39", "-q"]) == 0
    # R and N are no bases.
    assert positions("out/rate.bw") == [
        ("chr1", 0, 4), ("chr1", 5, 9), ("chr1", 10, 14), ("chr2", 0, 6), ("chrX:1", 0, 7),
    ]  # fmt: skip
    assert "genome mm39" in Path("out/hub.txt").read_text()
    assert Path("w/plan.json").exists()


def test_options_agree_with_the_catalogue():
    assert TRACKS == TRACK_NAMES


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--tracks", "rates"], 2, "there is no track 'rates'; there are llr_mean, "),
        (["--tracks", "rate,"], 2, "there is no track ''; there are llr_mean"),
        (["--tracks", "none", "--no-snv-table"], 2, "neither a track nor the table is asked for"),
        (["-r", "chr9"], 1, "'chr9' names the unknown contig chr9; .* known: chr1, chr2"),
        (["-r", "chr9:1-5"], 1, "'chr9:1-5' names the unknown contig chr9"),
        (["-r", "chr1:20-30"], 1, "'chr1:20-30' is empty or lies outside the contig"),
        (["-r", "chr1:5-5"], 1, "g.fa: no position of the regions has A, C, G or T"),
        (["-R", "absent.bed"], 1, "absent.bed: cannot read"),
        (["-f", "absent.fa"], 1, "absent.fa: cannot read"),
        (["-f", "-"], 2, "give a regular file"),
        (["-m", "absent"], 1, "no model is called 'absent'"),
        (["--trained-only"], 1, "none of the regions is one that model"),
        (["--work", "out"], 2, "--work must not be -o, nor lie in it"),
        (["--work", "./out/w"], 2, "--work must not be -o, nor lie in it"),
        (["--summary-json", "-"], 2, "--summary-json needs the name of a file"),
        (["--device", "cuda:99"], 2, "there is no device 'cuda:99' here"),
        (["--precision", "float16"], 2, "precision float16 needs a CUDA device"),
    ],
)
def test_what_cannot_be_is_one_line(workplace, capsys, options, code, message):
    assert run(["tracks", "-o", "out", *OF, "-f", "g.fa", "--device", "cpu", *options]) == code
    assert re.search(message, only_error(*capsys.readouterr(), among_others=True))
    assert {path.name for path in workplace.iterdir()} == {"g.fa"}


@pytest.mark.parametrize(
    ("bed", "message"),
    [
        ("", "x.bed: holds no interval"),
        ("# nothing\ntrack name=x\n", "x.bed: holds no interval"),
        ("chr1\t5\t5\n", "x.bed: holds no interval"),
        ("chr1\t5\t2\n", "x.bed:1: end 2 lies before start 5"),
        ("chr1\t1\n", "x.bed:1: fewer than three columns"),
        ("chr1\t1\t5\nchr1\t-1\t5\n", "x.bed:2: "),
        (
            "chr1\t1\t15\n",
            "x.bed: chr1:2-15 does not lie within its contig, which has 14 bases in ",
        ),
        ("chr7\t1\t5\n", "g.fa, which has chr1, chr2, chrX:1; the regions are on chr7; "),
        ("chr1\t1\t99999999999999999999\n", "x.bed:1: "),
    ],
)
def test_region_files_that_cannot_be_are_one_line(workplace, capsys, bed, message):
    Path("x.bed").write_text(bed)
    assert run(["tracks", "-o", "out", *OF, "-f", "g.fa", "-R", "x.bed"]) == 1
    assert message in only_error(*capsys.readouterr(), among_others=True)
    assert {path.name for path in workplace.iterdir()} == {"g.fa", "x.bed"}


def test_regions_on_contigs_that_are_not_there_are_counted(workplace, capsys):
    Path("x.bed").write_text("chr1\t1\t3\nchr7\t1\t5\nchr8\t1\t5\n")
    assert run(["tracks", "-o", "out", *OF, "-f", "g.fa", "-R", "x.bed"]) == 0
    assert "2 of 3 regions left out: they are on chr7, chr8" in capsys.readouterr().err
    assert positions("out/rate.bw") == [("chr1", 1, 3)]


def test_regions_from_stdin_and_other_spellings(workplace):
    done = subprocess.run(
        [*COMMAND, "tracks", "-o", "out", *OF, "-f", "g.fa", "-R", "-", "-r", "chrX:1:2-3", "-q"],
        input=b"\xef\xbb\xbf# regions\r\n2 3 6 name\r\nchr1\t8\t12\r\nchr1\t2\t9\r\n",
        capture_output=True,
        check=True,
    )
    assert done.stdout == b""
    assert positions("out/rate.bw") == [
        ("chr1", 2, 4), ("chr1", 5, 9), ("chr1", 10, 12), ("chr2", 3, 6), ("chrX:1", 1, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["gzip", "bgzip", "no line ends", "windows", "lower case"])
def test_kinds_of_fasta(workplace, kind):
    plain = Path("g.fa").read_bytes()
    if kind == "gzip":
        Path("h.fa").write_bytes(gzip.compress(plain))
    elif kind == "bgzip":
        from phylotools.io.bgzf import BgzfWriter

        with open("h.fa", "wb") as handle:
            writer = BgzfWriter(handle)
            writer.write(plain)
            writer.finish()
    elif kind == "windows":
        Path("h.fa").write_bytes(plain.replace(b"\n", b"\r\n"))
    elif kind == "lower case":
        Path("h.fa").write_text(">chr1\nacgtnacgtracgt\n>chr2 two\nttgaca\n>chrX:1\ngattaca\n")
    else:
        Path("h.fa").write_bytes(plain.removesuffix(b"\n"))
    for name in ("g", "h"):
        assert run(["tracks", *OF, "-f", f"{name}.fa", "-o", name, "-q"]) == 0
    one, other = (gzip.decompress(Path(n, "snv_scores.tsv.gz").read_bytes()) for n in "gh")
    assert one.split(b"\n")[1:] == other.split(b"\n")[1:]
    assert Path("g/rate.bw").read_bytes() == Path("h/rate.bw").read_bytes()


def test_outputs_of_others_are_left_alone(workplace, capsys):
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("years of work")
    assert run(["tracks", *OF, "-f", "g.fa", "-o", "out", "--force"]) == 1
    assert "thesis.tex" in only_error(*capsys.readouterr(), among_others=True)
    assert run(["tracks", *OF, "-f", "g.fa", "-o", "absent/out"]) == 1
    assert "create it first" in only_error(*capsys.readouterr(), among_others=True)
    assert Path("out/thesis.tex").read_text() == "years of work"
    assert {path.name for path in workplace.iterdir()} == {"g.fa", "out"}


def test_an_interrupt_keeps_what_is_finished(workplace):
    letters = "ACGT" * 400_000
    Path("long.fa").write_text(f">c\n{letters}\n")
    arguments = [
        *held("pieces/000000"),
        "tracks",
        *OF,
        "-f",
        "long.fa",
        "-o",
        "out",
        "--tracks",
        "rate",
    ]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(Path().glob("out.work/pieces/.000000*/data.bin")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted"
    # Nothing was finished: nothing is kept.
    assert {path.name for path in workplace.iterdir()} == {"g.fa", "long.fa"}


def test_help_imports_nothing_heavy():
    for verb in ("tracks", "tracks-init", "tracks-partition", "tracks-finalise"):
        code = (
            "import sys\nfrom phylotools.cli.main import run\n"
            f"assert run(['{verb}', '--help']) == 0\n"
            "assert not {'torch', 'numba', 'numpy', 'pysam'} & set(sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Usage: phylotools " + verb in done.stdout


def test_inspect_describes_the_folder(workplace, capsys):
    assert (
        run(["tracks", "-o", "out", *OF, "-f", "g.fa", "--tracks", "rate", "--no-snv-table"]) == 0
    )
    capsys.readouterr()
    Path("out/rate.bw").unlink()
    assert run(["inspect", "out", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "tracks"
    assert found["sites"] == 25
    assert found["missing_files"] == ["rate.bw"]
    for damaged in ("{", "[]", '{"format": "x"}', '{"format": "phylotools-tracks", "tracks": 1}'):
        Path("out/tracks.json").write_text(damaged)
        assert run(["inspect", "out"]) == 1
        assert "tracks.json: is " in only_error(*capsys.readouterr(), among_others=True)
