"""Any damage to any file of a store is one error that names the store, whoever reads it."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stores import chunk_of

from phylotools.cli.main import run
from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.assemble import assemble_store
from phylotools.store.read import open_store

LENGTH = 70_000
ARRAYS = (schema.BASES, schema.REFERENCE, schema.DEPTH, schema.WEIGHT, schema.INTERVALS)


def write(folder: Path, *, length: int = LENGTH, is_fasta: bool = False) -> Path:
    """A store of four species; two of three positions are covered, all with weights of 1."""
    rng = np.random.default_rng(1)
    tree = parse_newick("((a:0.1,b:0.2):0.1,(c:0.1,d:0.3):0.2);")
    n_chunks = -(-length // schema.CHUNK_LENGTH)
    whole = rng.integers(0, 4, (4, n_chunks * schema.CHUNK_LENGTH)).astype(np.uint8)
    whole[:, ::3] = schema.NO_BLOCK
    whole[:, length:] = schema.NO_BLOCK
    assemble_store(
        folder,
        tree=tree,
        reference_species="a",
        contigs=[("x", length)],
        chunks=[chunk_of(0, index, whole, 0) for index in range(n_chunks)],
        weights=lambda region: np.ones(len(region), np.float32),
        reference=(lambda region: np.full(len(region), 4, np.uint8)) if is_fasta else None,
        statistics={"blocks": 1},
        run=RunRecord(inputs={"alignment": None}),
    )
    return folder


@pytest.fixture(scope="module", params=["one shard", "many shards"])
def store(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many shards":
            patch.setattr(schema, "SHARD_BYTES", 4 * 8192)
            patch.setattr(schema, "LINE_SHARD_LENGTH", schema.LINE_CHUNK_LENGTH)
        folder = write(tmp_path_factory.mktemp("store") / "good")
    assert all(
        (len(list((folder / name).glob("c.*"))) > 1) == (request.param == "many shards")
        for name in ARRAYS
    )
    return folder


def flip(path: Path) -> None:
    """Damage the last chunk, whose values stand right before the index (zstd's checksum)."""
    data = bytearray(path.read_bytes())
    n_chunks = json.loads((path.parent / "zarr.json").read_text())["chunk_grid"]["configuration"][
        "chunk_shape"
    ][0] // (schema.CHUNK_LENGTH if path.parent.name == "bases" else schema.LINE_CHUNK_LENGTH)
    data[-16 * n_chunks - 4 - 3] ^= 16
    path.write_bytes(data)


DAMAGES = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "flipped byte": flip,
}


def train(folder: Path, out: Path, *options: str) -> int:
    out.mkdir()
    (out / "c.toml").write_text(
        f"[data]\nstores = [{json.dumps(str(folder))}]\nsoft_mask_weight = 0.5\n"
        '[network]\npreset = "tiny"\nchannels = 8\nbottleneck = 4\ndilations = [1]\n'
        "[optimiser]\nsteps = 2\nwindows_per_batch = 2\nwindow_length = 64\n"
        '[substitution]\nmodel = "f81"\n'
        "[run]\nevaluation_columns = 50\nevaluate_every = 3\ncheckpoint_every = 3\n"
    )
    return run(["train", str(out / "c.toml"), "-q", "-@", "1", *options])


VERBS = {
    "inspect": lambda folder, out: run(["inspect", str(folder), "--json"]),
    "inspect --verify": lambda folder, out: run(["inspect", str(folder), "--verify", "--json"]),
    "inspect --report": lambda folder, out: run(
        ["inspect", str(folder), "--report", str(out), "--json", "-q"]
    ),
    "fit-sites": lambda folder, out: run(
        ["fit-sites", str(folder), "-o", str(out), "-q", "-r", "x:69901-69940", "-@", "1"]
    ),
    "simulate": lambda folder, out: run(
        ["simulate", str(folder.parent / "t.nh"), "--length", "50", "--missing-like", str(folder),
         "-o", str(out), "-q"]
    ),
    "train": lambda folder, out: train(folder, out, "-o", str(out / "run")),
    "train --check": lambda folder, out: train(folder, out, "--check"),
}  # fmt: skip
#: Arrays of which a verb reads no value, or not all.
UNREAD = {
    "inspect": {schema.BASES, schema.REFERENCE, schema.DEPTH, schema.WEIGHT},
    "inspect --report": {schema.WEIGHT, schema.REFERENCE, schema.DEPTH},
    "fit-sites": {schema.WEIGHT, schema.DEPTH},
    "simulate": {schema.WEIGHT, schema.REFERENCE, schema.DEPTH},
}


@pytest.mark.parametrize(
    ("verb", "array", "damage"),
    [
        case
        for case in itertools.product(VERBS, ARRAYS, DAMAGES)
        if case[2] != "flipped byte" or case[1] not in UNREAD.get(case[0], ())
    ],
)
def test_every_verb_names_the_damaged_array(store, tmp_path, capsys, verb, array, damage):
    folder = Path(shutil.copytree(store, tmp_path / "s.store"))
    (tmp_path / "t.nh").write_text("((a:0.1,b:0.2):0.1,(c:0.1,d:0.3):0.2);")
    DAMAGES[damage](sorted((folder / array).glob("c.*"))[-1])
    status = VERBS[verb](folder, tmp_path / "out")
    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    assert f"{folder}: array {array}" in error
    assert "cannot be read: the store is damaged" in error


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_reads_the_store_without_damage(store, tmp_path, verb):
    folder = Path(shutil.copytree(store, tmp_path / "s.store"))
    (tmp_path / "t.nh").write_text("((a:0.1,b:0.2):0.1,(c:0.1,d:0.3):0.2);")
    assert VERBS[verb](folder, tmp_path / "out") == 0


def contents(folder: Path) -> list[np.ndarray]:
    """All that a reader sees of a store."""
    store = open_store(folder)
    (name,), (length,) = store.contigs, store.contigs.values()
    region = Region(name, 0, length)
    return [
        store.bases(region), store.reference(region), store.depth(region), store.weight(region),
        store.intervals(name), np.array(store.tree.branch_length), np.array(store.species),
        np.array([name, store.reference_species, store.fingerprint]),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write(tmp_path_factory.mktemp("small") / "good", length=3000)


@settings(deadline=None, max_examples=75)
@given(st.data())
def test_any_flipped_bit_of_any_file_is_noticed_or_changes_nothing(small, tmp_path_factory, data):
    folder = Path(shutil.copytree(small, tmp_path_factory.mktemp("flipped") / "s"))
    path = data.draw(st.sampled_from(sorted(p for p in folder.rglob("*") if p.is_file())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        found = contents(folder)
    except InputError:
        return
    for ours, expected in zip(found, contents(small), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("name", [*ARRAYS, "."])
def test_an_array_without_its_metadata(small, tmp_path, name):
    folder = Path(shutil.copytree(small, tmp_path / "s"))
    (folder / name / "zarr.json").unlink()
    with pytest.raises(InputError, match=f"array {name} is missing|is no column store"):
        open_store(folder)


def test_a_folder_of_weights_that_is_gone(small, tmp_path):
    folder = Path(shutil.copytree(small, tmp_path / "s"))
    shutil.rmtree(folder / schema.WEIGHT)
    with pytest.raises(InputError, match="array weight is missing"):
        open_store(folder)


def test_a_file_that_goes_while_the_store_is_open(store, tmp_path):
    folder = Path(shutil.copytree(store, tmp_path / "s"))
    opened = open_store(folder)
    for name in (schema.BASES, schema.REFERENCE, schema.DEPTH, schema.WEIGHT):
        for path in (folder / name).glob("c.*"):
            path.unlink()
    region = Region("x", LENGTH - 500, LENGTH)
    for read in (opened.bases, opened.reference, opened.depth, opened.weight):
        with pytest.raises(InputError, match="of contig x cannot be read"):
            read(region)


def test_chunks_of_fill_values_are_stored(tmp_path):
    """A reference of N, weights of 1: what is not there is never right where a block lies."""
    folder = write(tmp_path / "s", length=40_000, is_fasta=True)
    opened = open_store(folder)
    opened.verify()
    assert (opened.reference(Region("x", 0, 40_000)) == schema.N).all()
    for name in (schema.REFERENCE, schema.WEIGHT):
        (path,) = (folder / name).glob("c.*")
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match=f"array {name} cannot be read"):
            open_store(folder)
        path.write_bytes(kept)
