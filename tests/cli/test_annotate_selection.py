"""`annotate -r`, `-R` and `--scores` beside what bcftools and the network say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from field_tools import require
from only_error import only_error
from toy_models import CHRM, write_toy_model

from phylotools.cli.main import run

GNOMAD = CHRM.parent / "gnomad_v3.1_chrM.vcf.gz"
PLAIN = Path(__file__).parents[1] / "data" / "vcf_edge_cases" / "plain.vcf"
LONG = (
    "##fileformat=VCFv4.3\n##contig=<ID=chrM,length=16569>\n"
    '##ALT=<ID=DEL,Description="">\n##INFO=<ID=END,Number=1,Type=Integer,Description="">\n'
    '##INFO=<ID=DB,Number=0,Type=Flag,Description="">\n'
    '##INFO=<ID=XEND,Number=1,Type=Integer,Description="">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    "chrM\t100\ta\tN\t<DEL>\t.\t.\tEND=600\n"
    "chrM\t200\tb\tNNNNNNNNNN\tN\t.\t.\t.\n"
    "chrM\t300\tc\tN\t<DEL>\t.\t.\tXEND=600\n"
    "chrM\t300\td\tN\t*\t.\t.\tDB;END=310;XEND=900\n"
    "chrM\t500\te\tN\tA\t.\t.\t.\n"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same records with and without an index, as BCF, and records longer than their REF."""
    require("bcftools", "tabix")
    folder = tmp_path_factory.mktemp("sources")
    (folder / "long.vcf").write_text(LONG)
    view = "bcftools view --no-version"
    commands = f"""
        {view} -Oz -o tbi.vcf.gz {GNOMAD} && tabix tbi.vcf.gz
        {view} -Oz -o csi.vcf.gz {GNOMAD} && bcftools index -c csi.vcf.gz
        {view} -Oz -o none.vcf.gz {GNOMAD}
        {view} -Ob -o indexed.bcf {GNOMAD} && bcftools index indexed.bcf
        {view} -Ob -o none.bcf {GNOMAD}
        {view} -Oz -o long.vcf.gz long.vcf && tabix long.vcf.gz
        {view} -Ob -o long.bcf long.vcf && bcftools index long.bcf
    """
    subprocess.run(["bash", "-e", "-c", commands], cwd=folder, check=True, capture_output=True)
    return {path.name: path for path in folder.iterdir() if path.suffix in (".gz", ".bcf", ".vcf")}


def annotate(model: Path, source: Path, output: Path, *options: str) -> int:
    arguments = ["annotate", source, "-m", model, "-o", output, "-@", "1", "--force"]
    return run([str(argument) for argument in (*arguments, *options)])


def keys(text: str) -> list[tuple[str, ...]]:
    return [tuple(x.split("\t")[:7]) for x in text.splitlines() if not x.startswith("#")]


@pytest.mark.parametrize(
    "name",
    [
        *("tbi.vcf.gz", "csi.vcf.gz", "none.vcf.gz", "indexed.bcf", "none.bcf"),
        *("long.vcf", "long.vcf.gz", "long.bcf"),
    ],
)
@pytest.mark.parametrize(
    "regions",
    [["chrM:305-520"], ["chrM:7000-7001"], ["chrM:8000-9000", "chrM:16000-16569"], ["chrM"]],
)
def test_regions_are_those_of_bcftools(
    model: Path, sources: dict[str, Path], tmp_path: Path, name: str, regions: list[str]
) -> None:
    output = tmp_path / "out.vcf"
    options = [part for region in regions for part in ("-r", region)]
    assert annotate(model, sources[name], output, *options) == 0
    # -t reads the whole file and counts records by their POS alone, unless told otherwise.
    chosen = ["-t", ",".join(regions), "--targets-overlap", "1"]
    view = ["bcftools", "view", "-H", *chosen, str(sources[name])]
    expected = subprocess.run(view, check=True, capture_output=True, text=True).stdout
    assert keys(output.read_text()) == keys(expected)
    bed = tmp_path / "r.bed"
    bounds = [region.partition(":")[2].split("-") for region in regions]
    bed.write_text(
        "".join(
            f"{'MT'}\t{int(begin or 1) - 1}\t{end[0] if end else 16569}\n"
            for begin, *end in reversed(bounds)
        )
    )
    by_region = output.read_text()
    assert annotate(model, sources[name], output, "-R", str(bed)) == 0
    assert keys(output.read_text()) == keys(by_region)


def test_bed_with_other_contigs(model: Path, tmp_path: Path, capfd) -> None:
    bed, output = tmp_path / "r.bed", tmp_path / "out.vcf"
    bed.write_text("chr1\t5\t10\nchrM\t3300\t3400\nchr2\t5\t6\n")
    assert annotate(model, PLAIN, output, "-R", str(bed)) == 0
    assert "2 of 3 regions left out: they are on chr1, chr2" in capfd.readouterr().err
    assert keys(output.read_text())


#: The numbers of our INFO fields.
number = re.compile(r"(?<=[=,])(-?[0-9]+\.?[0-9]*(?:e-?[0-9]+)?)(?=[,;\n]|$)")


def without_command(path: Path) -> list[str]:
    return [x for x in path.read_text().splitlines() if not x.startswith("##phylotools_annotate")]


@pytest.fixture(scope="module")
def tracks(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What can be looked up of chrM:1001-4000, and the table beside it."""
    folder = tmp_path_factory.mktemp("made") / "tracks"
    command = f"tracks -m {model} -r chrM:1001-4000 -@ 1 -q -o {folder}"
    assert run([*command.split(), "--tracks", "log_probability,rate,llr_mean"]) == 0
    return folder


def test_looked_up_is_computed(model: Path, tracks: Path, tmp_path: Path, capfd) -> None:
    """To the four digits of the tracks."""
    lines = []
    for options in ([], ["--scores", str(tracks), "--summary-json", str(tmp_path / "s.json")]):
        output = tmp_path / f"{len(options)}.vcf"
        assert annotate(model, GNOMAD, output, *options) == 0
        lines.append(without_command(output))
    n_same = 0
    for exact, rounded in zip(*lines, strict=True):
        before, after = number.split(exact), number.split(rounded)
        assert before[::2] == after[::2]
        # LLRs here are differences of logarithms of up to 20.
        assert list(map(float, after[1::2])) == pytest.approx(
            list(map(float, before[1::2])), rel=1e-4, abs=3e-3
        )
        n_same += exact == rounded
    assert n_same < len(lines[0])
    snvs = [
        row
        for row in keys("\n".join(lines[0]))
        if 1000 < int(row[1]) <= 4000 and len(row[3]) == len(row[4]) == 1
    ]
    n_looked_up = json.loads((tmp_path / "s.json").read_text())["changes_looked_up"]
    assert n_looked_up >= len(snvs) > 500
    assert f", {n_looked_up} changes looked up" in capfd.readouterr().err.splitlines()[-1]


def test_lookups_import_no_torch(model: Path, tracks: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from phylotools.cli.main import run; code = run(sys.argv[1:]); "
        "print(code, 'torch' in sys.modules, 'scipy' in sys.modules)"
    )
    source = tmp_path / "in.vcf"
    records = [
        line
        for line in PLAIN.read_text().splitlines()
        if line.startswith("#") or 1100 < int(line.split("\t")[1]) < 3900
    ]
    source.write_text("\n".join([*records, ""]))
    assert sum(not line.startswith("#") for line in records) > 0
    command = ["annotate", source, "-m", model, "--scores", tracks, "-o", tmp_path / "out.vcf"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)], capture_output=True, text=True
    )
    assert done.stdout.split()[:2] == ["0", "False"], done.stderr


def test_scores_that_are_refused(model: Path, tracks: Path, tmp_path: Path, capfd) -> None:
    def refused(path: Path | str, complaint: str, *options: str) -> None:
        output = tmp_path / "out.vcf"
        assert annotate(model, PLAIN, output, "--scores", str(path), *options) == 1
        only_error(*capfd.readouterr(), complaint)
        assert not output.exists()

    other = shutil.copytree(tracks, tmp_path / "other")
    record = (other / "tracks.json").read_text()
    sha256 = json.loads(record)["model"]["sha256"]
    (other / "tracks.json").write_text(record.replace(sha256, "cd" * 32))
    refused(other, f"are of model toy (sha256 {'cd' * 32}), not of toy (sha256 {sha256})")
    refused(tmp_path / "none", "none/tracks.json: cannot read: No such file")
    refused(tmp_path, "tracks.json: cannot read: No such file")
    table = tracks / "snv_scores.tsv.gz"
    refused(table, "snv_scores.tsv.gz: is no folder of tracks; scores are looked up in the bigWigs")
    # A genome with other bases: as if the tracks were of another assembly.
    letters = "".join(CHRM.read_text().split("\n")[1:])
    first = letters.index("C", 1500)
    (tmp_path / "changed.fa").write_text(f">chrM\n{'A' * 3000}{letters[3000:]}\n")
    source, output = tmp_path / "in.vcf", tmp_path / "out.vcf"
    source.write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"chrM\t{first + 1}\t.\tA\tG\t.\t.\t.\n"
    )
    options = ["--scores", str(tracks), "-f", str(tmp_path / "changed.fa")]
    assert annotate(model, source, output, *options) == 1
    assert f"its reference base at chrM:{first + 1} is not that of" in capfd.readouterr().err
    assert not output.exists()
