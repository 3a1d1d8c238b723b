"""Files that are no published network: one clear line each, nothing run, nothing kept."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import DATA
from safetensors.torch import load_file, save_file

from phylotools.cli.main import run
from phylotools.errors import InputError, OutputError
from phylotools.model.published.importing import ImportRequest, import_published

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def source(request, tmp_path) -> Path:
    """A copy of a layout that a test may damage."""
    layout = getattr(request, "param", "huggingface_layernorm")
    shutil.copytree(DATA / layout, tmp_path / "source")
    return tmp_path / "source"


github = pytest.mark.parametrize("source", ["github_groupnorm"], indirect=True)


def refused(source: Path, *words: str) -> None:
    """An import fails with one line that has these words, and leaves nothing."""
    before = set(source.parent.rglob("*"))
    with pytest.raises(InputError) as caught:
        import_published(source, source.parent / "model", ImportRequest("m"))
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 400
    assert said.startswith(str(source))
    for word in words:
        assert word in said
    assert set(source.parent.rglob("*")) == before


# configurations


def with_config(source: Path, **changes) -> None:
    path = source / "config.json"
    config = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not Ellipsis}
    path.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outer_dim": ...}, "outer_dim is missing"),
        ({"stack_size": "2"}, "stack_size is '2'"),
        ({"num_stacks": True}, "num_stacks is True"),
        ({"kernel_size": 5.0}, "kernel_size is 5.0"),
        ({"inner_dim": 0}, "inner_dim is 0"),
        ({"inner_dim": -16}, "inner_dim is -16"),
        ({"outer_dim": None}, "outer_dim is None"),
        ({"outer_dim": [32]}, "outer_dim is [32]"),
        ({"outer_dim": float("nan")}, "outer_dim is nan"),
        ({"outer_dim": 10**9}, "outer_dim is 1000000000"),
        ({"outer_dim": 10**400}, "outer_dim is 1000"),
        ({"stack_size": 10**6}, "stack_size is 1000000"),
        ({"stack_size": 20}, "receptive field must not exceed"),
        ({"num_stacks": 10_000}, "must not name more than 10000 blocks"),
        ({"outer_dim": 100_000, "inner_dim": 100_000}, "is too large"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"outer_dim": 33}, "must be even"),
        ({"model_type": "bert"}, "describes a model of type 'bert', not 'phylogpn'"),
        ({"model_type": ["phylogpn"]}, "describes a model of type ['phylogpn']"),
        ({"model_type": "x\ny" * 999}, "describes a model of type"),
        # What the tensors contradict.
        ({"num_stacks": 2}, "has tensors of 6 blocks, its configuration describes 4"),
        ({"num_stacks": 4000}, "has tensors of 6 blocks, its configuration describes 8,000"),
        ({"outer_dim": 34}, "tensor _model.embedding.parametrizations.weight.original has shape "
         "(6, 32), the model needs (6, 34)"),
        ({"inner_dim": 18}, "has shape"),
        ({"kernel_size": 3}, "has shape (16, 16, 5), the model needs (16, 16, 3)"),
    ],
    ids=lambda value: json.dumps(value, default=str)[:40] if isinstance(value, dict) else "",
)  # fmt: skip
def test_configurations_that_cannot_be(source, changes, words):
    with_config(source, **changes)
    refused(source, words)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "config.json: is no JSON"),
        (b"{", "config.json: is no JSON"),
        (b"[1, 2]", "config.json: is no JSON object"),
        (b'{"a":' * 10_000, "config.json: is no JSON"),
        (b"[" * 60_000, "config.json: is no JSON"),
        (b'{"outer_dim": ' + b"9" * 9_000 + b"}", "config.json: is no JSON"),
        (b"\xff\xfe\x00{", "config.json: the file is not UTF-8"),
        (b" " * (1 << 20), "config.json: is too large"),
    ],
    ids=["empty", "cut", "list", "deep", "deeper", "digits", "not UTF-8", "large"],
)
def test_configurations_that_are_no_json(source, data, words):
    (source / "config.json").write_bytes(data)
    refused(source, words)


@github
@pytest.mark.parametrize(
    "line",
    [
        "outer_dim: !!python/object/apply:os.system ['touch ran']",
        "!!python/object/apply:os.system ['touch ran']: 1",
        "a: &a [lol, lol, lol]",
        "b: *a",
        "inner_dim: {a: 1}",
        "outer_dim: 32: 4",
        "outer_dim 32",
        "outer_dim: 1e3",
        "outer_dim: -32",
        "outer_dim: 99999999999999999999",
        "path: ../../etc/passwd",
        "- outer_dim: 32",
        "%YAML 1.2",
    ],
)
def test_lines_of_yaml_that_are_no_number(source, line, monkeypatch):
    monkeypatch.chdir(source.parent)
    path = source / "config.yaml"
    path.write_text(path.read_text() + line + "\n")
    refused(source, "config.yaml:6: expected a line 'name: number'")


@github
def test_yaml_may_have_comments(source, tmp_path):
    path = source / "config.yaml"
    text = "# PhyloGPN\n\n" + path.read_text().replace("outer_dim: 32", "outer_dim: 32  # wide")
    path.write_text(text)
    import_published(source, tmp_path / "model", ImportRequest("m"))
    path.write_text(text.replace("inner_dim", "other_dim"))
    refused(source, "config.yaml: inner_dim is missing")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_pipes_and_folders_are_no_files(source, name):
    (source / name).unlink()
    os.mkfifo(source / name)
    refused(source, "is no regular file")
    (source / name).unlink()
    (source / name).mkdir()
    refused(source, "is no regular file")


def test_paths_in_a_configuration_are_not_looked_at(source, tmp_path):
    """Nor the code that it names: nothing but five numbers is taken from it."""
    (tmp_path / "code.py").write_text("open('ran', 'w')")
    with_config(
        source,
        auto_map={"AutoModel": "../code.PhyloGPN"},
        _name_or_path="/etc/passwd",
        weights="../other.safetensors",
    )
    import_published(source, tmp_path / "model", ImportRequest("m"))
    assert "passwd" not in "".join(
        path.read_text() for path in (tmp_path / "model").iterdir() if path.suffix != ".safetensors"
    )
    assert not (tmp_path / "ran").exists()


def test_files_that_are_missing(source):
    (source / "config.json").rename(source / "settings.json")
    refused(source, "model.safetensors: has no config.json or config.yaml beside it")
    (source / "model.safetensors").rename(source / "weights.safetensors")
    refused(source, "has no model.safetensors and no checkpoint.pt; give a folder")
    shutil.rmtree(source)
    refused(source, "there is no such file or folder")


def test_two_files_of_weights_are_one_too_many(source):
    shutil.copy(DATA / "github_groupnorm" / "checkpoint.pt", source)
    refused(source, "has both model.safetensors and checkpoint.pt; name the one")


def test_a_model_folder_needs_no_import(source, tmp_path):
    import_published(source, tmp_path / "model", ImportRequest("m"))
    with pytest.raises(InputError, match="is a model folder of phylotools already"):
        import_published(tmp_path / "model", tmp_path / "again", ImportRequest("m"))
    assert not (tmp_path / "again").exists()


# tensors

A_TENSOR = "_model.blocks.3.conv2.parametrizations.weight.original"


def with_tensors(source: Path, change) -> None:
    """Change the tensors of a layout, of either kind of file."""
    path = source / "model.safetensors"
    if path.exists():
        tensors = load_file(path)
        change(tensors, A_TENSOR)
        save_file(tensors, path)
        return
    path = source / "checkpoint.pt"
    state = torch.load(path, weights_only=True)["model_state_dict"]
    change(state, "blocks.3.layers.5.parametrizations.weight.original")
    torch.save({"model_state_dict": state}, path)


def set_value(value):
    def change(tensors, name):
        tensors[name][1, 2, 3] = value

    return change


def converted(dtype):
    def change(tensors, name):
        tensors[name] = tensors[name].to(dtype)

    return change


def shaped(*shape):
    def change(tensors, name):
        tensors[name] = torch.zeros(shape)

    return change


def renamed(tensors, name):
    tensors[name.replace("blocks.3", "blocks.3.more")] = tensors.pop(name)


TENSORS = {
    "missing": (lambda tensors, name: tensors.pop(name), "is missing"),
    "unknown": (
        lambda tensors, name: tensors.update({name + "2": torch.zeros(3)}),
        "is no part of a published network",
    ),
    "renamed": (renamed, "is no part of a published network"),
    "shape": (shaped(16, 16, 4), "has shape (16, 16, 4), the model needs (16, 16, 5)"),
    "transposed": (shaped(5, 16, 16), "has shape (5, 16, 16)"),
    "no numbers": (shaped(0, 16, 5), "has shape (0, 16, 5)"),
    "scalar": (shaped(), "has shape ()"),
    "float16": (converted(torch.float16), "16, not float32"),
    "bfloat16": (converted(torch.bfloat16), "16, not float32"),
    "float64": (converted(torch.float64), "64, not float32"),
    "int64": (converted(torch.int64), "64, not float32"),
    "NaN": (set_value(torch.nan), "holds NaN or infinite numbers"),
    "infinite": (set_value(-torch.inf), "holds NaN or infinite numbers"),
    "huge": (set_value(3e6), "holds numbers beyond 1e+06"),
}


@pytest.mark.parametrize("source", ["huggingface_layernorm", "github_groupnorm"], indirect=True)
@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_cannot_be(source, case):
    change, words = TENSORS[case]
    with_tensors(source, change)
    refused(source, words)


def test_weights_that_are_large_together(source):
    """Each is possible; their network gives what is no log rate."""

    def change(tensors, _):
        tensors["_model.output_conv.parametrizations.weight.original"] += 9e5

    with_tensors(source, change)
    refused(source, "the weights give numbers that are no log rates")


def test_tensors_of_another_network(source):
    save_file({"bert.embeddings": torch.zeros(3)}, source / "model.safetensors")
    refused(source, "not named as those of a published PhyloGPN (one is 'bert.embeddings')")
    save_file({}, source / "model.safetensors")
    refused(source, "not named as those of a published PhyloGPN")


def test_tensors_of_both_layouts(source):
    def change(tensors, _):
        tensors["_model.blocks.0.layers.0.weight"] = torch.zeros(32)

    with_tensors(source, change)
    refused(source, "not named as those of a published PhyloGPN")


# safetensors


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, 5000, 60_000, -1])
def test_downloads_that_were_cut(source, kept):
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(source, "is no complete safetensors file", "download it again")


def test_bytes_after_the_end(source):
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"\0" * 9)
    refused(source, "is no complete safetensors file")


def header_of(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path: Path, header: dict | bytes, rest: bytes, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + rest)


@pytest.mark.parametrize("length", [0, 1, 1 << 30, (1 << 63) - 1, (1 << 64) - 1])
def test_headers_of_impossible_length(source, length):
    path = source / "model.safetensors"
    header, rest = header_of(path)
    with_header(path, header, rest, length)
    refused(source, "is no complete safetensors file")


def test_a_header_larger_than_any(source):
    path = source / "model.safetensors"
    with path.open("wb") as handle:
        handle.write(struct.pack("<Q", 80 << 20))
        handle.truncate(100 << 20)
    refused(source, "has a header of 83,886,080 bytes")


@pytest.mark.parametrize(
    "offsets", [[0, 5120], [4, 5124], [-1, 5119], [0, 1 << 62], [9, 3], [1 << 65, 0], ["0", 1], []]
)
def test_offsets_that_overlap_or_lead_elsewhere(source, offsets):
    path = source / "model.safetensors"
    header, rest = header_of(path)
    header[A_TENSOR]["data_offsets"] = offsets
    with_header(path, header, rest)
    refused(source, "is no complete safetensors file")


@pytest.mark.parametrize("shape", [[16, 16, 1 << 60], [1 << 64], [-1], [16, 16, 6], "x", None])
def test_shapes_that_lie(source, shape):
    path = source / "model.safetensors"
    header, rest = header_of(path)
    header[A_TENSOR]["shape"] = shape
    with_header(path, header, rest)
    refused(source, "is no complete safetensors file")


@pytest.mark.parametrize("text", [b"[" * 50_000, b'{"a":' * 9_000, b"\xff" * 99, b"null", b"{}"])
def test_headers_that_are_none(source, text):
    path = source / "model.safetensors"
    with_header(path, text, b"")
    refused(source, "safetensors" if text != b"{}" else "not named as those")


def test_a_tensor_that_would_take_all_memory(source):
    """A sparse file may state, rightly, that it holds a tensor of gigabytes."""
    path = source / "model.safetensors"
    header, rest = header_of(path)
    size = 2 << 30
    header[A_TENSOR] = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    for name, entry in header.items():
        if name not in ("__metadata__", A_TENSOR):
            start, end = entry["data_offsets"]
            entry["data_offsets"] = [start + size, end + size]
    old_start, old_end = header_of(path)[0][A_TENSOR]["data_offsets"]
    for name, entry in header.items():
        if name not in ("__metadata__", A_TENSOR) and entry["data_offsets"][0] - size > old_start:
            entry["data_offsets"] = [at - (old_end - old_start) for at in entry["data_offsets"]]
    text = json.dumps(header).encode()
    with path.open("wb") as handle:
        handle.write(struct.pack("<Q", len(text)) + text)
        handle.truncate(8 + len(text) + size + len(rest) - (old_end - old_start))
    refused(source, "has shape (536870912,), the model needs (16, 16, 5)")


# checkpoints


class Runs:
    """What a pickle makes of it, when it is loaded as pickles are, writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Runs(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def with_pickle(path: Path, pickled: bytes) -> None:
    """Exchange the pickle of a checkpoint and leave the rest."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else data)


@github
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_code_in_a_pickle_is_not_run(source, tmp_path, protocol):
    trap = tmp_path / "ran"
    for holder in (Runs(trap), {"model_state_dict": OrderedDict(), "more": [Runs(trap)]}):
        with_pickle(source / "checkpoint.pt", pickle.dumps(holder, protocol))
        refused(source, "nothing of it was run", "get the checkpoint from its authors")
        assert not trap.exists()


@github
@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",  # 2 GB out of 33 bytes
        b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_sparse_tensor\n)R.",
        b"\x80\x02ctorch.serialization\nadd_safe_globals\n)R.",
        b"\x80\x02ccollections\nOrderedDict.__class__\n)R.",
        b"\x80\x02(icollections\nOrderedDict\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x7f.",
        b"",
        b"\x80",
        b"not a pickle",
        b"\x80\x02}q\x00",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
    ],
)
def test_pickles_that_make_no_tensors(source, pickled):
    with_pickle(source / "checkpoint.pt", pickled)
    refused(source, "checkpoint.pt: ", "checkpoint's pickle")


@github
@pytest.mark.parametrize(
    "pickled",
    [
        pickle.dumps({"model_state_dict": {"a": 1.5}}, 2),
        pickle.dumps({"model_state_dict": [1, 2]}, 2),
        pickle.dumps({"state": {}}, 2),
        pickle.dumps([1, 2], 2),
        b"\x80\x02.",
        b"\x80\x020000.",
        b"\x80\x02h\x05.",
        b"\x80\x02X\x07\x00\x00\x00storageQ.",
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x04\x00\x00\x00../xX\x03\x00"
        b"\x00\x00cpuJ\xff\xff\xff\x7ftQ.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR.",
        b"\x80\x02}q\x00" + b"}" * 100_000 + b".",
        b"\x80\x02" + b"(" * 100_000 + b"t" * 99_999 + b".",
    ],
)
def test_pickles_that_make_something_else(source, pickled):
    with_pickle(source / "checkpoint.pt", pickled)
    refused(source, "checkpoint.pt: ")


@github
def test_a_state_that_is_not_all_tensors(source, tmp_path):
    state = torch.load(source / "checkpoint.pt", weights_only=True)["model_state_dict"]
    state["epoch"] = 3
    torch.save({"model_state_dict": state}, source / "checkpoint.pt")
    refused(source, "model_state_dict holds 'epoch', which is no tensor")


@github
def test_what_else_a_checkpoint_holds_stays_unread(source, tmp_path):
    """The state of its optimiser, say, and counts of any type."""
    path = source / "checkpoint.pt"
    state = torch.load(path, weights_only=True)["model_state_dict"]
    more = {name: (torch.full_like(t, torch.nan), torch.tensor(7)) for name, t in state.items()}
    more["half"] = torch.ones(9, dtype=torch.float16)
    torch.save({"model_state_dict": state, "epoch": 18, "lr": 1e-5, "optimiser": more}, path)
    import_published(source, tmp_path / "model", ImportRequest("m"))


@github
def test_a_view_that_is_larger_than_its_numbers(source):
    """A tensor without strides takes four bytes in the file and any number in memory."""

    def change(state, name):
        state[name] = torch.zeros(1).expand(1 << 40)

    with_tensors(source, change)
    refused(source, "has shape (1099511627776,), the model needs (16, 16, 5)")


@github
def test_a_zip_bomb_is_not_unpacked(source):
    path = source / "checkpoint.pt"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in members.items():
            big = name.endswith("data/5")
            archive.writestr(name, b"\0" * (64 << 20) if big else data)
    assert path.stat().st_size < 1 << 20
    refused(source, "is packed as torch packs no checkpoint")


@github
def test_a_checkpoint_of_any_size_is_not_read(source):
    path = source / "checkpoint.pt"
    whole = path.read_bytes()
    with path.open("wb") as handle:
        handle.write(whole)
        handle.seek(1 << 40)
        handle.write(whole[-22:])
    refused(source, "is far larger than the checkpoint of a published network")


@github
def test_members_that_are_none_of_a_checkpoint(source):
    path = source / "checkpoint.pt"
    whole = path.read_bytes()
    for name in (
        "checkpoint/code/model.py",
        "../../ran",
        "/etc/x",
        "constants.pkl",
        "other/data/0",
    ):
        path.write_bytes(whole)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, b"x")
        refused(source, "is no checkpoint of tensors")


@github
@pytest.mark.parametrize("writes_zip64", [False, True], ids=["zip", "zip64"])
def test_two_archives_in_one_file(source, tmp_path, writes_zip64):
    """Readers would find different ones: Python's the last, torch's what its offsets say."""
    path = source / "checkpoint.pt"
    clean = path.read_bytes()
    if not writes_zip64:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        clean = path.read_bytes()
        import_published(source, tmp_path / "model", ImportRequest("m"))
        shutil.rmtree(tmp_path / "model")
    with_pickle(path, pickle.dumps(Runs(tmp_path / "ran")))
    path.write_bytes(path.read_bytes() + clean)
    refused(source, "checkpoint.pt: ", "download it again")
    assert not (tmp_path / "ran").exists()


@github
@pytest.mark.parametrize("place", ["locator", "record", "end"])
def test_ends_that_point_elsewhere(source, place):
    path = source / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    at = {"locator": -42 + 8, "record": -98 + 48, "end": -2}[place]
    data[at] ^= 1
    path.write_bytes(data)
    refused(source, "checkpoint.pt: ", "download it again")


@github
def test_a_member_that_is_there_twice(source):
    path = source / "checkpoint.pt"
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("checkpoint/data.pkl", b"\x80\x02}.")
    refused(source, "is packed as torch packs no checkpoint")


@github
@pytest.mark.parametrize("kept", [0, 3, 4, 100, 40_000, 85_000, -1, -22])
def test_checkpoints_that_were_cut(source, kept):
    path = source / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:kept])
    refused(source, "download it again")


@github
def test_checkpoints_with_a_flipped_bit(source):
    """Wherever it lies: the file is refused, or what is read of it is the same."""
    path = source / "checkpoint.pt"
    whole = bytearray(path.read_bytes())
    clean = torch.load(path, weights_only=True)["model_state_dict"]
    draw = np.random.default_rng(3)
    n_refused = 0
    for at in draw.integers(0, len(whole), 60).tolist():
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        try:
            import_published(source, source.parent / "model", ImportRequest("m"), force=True)
        except InputError:
            n_refused += 1
            continue
        found = load_file(source.parent / "model" / "weights.safetensors")
        assert torch.equal(
            found["blocks.3.conv_mid.weight"],
            clean["blocks.3.layers.5.parametrizations.weight.original"],
        )
    assert n_refused > 40


@github
def test_a_pickle_without_an_archive(source, tmp_path):
    """As torch saved before 2020, and as any pickle."""
    path = source / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    refused(source, "is no complete safetensors file and no checkpoint of torch")
    path.write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    refused(source, "no checkpoint of torch")
    assert not (tmp_path / "ran").exists()


@github
def test_a_script_of_torch_is_no_checkpoint(source):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    (source / "checkpoint.pt").write_bytes(buffer.getvalue())
    refused(source, "is no checkpoint of tensors")


# outputs


def test_an_existing_model_stays_unless_forced(source, tmp_path):
    import_published(source, tmp_path / "model", ImportRequest("first"))
    with pytest.raises(OutputError, match="already exists"):
        import_published(source, tmp_path / "model", ImportRequest("second"))
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["name"] == "first"
    import_published(source, tmp_path / "model", ImportRequest("second"), force=True)
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["name"] == "second"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError):
        import_published(source, tmp_path / "mine", ImportRequest("m"), force=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_failed_import_leaves_the_model_that_was_there(source, tmp_path):
    import_published(source, tmp_path / "model", ImportRequest("first"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    with_tensors(source, set_value(torch.nan))
    with pytest.raises(InputError):
        import_published(source, tmp_path / "model", ImportRequest("m"), force=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_a_full_disk_leaves_nothing(source, tmp_path, file_size_limit):
    before = set(tmp_path.rglob("*"))
    with file_size_limit(20_000), pytest.raises(OutputError, match=r"too large|No space|cannot"):
        import_published(source, tmp_path / "model", ImportRequest("m"))
    assert set(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_made(source, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "model", tmp_path / "nowhere" / "model"):
        with pytest.raises(OutputError):
            import_published(source, place, ImportRequest("m"))


def test_the_command_line_says_one_line(source, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (source / "config.json").write_text("{")
    assert run(["model", "import", "source", "-o", "model"]) == 1
    assert capsys.readouterr().err == "error: source/config.json: is no JSON; download it again\n"
    assert run(["model", "import", "nowhere", "-o", "model"]) == 1
    assert capsys.readouterr().err == "error: nowhere: there is no such file or folder\n"
    assert run(["model", "import", "source"]) == 2
    assert "give the model a --name" in capsys.readouterr().err
    for name in ("../x", ".x", "a/b", "", " ", "x" * 101, "é", "a\nb"):
        assert run(["model", "import", "source", "--name", name]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "model").exists()
