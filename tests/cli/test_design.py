"""`phylotools design`: files, seeds, and one line where something cannot be."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from Bio.Seq import Seq
from only_error import only_error
from toy_models import CHRM, write_toy_model
from waiting import held, wait_until

from phylotools.cli import design as verb
from phylotools.cli.main import run
from phylotools.design.conditionals import OwnBase
from phylotools.design.names import design_files

pytestmark = pytest.mark.usefixtures("one_thread")

ND1 = "chrM:3307-3366"
SEQUENCE = "".join(CHRM.read_text().split("\n")[1:]).upper()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("toy") / "toy"))


@pytest.fixture
def design(model, tmp_path, monkeypatch, capsys):
    """Run the verb in an empty folder; the exit code."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, out: str = "out", with_model: bool = True) -> int:
        which = ["-m", model] if with_model else []
        return run(["design", *arguments, *which, "-o", out, "-@", "1", "-q"])

    return command


def rows(path: str) -> list[dict[str, str]]:
    with open(path) as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def sequences(folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in Path(folder, "designed.fa").read_text().splitlines():
        if line.startswith(">"):
            name = line[1:].split()[0]
            found[name] = ""
        else:
            found[name] += line
    return found


def test_choices_are_those_of_the_package():
    assert set(verb._OWN_BASES) == set(map(str, OwnBase))


def test_samples_and_their_tables(design):
    assert design("sample", "-r", ND1, "-n", "3", "--burn-in", "3", "--keep-protein", "1") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(design_files())
    start = SEQUENCE[3306:3366]
    found, table = sequences("out"), rows("out/sequences.tsv")
    assert list(found) == [row["name"] for row in table] == [f"{ND1}_{k}" for k in (1, 2, 3)]
    edits = {name: list(group) for name, group in
             itertools.groupby(rows("out/edits.tsv"), lambda row: row["name"])}  # fmt: skip
    for row, (name, letters) in zip(table, found.items(), strict=True):
        # The mitochondrion's code is taken by itself.
        assert Seq(letters).translate(2) == Seq(start).translate(2)
        differ = [k for k in range(60) if letters[k] != start[k]]
        assert int(row["edits"]) == len(differ) > 0
        assert [int(edit["position"]) - 1 for edit in edits[name]] == differ
        for edit in edits[name]:
            place = int(edit["position"]) - 1
            assert (edit["from"], edit["to"]) == (start[place], letters[place])
            assert (edit["contig"], int(edit["genome_position"])) == ("chrM", place + 3307)
        assert float(row["gc"]) == pytest.approx(sum(map(letters.count, "GC")) / 60, abs=1e-5)
        longest = max(len(list(group)) for _, group in itertools.groupby(letters))
        assert int(row["longest_homopolymer"]) == longest
        assert row["start"] == ND1
    trace = rows("out/trace.tsv")
    assert len(trace) == 9
    assert Path("out/design.png").read_bytes()[:4] == b"\x89PNG"
    record = json.loads(Path("out/run.json").read_text())
    assert record["own_base"] == "averaged"
    assert record["model"] == "toy"


def test_the_same_seed_gives_the_same_files(design):
    ask = ["sample", "--length", "40", "--gc", "0.3", "--burn-in", "2", "--seed", "7"]
    for out, more in (("a", ["-n", "4"]), ("b", ["-n", "4"]), ("c", ["-n", "2"])):
        assert design(*ask, *more, out=out) == 0
    for name in set(design_files()) - {"run.json"}:
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes(), name
    few = sequences("c")
    assert few == dict(list(sequences("a").items())[:2])
    assert list(few) == ["random_1", "random_2"]


def test_fastas_templates_and_chains(design):
    Path("in.fa").write_text(">one first\nACGTACGTAC\n>two\nTTTTTGGGGG\n")
    assert design("sample", "--start", "in.fa", "--template", "NNNNNNNNNN", "-n", "4", "--chains",
                  "2", "--sweeps", "2", "--burn-in", "1", "--edits", "3") == 0  # fmt: skip
    table = rows("out/sequences.tsv")
    assert [row["name"] for row in table] == [
        f"{s}_{k}" for s in ("one", "two") for k in range(1, 5)
    ]
    assert [row["sweeps"] for row in table] == ["1", "3"] * 4
    assert [row["chain"] for row in table] == ["1", "1", "2", "2"] * 2
    assert all(int(row["edits"]) <= 3 for row in table)
    assert design("sample", "--template", "RRRYYY", "-n", "3", "--burn-in", "1", out="t") == 0
    for letters in sequences("t").values():
        assert set(letters[:3]) <= set("AG")
        assert set(letters[3:]) <= set("CT")


def test_fixed_regions_of_a_genome(design):
    Path("keep.bed").write_text("chrM\t3306\t3330\nchr9\t1\t2\n")
    assert design("sample", "-r", ND1, "--fixed", "keep.bed", "--fixed", "chrM:3340-3344",
                  "--fixed", "60-60", "-n", "2", "--burn-in", "3") == 0  # fmt: skip
    start = SEQUENCE[3306:3366]
    for letters in sequences("out").values():
        assert letters[:24] == start[:24]
        assert letters[33:38] == start[33:38]
        assert letters[59] == start[59]
        assert letters != start


def test_a_gff_on_both_strands(design):
    """ND6 lies on the reverse strand; a codon that is not whole in the region stays."""
    gff = "##gff-version 3\nchrM\tx\tCDS\t14149\t14673\t.\t-\t0\tID=nd6;transl_table=2\n"
    Path("nd6.gff3").write_text(gff)
    assert design("sample", "-r", "chrM:14200-14260", "--keep-protein", "nd6.gff3", "-n", "2",
                  "--burn-in", "3") == 0  # fmt: skip
    for letters in sequences("out").values():
        whole = SEQUENCE[14148:14199] + letters + SEQUENCE[14260:14673]
        theirs = Seq(SEQUENCE[14148:14673]).reverse_complement().translate(2)
        assert Seq(whole).reverse_complement().translate(2) == theirs
        assert letters != SEQUENCE[14199:14260]


def test_edits_towards_a_motif(design):
    Path("m.meme").write_text(
        "MEME version 4\nALPHABET= ACGT\nMOTIF cre\n"
        "letter-probability matrix: alength= 4 w= 4\n0 0 0 1\n0 0 1 0\n1 0 0 0\n0 1 0 0\n"
    )
    assert design("edit", "-r", ND1, "--motif", "m.meme", "--edits", "4") == 0
    (row,) = rows("out/sequences.tsv")
    (letters,) = sequences("out").values()
    assert "TGAC" in letters or "GTCA" in letters
    assert float(row["value"]) > float(row["start_value"])
    assert int(row["edits"]) <= 4
    assert row["name"] == ND1
    effects = [float(edit["value_effect"]) for edit in rows("out/edits.tsv")]
    assert all(effect > 0 for effect in effects)
    trace = rows("out/trace.tsv")
    values = [float(each["value"]) for each in trace]
    assert values == sorted(values)
    assert design("edit", "-r", ND1, "--search", "anneal", "--steps", "20", "-n", "2", "--target",
                  "low", out="low", ) == 0  # fmt: skip
    assert [float(row["start_value"]) for row in rows("low/sequences.tsv")] == [0, 0]
    assert all(float(row["value"]) <= 0 for row in rows("low/sequences.tsv"))
    assert design("edit", "--length", "12", "-n", "3", "--motif", "TGAC", out="random") == 0
    assert list(sequences("random")) == ["random_1", "random_2", "random_3"]


def test_an_existing_folder_is_kept(design, capsys):
    ask = ["sample", "--length", "9", "-n", "1", "--burn-in", "1"]
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert design(*ask) == 1
    only_error(*capsys.readouterr(), "already exists")
    assert run(["design", *ask, "-o", "out", "--force", "-q"]) == 1
    only_error(*capsys.readouterr(), "holds 'mine.txt'")
    assert design(*ask, "--summary-json", "s.json", out="other") == 0
    summary = json.loads(Path("s.json").read_text())
    assert (summary["verb"], summary["sequences"], summary["model"]) == ("design sample", 1, "toy")
    assert design(*ask, out="other") == 1
    assert design(*ask, "--force", out="other") == 0


FASTAS = {
    "n.fa": ">x\nACGTNACGT\n",
    "protein.fa": ">x\nMKEFLLQ\n",
    "empty.fa": "",
    "short.fa": ">x\nACG\n",
    "gene.fa": ">x\nATGTAAAAATAG\n",
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample"], "give one of -r, --start and --length"),
        (["sample", "-r", ND1, "--length", "9"], "give one of -r, --start and --length"),
        (["sample", "--length", "9", "--template", "NN"], "leave out --length"),
        (["sample", "-r", "chrM:3100-3120"], "holds 1 that are no A, C, G or T, the first at 3107"),
        (["sample", "-r", "chr9:1-10"], "unknown contig"),
        (["sample", "-r", "chrM:1-16569", "--temperature", "0"], "--temperature"),
        (["sample", "--length", "9", "--temperature", "-1"], "--temperature"),
        (["sample", "--length", "9", "--temperature", "inf"], "--temperature"),
        (["sample", "--length", "9", "--temperature", "nan"], "--temperature"),
        (["sample", "--length", "9", "--seed", "-1"], "--seed"),
        (["sample", "--length", "0"], "--length"),
        (["sample", "--length", "9", "--gc", "2"], "--gc"),
        (["sample", "--start", "n.fa"], "the first at 5"),
        (["sample", "--start", "protein.fa"], "is no nucleotide code"),
        (["sample", "--start", "empty.fa"], "empty.fa"),
        (["sample", "--start", "absent.fa"], "absent.fa"),
        (["sample", "--start", "short.fa", "--template", "NNNN"], "the template has 4 letters"),
        (["sample", "--start", "short.fa", "--template", "NNC"], "base 3 is G"),
        (["sample", "--start", "short.fa", "--template", "NN!"], "letter 3"),
        (["sample", "--start", "short.fa", "--fixed", "1-3"], "every position is fixed"),
        (["sample", "--start", "short.fa", "--fixed", "2-4"], "does not lie within 1-3"),
        (["sample", "--start", "short.fa", "--fixed", "y:2-4"], "unknown contig"),
        (["sample", "--start", "short.fa", "--edits", "0"], "nothing to change"),
        (["sample", "--start", "gene.fa", "--keep-protein", "1"], "1 stop codons within"),
        (["sample", "--start", "short.fa", "--genetic-code", "7"], "has no code 7"),
        (["sample", "--start", "short.fa", "--keep-protein", "short.fa"], "short.fa"),
        (["sample", "--length", "9", "--keep-protein", "1"], "nothing to keep"),
        (["sample", "--length", "9", "--fixed", "1-2"], "nothing to keep"),
        (["sample", "--length", "9", "--chains", "2"], "--chains"),
        (["sample", "-r", ND1, "-n", "3", "--chains", "2"], "multiple of --chains"),
        (["edit", "-r", ND1, "--motif", "short.fa"], "is no MEME file"),
        (["edit", "-r", ND1, "--motif", "TGAE"], "no IUPAC code"),
        (["edit", "-r", ND1, "--motif", "absent.meme"], "there is no such file"),
        (["edit", "--start", "short.fa", "--motif", "TGACGTCA"], "more than the 3"),
        (["edit", "-r", ND1, "--head", "toy"], "toy"),
        (["edit", "-r", ND1, "--target", "CDS"], "is none of high, low, a number"),
        (["edit", "-r", ND1, "--target", "inf"], "is none of high, low, a number"),
        (["edit", "-r", ND1, "--edit-penalty", "-1"], "--edit-penalty"),
        (["edit", "-r", ND1, "--likelihood-penalty", "nan"], "--likelihood-penalty"),
        (["edit", "-r", ND1, "--search", "anneal", "--temperature", "0"], "--temperature"),
        (["edit", "-r", ND1, "--edits", "0"], "nothing to change"),
        (["edit", "-r", ND1, "-n", "2"], "use anneal"),
        (["edit", "-r", ND1, "--head", "a", "--motif", "b"], "not both"),
        (["sample", "--length", "20000", "-n", "300"], "6,000,000 bases in all"),
        (["sample", "-r", ND1, "-n", "1000", "--burn-in", "50000"], "sweeps in all"),
        (["edit", "--length", "5000", "--beam", "50"], "compared at a time"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(design, capsys, arguments, message):
    for name, text in FASTAS.items():
        Path(name).write_text(text)
    before = sorted(Path().iterdir())
    assert design(*arguments) in (1, 2)
    only_error(*capsys.readouterr(), message)
    assert sorted(Path().iterdir()) == before


def test_no_head_of_such_a_model(design, model, capsys):
    assert design("edit", "-r", ND1, "--head", model) == 2
    only_error(*capsys.readouterr(), "has no head; a design needs a head for regions")


def test_in_a_shell_and_killed(model, tmp_path):
    """A kill leaves nothing that has the name of the output, though all of it has been made."""
    program = [sys.executable, "-m", "phylotools"]
    ask = ["design", "sample", "-m", model, "--length", "60", "-n", "1", "--burn-in", "2", "-q"]
    done = subprocess.run(
        [*program, *ask, "-o", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(design_files())
    slow = subprocess.Popen([*held("slow"), *ask, "-o", "slow"], cwd=tmp_path)
    files = set(design_files())
    wait_until(lambda: files <= {path.name for path in tmp_path.glob(".slow.*.part/*")}, slow)
    slow.kill()
    slow.wait()
    assert not (tmp_path / "slow").exists()


def test_a_model_of_masked_bases_hides_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_toy_model(tmp_path / "masked", masks_site=True)
    ask = ["design", "sample", "-m", "masked", "--length", "12", "-n", "2", "--burn-in", "2", "-q"]
    assert run([*ask, "-o", "out", "-@", "1"]) == 0
    assert json.loads(Path("out/run.json").read_text())["own_base"] == "hidden"
    for row in rows("out/sequences.tsv"):
        assert row["log_likelihood"] == row["pseudo_log_likelihood"]
    assert run([*ask, "-o", "other", "--own-base", "averaged"]) == 2
    only_error(*capsys.readouterr(), "never sees the base that it predicts")
