"""``--contig-aliases`` holds for one command, in every verb that matches contigs."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_models import CHRM, write_toy_model

from phylotools.cli.main import run

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
COLUMNS = "\tPOS\tREF\tALT\tlabel\tllr\n"
RUNS = {
    "annotate": "annotate in.vcf -o out.vcf",
    "annotate regions": "annotate in.vcf -r CP9:2600-2800 -o out.vcf",
    "tracks": "tracks -r CP9:2701-2800 --no-snv-table -o out",
    "embed": "embed regions.bed -o out.tsv",
    "plot": "plot logo -r CP9:2701-2720 -o out.svg",
    "evaluate": "evaluate scores.tsv --labels labels.tsv --label-column label --positive p "
    "--negative n --score llr --bootstrap 10 -o out.tsv",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model on a contig called chrM, and files that call it CP9."""
    folder = tmp_path_factory.mktemp("aliases")
    write_toy_model(folder / "toy", reference=CHRM)
    (folder / "in.vcf").write_text(HEADER + "CP9\t2703\t.\tC\tT\t.\t.\t.\n")
    (folder / "regions.bed").write_text("CP9\t2700\t2720\n")
    (folder / "aliases.txt").write_text("# ucsc\tgenbank\nchrM\tCP9\n")
    for name, contig in (("scores", "CP9"), ("labels", "chrM")):
        rows = [f"{contig}\t{2700 + i}\tC\tT\t{'pn'[i % 2]}\t{i % 5}\n" for i in range(40)]
        (folder / f"{name}.tsv").write_text("CHROM" + COLUMNS + "".join(rows))
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_names_of_one_contig(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, name: str
) -> None:
    monkeypatch.chdir(folder)
    arguments = RUNS[name].replace("-o out", f"-o {tmp_path}/out").split()
    if name != "evaluate":
        arguments += ["-m", "toy"]
    assert run([*arguments, "--contig-aliases", "aliases.txt"]) == 0, capfd.readouterr().err
    assert "contig CP9 is taken for chrM" in capfd.readouterr().err
    assert run([*arguments, "--force"]) == 1
    assert run([*arguments, "--force", "--contig-aliases", "none.txt"]) == 1
    assert "none.txt: cannot read: No such file" in capfd.readouterr().err
