from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from model_folders import CPU, SPEC, draft, refused, rehash

from phylotools.errors import InputError, OutputError
from phylotools.model.folder import read_model, write_model
from phylotools.model.network import ByteNet
from phylotools.model.registry import (
    describe_model,
    find_model,
    list_models,
    load_model,
    verify_model,
)
from phylotools.model.site_model import SiteModel
from phylotools.model.weights import load_tensors
from phylotools.provenance import sha256_file

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(draft(), tmp_path / "toy")
    return tmp_path / "toy"


def edit_manifest(folder: Path, **changes) -> None:
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))


# round trip


def test_round_trip(tmp_path, data):
    (tmp_path / "ref.fa").write_text(">chrM\nACGTACGT\n")
    (tmp_path / "cds.bed").write_text("chrM\t2\t5\n")
    write_model(
        draft(reference=tmp_path / "ref.fa", training_regions=tmp_path / "cds.bed"),
        tmp_path / "m",
    )
    model = read_model(tmp_path / "m", CPU)
    assert (model.name, model.revision, model.spec) == ("toy", "7", SPEC)
    assert model.receptive_field == 13
    assert model.sha256 == sha256_file(tmp_path / "m" / "weights.safetensors")
    assert model.config["training"] == draft().training
    assert model.manifest["licence"] == "CC0"
    assert model.reference_fasta == tmp_path / "m" / "reference.fa"
    assert [str(region) for region in model.training_regions] == ["chrM:3-5"]
    tokens = torch.randint(0, 6, (2, 30))
    assert torch.equal(model.site_model(tokens), draft().site_model(tokens))
    assert verify_model(model) <= 1e-6
    described = json.dumps(describe_model(tmp_path / "m"))
    assert "hg38" in described


def test_a_packed_reference_is_unpacked_since_its_name_says_text(tmp_path):
    (tmp_path / "ref.fa.gz").write_bytes(gzip.compress(b">chrM\nACGTACGT\n"))
    write_model(draft(reference=tmp_path / "ref.fa.gz"), tmp_path / "m")
    assert (tmp_path / "m" / "reference.fa").read_bytes() == b">chrM\nACGTACGT\n"


def test_without_reference_or_regions(folder):
    model = read_model(folder, CPU)
    assert model.reference_fasta is None
    assert model.training_regions is None


def test_existing_folder_needs_force(folder):
    with pytest.raises(OutputError, match="--force"):
        write_model(draft(), folder)
    write_model(draft(revision="8"), folder, force=True)
    assert read_model(folder, CPU).revision == "8"
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"absent\.fa"):
        write_model(draft(reference=tmp_path / "absent.fa"), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# damage


@pytest.mark.parametrize("name", ["config.toml", "manifest.json", "weights.safetensors", "card.md"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, name)


@pytest.mark.parametrize("name", ["config.toml", "weights.safetensors", "card.md"])
def test_one_changed_byte_is_a_wrong_checksum(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, rf"{name}: wrong checksum")


def test_an_added_reference_is_refused(folder):
    (folder / "reference.fa").write_text(">chrM\nACGT\n")
    refused(folder, "not in the manifest")


def test_a_hash_of_an_absent_file_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    edit_manifest(folder, sha256=manifest["sha256"] | {"reference.fa": "00"})
    refused(folder, "is missing")


def test_names_inside_the_manifest_are_never_opened(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    edit_manifest(folder, sha256=manifest["sha256"] | {"../../etc/passwd": "00", "/dev/zero": "1"})
    assert read_model(folder, CPU).name == "toy"


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "3", '"x"', "{", "[" * 100_000, '{"name": ' * 50_000, "\x00", "NaN",
        '{"name": "a"}', '{"name": 1, "revision": "1", "sha256": {}, "manifest_version": 1}',
        '{"name": "a", "revision": 2, "sha256": {}, "manifest_version": 1}',
        '{"name": "a", "revision": "1", "sha256": [], "manifest_version": 1}',
        '{"name": "a", "revision": "1", "sha256": {}, "manifest_version": "1"}',
        '{"name": "a", "revision": "1", "sha256": {}, "manifest_version": 99}',
        '{"name": "a", "revision": "1", "sha256": {"card.md": 3}, "manifest_version": 1}',
    ],
    ids=lambda text: repr(text[:40]),
)  # fmt: skip
def test_hostile_manifests(folder, text):
    (folder / "manifest.json").write_text(text)
    refused(folder, ".")


def test_manifests_that_are_no_text(folder):
    (folder / "manifest.json").write_bytes(b"\xff\xfe{}")
    refused(folder, "UTF-8")
    (folder / "manifest.json").write_text(" " * (5 << 20))
    refused(folder, "too large")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "network = 3", "[network]", "[network]\nchannels = 8",
        "[network]\nchannels = 8.5\nbottleneck = 4", "[network]\nchannels = nan\nbottleneck = 4",
        "[network]\nchannels = 8\nbottleneck = 4\ndepth = 1",
        "[network]\nchannels = 7\nbottleneck = 4",
        "[network]\nchannels = 1000000000000\nbottleneck = 4\ndilations = [1, 2]",
        "[network]\nchannels = 8\nbottleneck = 4\ndilations = [1, 1000000000000]",
        "[network]\nchannels = 8\nbottleneck = 4\ndilations = [1, -2]",
        "[network]\nchannels = 8\nbottleneck = 4\ndilations = [1, 2, 4]",
        "[network]\nchannels = 8\nbottleneck = 4\ndilations = [1, 2]\nfixed_log_rate = nan",
        "[network]\nchannels = 8\nbottleneck = 4\ndilations = [1, 2]\nfixed_log_rate = 1e300",
        f"[network]\nchannels = 8\nbottleneck = 4\nkernel_size = 1\ndilations = {[1] * 20_000}",
        "[network]\nchannels = 1000000\nbottleneck = 1000000\ndilations = [1]",
        "a = 1" + "0" * 5000,
        "a = " + "[" * 100_000,
    ],
    ids=lambda text: repr(text[-50:]),
)  # fmt: skip
def test_hostile_configurations(folder, text):
    (folder / "config.toml").write_text(text)
    rehash(folder)
    refused(folder, ".")


def _header(entries: dict) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 4


WEIGHT = "blocks.0.conv_in.weight"


def _damaged_weights(good: bytes) -> dict[str, bytes]:
    tensors = safetensors.torch.load(good)
    weight = tensors[WEIGHT]
    others = {name: tensor for name, tensor in tensors.items() if name != WEIGHT}
    altered = {
        "NaN": torch.full_like(weight, torch.nan),
        "infinite": torch.full_like(weight, torch.inf),
        "a thousand million times too large": weight * 1e9,
        "integers": weight.int(),
        "half": weight.half(),
        "reshaped": weight.reshape(-1),
        "transposed": weight.transpose(0, 1).contiguous(),
    }
    return {
        "truncated": good[: len(good) // 2],
        "header only": good[:40],
        "empty": b"",
        "pickle": b"\x80\x04cos\nsystem\n.",
        "huge header": struct.pack("<Q", 1 << 60) + good[8:],
        "header no JSON": struct.pack("<Q", 8) + b"{{{{{{{{",
        "huge tensor": _header({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 0]}}),
        "negative": _header({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}),
        "unknown type": _header({"x": {"dtype": "F3", "shape": [1], "data_offsets": [0, 4]}}),
        "extra": safetensors.torch.save(tensors | {"../evil": torch.zeros(1)}),
        "extra and empty": safetensors.torch.save(tensors | {"evil": torch.zeros(0)}),
        "missing": safetensors.torch.save(others),
        "renamed": safetensors.torch.save({name + "x": t for name, t in tensors.items()}),
    } | {what: safetensors.torch.save(others | {WEIGHT: t}) for what, t in altered.items()}


WAYS = list(_damaged_weights(safetensors.torch.save({WEIGHT: torch.ones(4, 8, 1)})))


@pytest.mark.parametrize("what", WAYS)
def test_hostile_weights(folder, what):
    path = folder / "weights.safetensors"
    path.write_bytes(_damaged_weights(path.read_bytes())[what])
    rehash(folder)
    refused(folder, "weights")


def test_a_bad_training_bed_is_refused(folder):
    (folder / "training_regions.bed").write_text("chrM\tten\t20\n")
    rehash(folder)
    with pytest.raises(InputError, match=r"training_regions\.bed:1"):
        read_model(folder, CPU)


def test_another_receptive_field_is_refused(folder):
    edit_manifest(folder, receptive_field=101)
    refused(folder, r"manifest\.json: the receptive field is not the network's, 13")


def test_weights_have_the_permissions_of_other_files(folder):
    mask = os.umask(0o027)
    try:
        write_model(draft(), folder, force=True)
    finally:
        os.umask(mask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(modes.values()) == {0o640}, modes


def test_a_full_disk_names_the_model(tmp_path, file_size_limit):
    with file_size_limit(1000), pytest.raises(OutputError, match="toy: cannot write"):
        write_model(draft(), tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_load_tensors_of_a_folder_or_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "absent.safetensors"):
        with pytest.raises(InputError):
            load_tensors(path)


# verify


@pytest.mark.parametrize(
    "check",
    [
        None, 3, [], {}, {"sequence": "ACGT"}, {"sequence": "ACGT", "log_rates": []},
        {"sequence": "", "log_rates": []}, {"sequence": "XY", "log_rates": [[0] * 4] * 2},
        {"sequence": "AC", "log_rates": [["a"] * 4] * 2},
        {"sequence": "A", "log_rates": [[1e9] * 4]},
        {"sequence": "A", "log_rates": [[float("nan")] * 4]}, {"sequence": "A", "log_rates": [[1]]},
        {"sequence": "A", "log_rates": [[10**400] * 4]},
        {"sequence": "A" * 10**6, "log_rates": [[0] * 4]},
    ],
    ids=lambda check: str(check)[:50],
)  # fmt: skip
def test_verify_refuses_wrong_or_useless_checks(folder, check):
    edit_manifest(folder, check=check)
    with pytest.raises(InputError):
        verify_model(read_model(folder, CPU))


def test_verify_finds_other_weights(folder, tmp_path):
    torch.manual_seed(4)
    write_model(draft(site_model=SiteModel(ByteNet(SPEC)).freeze()), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "weights.safetensors", folder)
    rehash(folder)
    with pytest.raises(InputError, match="theta of the check sequence differs"):
        verify_model(read_model(folder, CPU))


# registry


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    (tmp_path / "cache" / "models").mkdir(parents=True)
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "models"


def test_models_are_found_by_name_and_by_path(cache):
    write_model(draft(), cache / "toy-model")
    assert find_model("toy-model") == cache / "toy-model"
    assert find_model(str(cache / "toy-model")) == cache / "toy-model"
    assert find_model("cache/models/toy-model") == Path("cache/models/toy-model")
    assert load_model("toy-model").name == "toy"
    (summary,) = [one for one in list_models() if one.name == "toy-model"]
    assert (summary.revision, summary.assembly, summary.contigs) == ("7", "hg38", ("chrM",))


def test_names_cannot_climb(cache):
    write_model(draft(), cache.parent / "secret")
    for name in ("../secret", "..", ".", "models/../../secret"):
        try:
            found = find_model(name)
        except InputError:
            continue
        # What is left is an ordinary path, taken from the working folder.
        assert found == Path(name)
        assert cache not in found.parents
    with pytest.raises(InputError):
        find_model("../secret")


def test_unknown_names_list_the_models_at_hand(cache):
    write_model(draft(), cache / "toy-model")
    with pytest.raises(InputError, match=r"'nope'.*models at hand: .*toy-model.*phylotools train"):
        load_model("nope")


def test_a_published_model_that_was_not_fetched_is_to_be_fetched(cache):
    with pytest.raises(InputError, match=r"'phylogpn'.*`phylotools model fetch phylogpn`"):
        find_model("phylogpn")


def test_listing_survives_hostile_neighbours(cache):
    write_model(draft(), cache / "good")
    for index, contigs in enumerate([5, None, {"a": 1}, [1, None], "chrM"]):
        write_model(draft(), cache / f"odd{index}")
        edit_manifest(cache / f"odd{index}", contigs=contigs, assembly={"x": []})
    (cache / "empty").mkdir()
    write_model(draft(), cache / ".killed.part")
    (cache / "broken").mkdir()
    (cache / "broken" / "manifest.json").write_text("[" * 100_000)
    names = {summary.name for summary in list_models()}
    assert "good" in names
    assert not names & {"empty", "broken", ".killed.part"}


def test_the_cache_comes_before_the_shipped_models(cache):
    for summary in list_models():
        write_model(draft(), cache / summary.name)
        assert find_model(summary.name) == cache / summary.name
