from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_models import CHRM

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.spliced import spliced_genome, transcript_contig
from phylotools.model.folder import SITE_FITS
from phylotools.model.registry import load_model
from phylotools.model.site_fits import SiteFits
from phylotools.phylogeny.site_fit.fit import fit_sites
from phylotools.scoring.scorer import Scorer
from phylotools.training import export, site_fits
from phylotools.training.dataset import TrainingData
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer
from phylotools.training.site_fits import PRIOR

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def trained(config_of, mammals_store, tmp_path):
    """A configuration, the folder of its run, and the model made of it."""
    config = config_of(
        mammals_store,
        optimiser={"steps": 12},
        data={"held_out_fraction": 0.1, "held_out_species_fraction": 0.1},
    )
    Trainer(config, tmp_path / "run", torch.device("cpu")).run()
    export_model(tmp_path / "run", tmp_path / "toy", ExportRequest("toy", reference=CHRM))
    return config, tmp_path / "run", load_model(str(tmp_path / "toy"))


def theta_of(model, region):
    with ReferenceGenome.open(model.choose_reference(None)) as genome:
        return Scorer(model, genome).theta(region)


def test_training_columns_are_scored_by_their_fit(trained):
    config, _, model = trained
    (source,) = TrainingData(config).stores
    alone = model.from_sequence_alone()
    region = next(r for r in source.regions() if r.end - r.start > 20)
    states = source.store.bases(region) & 7
    states[:, source.held_out_species] = 6
    fitted = fit_sites(
        torch.from_numpy(states),
        torch.from_numpy(source.store.reference(region) & 7),
        source.plan,
        PRIOR,
        model.substitution,
        torch.from_numpy(theta_of(alone, region)),
    )
    assert theta_of(model, region) == pytest.approx(fitted.numpy(), abs=0.03)
    assert np.abs(theta_of(model, region) - theta_of(alone, region)).max() > 0.1


def test_held_out_columns_are_the_network_s(trained):
    config, _, model = trained
    (source,) = TrainingData(config).stores
    alone = model.from_sequence_alone()
    regions = list(source.regions(held_out=True))
    assert regions
    for region in regions:
        assert np.array_equal(theta_of(model, region), theta_of(alone, region))


def test_another_base_is_the_network_s(trained, tmp_path):
    config, _, model = trained
    (source,) = TrainingData(config).stores
    position = next(iter(source.regions())).start + 1
    lines = CHRM.read_text().splitlines()
    text = list("".join(lines[1:]))
    text[position] = "A" if text[position].upper() != "A" else "C"
    (tmp_path / "other.fa").write_text(f"{lines[0]}\n{''.join(text)}\n")
    here = Region("chrM", position, position + 1)
    with ReferenceGenome.open(tmp_path / "other.fa") as genome:
        alone = Scorer(model.from_sequence_alone(), genome).theta(here)
        assert np.array_equal(Scorer(model, genome).theta(here), alone)


def test_identity_says_whether_fits_are_used(trained):
    _, _, model = trained
    alone = model.from_sequence_alone()
    assert alone.sha256 == model.manifest["sha256"]["weights.safetensors"] != model.sha256
    assert alone.from_sequence_alone() is alone


def test_fits_can_be_left_out(trained, config_of, mammals_store, tmp_path):
    _, run, _ = trained
    export_model(run, tmp_path / "bare", ExportRequest("bare", site_fits=False))
    assert not load_model(str(tmp_path / "bare")).uses_site_fits
    assert "fitted to each column" not in (tmp_path / "bare" / "card.md").read_text()
    assert "fitted to each column" in (tmp_path / "toy" / "card.md").read_text()
    config = config_of(mammals_store, optimiser={"steps": 2}, run={"site_fits": False})
    Trainer(config, tmp_path / "without", torch.device("cpu")).run()
    assert not (tmp_path / "without" / SITE_FITS).exists()


def test_a_run_killed_before_its_fits_makes_them_when_resumed(trained):
    config, run, _ = trained
    before = (run / SITE_FITS).read_bytes()
    (run / SITE_FITS).unlink()
    Trainer(config, run, torch.device("cpu"), resume=True).run()
    assert (run / SITE_FITS).read_bytes() == before


def test_a_run_without_its_fits_is_exported_with_a_warning(trained, tmp_path, caplog):
    _, run, _ = trained
    assert not [r for r in caplog.records if SITE_FITS in r.getMessage()]
    (run / SITE_FITS).unlink()
    export_model(run, tmp_path / "early", ExportRequest("early"))
    assert [r.levelname for r in caplog.records if SITE_FITS in r.getMessage()] == ["WARNING"]
    caplog.clear()
    export_model(run, tmp_path / "bare", ExportRequest("bare", site_fits=False))
    assert not [r for r in caplog.records if SITE_FITS in r.getMessage()]


def test_columns_of_an_unknown_reference_base_have_no_fit(config_of, odd_store, tmp_path):
    config = config_of(odd_store, optimiser={"steps": 2}, data={"held_out_fraction": 0.0})
    Trainer(config, tmp_path / "run", torch.device("cpu")).run()
    fits = SiteFits.read(tmp_path / "run" / SITE_FITS)
    theta = np.full((14, 4), 99, np.float32)
    fits.put("b", 0, np.frombuffer(b"\4\4\0\1\4\3\4\4\4\4\3\3\0\1", np.uint8), theta)
    assert np.flatnonzero((theta != 99).all(axis=1)).tolist() == [2, 3, 5, 10, 11, 12, 13]


def test_regions_are_fitted_in_batches_of_one_size(monkeypatch):
    monkeypatch.setattr(site_fits, "_TOGETHER", 10)
    regions = [Region("a", 0, 4), Region("b", 2, 25), Region("c", 7, 10)]
    batches = list(site_fits._batches(regions))
    assert [sum(map(len, batch)) for batch in batches] == [10, 10, 10]
    places = [(r.contig, p) for batch in batches for r in batch for p in range(r.start, r.end)]
    assert places == [(r.contig, p) for r in regions for p in range(r.start, r.end)]


def test_a_run_that_makes_no_fits_is_exported_without_a_warning(
    trained, tmp_path, monkeypatch, caplog
):
    """As one of too many columns; else the warning names the file that is missing."""
    _, run, _ = trained
    (run / SITE_FITS).unlink()
    caplog.clear()
    export_model(run, tmp_path / "killed", ExportRequest("killed"))
    assert f"no {SITE_FITS}" in caplog.text
    caplog.clear()
    monkeypatch.setattr(export, "MOST_SITES", 10)
    export_model(run, tmp_path / "large", ExportRequest("large"))
    assert SITE_FITS not in caplog.text


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_transcript_has_the_fits_of_its_positions(trained, tmp_path, strand):
    """Exons joined, on either strand; elsewhere what the network reads in the transcript."""
    config, _, model = trained
    (source,) = TrainingData(config).stores
    first, second = [r for r in source.regions() if r.end - r.start > 30][:2]
    exons = [(first.start - 5, first.start + 20), (second.start + 3, second.start + 30)]
    rows = [f"chrM\tx\tCDS\t{s + 1}\t{e}\t.\t{strand}\t0\tParent=t\n" for s, e in exons]
    (tmp_path / "t.gff3").write_text("##gff-version 3\n" + "".join(rows))
    places = [p for start, end in exons for p in range(start, end)]
    with ReferenceGenome.open(CHRM) as genome:
        spliced = spliced_genome(genome, str(tmp_path / "t.gff3"), genetic_code=0)
        whole = Region(transcript_contig("t"), 0, len(places))
        found = Scorer(model, spliced).theta(whole)
        alone = Scorer(model.from_sequence_alone(), spliced).theta(whole)
    if strand == "-":
        found, alone = found[::-1, ::-1], alone[::-1, ::-1]
    is_trained = [any(r.start <= p < r.end for r in source.regions()) for p in places]
    assert 5 <= is_trained.count(False) < is_trained.count(True)
    for row, place in enumerate(places):
        here = Region("chrM", place, place + 1)
        expected = theta_of(model, here)[0] if is_trained[row] else alone[row]
        assert np.array_equal(found[row], expected), place
