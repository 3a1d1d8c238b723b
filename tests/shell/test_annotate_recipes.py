"""The recipes of the documentation, run as they stand there."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path

import pytest
from documented_commands import install_program, shell, shell_blocks
from field_tools import require
from toy_models import write_toy_model

ROOT = Path(__file__).parents[2]
MTDNA = ROOT / "examples" / "human_mtdna" / "data"
GNOMAD = MTDNA / "gnomad_v3.1_chrM.vcf.gz"
PAGE = ROOT / "docs" / "annotate.md"
#: Rows of the second contig.
OTHER = [(position, "ACGT"[position % 4], "CGTA"[position % 4]) for position in range(100, 400)]


def recipes() -> dict[str, str]:
    """Comment -> commands."""
    block = re.search(r"## Recipes\n.*?```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert block
    paragraphs = [text.partition("\n") for text in block[1].strip().split("\n\n")]
    return {comment.removeprefix("# "): commands for comment, _, commands in paragraphs}


def readme_blocks() -> list[str]:
    """Shell commands of the README."""
    return shell_blocks(ROOT / "README.md")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the recipes name, and `phylotools` as a program."""
    require("bcftools", "tabix", "bgzip")
    folder = tmp_path_factory.mktemp("recipes")
    install_program(folder)
    write_toy_model(folder / "my-model")
    (folder / "genes.bed").write_bytes((MTDNA / "genes.bed").read_bytes())
    chromosome = "ACGT" * 120
    (folder / "genome.fa").write_text((MTDNA / "chrM.fa").read_text() + f">chr21\n{chromosome}\n")
    header, _, records = shell(f"zcat {GNOMAD}", folder).stdout.partition("#CHROM")
    rows = records.splitlines(keepends=True)
    chosen = [rows[0], *sorted(random.Random(1).sample(rows[1:], 600), key=rows.index)]
    more = "".join(
        f"chr21\t{position + 1}\t.\t{ref}\t{alt}\t.\tPASS\t.\n" for position, ref, alt in OTHER
    )
    text = header + "##contig=<ID=chr21,length=480>\n#CHROM" + "".join(chosen) + more
    (folder / "in.vcf").write_text(text)
    done = shell(
        "bcftools view -Oz -o in.vcf.gz in.vcf && tabix in.vcf.gz && "
        "bcftools view -Ob -o in.bcf in.vcf && rm in.vcf",
        folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def run_recipe(home: Path):
    def run(name: str) -> None:
        commands = next(text for comment, text in recipes().items() if comment.startswith(name))
        done = shell(commands, home)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "error" not in done.stderr

    return run


@pytest.fixture(scope="module")
def whole(home: Path) -> list[str]:
    """Records of the whole file, annotated in one go."""
    done = shell("phylotools annotate in.vcf.gz -f genome.fa -q", home)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


def records(home: Path, name: str) -> list[str]:
    """Record lines as they are written: bcftools would write numbers its own way."""
    path = home / name
    data = path.read_bytes()
    if name.endswith(".bcf"):
        return shell(f"bcftools view -H {name}", home).stdout.splitlines()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    return [line for line in text.decode().splitlines() if not line.startswith("#")]


def position(line: str) -> int:
    return int(line.split("\t")[1])


def test_a_pipe(home: Path, run_recipe, whole: list[str]) -> None:
    run_recipe("a pipe")
    rows = [line.split("\t") for line in (home / "scores.tsv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [line.split("\t")[:2] for line in whole]
    for row, line in zip(rows, whole, strict=True):
        if row[0] == "chrM":
            written = re.search(r"PHYLOGPN_LLR=([^;]*)", line)[1].split(",")
            for ours, theirs in zip(written, row[2].split(","), strict=True):
                assert ours == theirs or float(ours) == pytest.approx(float(theirs), rel=1e-5)
        else:
            assert row[2] == "."


def test_filters_before_and_behind(home: Path, run_recipe, whole: list[str]) -> None:
    run_recipe("the records that pass")
    found = {tuple(line.split("\t")[:5]) for line in records(home, "low.vcf")}
    expected = set()
    for line in whole:
        columns = line.split("\t")
        ratios = re.search(r"PHYLOGPN_LLR=([^;]*)", line)[1].split(",")
        is_low = any(ratio != "." and float(ratio) < -4 for ratio in ratios)
        if is_low and columns[0] == "chrM" and columns[6] in ("PASS", "."):
            expected.add(tuple(columns[:5]))
    assert found == expected
    assert found


def test_regions(home: Path, run_recipe, whole: list[str]) -> None:
    run_recipe("regions")
    here = [line for line in whole if line.startswith("chrM")]
    regions = [
        line
        for line in here
        if any(
            position(line) <= end and position(line) + len(line.split("\t")[3]) > begin
            for begin, end in ((3300, 3700), (8000, 9000))
        )
    ]
    assert records(home, "regions.vcf.gz") == regions
    genes = shell("bcftools view -H -R genes.bed in.vcf.gz", home).stdout.splitlines()
    written = records(home, "genes.vcf.gz")
    # bcftools may write a record twice that spans two regions.
    assert sorted({line.split("\tPHY")[0].split("\t")[1] for line in genes}, key=int) == sorted(
        {line.split("\t")[1] for line in written}, key=int
    )
    assert set(written) <= set(here)


def test_bcf_and_two_models(home: Path, run_recipe) -> None:
    run_recipe("BCF in and out")
    query = "bcftools query -f '%PHYLOGPN_LLR\\t%MINE_LLR\\n' both.bcf"
    rows = [line.split("\t") for line in shell(query, home).stdout.splitlines()]
    assert len(rows) == len(records(home, "in.bcf"))
    assert len({row[0] for row in rows}) > 100
    assert len({row[1] for row in rows}) > 100
    assert (home / "both.bcf.csi").exists()


def test_parallel_by_contig(home: Path, run_recipe, whole: list[str]) -> None:
    run_recipe("in parallel")
    assert records(home, "parts.vcf.gz") == whole
    assert (home / "part.chr21.vcf.gz.tbi").exists()


def test_another_score(home: Path, run_recipe, whole: list[str]) -> None:
    run_recipe("a score beside the LLR")
    rows = [line.split("\t") for line in (home / "rates.tsv").read_text().splitlines()]
    assert [row[0] for row in rows] == [line.split("\t")[1] for line in whole]
    for row, line in zip(rows, whole, strict=True):
        _, _, _, ref, alts, *_ = line.split("\t")
        if line.startswith("chrM") and ref in tuple("ACGT"):
            # Single bases have a rate, changes of length have none.
            values = row[1].split(",")
            assert [value != "." for value in values] == [len(x) == 1 for x in alts.split(",")]
    assert len({row[1] for row in rows}) > 100


def test_a_table(home: Path, run_recipe, whole: list[str]) -> None:
    run_recipe("a table of variants")
    rows = [line.split("\t") for line in records(home, "out.tsv.gz")]
    assert rows[0][:5] == ["chrom", "pos", "ref", "alt", "filter"]
    llrs = [re.search(r"PHYLOGPN_LLR=([^;]*)", line)[1] for line in whole]
    shown = ["" if llr == "." else llr for llr in llrs]
    # The second contig is not in the model's own reference.
    on_chrm = [row[0] == "chrM" for row in rows[1:]]
    assert [row[5] for row in rows[1:]] == [
        llr if here else "" for llr, here in zip(shown, on_chrm, strict=True)
    ]
    found = [line.split("\t") for line in (home / "llr.tsv").read_text().splitlines()]
    assert found[0][4] == "PHYLOGPN_LLR"
    assert [row[4] for row in found[1:]] == [
        llr for llr, here in zip(shown, on_chrm, strict=True) if here
    ]


def test_scores_looked_up(home: Path, run_recipe, whole: list[str]) -> None:
    run_recipe("all scores of a region")
    looked_up, whole = (
        [line for line in lines if line.startswith("chrM")]
        for lines in (records(home, "looked_up.vcf.gz"), whole)
    )
    assert [line.split("\t")[:7] for line in looked_up] == [x.split("\t")[:7] for x in whole]
    pattern = re.compile(r"PHYLOGPN_LLR=(-?[0-9.]+);PHYLOGPN_STATUS=(\w+);")
    n_compared = 0
    for line, expected in zip(looked_up, whole, strict=True):
        found, computed = pattern.search(line), pattern.search(expected)
        assert (found is None) == (computed is None)
        if found and computed:
            assert found[2] == computed[2]
            assert float(found[1]) == pytest.approx(float(computed[1]), rel=1e-4, abs=3e-3)
            n_compared += 1
    assert n_compared > 100


def test_every_recipe_is_tested() -> None:
    assert len(recipes()) == 8


def test_the_first_lines_of_the_readme_without_a_fetched_model(home: Path) -> None:
    command = readme_blocks()[0].splitlines()[2]
    assert command.startswith("phylotools annotate in.vcf.gz -o scored.vcf.gz")
    done = shell(command, home)
    assert done.returncode == 0, done.stderr
    assert len(records(home, "scored.vcf.gz")) == len(records(home, "in.vcf.gz"))
