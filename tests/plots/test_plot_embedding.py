from __future__ import annotations

import builtins
import sys
import types

import numpy as np
import pytest
from sklearn import decomposition

from phylotools.errors import InputError, UsageError
from phylotools.io.vector_table import VectorRows, open_vectors
from phylotools.plots import embedding, embedding_file
from phylotools.plots.embedding import embedding_table, project
from phylotools.plots.embedding_file import open_embeddings

METADATA = {"model": "m", "revision": "2", "layer": "last", "pool": "mean"}


def write(path, vectors, names=None, kind="parquet", dtype=np.float32):
    vectors = np.asarray(vectors, dtype=dtype)
    n = len(vectors)
    start = np.arange(n, dtype=np.int64) * 100
    rows = VectorRows(["chr1"] * n, start, start + 50, list(names or [""] * n), ["+"] * n, vectors)
    with open_vectors(str(path), kind, vectors.shape, dtype, METADATA, force=True) as sink:
        for first in range(0, n, 40):
            part = slice(first, first + 40)
            columns = (getattr(rows, name)[part] for name in ("contig", "start", "end", "name"))
            sink.write(VectorRows(*columns, rows.strand[part], vectors[part]))
    return str(path)


@pytest.fixture
def vectors():
    random = np.random.default_rng(1)
    return (random.normal(size=(100, 3)) * [5, 2, 1]) @ random.normal(size=(3, 7)) + 1000


def test_pca_is_that_of_scikit_learn(tmp_path, vectors):
    path = write(tmp_path / "e.parquet", vectors)
    found = project(open_embeddings(path), "pca")
    fitted = decomposition.PCA(2, svd_solver="full").fit(vectors.astype(np.float32))
    expected = fitted.transform(vectors.astype(np.float32))
    expected *= np.sign((expected * found.points).sum(axis=0))
    assert found.points == pytest.approx(expected, abs=1e-3)
    assert found.explained == pytest.approx(fitted.explained_variance_ratio_[:2], abs=1e-5)
    assert found.made_by["Model"] == "m"
    assert "PC1 (" in found.axes[0]


@pytest.mark.parametrize("kind", ["npz", "zarr", "tsv"])
def test_every_format_gives_the_same(tmp_path, vectors, kind):
    one = project(open_embeddings(write(tmp_path / "e.parquet", vectors)), "pca")
    path = write(tmp_path / f"e.{kind}", vectors, kind=kind)
    other = project(open_embeddings(path), "pca")
    assert other.points == pytest.approx(one.points, abs=0.01)
    for name, values in one.columns.items():
        assert [str(value) for value in other.columns[name]] == [str(value) for value in values]


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_batches_do_not_matter(tmp_path, vectors, kind, monkeypatch):
    path = write(tmp_path / f"e.{kind}", vectors, ["a", "b"] * 50, kind=kind)
    whole = project(open_embeddings(path), "pca")
    monkeypatch.setattr(embedding_file, "_BATCH", 7)
    parts = project(open_embeddings(path), "pca")
    assert parts.points == pytest.approx(whole.points, abs=1e-6)
    assert (parts.columns, parts.classes) == (whole.columns, whole.classes)


def test_half_precision_is_read(tmp_path, vectors):
    path = write(tmp_path / "e.parquet", vectors - 1000, dtype=np.float16)
    assert len(project(open_embeddings(path), "pca").points) == 100


def test_regions_without_a_finite_vector_are_left_out_and_counted(tmp_path, vectors):
    vectors[[3, 50], [0, 1]] = [np.nan, np.inf]
    found = project(open_embeddings(write(tmp_path / "e.parquet", vectors)), "pca")
    assert (len(found.points), found.n_left_out) == (98, 2)
    assert 300 not in found.columns["start"]
    rest = np.delete(vectors, [3, 50], axis=0)
    alone = project(open_embeddings(write(tmp_path / "f.parquet", rest)), "pca")
    assert found.points == pytest.approx(alone.points, abs=1e-3)
    with pytest.raises(InputError, match="no region with a finite vector"):
        project(open_embeddings(write(tmp_path / "g.parquet", np.full((2, 3), np.nan))), "pca")


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((9, 4)), np.arange(6.0)[:, None]])
def test_too_little_for_two_axes(tmp_path, vectors):
    found = project(open_embeddings(write(tmp_path / "e.parquet", vectors)), "pca")
    assert found.points.shape == (len(vectors), 2)
    assert (found.points[:, 1] == 0).all()
    assert found.axes[1] == "PC2 (no variance)"


def test_names_that_repeat_are_classes(tmp_path, vectors):
    twice = write(tmp_path / "e.parquet", vectors, ["a", "b"] * 50)
    found = project(open_embeddings(twice), "pca")
    assert (found.classes, found.class_source) == (["a", "b"] * 50, "name")
    once = write(tmp_path / "f.parquet", vectors, [f"n{i}" for i in range(100)])
    found = project(open_embeddings(once), "pca")
    assert (set(found.classes), found.class_source) == ({""}, "")
    found = project(open_embeddings(once), "pca", colour="strand")
    assert set(found.classes) == {"+"}


def test_intervals_name_the_regions_they_cover_most(tmp_path, vectors):
    bed = tmp_path / "c.bed"
    bed.write_text("1\t0\t10\tshort\n1\t10\t160\tlong\n1\t210\t220\t\n")
    source = open_embeddings(write(tmp_path / "e.parquet", vectors))
    found = project(source, "pca", colour=str(bed))
    assert found.classes == ["long", "long", "unnamed"] + ["none"] * 97
    assert found.class_source == "c.bed"
    bed.write_text("chr7\t0\t10\tshort\n")
    with pytest.raises(InputError, match="none of its intervals overlaps"):
        project(source, "pca", colour=str(bed))
    with pytest.raises(UsageError, match="there is no such file"):
        project(source, "pca", colour="kind")


def test_table_has_a_row_for_each_region(tmp_path, vectors):
    path = write(tmp_path / "e.parquet", vectors, ["a", ""] * 50)
    found = project(open_embeddings(path), "pca")
    numbers = embedding_table(found, {"Model": "m"})
    rows = list(numbers.rows)
    assert list(numbers.columns)[-3:] == ["class", "pc1", "pc2"]
    assert rows[1][:6] == ["chr1", 100, 150, ".", "+", "none"]
    assert [row[6:] for row in rows] == found.points.tolist()


def without_umap(name, *arguments, **keywords):
    if name == "umap":
        raise ImportError(name)
    return real_import(name, *arguments, **keywords)


real_import = builtins.__import__


def test_umap_that_is_not_there_is_one_line_with_the_command(tmp_path, vectors, monkeypatch):
    monkeypatch.setattr(builtins, "__import__", without_umap)
    source = open_embeddings(write(tmp_path / "e.parquet", vectors))
    with pytest.raises(UsageError, match=r"install it: pip install 'phylotools\[umap\]'"):
        project(source, "umap")


class FirstTwo:
    """Stands for UMAP: the first two numbers of each vector."""

    made: list[dict] = []  # noqa: RUF012

    def __init__(self, **settings):
        self.made.append(settings)

    def fit_transform(self, vectors):
        if (vectors < 0).all():
            raise ValueError("no\nneighbours")
        return vectors[:, :2]


def test_umap_gets_the_vectors_in_order_and_the_seed(tmp_path, vectors, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=FirstTwo))
    vectors[7] = np.nan
    source = open_embeddings(write(tmp_path / "e.parquet", vectors))
    found = project(source, "umap", seed=5)
    assert FirstTwo.made[-1] == {"n_neighbors": 15, "random_state": 5}
    kept = np.delete(vectors, 7, axis=0).astype(np.float32)
    assert (found.points == kept[:, :2]).all()
    monkeypatch.setattr(embedding, "MOST_FOR_UMAP", 30)
    found = project(source, "umap", seed=5)
    assert (len(found.points), found.n_not_drawn, found.n_left_out) == (30, 69, 1)
    rows = [int(start) // 100 for start in found.columns["start"]]
    assert rows == sorted(rows)
    assert (found.points == vectors[rows, :2].astype(np.float32)).all()
    few = open_embeddings(write(tmp_path / "f.parquet", vectors[:3]))
    with pytest.raises(UsageError, match="at least 4 regions, there are 3"):
        project(few, "umap")
    bad = open_embeddings(write(tmp_path / "g.parquet", -vectors[10:20]))
    with pytest.raises(UsageError, match="UMAP failed: no neighbours; use --method pca"):
        project(bad, "umap")


def test_real_umap_keeps_two_clusters_apart(tmp_path):
    random = np.random.default_rng(1)
    vectors = random.normal(size=(60, 5)) + np.repeat([[0.0], [50.0]], 30, axis=0)
    source = open_embeddings(write(tmp_path / "e.parquet", vectors))
    points = project(source, "umap", seed=1).points
    assert (points == project(source, "umap", seed=1).points).all()
    centres = points[:30].mean(axis=0), points[30:].mean(axis=0)
    spread = max(points[:30].std(), points[30:].std())
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1 and nothing PAR1", b"PK\3\4 nothing", b"x\n"]
)
def test_damaged_files_are_one_error(tmp_path, data):
    path = tmp_path / "e.parquet"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        project(open_embeddings(str(path)), "pca")
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_parquet_that_holds_something_else(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = str(tmp_path / "e.parquet")
    parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(InputError, match="has no column contig, start, end, name, strand, vector"):
        open_embeddings(path)
    columns = {"contig": ["c"] * 2, "start": [1, 2], "end": [3, 4], "name": [""] * 2,
               "strand": ["."] * 2}  # fmt: skip
    parquet.write_table(pyarrow.table(columns | {"vector": ["x", "y"]}), path)
    with pytest.raises(InputError, match="its vectors are string"):
        open_embeddings(path)
    for vectors in ([[1.0], [1.0, 2.0, 4.0]], [[1.0], [1.0, 2.0]], [[1.0], None], [[], []]):
        parquet.write_table(pyarrow.table(columns | {"vector": vectors}), path)
        with pytest.raises(InputError, match="vector"):
            project(open_embeddings(path), "pca")


def test_stdin_is_refused():
    with pytest.raises(UsageError, match="stdin"):
        open_embeddings("-")
