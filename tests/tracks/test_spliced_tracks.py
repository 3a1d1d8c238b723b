"""Tracks in the context of transcripts, against what `annotate` says of every variant."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from toy_models import CHRM, write_toy_model

from phylotools.cli.main import run
from phylotools.io.bigwig.reader import BigWigReader
from phylotools.io.genome import ReferenceGenome
from phylotools.io.spliced import packed, spliced_genome

#: Two transcripts of one gene that share a part, one on the other strand.
GENES = {"one": ("+", ((3307, 3400), (3500, 3600))), "two": ("+", ((3307, 3400), (3530, 3700))),
         "other": ("-", ((3380, 3410), (3520, 3560)))}  # fmt: skip
REGIONS = ((3306, 3410), (3499, 3700))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, one that carries the transcripts, their file, and its tracks."""
    folder = tmp_path_factory.mktemp("spliced")
    write_toy_model(folder / "model")
    rows = (
        f"MT\t.\texon\t{start}\t{end}\t.\t{strand}\t.\tParent={name}\n"
        for name, (strand, parts) in GENES.items()
        for start, end in parts
    )
    (folder / "genes.gff3").write_text("".join(rows))
    spliced = spliced_genome(ReferenceGenome.open(CHRM), str(folder / "genes.gff3"), "exon")
    write_toy_model(folder / "carrying", reference=None, transcripts=packed(spliced))
    assert make(folder, "model", "tracks", "--transcripts", folder / "genes.gff3") == 0
    return folder


def make(folder: Path, model: str, output: str, *options: object) -> int:
    part = ("--transcript-part", "exon") if "--transcripts" in options else ()
    arguments = ["-m", folder / model, "-o", folder / output, "-@", "1", "-q", *options, *part]
    return run(["tracks", *map(str, arguments)])


def table(folder: Path) -> list[list[str]]:
    with gzip.open(folder / "snv_scores.tsv.gz", "rt") as handle:
        return [line.rstrip("\n").split("\t") for line in handle if not line.startswith("#")]


@pytest.fixture(scope="module")
def annotated(place: Path) -> list[dict[str, str]]:
    """What `annotate` says of the rows of the table."""
    lines = [f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\t.\n" for c, p, r, a, *_ in table(place / "tracks")]
    header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (place / "all.vcf").write_text(header + "".join(lines))
    options = ("--transcripts", place / "genes.gff3", "--transcript-part", "exon")
    arguments = (place / "all.vcf", "-m", place / "model", "-o", place / "out.vcf", *options)
    assert run(["annotate", *map(str, arguments), "-@", "1", "-q"]) == 0
    rows = (x for x in (place / "out.vcf").read_text().splitlines() if not x.startswith("#"))
    return [dict(e.split("=") for e in row.split("\t")[7].split(";")) for row in rows]


def test_the_table_has_every_variant_of_the_transcripts_as_annotate_scores_it(place, annotated):
    rows = table(place / "tracks")
    positions = sorted({int(row[1]) - 1 for row in rows})
    assert positions == [p for start, end in REGIONS for p in range(start, end)]
    assert [row[4] for row in rows] == [info["PHYLOGPN_LLR"] for info in annotated]
    assert {info["PHYLOGPN_TRANSCRIPT"] for info in annotated} == set(GENES)
    for first in range(0, len(rows), 3):
        site = annotated[first : first + 3]
        worst = min(site, key=lambda info: float(info["PHYLOGPN_LLR"]))
        for row in rows[first : first + 3]:
            assert row[5:7] == [worst["PHYLOGPN_RATE"], worst["PHYLOGPN_ENTROPY"]]


def test_bigwigs_have_the_worst_of_all_transcripts(place, annotated):
    llr = np.array([float(info["PHYLOGPN_LLR"]) for info in annotated]).reshape(-1, 3)
    positions = np.array([p for start, end in REGIONS for p in range(start, end)])
    for name, expected in (("llr_min", llr.min(axis=1)), ("llr_mean", llr.mean(axis=1))):
        with BigWigReader(str(place / "tracks" / f"{name}.bw")) as reader:
            found = reader.values("chrM", positions)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    logs = []
    for base in "ACGT":
        with BigWigReader(str(place / "tracks" / f"log_probability_{base}.bw")) as reader:
            logs.append(reader.values("chrM", positions))
    np.testing.assert_allclose(np.exp(logs).sum(axis=0), 1, atol=1e-3)


@pytest.mark.usefixtures("small_units")
def test_parts_and_the_models_own_transcripts_give_the_same(place):
    rows = table(place / "tracks")
    assert make(place, "carrying", "own") == 0
    assert table(place / "own") == rows
    assert make(place, "carrying", "both", "-f", CHRM, "-r", "chrM:3300-3550") == 0
    assert table(place / "both") == [row for row in rows if int(row[1]) <= 3550]
    work, gff = str(place / "work"), str(place / "genes.gff3")
    init = ["tracks-init", "-m", str(place / "model"), "--transcripts", gff, "-q"]
    options = ["--transcript-part", "exon", "--work", work, "--partition-size", "512"]
    assert run([*init, *options]) == 0
    assert run(["tracks-partition", work, "0", "1", "-q", "-@", "1"]) == 0
    assert run(["tracks-finalise", work, "-o", str(place / "parts"), "-q"]) == 0
    assert table(place / "parts") == rows
    (place / "genes.gff3").touch()
    record = json.loads((place / "tracks" / "tracks.json").read_text())
    assert record["transcripts"] == "genes.gff3"
    assert len(record["regions"]) == len(REGIONS)


def test_they_are_not_taken_for_scores_of_the_genome(place, tmp_path, capsys):
    arguments = [place / "all.vcf", "-m", place / "model", "--scores", place / "tracks"]
    assert run(["annotate", *map(str, arguments), "-o", str(tmp_path / "o.vcf"), "-q"]) == 1
    assert "the worst of transcripts (genes.gff3)" in capsys.readouterr().err
    assert (
        make(place, "model", "none", "--transcripts", place / "genes.gff3", "-r", "chrM:1-9") == 1
    )
    assert "none of the regions lies in a transcript" in capsys.readouterr().err
