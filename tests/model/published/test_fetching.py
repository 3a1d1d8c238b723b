from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys

import huggingface_hub.constants
import local_hub
import pytest
import torch
from published_layouts import DATA, EXPECTED, LAYOUTS, SMALL, golden_set, tokens_of
from safetensors.torch import load_file, save
from sparse_genomes import write_sparse_fasta

from phylotools.errors import InputError, OutputError, PhylotoolsError, UsageError
from phylotools.io.chromosomes import BY_NAME
from phylotools.model.published import hub
from phylotools.model.published.catalogue import KNOWN
from phylotools.model.published.fetching import FetchRequest, fetch_model
from phylotools.model.published.golden import GoldenTable, verify_published
from phylotools.model.published.hub import Hub, Patience
from phylotools.model.registry import load_model, verify_model
from phylotools.model.settings import reference_of
from phylotools.scoring.scorer import Scorer

pytestmark = pytest.mark.usefixtures("one_thread")
PHYLOGPN = KNOWN["phylogpn"]
COMMIT, GROUPNORM = "c" * 40, "d" * 40
#: Of the small network, as if it were what the authors published at the catalogue's commit.
TABLE = GoldenTable(SMALL, {}, (golden_set("layer", 0, id=PHYLOGPN.generation),))
WRONG = dataclasses.replace(
    TABLE, sets=tuple(dataclasses.replace(one, log_rates=[[0.0] * 4]) for one in TABLE.sets)
)
LENGTHS = {"hg38": {"chr22": BY_NAME["hg38"].lengths["22"]},
           "hg19": {"chr22": BY_NAME["hg19"].lengths["22"]}}  # fmt: skip


def layout_files(layout: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (DATA / layout).iterdir()}


@pytest.fixture
def server():
    with local_hub.running_hub() as running:
        running.add(PHYLOGPN.repository, COMMIT, layout_files("huggingface_layernorm"))
        running.add(PHYLOGPN.repository, GROUPNORM, layout_files("huggingface_groupnorm"))
        pinned = layout_files("huggingface_layernorm") | {"modeling_phylogpn.py": b"raise"}
        running.add(PHYLOGPN.repository, PHYLOGPN.revision, pinned)
        running.names["main"] = COMMIT
        yield running


@pytest.fixture
def client(server, monkeypatch, tmp_path) -> Hub:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return Hub(server.url, Patience(tries=2, first_wait=0.0))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fetch(client: Hub | None, revision: str | None = COMMIT, *, table=None, force=False, **others):
    request = FetchRequest("phylogpn", revision, **others)
    return fetch_model(request, hub=client, table=table, force=force)


def assert_nothing_kept(cache) -> None:
    left = [path for path in cache.rglob("*") if path.is_file() and path.name != ".lock"]
    assert left == []


@pytest.mark.parametrize(
    ("revision", "layout"),
    [(COMMIT, "huggingface_layernorm"), (GROUPNORM, "huggingface_groupnorm")],
)
def test_a_fetched_model_gives_the_authors_log_rates(cache, client, revision, layout):
    made = fetch(client, revision)
    assert (made.folder, made.was_here) == (cache / "models" / "phylogpn", False)
    model = load_model("phylogpn")
    norm = LAYOUTS[layout]
    assert model.spec.norm == norm
    scorer = Scorer(model, None, threads=1)
    for sequence, wanted in zip(EXPECTED["sequences"], EXPECTED["layouts"][norm], strict=True):
        (theta,) = scorer.values_of(tokens_of(sequence))
        assert abs(theta - torch.tensor(wanted["log_rates"]).numpy()).max() < 1e-5
    assert verify_model(model) < 1e-5


def test_the_manifest_says_where_it_came_from(cache, client):
    fetch(client, "main")
    manifest = json.loads((cache / "models" / "phylogpn" / "manifest.json").read_text())
    record = json.loads((cache / "hub" / "songlab--PhyloGPN" / f"{COMMIT}.json").read_text())
    published = manifest["published"]
    assert (published["repository"], published["revision"]) == ("songlab/PhyloGPN", COMMIT)
    assert published["files"] == {k: v["sha256"] for k, v in record["files"].items()}
    assert (manifest["name"], manifest["revision"]) == ("phylogpn", COMMIT[:12])
    assert manifest["assembly"] == "hg38"
    assert manifest["licence"] == PHYLOGPN.licence


def test_without_a_revision_it_is_the_pinned_one_and_its_numbers_are_the_authors(
    cache, client, server
):
    made = fetch(client, None, table=TABLE)
    assert made.commit == "3556db4c469e67d25f0f7a0a6653b48be3eebf51"
    assert made.findings[0].startswith("generation hf_2026-04 (small): 49 numbers")
    assert verify_published(load_model("phylogpn"), TABLE).generations == ["hf_2026-04"]
    assert not [path for _, path, _ in server.requests if path.endswith(".py")]


@pytest.mark.parametrize("table", [WRONG, None], ids=["other numbers", "other shape"])
def test_the_pinned_one_with_other_numbers_is_not_kept(cache, client, table):
    with pytest.raises(InputError, match=r"is none of the published generations.* hf_2026-04$"):
        fetch(client, None, table=table)
    assert_nothing_kept(cache)


def test_other_revisions_may_be_of_no_known_generation(cache, client):
    assert fetch(client, COMMIT).findings == (
        "none of the published generations: the network has another shape",
    )


def nan_weights() -> bytes:
    tensors = load_file(DATA / "huggingface_layernorm" / "model.safetensors")
    first = min(tensors)
    tensors[first] = torch.full_like(tensors[first], torch.nan)
    return save(tensors)


def one_tensor_less() -> bytes:
    tensors = load_file(DATA / "huggingface_layernorm" / "model.safetensors")
    del tensors[max(tensors)]
    return save(tensors)


def huge_network() -> bytes:
    return json.dumps(json.loads(CONFIG) | {"outer_dim": 90_000, "num_stacks": 9_000}).encode()


CONFIG = (DATA / "huggingface_layernorm" / "config.json").read_bytes()
BAD_MODELS = {
    "nan": {"model.safetensors": nan_weights()},
    "a tensor less": {"model.safetensors": one_tensor_less()},
    "html for weights": {"model.safetensors": b"<html>" * 5_000},
    "header of safetensors that is too long": {"model.safetensors": b"\xff" * 30_000},
    "pickle": {"model.safetensors": b"\x80\x02cos\nsystem\n(S'touch EXECUTED'\ntR." * 1_000},
    "html for a configuration": {"config.json": b"<html>"},
    "deep configuration": {"config.json": b"[" * 60_000},
    "another model": {"config.json": b'{"model_type": "bert"}'},
    "huge network": {"config.json": huge_network()},
    "weights of the other norm's shape": {"config.json": CONFIG.replace(b"16", b"32")},
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_files_that_are_no_model_are_not_kept(cache, client, server, case):
    good = layout_files("huggingface_layernorm")
    server.add(PHYLOGPN.repository, COMMIT, good | BAD_MODELS[case])
    with pytest.raises(InputError) as caught:
        fetch(client)
    assert "\n" not in str(caught.value)
    assert_nothing_kept(cache)
    server.add(PHYLOGPN.repository, COMMIT, good)
    assert fetch(client).folder.is_dir()


@pytest.mark.parametrize(
    "name", ["../x", ".hidden", "a/b", "..", "x" * 101, "a\nb", "-x", "x\0", "a b", "\u00e4"]
)
def test_names_that_are_none(cache, client, server, name):
    with pytest.raises(UsageError, match="is no name for a model"):
        fetch(client, name=name)
    assert not server.requests
    assert not cache.exists()


def test_the_name_of_a_shipped_model_is_taken(cache, client):
    with pytest.raises(UsageError, match="mammals671-mtdna is a model that ships with phylotools"):
        fetch(client, name="mammals671-mtdna")


def test_models_that_nobody_knows(cache, client):
    with pytest.raises(UsageError, match="'nonsense' is known on the hub; known: phylogpn"):
        fetch_model(FetchRequest("nonsense"), hub=client)


def test_a_model_that_is_here_needs_neither_network_nor_library(cache, client, monkeypatch):
    fetch(client)
    before = (cache / "models" / "phylogpn" / "manifest.json").stat()
    shutil.rmtree(cache / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert fetch(None).was_here
    assert (cache / "models" / "phylogpn" / "manifest.json").stat() == before


def test_another_revision_does_not_replace_a_model_unasked(cache, client, server):
    fetch(client, COMMIT)
    server.requests.clear()
    with pytest.raises(OutputError, match="is another model, or another revision; give --force"):
        fetch(client, GROUPNORM)
    assert not server.requests
    fetch(client, GROUPNORM, name="older")
    assert load_model("older").spec.norm == "group"
    assert load_model("phylogpn").spec.norm == "layer"
    fetch(client, GROUPNORM, force=True)
    assert load_model("phylogpn").spec.norm == "group"


def test_a_failed_fetch_leaves_the_model_that_was_there(cache, client, server):
    fetch(client)
    server.add(
        PHYLOGPN.repository, GROUPNORM,
        layout_files("huggingface_groupnorm") | {"config.json": b"{}"},
    )  # fmt: skip
    with pytest.raises(InputError):
        fetch(client, GROUPNORM, force=True)
    assert load_model("phylogpn").spec.norm == "layer"
    assert [path.name for path in (cache / "models").iterdir()] == ["phylogpn"]


def test_a_model_that_is_damaged_is_made_anew_with_force(cache, client):
    made = fetch(client)
    weights = made.folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="; give --force to make the model anew"):
        fetch(client)
    assert not fetch(client, force=True).was_here
    assert verify_model(load_model("phylogpn")) < 1e-5


@pytest.mark.parametrize("kind", ["foreign file", "file", "link"])
def test_force_deletes_nothing_foreign(cache, client, server, kind):
    place = cache / "models" / "phylogpn"
    place.parent.mkdir(parents=True)
    if kind == "foreign file":
        place.mkdir()
        (place / "thesis.txt").write_text("dear")
    elif kind == "file":
        place.write_text("dear")
    else:
        (cache / "elsewhere").mkdir()
        place.symlink_to(cache / "elsewhere")
    with pytest.raises(OutputError, match="--force replaces only what this command made"):
        fetch(client, force=True)
    assert not server.requests
    assert os.path.lexists(place)


def test_without_network_what_was_downloaded_will_do(cache, client, server, monkeypatch):
    with pytest.raises(InputError, match=f"at commit {COMMIT} is not in the cache .*copy"):
        fetch(client, is_offline=True)
    assert_nothing_kept(cache)
    fetch(client)
    shutil.rmtree(cache / "models")
    server.requests.clear()
    assert not fetch(client, is_offline=True).was_here
    with pytest.raises(InputError, match="nobody knows which commit 'main' is; give a commit"):
        fetch(client, "main", is_offline=True, name="two")
    # By the library's own variable too.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fetch(client, name="three")
    assert not server.requests
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    fetch(None, is_offline=True, name="four")


def test_without_network_files_that_a_user_brought_are_not_deleted(cache, client):
    fetch(client)
    weights = cache / "hub" / "songlab--PhyloGPN" / COMMIT / "model.safetensors"
    weights.write_bytes(b"?" + weights.read_bytes()[1:])
    with pytest.raises(
        InputError, match=r"model\.safetensors: is not the file that was downloaded"
    ):
        fetch(client, is_offline=True, name="two")
    assert weights.exists()


def test_the_fasta_is_remembered(cache, client, server, tmp_path):
    fasta = write_sparse_fasta(tmp_path / "hg38.fa", LENGTHS["hg38"])
    fetch(client, fasta=str(fasta))
    assert reference_of("phylogpn") == fasta
    assert load_model("phylogpn").choose_reference(None) == str(fasta)
    moved = write_sparse_fasta(tmp_path / "moved.fa", LENGTHS["hg38"])
    server.requests.clear()
    assert fetch(client, fasta=str(moved)).was_here
    assert reference_of("phylogpn") == moved
    assert not server.requests


@pytest.mark.parametrize("fasta", ["hg19", "absent"])
def test_a_fasta_that_does_not_fit_is_refused_before_the_download(
    cache, client, server, tmp_path, fasta
):
    path = tmp_path / "given.fa"
    if fasta != "absent":
        write_sparse_fasta(path, LENGTHS[fasta])
    with pytest.raises(InputError, match=r"given\.fa: (is hg19|cannot read)"):
        fetch(client, fasta=str(path))
    assert not server.requests
    assert not cache.exists()


@pytest.mark.parametrize("place", ["models", "hub"])
def test_a_cache_that_cannot_be_written(cache, client, place):
    cache.mkdir()
    (cache / place).write_text("")
    with pytest.raises(OutputError, match=r"cannot (write|be made): "):
        fetch(client)


def test_a_disk_that_becomes_full_leaves_no_model(cache, client, file_size_limit):
    with file_size_limit(30_000), pytest.raises(OutputError, match="cannot write: File too large"):
        fetch(client)
    assert not list((cache / "models").iterdir())
    fetch(client)
    shutil.rmtree(cache / "models")
    with file_size_limit(30_000), pytest.raises(PhylotoolsError, match="File too large"):
        fetch(client)
    assert not list((cache / "models").iterdir())
    # The download is still there: the disk was at fault, not the files.
    assert not fetch(client, is_offline=True).was_here


def test_the_catalogue_is_right():
    assert PHYLOGPN.revision == "3556db4c469e67d25f0f7a0a6653b48be3eebf51"
    assert hub.is_commit(PHYLOGPN.revision)
    assert PHYLOGPN.weights_sha256(PHYLOGPN.revision) is None
    assert PHYLOGPN.weights_sha256("12583d4" + "0" * 33) == (
        "65f05a93d49be782d608ddaddd3ed056077922e26890d7acd53b35ad8e7fe540"
    )
    assert PHYLOGPN.generation in {golden.id for golden in GoldenTable.read().sets}
