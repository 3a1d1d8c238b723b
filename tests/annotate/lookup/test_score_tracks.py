"""Scores looked up in the bigWigs that `phylotools tracks` writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from phylotools.annotate.lookup import ScoreTracks, open_precomputed
from phylotools.errors import InputError
from phylotools.io.bigwig.writer import open_bigwig
from phylotools.io.genome import ReferenceGenome
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS, make_substitution_model
from phylotools.tracks.catalogue import SIGNALS
from phylotools.tracks.values import SiteValues, rounded, site_values

pytestmark = pytest.mark.usefixtures("one_thread")

SHA256 = "ab" * 32
N = 6000
BACKGROUND = [0.35, 0.2, 0.15, 0.3]
SETTINGS = {"hky": {"background": BACKGROUND}, "gtr": {"background": BACKGROUND}}
#: Without values in the tracks.
HOLE = slice(2000, 3000)


def make(folder: Path, name: str) -> tuple[SimpleNamespace, Path, SiteValues, np.ndarray]:
    """Tracks of random sites, and the genome that they are of."""
    chance = np.random.default_rng(7)
    substitution = make_substitution_model(name, **SETTINGS.get(name, {}))
    codes = chance.integers(0, 4, N).astype(np.uint8)
    values = site_values(substitution, chance.normal(0, 3, (N, 4)).astype(np.float32), codes)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[codes].tobytes().decode()
    fasta = folder / "genome.fa"
    fasta.write_text(f">1\n{letters}\n>2\nACGT\n>3\nACGT\n")
    kept = np.delete(np.arange(N), HOLE)
    for signal in SIGNALS:
        with open_bigwig(str(folder / signal.file), {"chr1": N, "chr2": 4}) as writer:
            writer.add("chr1", kept, rounded(values.signal(signal))[kept])
    record = {
        "format": "phylotools-tracks",
        "model": {"name": "toy", "sha256": SHA256},
        "computed_on": [{"device": "cpu", "precision": "float32"}],
        "tracks": [],
    }
    (folder / "tracks.json").write_text(json.dumps(record))
    model = SimpleNamespace(name="toy", sha256=SHA256, substitution=substitution)
    return model, fasta, values, codes


@pytest.fixture
def made(tmp_path: Path) -> tuple[SimpleNamespace, Path, SiteValues, np.ndarray]:
    return make(tmp_path, "f81")


@pytest.mark.parametrize("name", SUBSTITUTION_MODELS)
def test_numbers_are_those_of_the_network(tmp_path: Path, name: str) -> None:
    model, fasta, values, codes = make(tmp_path, name)
    positions = np.random.default_rng(1).permutation(np.repeat(np.arange(N), 4))
    alts = np.random.default_rng(2).integers(0, 6, len(positions)).astype(np.uint8)
    with (
        ReferenceGenome.open(fasta) as genome,
        open_precomputed(tmp_path, model, genome) as tracks,
    ):
        assert isinstance(tracks, ScoreTracks)
        llr, rate, entropy = tracks.lookup("1", positions, alts)
        for contig in ("2", "3"):
            assert np.isnan(tracks.lookup(contig, np.arange(4), np.zeros(4, np.uint8))).all()
        assert tracks.lookup("1", positions[:0], alts[:0])[0].shape == (0,)
    is_hole = (positions >= HOLE.start) & (positions < HOLE.stop)
    is_other = (alts > 3) | (alts == codes[positions])
    assert np.isnan(llr[is_hole | is_other]).all()
    assert np.isnan(rate[is_hole]).all()
    assert np.isnan(entropy[is_hole]).all()
    here = ~(is_hole | is_other)
    places, bases = positions[here], alts[here]
    # What rounding to 14 bits may do to two logarithms, as docs/annotate.md has it.
    log_pi = np.abs(values.log_probability)
    bound = 6.2e-5 * (log_pi[places, bases] + log_pi[places, codes[places]]) + 1e-6
    assert (np.abs(llr[here] - values.llr[places, bases]) < bound).all()
    np.testing.assert_allclose(rate[here], values.rate[places], rtol=6.2e-5)
    np.testing.assert_allclose(entropy[here], values.entropy[places], rtol=0, atol=2e-4)


def refused(model: SimpleNamespace, fasta: Path, folder: Path, problem: str, **options) -> None:
    with (
        ReferenceGenome.open(fasta) as genome,
        pytest.raises(InputError, match=problem),
        open_precomputed(folder, model, genome, **options) as tracks,
    ):
        tracks.lookup("1", np.arange(100, 200), np.zeros(100, dtype=np.uint8))


def test_what_is_refused(made, tmp_path: Path) -> None:
    model, fasta, _, codes = made
    refused(
        SimpleNamespace(**{**vars(model), "sha256": "cd" * 32}), fasta, tmp_path, "of model toy"
    )
    refused(model, fasta, tmp_path, "computed in float32, the others", precision="bfloat16")
    lines = fasta.read_text().split("\n")
    other = tmp_path / "other.fa"
    wrong = "CGTA"[codes[150]]
    other.write_text(f">1\n{lines[1][:150]}{wrong}{lines[1][151:]}\n")
    refused(model, other, tmp_path, "its reference base at 1:151 is not that of .*other.fa")
    other.write_text(f">1\n{lines[1][:150]}N{lines[1][151:]}\n")
    refused(model, other, tmp_path, "its reference base at 1:151 is not that of .*other.fa")
    other.write_text(f">1\n{lines[1]}A\n")
    refused(model, other, tmp_path, "its contig 1 is not as long as that of .*other.fa")
    other.write_text(">chrZ\nACGT\n")
    refused(model, other, tmp_path, "is on chr1, chr2, none of them a contig of")
    record = (tmp_path / "tracks.json").read_text()
    for damaged in ("{", "[]", "3", record.replace("phylotools-tracks", "other"), "[" * 99_999):
        (tmp_path / "tracks.json").write_text(damaged)
        refused(model, fasta, tmp_path, "tracks.json: is no record of tracks; make them anew")
    (tmp_path / "tracks.json").write_text(record)
    (tmp_path / "rate.bw").rename(tmp_path / "away.bw")
    refused(model, fasta, tmp_path, "neither the table of all variants nor rate.bw .*make it with")
    (tmp_path / "rate.bw").write_bytes((tmp_path / "away.bw").read_bytes()[:-5000])
    refused(model, fasta, tmp_path, "rate.bw: is damaged or truncated")
    with open_bigwig(str(tmp_path / "rate.bw"), {"chr1": N}, force=True) as writer:
        writer.add("chr1", np.arange(N), np.ones(N))
    refused(model, fasta, tmp_path, "rate.bw: has other contigs than the tracks beside it")
    shutil.copyfile(tmp_path / "away.bw", tmp_path / "rate.bw")
    shutil.copyfile(tmp_path / "rate.bw", tmp_path / "log_probability_C.bw")
    refused(model, fasta, tmp_path, "the probabilities of its bases do not add up to 1")


def test_the_table_comes_first_and_one_track_is_refused(made, tmp_path: Path) -> None:
    model, fasta, _, _ = made
    refused(model, fasta, tmp_path / "rate.bw", "is a single track, .* give the folder that")
    (tmp_path / "snv_scores.tsv.gz").write_text("no table")
    refused(model, fasta, tmp_path, "snv_scores.tsv.gz: is not compressed with bgzip")
