from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from published_layouts import DATA, EXPECTED, SMALL, golden_set, imported, tokens_of
from safetensors.torch import load_file, save_file

from phylotools.cli.model import model_command
from phylotools.errors import InputError
from phylotools.model.presets import PRESETS
from phylotools.model.published import golden
from phylotools.model.published.golden import GoldenTable, verify_published
from phylotools.model.published.importing import ImportRequest, import_published
from phylotools.model.registry import load_model
from phylotools.provenance import sha256_file

pytestmark = pytest.mark.usefixtures("one_thread")
TABLE = GoldenTable(SMALL, {}, (golden_set("layer", 0), golden_set("group", 2)))
ROWS = {"log_rates", "rates", "probabilities"}


@pytest.mark.parametrize("layout", ["huggingface_layernorm", "github_groupnorm"])
def test_the_generation_is_known_by_its_numbers(tmp_path, layout):
    request = ImportRequest(name="small")
    made = import_published(DATA / layout, tmp_path / "model", request, table=TABLE)
    norm = "layer" if layout == "huggingface_layernorm" else "group"
    assert made.comparison.generations == [f"small_{norm}"]
    model = load_model(str(tmp_path / "model"))
    assert model.manifest["published"]["generations"] == [f"small_{norm}"]
    assert f"small_{norm}" in (tmp_path / "model" / "card.md").read_text()
    found = verify_published(model, TABLE)
    assert found.lines()[0].startswith(f"generation small_{norm} (small): 49 numbers that its")


@pytest.mark.parametrize("field", [*sorted(ROWS), "llr", "embedding_ends"])
def test_every_kind_of_number_is_compared(tmp_path, field):
    """A set with this kind of numbers alone matches; one number changed, it does not."""
    model = load_model(str(imported("huggingface_groupnorm", tmp_path / "model"))).site_model
    right = golden_set("group", 2)
    tokens = torch.from_numpy(tokens_of(right.window).astype(np.int64))
    last = model.network.dense_hidden(tokens, 6, True)[0, :, -3:].tolist()
    first = [row[:3] for row in EXPECTED["layouts"]["group"][2]["embedding_first_8"]]
    right = dataclasses.replace(
        right, embedding_ends=[[*a, *b] for a, b in zip(first, last, strict=True)]
    )
    others = {name: [] for name in (*ROWS, "embedding_ends") if name != field}
    right = dataclasses.replace(right, **others, **({} if field == "llr" else {"llr": {}}))
    assert right.difference(model) < 1e-5
    changed = json.loads(json.dumps(getattr(right, field)))
    if field == "llr":
        changed["value"] += 0.01
    else:
        changed[1][2] += 0.01
    assert dataclasses.replace(right, **{field: changed}).difference(model) > 1e-3


def test_another_generation_is_not_taken_for_it(tmp_path, caplog):
    """The same tensors under the other norm give other numbers."""
    request = ImportRequest(name="small", norm="layer")
    source = DATA / "huggingface_groupnorm"
    made = import_published(source, tmp_path / "model", request, table=TABLE)
    assert made.comparison.generations == []
    assert "none of the published generations: the nearest, small_layer, differs" in caplog.text
    found = verify_published(load_model(str(made.folder)), TABLE)
    assert "none of the published generations" in found.lines()[0]


def test_another_shape_is_none_of_them(tmp_path):
    model = load_model(str(imported("huggingface_layernorm", tmp_path / "model")))
    found = verify_published(model)
    assert found.lines() == ["none of the published generations: the network has another shape"]


def test_another_norm_is_none_of_them(tmp_path):
    model = load_model(str(imported("huggingface_layernorm", tmp_path / "model")))
    found = verify_published(model, GoldenTable(SMALL, {}, (golden_set("group", 2),)))
    assert found.lines() == ["none of the published generations: they have another norm"]
    assert found.generations == []


def test_a_model_of_our_own_is_not_compared(tmp_path):
    assert verify_published(load_model("mammals671-mtdna")) is None


def test_changed_weights_do_not_pass_for_a_generation(tmp_path, monkeypatch):
    """One weight changed, and every checksum made right again."""
    source = DATA / "huggingface_layernorm"
    import_published(source, tmp_path / "model", ImportRequest("small"), table=TABLE)
    weights, manifest = (tmp_path / "model" / n for n in ("weights.safetensors", "manifest.json"))
    tensors = load_file(weights)
    tensors["blocks.2.conv_mid.weight"][3, 4, 2] += 0.5
    save_file(tensors, weights)
    facts = json.loads(manifest.read_text())
    facts["sha256"]["weights.safetensors"] = sha256_file(weights)
    manifest.write_text(json.dumps(facts))
    model = load_model(str(tmp_path / "model"))
    with pytest.raises(InputError, match="says that this is small_layer, but the network is none"):
        verify_published(model, TABLE)


def test_numbers_that_are_none_match_nothing(tmp_path):
    model = load_model(str(imported("huggingface_layernorm", tmp_path / "model"))).site_model
    with torch.no_grad():
        model.network.output.bias[0] = torch.nan
    model.network.freeze()
    assert golden_set("layer", 0).difference(model) == np.inf


def test_verify_says_which_generation(tmp_path, monkeypatch):
    monkeypatch.setattr(golden.GoldenTable, "read", classmethod(lambda cls: TABLE))
    folder = imported("github_groupnorm", tmp_path / "model")
    result = CliRunner().invoke(model_command, ["verify", str(folder)])
    assert result.exit_code == 0
    assert "generation small_group (small): 49 numbers" in result.output
    plain = CliRunner().invoke(model_command, ["verify", "mammals671-mtdna"])
    assert len(plain.output.splitlines()) == 1


def test_the_table_that_ships_agrees_with_itself():
    table = GoldenTable.read()
    shape = PRESETS["phylogpn"].to_dict()
    assert all(shape[key] == value for key, value in table.network.items())
    reach = PRESETS["phylogpn"].receptive_field - 1
    by_id = {golden.id: golden for golden in table.sets}
    assert set(by_id) == {"hf_2026-04", "hf_2025", "repo_2024-10"}
    for found in table.sets:
        n_rows = len(found.log_rates or found.rates)
        assert len(found.window) - reach >= n_rows
        assert found.norm in ("layer", "group")
    for name, llr in (("hf_2026-04", 0.7954897), ("hf_2025", -0.2926)):
        rows, stated = by_id[name].log_rates, by_id[name].llr
        assert len(rows) == 6
        assert stated["value"] == pytest.approx(llr, abs=1e-7)
        assert rows[1][3] - rows[1][1] == pytest.approx(stated["value"], abs=1e-7)
    older = by_id["repo_2024-10"]
    assert len(older.rates) == len(older.probabilities) == 20
    frequencies = np.array(older.rates) / np.sum(older.rates, axis=1, keepdims=True)
    np.testing.assert_allclose(frequencies, older.probabilities, atol=1e-6)
