"""`phylotools model calibrate`, and the calibrated score in annotate and tracks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from toy_models import CHRM, write_toy_model

from phylotools.cli.main import run
from phylotools.model.registry import load_model

VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    """A model, and the same with a table of neutral sites."""
    plain, calibrated = str(write_toy_model(tmp_path / "plain")), str(tmp_path / "calibrated")
    (tmp_path / "neutral.bed").write_text("MT\t500\t9000\nchrX\t1\t5\n")
    arguments = ["--neutral-regions", str(tmp_path / "neutral.bed"), "-o", calibrated, "-q"]
    assert run(["model", "calibrate", plain, *arguments]) == 0
    return plain, calibrated


def info(path: Path) -> list[dict[str, str]]:
    rows = [row.split("\t") for row in path.read_text().splitlines() if row[0] != "#"]
    return [dict(entry.split("=") for entry in row[7].split(";")) for row in rows]


def test_the_score_is_the_llr_less_that_of_neutral_sites(models, tmp_path: Path) -> None:
    plain, calibrated = models
    before, after = load_model(plain), load_model(calibrated)
    assert after.sha256 == before.sha256
    assert after.manifest["calibration"]["sites"] == 8499  # one of 8,500 is N
    sequence = "".join(Path(CHRM).read_text().split("\n")[1:]).upper()
    changes = [(p, sequence[p - 1], alt) for p in (600, 3200, 12000) for alt in "ACGT"]
    changes = [change for change in changes if change[1] != change[2]]
    changes.append(
        (3200, sequence[3199:3201], "".join("CAGT"["ACGT".index(b)] for b in sequence[3199:3201]))
    )
    lines = [f"chrM\t{p}\t.\t{ref}\t{alt}\t.\t.\t.\n" for p, ref, alt in changes]
    (tmp_path / "in.vcf").write_text(VCF + "".join(lines))
    output = tmp_path / "out.vcf"
    arguments = ["annotate", str(tmp_path / "in.vcf"), "-m", calibrated, "-o", str(output), "-q"]
    assert run([*arguments, "--score", "calibrated", "-@", "1"]) == 0
    table = after.calibration.expected
    for (position, ref, alt), fields in zip(changes, info(output), strict=True):
        expected = 0.0
        for shift, base in enumerate(alt):
            place = position - 1 + shift
            index = 0
            for letter in sequence[place - 2 : place + 3]:
                index = 5 * index + "ACGT".index(letter)
            expected += table[index, "ACGT".index(base)]
        assert len(ref) == len(alt)
        difference = float(fields["PHYLOGPN_LLR"]) - float(fields["PHYLOGPN_CALIBRATED"])
        assert difference == pytest.approx(expected, abs=4e-4)


def test_tracks_write_what_annotate_writes(models, tmp_path: Path, monkeypatch) -> None:
    _, calibrated = models
    monkeypatch.chdir(tmp_path)
    more = ["-m", calibrated, "--score", "calibrated", "-q"]
    assert run(["tracks", "-o", "t", "-r", "chrM:3100-3120", *more]) == 0
    assert Path("t/calibrated_mean.bw").is_file()
    text = gzip.decompress(Path("t/snv_scores.tsv.gz").read_bytes()).decode()
    rows = [row.split("\t") for row in text.splitlines() if row[0] != "#"]
    assert len(rows) == 60  # of 21 positions one is N
    lines = [f"{c}\t{p}\t.\t{ref}\t{alt}\t.\t.\t.\n" for c, p, ref, alt, *_ in rows]
    Path("in.vcf").write_text(VCF + "".join(lines))
    assert run(["annotate", "in.vcf", "-o", "out.vcf", "-@", "1", *more]) == 0
    column = text.splitlines()[1].split("\t").index("calibrated")
    assert [row[column] for row in rows] == [
        f["PHYLOGPN_CALIBRATED"] for f in info(Path("out.vcf"))
    ]


def test_without_a_table_one_line_says_what_to_do(models, tmp_path: Path, capfd) -> None:
    plain, calibrated = models
    (tmp_path / "in.vcf").write_text(VCF + "chrM\t600\t.\tG\tA\t.\t.\t.\n")
    for verb in (["annotate", str(tmp_path / "in.vcf")], ["tracks"]):
        arguments = [*verb, "-o", str(tmp_path / "out.vcf"), "--score", "calibrated", "-q"]
        assert run([*arguments, "-m", plain]) == 1
        (complaint,) = capfd.readouterr().err.splitlines()
        assert complaint.startswith("error: model toy lacks the table of neutral sites that")
        assert "phylotools model calibrate MODEL --neutral-regions BED -o FOLDER" in complaint
        assert not (tmp_path / "out.vcf").exists()
    # A table that somebody changed, and one that was changed with its checksum.
    table, manifest = (Path(calibrated) / name for name in ("calibration.tsv", "manifest.json"))
    table.write_text(table.read_text().replace("-", "--", 1))
    arguments = ["annotate", str(tmp_path / "in.vcf"), "--score", "calibrated", "-m", calibrated]
    assert run([*arguments, "-o", str(tmp_path / "out.vcf")]) == 1
    assert "wrong checksum" in capfd.readouterr().err
    from phylotools.provenance import sha256_file

    found = json.loads(manifest.read_text())
    found["sha256"]["calibration.tsv"] = sha256_file(table)
    manifest.write_text(json.dumps(found))
    assert run([*arguments, "-o", str(tmp_path / "out.vcf"), "-q"]) == 1
    (complaint,) = capfd.readouterr().err.splitlines()
    assert complaint.startswith(f"error: {table}:")
    assert not (tmp_path / "out.vcf").exists()


def test_regions_of_another_genome(models, tmp_path: Path, capfd) -> None:
    (tmp_path / "other.bed").write_text("chr7\t1\t100\n")
    arguments = ["--neutral-regions", str(tmp_path / "other.bed"), "-o", str(tmp_path / "new")]
    assert run(["model", "calibrate", models[0], *arguments, "-q"]) == 1
    assert "no position of the neutral regions" in capfd.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "new").exists()


FITS = "##made=by hand\n#contig\tpos\tref\tn_species\tlog_rate\tsite_rate\tentropy\tconservation\n"


def neutral_table(path: Path) -> str:
    """2,000 sites that look neutral; and some that are slow, fast, conserved or shallow."""
    lines = [f"MT\t{place}\tA\t50\t0\t1\t1\t0.5\n" for place in range(1001, 3001)]
    lines += [
        "MT\t4001\tA\t100\t0\t0.4\t1\t0.5\n",
        "MT\t4002\tA\t100\t0\t2.1\t1\t0.5\n",
        "MT\t4003\tA\t100\t0\t1\t1\t1.1\n",
        "MT\t4004\tA\t100\t0\t1\t1\t-1.1\n",
        "MT\t4005\tA\t49\t0\t1\t1\t0\n",
        "MT\t4006\tA\t50\t0\t2\t1\t-1\n",
    ]
    path.write_text(FITS + "".join(lines))
    return str(path)


def test_neutral_sites_by_their_fitted_rate(tmp_path: Path, capsys) -> None:
    plain = str(write_toy_model(tmp_path / "plain"))
    table = neutral_table(tmp_path / "sites.tsv")
    output = str(tmp_path / "calibrated")
    assert run(["model", "calibrate", plain, "--neutral-rate", table, "-o", output]) == 0
    err = capsys.readouterr().err
    assert "2,001 of 2,006 sites look neutral: p of at least 0.1" in err
    assert load_model(output).manifest["calibration"]["sites"] == 2001
    bed = tmp_path / "n.bed"
    bed.write_text("chrM\t1000\t1100\nchrM\t4000\t4010\n")
    both = ["--neutral-rate", table, "--neutral-regions", str(bed), "-o", output, "--force", "-q"]
    assert run(["model", "calibrate", plain, *both]) == 0
    assert load_model(output).manifest["calibration"]["sites"] == 101


def test_a_store_gives_the_sites_of_its_table(tmp_path: Path, capsys) -> None:
    data = Path(__file__).parents[1] / "data" / "mammals671"
    store, table = str(tmp_path / "s"), str(tmp_path / "sites.tsv.gz")
    arguments = [str(data / "mtCDS_cut.maf.gz"), "--tree", str(data / "mammals671.nh"), "-o", store]
    few = ["--fasta", str(CHRM), "-r", "chrM:8,366-8,420"]
    assert run(["preprocess", "-q", *arguments, *few]) == 0
    assert run(["fit-sites", "-q", store, "-o", table]) == 0
    plain = str(write_toy_model(tmp_path / "plain"))
    tables = []
    for source in (store, table):
        output = tmp_path / "calibrated"
        more = ["--neutral-rate", source, "-o", str(output), "--force", "-q"]
        assert run(["model", "calibrate", plain, *more]) == 0
        tables.append((output / "calibration.tsv").read_text())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chrom\tpos\tscore\nMT\t5\t1\n", "is no table of fitted sites"),
        (FITS + "MT\tfive\tA\t50\t0\t1\t1\t0.5\n", "is no site with its rate"),
        (FITS + "MT\t5\tA\t50\n", "is no site with its rate"),
        (FITS + "MT\t5\tA\t50\t0\t9\t1\t0.5\n", "none of 1 sites looks neutral"),
        (FITS, "none of 0 sites looks neutral"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, capsys, text: str, message: str) -> None:
    plain = str(write_toy_model(tmp_path / "plain"))
    (tmp_path / "t.tsv").write_text(text)
    output = tmp_path / "calibrated"
    arguments = ["--neutral-rate", str(tmp_path / "t.tsv"), "-o", str(output)]
    assert run(["model", "calibrate", plain, *arguments]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not output.exists()


def test_neither_is_a_usage_error(tmp_path: Path, capsys) -> None:
    plain = str(write_toy_model(tmp_path / "plain"))
    assert run(["model", "calibrate", plain, "-o", str(tmp_path / "x")]) == 2
    assert "give --neutral-regions or --neutral-rate" in capsys.readouterr().err
