"""A model of masked bases under every verb that scores: the same numbers, and the LLR first."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_models import write_toy_model

from phylotools import load_model, predict_sites, score_variants
from phylotools.cli.main import run
from phylotools.embedding.source import EmbeddingSource
from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model import folder as model_folder
from phylotools.plots.logo import profile_sites
from phylotools.scoring.layers import find_layer
from phylotools.scoring.scorer import Scorer

pytestmark = pytest.mark.usefixtures("one_thread")
LETTERS = "ACGTTGCANACCGGTTTACGacgttacatTAGCATGATTACA"
POSITIONS = (0, 5, 11, 20, 41)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    return write_toy_model(tmp_path_factory.mktemp("m") / "toy", reference=None, masks_site=True)


@pytest.fixture
def fasta(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("g.fa").write_text(f">c\n{LETTERS}\n")
    return "g.fa"


@pytest.fixture(scope="module")
def by_hand(model_path) -> np.ndarray:
    """LLR of every base at every position, one masked window at a time."""
    model = load_model(str(model_path))
    half = model.receptive_field // 2
    codes = ["ACGT".find(letter) % 5 for letter in LETTERS.upper()]
    tokens = np.pad(codes, half, constant_values=5)
    rows = []
    for position in range(len(codes)):
        window = torch.from_numpy(tokens[position : position + 2 * half + 1].copy())
        window[half] = 4
        log_p = model.site_model(window[None])[0, 0].double().log_softmax(-1).numpy()
        own = codes[position]
        rows.append(log_p - log_p[own] if own < 4 else np.full(4, np.nan))
    return np.stack(rows)


def test_annotate(model_path, fasta, by_hand, capsys):
    rows = []
    for position in POSITIONS:
        ref = LETTERS[position].upper()
        rows += [f"c\t{position + 1}\t.\t{ref}\t{alt}\t.\t.\t." for alt in "ACGT" if alt != ref]
    head = f"##fileformat=VCFv4.2\n##contig=<ID=c,length={len(LETTERS)}>\n"
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    Path("in.vcf").write_text(head + columns + "\n".join(rows) + "\n")
    assert run(["annotate", "in.vcf", "-m", str(model_path), "-f", fasta, "-o", "out.vcf"]) == 0
    text = Path("out.vcf").read_text()
    assert "FIXATION" not in text
    assert "where the site is masked" in text
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        _, pos, _, _, alt, _, _, info = line.split("\t")
        fields = dict(entry.split("=") for entry in info.split(";"))
        expected = by_hand[int(pos) - 1, "ACGT".index(alt)]
        assert float(fields["PHYLOGPN_LLR"]) == pytest.approx(expected, abs=6e-5)


def test_tracks(model_path, fasta, by_hand):
    assert run(["tracks", "-m", str(model_path), "-f", fasta, "-o", "t", "-q"]) == 0
    with gzip.open("t/snv_scores.tsv.gz", "rt") as table:
        lines = [line.rstrip("\n").split("\t") for line in table if not line.startswith("##")]
    assert "fixation" not in lines[0]
    assert len(lines) == 1 + 3 * (len(LETTERS) - 1)
    for row in lines[1:]:
        found = dict(zip(lines[0], row, strict=True))
        expected = by_hand[int(found["pos"]) - 1, "ACGT".index(found["alt"])]
        assert float(found["llr"]) == pytest.approx(expected, abs=6e-5)


def test_from_python(model_path, fasta, by_hand):
    model = load_model(str(model_path))
    (sites,) = predict_sites(model, regions=[f"c:1-{len(LETTERS)}"], fasta=fasta)
    assert sites.default_score == "llr"
    np.testing.assert_allclose(sites.score(), by_hand, atol=1e-5)
    lone = predict_sites(model, LETTERS.upper())
    np.testing.assert_allclose(lone.llr, by_hand, atol=1e-5)
    scores = score_variants(model, [("c", 6, LETTERS[5], "A")], fasta=fasta)
    assert float(np.asarray(scores.llr).item()) == pytest.approx(by_hand[5, 0], abs=6e-5)
    with ReferenceGenome.open(fasta) as genome:
        profile = profile_sites(Scorer(model, genome), Region("c", 0, len(LETTERS)))
    np.testing.assert_allclose(profile.llr, by_hand, atol=1e-5)


def test_embeddings_are_those_of_the_whole_sequence(model_path, fasta):
    model = load_model(str(model_path))
    half = model.receptive_field // 2
    with ReferenceGenome.open(fasta) as genome:
        source = EmbeddingSource(model, genome, find_layer("last", model.spec))
        ((_, found),) = source.tiles("c", [0])
        codes = genome.fetch(Region("c", 0, len(LETTERS))) & 7
    tokens = torch.from_numpy(np.pad(codes.astype(np.int64), half, constant_values=5))
    expected = model.network.embed(tokens[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("verb", ["simulate", "fit-sites"])
def test_what_needs_rates_of_substitution_refuses_it(
    model_path, fasta, mammals_store, verb, capsys
):
    Path("tree.nh").write_text("(a:0.1,b:0.1);")
    command = {
        "simulate": ["tree.nh", "--model", str(model_path), "--reference", "a", "-o", "out.maf"],
        "fit-sites": [str(mammals_store), "--prior", str(model_path), "-o", "out.tsv.gz"],
    }[verb]
    assert run([verb, *command, "-f", fasta]) == 2
    assert "knows no rate of substitution" in capsys.readouterr().err
    assert not list(Path().glob("out*"))


def test_a_phylotools_that_knows_no_masks_refuses_it(model_path, monkeypatch):
    monkeypatch.setattr(model_folder, "MANIFEST_VERSION", 1)
    with pytest.raises(InputError, match="newer than this phylotools"):
        load_model(str(model_path))
