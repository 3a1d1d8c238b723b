"""The page 'Train on your own clade', run from its first command to its last."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from documented_commands import install_program, shell, shell_blocks
from field_tools import require

from phylotools.io.regions import RegionSet
from phylotools.store.read import open_store

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "train-your-own.md"
BIRDS = ROOT / "tests" / "data" / "birds53"
#: What the page says to read before going on; here a run of seconds is made of it.
SHORTER = 'sed -i \'s/"small"/"tiny"/; s/^epochs = .*/epochs = 4/\' model.toml\n'


def write_inputs(folder: Path, birds_store: Path) -> None:
    """The files that the page names: birds, their reference, variants and genes on it."""
    shutil.copy(BIRDS / "galGal6_cut.maf.gz", folder / "alignment.maf.gz")
    shutil.copy(BIRDS / "53birds.nh", folder / "tree.nh")
    store = open_store(birds_store)
    regions = [region for region in store.covered_regions(5) if len(region) > 30]
    with open(folder / "genome.fa", "w") as handle:
        for contig, length in store.contigs.items():
            letters = np.full(length, ord("N"), dtype=np.uint8)
            for region in store.covered_regions(0):
                if region.contig == contig:
                    codes = store.reference(region) & 7
                    letters[region.start : region.end] = np.frombuffer(b"ACGTNNNN", np.uint8)[codes]
            handle.write(f">{contig}\n{letters.tobytes().decode()}\n")
    rng = np.random.default_rng(1)
    rows, genes = [], []
    for number, region in enumerate(regions):
        codes = store.reference(region) & 7
        for offset in range(0, len(region), 5):
            if codes[offset] < 4:
                ref = "ACGT"[codes[offset]]
                alt = "ACGT"[(codes[offset] + rng.integers(1, 4)) % 4]
                label = "pathogenic" if rng.random() < 0.3 else "common"
                info = f"AF={10 ** rng.uniform(-5, -0.4):.3g};LABEL={label}"
                rows.append((region.contig, region.start + offset + 1, ref, alt, info))
        genes.append(
            f"{region.contig}\tx\tCDS\t{region.start + 1}\t{region.end}\t.\t+\t0\t"
            f"ID=cds{number};Parent=gene{number}\n"
        )
    contigs = "".join(f"##contig=<ID={name},length={n}>\n" for name, n in store.contigs.items())
    order = list(store.contigs)
    rows.sort(key=lambda row: (order.index(row[0]), row[1]))
    with gzip.open(folder / "variants.vcf.gz", "wt") as handle:
        handle.write(
            f"##fileformat=VCFv4.2\n{contigs}"
            '##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">\n'
            '##INFO=<ID=LABEL,Number=1,Type=String,Description="label">\n'
            "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        )
        handle.writelines(
            f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\t.\t{info}\n"
            for contig, position, ref, alt, info in rows
        )
    (folder / "genes.gff3").write_text("##gff-version 3\n" + "".join(genes))


@pytest.fixture(scope="module")
def home(birds_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after every command of the page."""
    require("tabix")
    folder = tmp_path_factory.mktemp("own")
    install_program(folder)
    write_inputs(folder, birds_store)
    blocks = [text for text in shell_blocks(PAGE) if text.startswith("phylotools")]
    assert len(blocks) >= 9
    for text in blocks:
        lines = text.replace("--check\n", "--check\n" + SHORTER)
        done = shell(lines, folder)
        assert done.returncode == 0, (text, done.stderr)
        assert "Traceback" not in done.stderr
        assert not re.search(r"^error", done.stderr, flags=re.MULTILINE)
    return folder


def test_every_file_that_the_page_names_is_there(home: Path) -> None:
    text = PAGE.read_text()
    for name in (
        "report/report.html", "fitted.nh", "fitted.store", "model.toml", "run", "curves.svg",
        "my-model/card.md", "my-model/training.svg", "scored.vcf.gz", "tracks/igv.html",
        "tracks/snv_scores.tsv.gz", "spliced.vcf.gz", "evaluation/curves.svg", "frequency.svg",
        "classes.svg",
    ):  # fmt: skip
        assert (home / name).exists(), name
        assert name.split("/")[-1].partition(".")[0] in text


def test_variants_are_scored_and_counted(home: Path) -> None:
    with gzip.open(home / "scored.vcf.gz", "rt") as handle:
        rows = [line for line in handle if not line.startswith("#")]
    with gzip.open(home / "variants.vcf.gz", "rt") as handle:
        assert len(rows) == sum(not line.startswith("#") for line in handle) > 100
    scores = [re.search(r"PHYLOGPN_LLR=([^;]+)", row)[1] for row in rows]
    assert len(set(scores)) > 50
    assert "." not in scores


def test_the_card_shows_the_curves_of_the_run(home: Path) -> None:
    card = (home / "my-model" / "card.md").read_text()
    assert "](training.svg)" in card
    assert "null model" in card


def test_tracks_cover_what_was_trained_on(home: Path) -> None:
    trained = RegionSet.of(open_store(home / "columns.store").covered_regions(2))
    with gzip.open(home / "tracks" / "snv_scores.tsv.gz", "rt") as handle:
        places = {tuple(line.split("\t")[:2]) for line in handle if not line.startswith("#")}
    assert 0 < len(places) <= trained.n_positions


def test_a_fasta_is_made_of_rows_that_are_whole_contigs(tmp_path):
    command = next(text for text in shell_blocks(PAGE) if text.startswith("gzip -dc alignment"))
    maf = """##maf version=1
a
s hen.g1 0 5 + 5 AC-gTT
s duck.g1 0 6 + 6 ACAGTT

a
s hen.g.2 0 2 + 2 AC
s duck.g2 0 2 + 2 AC

a
s hen.part 3 2 + 9 AC

a
s henry.g3 0 2 + 2 AC
"""
    with gzip.open(tmp_path / "alignment.maf.gz", "wt") as handle:
        handle.write(maf)
    done = shell(command.replace("REFERENCE", "hen"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "genome.fa").read_text() == ">g1\nACgTT\n>g.2\nAC\n"
