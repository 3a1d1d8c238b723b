"""Scores looked up in the bigWigs that `phylotools tracks` writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from phylotools.annotate.lookup import ScoreTracks
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
SETTINGS = {
    "hky": {"background": BACKGROUND},
    "gtr": {"background": BACKGROUND},
    "mutation-selection": {"mutation_frequencies": BACKGROUND},
}
#: Without values in the tracks.
HOLE = slice(2000, 3000)


def make(folder: Path, name: str) -> tuple[SimpleNamespace, Path, SiteValues, np.ndarray]:
    """Tracks of random sites, and the genome that they are of."""
    chance = np.random.default_rng(7)
    substitution = make_substitution_model(name, **SETTINGS.get(name, {}))
    codes = chance.integers(0, 4, N).astype(np.uint8)
    theta = chance.normal(0, 3, (N, 4)).astype(np.float32)
    values = site_values(substitution, theta, codes)
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
        "scores": {"llr": "log pi_ALT - log pi_REF"},
    }
    (folder / "tracks.json").write_text(json.dumps(record))
    with torch.inference_mode():
        log_rate = substitution.log_rate(torch.from_numpy(theta).double()).numpy()
    process = substitution.mutation_process()
    model = SimpleNamespace(name="toy", sha256=SHA256, mutation_process=process, log_rate=log_rate)
    return model, fasta, values, codes


@pytest.fixture
def made(tmp_path: Path) -> tuple[SimpleNamespace, Path, SiteValues, np.ndarray]:
    return make(tmp_path, "f81")


@pytest.mark.parametrize("name", SUBSTITUTION_MODELS)
def test_numbers_are_those_of_the_network(tmp_path: Path, name: str) -> None:
    model, fasta, values, codes = make(tmp_path, name)
    positions = np.random.default_rng(1).permutation(np.repeat(np.arange(N), 2))
    with (
        ReferenceGenome.open(fasta) as genome,
        ScoreTracks.open(tmp_path, model, genome) as tracks,
    ):
        found = tracks.sites("1", positions)
        for contig in ("2", "3"):
            nothing = tracks.sites(contig, np.arange(4))
            assert np.isnan(nothing.log_pi).all()
            assert np.isnan(nothing.rate).all()
            assert np.isnan(nothing.entropy).all()
        assert tracks.sites("1", positions[:0]).log_pi.shape == (0, 4)
    is_hole = (positions >= HOLE.start) & (positions < HOLE.stop)
    for numbers in (found.log_pi, found.log_rate, found.rate, found.entropy):
        assert np.isnan(numbers[is_hole]).all()
        assert np.isfinite(numbers[~is_hole]).all()
    places = positions[~is_hole]
    own = codes[places, None]
    looked_up = found.log_pi[~is_hole]
    llr = looked_up - np.take_along_axis(looked_up, own, axis=1)
    # What rounding to 14 bits may do to two logarithms, as docs/annotate.md has it.
    log_pi = np.abs(values.log_probability[places])
    bound = 6.2e-5 * (log_pi + np.take_along_axis(log_pi, own, axis=1)) + 1e-6
    is_alt = np.arange(4) != own
    expected = values.llr[places]
    assert (np.abs(llr - expected)[is_alt] < bound[is_alt]).all()
    # log R follows from the rate and frequencies.
    wide = 6.2e-5 * (log_pi.max(axis=1) + 1)
    assert (np.abs(found.log_rate[~is_hole] - model.log_rate[places]) < wide).all()
    np.testing.assert_allclose(found.rate[~is_hole], values.rate[places], rtol=6.2e-5)
    np.testing.assert_allclose(found.entropy[~is_hole], values.entropy[places], rtol=0, atol=2e-4)


def refused(model: SimpleNamespace, fasta: Path, folder: Path, problem: str, **options) -> None:
    with (
        ReferenceGenome.open(fasta) as genome,
        pytest.raises(InputError, match=problem),
        ScoreTracks.open(folder, model, genome, **options) as tracks,
    ):
        tracks.sites("1", np.arange(100, 200))


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
        refused(
            model,
            fasta,
            tmp_path,
            "tracks.json: is (no record of tracks|damaged).*; make them anew",
        )
    (tmp_path / "tracks.json").write_text(record)
    (tmp_path / "rate.bw").rename(tmp_path / "away.bw")
    refused(model, fasta, tmp_path, "has no rate.bw, without which no score .*make it with")
    (tmp_path / "rate.bw").write_bytes((tmp_path / "away.bw").read_bytes()[:-5000])
    refused(model, fasta, tmp_path, "rate.bw: is damaged or truncated")
    with open_bigwig(str(tmp_path / "rate.bw"), {"chr1": N}, force=True) as writer:
        writer.add("chr1", np.arange(N), np.ones(N))
    refused(model, fasta, tmp_path, "rate.bw: has other contigs than the tracks beside it")
    shutil.copyfile(tmp_path / "away.bw", tmp_path / "rate.bw")
    shutil.copyfile(tmp_path / "rate.bw", tmp_path / "log_probability_C.bw")
    refused(model, fasta, tmp_path, "the probabilities of its bases do not add up to 1")


def test_a_table_and_one_track_are_refused(made, tmp_path: Path) -> None:
    model, fasta, _, _ = made
    (tmp_path / "snv_scores.tsv.gz").write_text("a table")
    for name in ("rate.bw", "snv_scores.tsv.gz"):
        refused(
            model, fasta, tmp_path / name, f"{name}: is no folder of tracks; .* give the folder"
        )
    refused(model, fasta, tmp_path / "none", "tracks.json: cannot read: No such file")
