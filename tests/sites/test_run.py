from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
import torch
from small_stores import build_store

from phylotools.errors import InputError, UsageError
from phylotools.io.regions import Region, RegionSet
from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.simulation import evolve_columns
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.site_fit.conservation import neutral_theta, rate_test
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.phylogeny.tree import parse_newick
from phylotools.sites.preparation import FitSettings, prepare
from phylotools.sites.run import FitOutputs, fit_store
from phylotools.store import columns as columns_module
from phylotools.store.columns import columns_in_order
from phylotools.store.read import open_store

pytestmark = pytest.mark.usefixtures("one_thread")
BACKGROUND = (0.3, 0.3, 0.15, 0.25)
HKY = FitSettings("hky", {"kappa": 5.0}, background=BACKGROUND, sample=300)


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header lines, and a dictionary a row."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()
    header = [line for line in text.splitlines() if line.startswith("#")]
    names = header[-1].removeprefix("#").split("\t")
    rows = [line.split("\t") for line in text.splitlines()[len(header) :]]
    return header, [dict(zip(names, row, strict=True)) for row in rows]


def run(store_path, path: Path, settings=HKY, regions=None, **outputs) -> list[dict[str, str]]:
    store = open_store(store_path)
    prepared = prepare(store, settings)
    summary = fit_store(store, prepared, FitOutputs(str(path), **outputs), regions)
    rows = read_table(path)[1]
    assert summary.n_sites == len({(row["contig"], row["pos"]) for row in rows})
    return rows


def numbers(rows, name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def test_rows_are_the_fits_of_the_columns(mammals_store, tmp_path):
    store = open_store(mammals_store)
    rows = run(mammals_store, tmp_path / "out.tsv")
    ((columns,),) = columns_in_order(store)
    states, reference = torch.from_numpy(columns.states), torch.from_numpy(columns.reference)
    plan = make_plan(store.tree.with_minimum_branch_length(1e-6))
    model = make_substitution_model("hky", kappa=5.0, background=BACKGROUND)
    theta = fit_sites(states, reference, plan, SitePrior(), model)
    assert [int(row["pos"]) - 1 for row in rows] == columns.position.tolist()
    assert "".join(row["ref"] for row in rows) == "".join("ACGT"[b] for b in columns.reference)
    with torch.no_grad():
        log_pi = model.log_equilibrium_frequencies(theta)
        own = log_pi.gather(1, reference.long().unsqueeze(1))
        for index, base in enumerate("ACGT"):
            expected = (log_pi - own)[:, index].numpy()
            assert np.abs(numbers(rows, f"llr_{base}") - expected).max() < 2e-3
        assert np.abs(numbers(rows, "log_rate") - model.log_rate(theta).numpy()).max() < 2e-3
        assert np.allclose(numbers(rows, "site_rate"), model.site_rate(theta), rtol=2e-3)
        assert np.abs(numbers(rows, "entropy") - model.entropy(theta).numpy()).max() < 2e-3
    neutral = neutral_theta(torch.tensor(BACKGROUND).log(), model)
    test = rate_test(states, plan, neutral, model)
    assert np.abs(numbers(rows, "conservation") - test.signed_log10_p.numpy()).max() < 5e-3
    assert (numbers(rows, "n_species") == (columns.states < 4).sum(axis=1)).all()


def test_batches_change_nothing(odd_store, tmp_path, monkeypatch):
    together = run(odd_store, tmp_path / "together.tsv")
    monkeypatch.setattr(columns_module, "BATCH_COLUMNS", 1)
    assert run(odd_store, tmp_path / "alone.tsv") == together


def test_tracks_hold_the_numbers_of_the_table(odd_store, tmp_path):
    rows = run(odd_store, tmp_path / "o.tsv.gz", bigwig=str(tmp_path / "o"))
    assert {p.name for p in tmp_path.glob("o.*")} == {
        "o.tsv.gz", "o.tsv.gz.tbi", "o.conservation.bw", "o.rate.bw", "o.llr_mean.bw",
    }  # fmt: skip
    for track, column in (("conservation", "conservation"), ("rate", "site_rate")):
        with pyBigWig.open(str(tmp_path / f"o.{track}.bw")) as handle:
            assert list(handle.chroms()) == ["a", "b"]
            for row in rows:
                value = handle.values(row["contig"], int(row["pos"]) - 1, int(row["pos"]))[0]
                assert value == pytest.approx(float(row[column]), abs=2e-3)
            assert handle.header()["nBasesCovered"] == len(rows)
    with pyBigWig.open(str(tmp_path / "o.llr_mean.bw")) as handle:
        known = [row for row in rows if row["ref"] != "N"]
        assert handle.header()["nBasesCovered"] == len(known) == len(rows) - 1
        for row in known:
            value = handle.values(row["contig"], int(row["pos"]) - 1, int(row["pos"]))[0]
            mean = sum(float(row[f"llr_{base}"]) for base in "ACGT") / 3
            assert value == pytest.approx(mean, abs=2e-3)


def test_odd_columns(odd_store, tmp_path):
    rows = run(odd_store, tmp_path / "o.tsv")
    assert [(row["contig"], row["pos"], row["ref"], row["n_species"]) for row in rows] == [
        ("a", "1", "C", "3"), ("a", "2", "A", "3"),
        ("b", "3", "A", "3"), ("b", "4", "C", "3"), ("b", "5", "N", "1"), ("b", "6", "T", "2"),
        ("b", "11", "T", "3"), ("b", "12", "T", "3"), ("b", "13", "A", "3"), ("b", "14", "C", "3"),
    ]  # fmt: skip
    for row in rows:
        scores = [row[f"llr_{base}"] for base in "ACGT"]
        if row["ref"] == "N":
            assert scores == ["."] * 4
        else:
            assert row[f"llr_{row['ref']}"] == "0.000"
        assert "-0.000" not in row.values()
        assert not {"nan", "inf", "-inf"} & set(row.values())


def test_rows_of_alleles(odd_store, tmp_path):
    sites = run(odd_store, tmp_path / "s.tsv")
    regions = RegionSet.of([Region("b", 10, 14)])
    alleles = run(odd_store, tmp_path / "a.tsv", per_allele=True, regions=regions)
    assert [(r["pos"], r["ref"], r["alt"]) for r in alleles[:3]] == [
        ("11", "T", "A"), ("11", "T", "C"), ("11", "T", "G"),
    ]  # fmt: skip
    by_site = {(row["contig"], row["pos"]): row for row in sites}
    assert len(alleles) == 12
    for row in alleles:
        site = by_site[row["contig"], row["pos"]]
        assert row["llr"] == site[f"llr_{row['alt']}"]
        assert all(row[name] == site[name] for name in ("log_rate", "site_rate", "conservation"))


def test_a_site_depends_on_its_column_alone(mammals_store, tmp_path, monkeypatch):
    whole = run(mammals_store, tmp_path / "whole.tsv")
    by_place = {(row["contig"], row["pos"]): row for row in whole}
    monkeypatch.setattr(columns_module, "BATCH_COLUMNS", 37)
    monkeypatch.setattr(columns_module, "_READ", 50)
    first = int(whole[0]["pos"]) - 1
    regions = [Region(whole[0]["contig"], first + 9, first + 10)]
    regions.append(Region(whole[0]["contig"], first + 20, first + 150))
    part = run(mammals_store, tmp_path / "part.tsv", regions=RegionSet.of(regions))
    assert len(part) == 131
    for row in part:
        other = by_place[row["contig"], row["pos"]]
        for name in ("llr_A", "llr_C", "llr_G", "llr_T", "log_rate", "conservation"):
            assert float(row[name]) == pytest.approx(float(other[name]), abs=5e-3)


def test_the_header_says_what_was_done(odd_store, tmp_path):
    run(odd_store, tmp_path / "o.tsv")
    header, _ = read_table(tmp_path / "o.tsv")
    store = open_store(odd_store)
    assert header[0].startswith("##fit_sites=phylotools ")
    assert f"##store=odd.store {store.fingerprint}" in header
    assert any(line.startswith("##substitution=hky kappa=5 ") for line in header)
    assert "##prior=log_rate_mean=0.287682 log_rate_sd=1 frequency_sd=3" in header
    assert sum(line.startswith("##column=") for line in header) == len(header[-1].split("\t")) - 3


def test_no_column_is_an_error_and_leaves_nothing(odd_store, tmp_path):
    place = tmp_path / "made"
    place.mkdir()
    regions = RegionSet.of([Region("b", 6, 8)])
    with pytest.raises(InputError, match="beside the reference"):
        run(odd_store, place / "o.tsv.gz", regions=regions, bigwig=str(place / "o"))
    assert not list(place.iterdir())


def test_outputs_are_refused_before_the_work(tmp_path):
    (tmp_path / "t.rate.bw").write_text("mine")
    with pytest.raises(UsageError, match="same file"):
        FitOutputs(str(tmp_path / "t.rate.bw"), str(tmp_path / "t"), force=True).refuse([])
    with pytest.raises(Exception, match="--force"):
        FitOutputs("-", str(tmp_path / "t")).refuse([])
    (tmp_path / "g.fa").write_text(">a\nA\n")
    with pytest.raises(UsageError, match="input"):
        FitOutputs(str(tmp_path / "g.fa"), force=True).refuse([str(tmp_path / "g.fa")])


def test_the_median_rate_of_neutral_sites_is_the_scale_of_the_tree(tmp_path):
    """What --neutral-scale is found by: sites that evolve three times as fast as the tree says."""
    newick = "(" + ",".join(f"t{i}:0.3" for i in range(40)) + ");"
    tree = parse_newick(newick)
    theta = (neutral_theta(torch.zeros(4)) + np.log(3)).expand(300, 4)
    states = evolve_columns(theta, tree, seed=1).states
    text = ["a\n"]
    for species, column in zip(tree.tips, states.T, strict=True):
        text.append(f"s {species}.1 0 300 + 300 {''.join('ACGT'[base] for base in column)}\n")
    (tmp_path / "a.maf").write_text("".join(text))
    (tmp_path / "t.nh").write_text(newick)
    build_store(tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s")
    store = open_store(tmp_path / "s")
    found = []
    for scale in (1.0, 3.0):
        prepared = prepare(store, FitSettings(neutral_scale=scale, background=(0.25,) * 4))
        summary = fit_store(store, prepared, FitOutputs(str(tmp_path / f"{scale}.tsv")))
        found.append(summary)
    assert found[0].median_rate_scale == pytest.approx(3, rel=0.1)
    assert found[1].median_rate_scale == pytest.approx(1, rel=0.1)
    assert found[0].n_fast > 150
    assert found[1].n_fast + found[1].n_slow < 15
