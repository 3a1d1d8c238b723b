from __future__ import annotations

import sys

import numpy as np
import pytest

from phylotools.errors import InputError, PhylotoolsError, UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, RegionSet
from phylotools.probing.preparation import prepare
from phylotools.probing.question import ProbeQuestion
from phylotools.probing.reading import class_labels, read_samples, several_labels, stored_labels
from phylotools.probing.samples import TEST, TRAIN, VALID
from phylotools.probing.tasks import TASKS

CONTIGS = {f"c{k}": np.random.default_rng(k).choice([*b"ACGT"], 400).astype(np.uint8).tobytes()
           for k in range(6)}  # fmt: skip


@pytest.fixture
def genome():
    return ReferenceGenome.from_sequences({**CONTIGS, "gap": b"N" * 400})


def question(path, task="regions", **more) -> ProbeQuestion:
    return ProbeQuestion(str(path), TASKS[task], **more)


def ready(asked, genome, **more):
    return prepare(asked, genome, reach=5, seed=1, **{"strand": "forward", **more})


def test_a_bed_of_bend_is_read_as_it_is(tmp_path, genome):
    text = (
        "chromosome\tstart\tend\tsplit\tlabel\n"
        "c0\t0\t50\ttrain\t0,2\nc0\t60\t90\ttrain\t\nc1\t0\t50\tvalid\t1\nc2\t5\t9\ttest\t2\n"
    )
    path = tmp_path / "b.bed"
    path.write_text(text)
    file = read_samples(question(path, "chromatin"), genome)
    assert file.split.tolist() == [TRAIN, TRAIN, VALID, TEST]
    labels, names = several_labels(file, str(path))
    assert names == ("0", "1", "2")
    assert labels.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_several_columns_are_several_labels(tmp_path, genome):
    path = tmp_path / "b.bed"
    path.write_text("#chrom\tstart\tend\tH3K4\tCTCF\nc0\t0\t5\t1\t0\nc0\t6\t9\t.\t1\n")
    asked = question(path, "histone", label_columns=("H3K4", "CTCF"))
    labels, names = several_labels(read_samples(asked, genome), str(path))
    assert names == ("H3K4", "CTCF")
    assert labels.tolist() == [[1, 0], [-1, 1]]


def test_classes_are_sorted_and_may_be_missing(tmp_path, genome):
    path = tmp_path / "b.bed"
    path.write_text("c0\t0\t5\ttRNA\nc0\t6\t9\tCDS\nc1\t6\t9\t.\n")
    classes, names = class_labels(read_samples(question(path), genome), str(path))
    assert (classes.tolist(), names) == ([1, 0, -1], ("CDS", "tRNA"))


@pytest.mark.parametrize(
    ("task", "text", "more", "message"),
    [
        ("regions", "c0\t0\t5\ta\nc1\t6\t9\ta\n", {}, "only the class 'a'"),
        ("regions", "c0\t0\t5\ta\nc1\t6\t9\t7\n", {}, ":1: column '4' holds both text"),
        ("regions", "c0\t0\t5\n", {}, ":1: there is no column 4"),
        ("regions", "c9\t0\t5\ta\n", {}, "no contig 'c9'"),
        ("regions", "c0\t390\t405\ta\n", {}, "past the end"),
        ("regions", "chr\tstart\tend\tx\nc0\t0\t5\ta\n", {}, "no column 'label'"),
        ("regions", "c0\t0\t5\ta\n", {"label_columns": ("kind",)}, "'kind' is no column of a BED"),
        ("chromatin", "c0\t0\t5\t1,x\n", {}, ":1: label 'x' is no number"),
        ("chromatin", "c0\t0\t5\t.\n", {}, "has no label"),
        ("chromatin", "c0\t0\t5\t2\t1\n", {"label_columns": ("4", "5")}, "says '2'"),
        ("regions", "c0\t0\t5\ta\tholdout\n", {"split_column": "5"}, "'holdout' is none of train"),
        ("regions", "c0\t0\t5\ta\t\n", {"split_column": "5"}, ":1: has no split"),
        ("enhancer", "chrom\tstart\tend\nc0\t0\t200\n", {}, "name it with --hdf5"),
    ],
)  # fmt: skip
def test_bad_samples_are_one_line(tmp_path, genome, task, text, more, message):
    path = tmp_path / "b.bed"
    path.write_text(text)
    with pytest.raises(PhylotoolsError, match=message) as error:
        ready(question(path, task, **more), genome)
    assert "\n" not in str(error.value)


def lines(*rows) -> str:
    return "".join(f"{contig}\t{start}\t{start + 20}\t{label}\n" for contig, start, label in rows)


def test_contigs_are_drawn_whole_and_by_the_seed(tmp_path, genome):
    path = tmp_path / "b.bed"
    rows = [(f"c{k}", 30 * n, "ab"[n % 2]) for k in range(6) for n in range(8)]
    path.write_text(lines(*rows))
    found = ready(question(path), genome)
    by_contig = {}
    for (contig, *_), part in zip(rows, found.samples.split.tolist(), strict=True):
        by_contig.setdefault(contig, set()).add(part)
    assert all(len(parts) == 1 for parts in by_contig.values())
    assert {TRAIN, VALID, TEST} == set(found.samples.split.tolist())
    assert found.leaks.n_near == 0
    other = prepare(question(path), genome, reach=5, strand="forward", seed=2)
    assert (other.samples.split != found.samples.split).any()
    path.write_text(lines(*(row for row in rows if row[0] < "c2")))
    with pytest.raises(InputError, match="lie on 2 contigs: three are needed"):
        ready(question(path), genome)


def test_leaks_are_refused_and_neighbours_counted(tmp_path, genome, caplog):
    path = tmp_path / "b.bed"

    def rows(split_of_second: str, start: int) -> str:
        kept = [
            *(("c0", 0, "a", "train"), ("c0", start, "b", split_of_second), ("c1", 0, "a", "test")),
            *(("c1", 40, "b", "test"), ("c2", 0, "a", "valid"), ("c0", 200, "b", "train")),
        ]
        return "".join(f"{c}\t{s}\t{s + 20}\t{k}\t{part}\n" for c, s, k, part in kept)

    asked = question(path, split_column="5")
    path.write_text(rows("test", 19))
    with pytest.raises(InputError, match=r"the labels leak: c0:20-39 is test and overlaps"):
        ready(asked, genome)
    path.write_text(rows("test", 25))
    assert ready(asked, genome).leaks.n_near == 2
    assert "2 of 6 samples lie so near" in caplog.text
    path.write_text(rows("test", 40))
    assert ready(asked, genome).leaks.n_near == 0


def test_the_same_sequence_elsewhere_is_counted_on_either_strand(tmp_path, caplog):
    one = CONTIGS["c0"]
    complement = bytes.maketrans(b"ACGT", b"TGCA")
    genome = ReferenceGenome.from_sequences(
        {"a": one, "b": one.translate(complement)[::-1], "c": CONTIGS["c1"], "d": b"N" * 400}
    )
    path = tmp_path / "b.bed"
    kept = [("a", "x", "train"), ("b", "x", "test"), ("c", "x", "valid")]
    text = "".join(f"{c}\t0\t400\t{k}\t{part}\n" for c, k, part in kept)
    unknown = [(0, 100, "x", "train"), (200, 300, "x", "test"), (100, 110, "y", "train")]
    text += "".join(f"d\t{s}\t{e}\t{k}\t{part}\n" for s, e, k, part in unknown)
    path.write_text(text)
    with pytest.raises(InputError, match="only 'x' is labelled"):
        ready(question(path, split_column="5"), genome)
    assert "1 held-out samples have the very sequence" in caplog.text
    assert "3 regions left out: their sequence is N" in caplog.text


def test_regions_of_n_alone_cannot_be_judged(tmp_path, genome):
    path = tmp_path / "b.bed"
    path.write_text("gap\t0\t20\ta\ttrain\ngap\t30\t50\tb\tvalid\ngap\t60\t80\ta\ttest\n")
    with pytest.raises(InputError, match="nothing is labelled"):
        ready(question(path, split_column="5"), genome)


def test_held_out_regions_cut_windows_but_not_samples(tmp_path, genome):
    path = tmp_path / "b.bed"
    path.write_text("c0\t0\t50\ta\nc0\t200\t230\tb\nc0\t300\t310\ta\n")
    held = {
        "valid": RegionSet.of([Region("c0", 100, 210)]),
        "test": RegionSet.of([Region("c0", 210, 400)]),
    }
    found = ready(question(path, "bases", window=128, **held), genome)
    spans = list(zip(found.samples.regions.start, found.samples.regions.end, strict=True))
    assert spans == [(0, 100), (100, 210), (210, 338), (338, 400)]
    assert found.samples.split.tolist() == [TRAIN, VALID, TEST, TEST]
    assert found.samples.names == ("a", "b", "none")
    with pytest.raises(InputError, match=r"c0:201-230 lies partly in what is valid"):
        ready(question(path, "regions", **held), genome)
    with pytest.raises(UsageError, match="both --valid and --test"):
        ready(question(path, "bases", test=held["test"]), genome)
    with pytest.raises(UsageError, match="share positions"):
        ready(question(path, "bases", test=held["test"], valid=held["test"]), genome)


def test_hdf5_of_bend(tmp_path, genome):
    h5py = pytest.importorskip("h5py")
    path, labels = tmp_path / "b.bed", tmp_path / "b.hdf5"
    path.write_text(
        "chromosome\tstart\tend\tsplit\nc0\t0\t6\ttrain\nc1\t0\t6\tvalid\nc2\t0\t4\ttest\n"
    )
    with h5py.File(labels, "w") as file:
        file["labels"] = np.array([[0, 0, 1, 2, 2, 3], [0, 1, 2, 3, 0, 8], [8, 0, 1, 8, -1, -1]])
    asked = question(path, "gene-finding", hdf5=str(labels))
    found = ready(asked, genome).samples
    assert found.names == ("exon+", "donor+", "intron+", "acceptor+", "intergenic")
    assert found.labels.tolist() == [0, 0, 1, 2, 2, 3, 0, 1, 2, 3, 0, 4, 4, 0, 1, 4]
    with h5py.File(labels, "w") as file:
        file["labels"] = np.zeros((3, 5), dtype=int)
    with pytest.raises(InputError, match="has 5 labels a sample, and a sample has 6"):
        ready(asked, genome)
    with h5py.File(labels, "w") as file:
        file["labels"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(InputError, match="no data set of its own"):
        ready(asked, genome)
    labels.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        ready(asked, genome)


def test_without_h5py_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install 'phylotools\[hdf5\]'"):
        stored_labels(str(tmp_path / "x"), np.array([1]), np.array([1]))
