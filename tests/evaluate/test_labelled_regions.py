"""Labelled regions and means of tracks over them; numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError, UsageError
from phylotools.evaluate import regions
from phylotools.evaluate.protocols.reading import load_protocol
from phylotools.evaluate.regions import join_regions, region_columns
from phylotools.evaluate.selection import Question, ScoreColumn

#: As gnomAD publishes it, by names of columns.
GNOCCHI = (
    "chrom\tstart\tend\telement_id\tpossible\texpected\tobserved\toe\tz\n"
    "chr1\t0\t4\tchr1-0-4\t10\t5\t4\t0.8\t1.5\n"
    "chr1\t4\t8\tchr1-4-8\t10\t5\t5\t1\t0\n"
    "chr1\t1000002\t1000006\tx\t10\t5\t5\t1\t-1\n"
    "chr2\t0\t4\ty\t10\t5\t2\t0.4\tNA\n"
    "chr2\t2\t6\tz\t10\t5\t2\t0.4\t3\n"
)


def track(path, values):
    """A bigWig of (contig, start, values) runs; chr1 has 2 Mb, chr2 1 kb."""
    with pyBigWig.open(str(path), "w") as out:
        out.addHeader([("chr1", 2_000_000), ("chr2", 1000)])
        for contig, start, numbers in values:
            out.addEntries(contig, start, values=[float(v) for v in numbers], span=1, step=1)
    return str(path)


def question(path, sources, **fields):
    columns = tuple(ScoreColumn(name, False, source=source) for name, source in sources.items())
    empty = frozenset()
    base = Question((str(path),), None, "", empty, empty, columns)
    return load_protocol("gnomad-constraint").applied_to(
        Question(**(base.__dict__ | fields)), tuple(fields), {str(path): region_columns(str(path))}
    )


def test_windows_of_gnomads_constraint(tmp_path):
    """Means: chr1:0-4 of 1, 2, 3, 6 is 3; chr1:4-8 has 10 and 20 of four bases, 15.

    chr1:1000002-1000006 has one of four, too few; chr2:2-6 of 5, 5, 7, 7 is 6.
    """
    path = tmp_path / "constraint.txt"
    path.write_text(GNOCCHI)
    source = track(
        tmp_path / "a.bw",
        [
            ("chr1", 0, [1, 2, 3, 6]), ("chr1", 5, [10, 20]), ("chr1", 1_000_002, [9]),
            ("chr2", 2, [5, 5, 7, 7]),
        ],
    )  # fmt: skip
    data = join_regions(question(path, {"a": source}))
    assert data.what == "regions"
    assert data.scores.tolist() == [[3.0, 15.0, 6.0]]
    assert data.labels.tolist() == [1.5, 0.0, 3.0]
    assert data.clusters.tolist() == [0, 0, 1]
    assert data.clusters_by == "blocks of 1 Mb"
    assert data.lacking == {"a": 1}
    assert data.counts == {"regions": 5, "without_label": 1, "labelled": 4, "compared": 3}
    assert data.types is None
    assert data.variants is None


def test_bed_with_the_number_in_its_fifth_column_and_names_without_chr(tmp_path):
    path = tmp_path / "w.bed"
    path.write_text("track name=x\n1\t0\t2\ta\t5\t+\n1\t2\t4\tb\t7\t-\n2\t0\t2\tc\t1\t+\n")
    source = track(tmp_path / "a.bw", [("chr1", 0, [1, 1, 4, 4]), ("chr2", 0, [2, 4])])
    data = join_regions(question(path, {"a": source}, strata=("strand",)))
    assert data.scores.tolist() == [[1.0, 4.0, 3.0]]
    assert data.labels.tolist() == [5.0, 7.0, 1.0]
    assert data.strata[0].texts == ("+", "-", "+")


def test_genes_of_several_parts_by_name(tmp_path):
    """Gene A has two parts: mean of 1, 1 and 4, 4, 4, 4 is 18 / 6 = 3."""
    parts = tmp_path / "parts.bed"
    parts.write_text("chr1\t0\t2\tA\nchr1\t10\t14\tA\nchr2\t0\t2\tB\nchr2\t4\t6\tC\n")
    table = tmp_path / "constraint.tsv"
    table.write_text(
        "gene\ttranscript\tmane_select\tlof.oe_ci.upper\n"
        "A\tT1\tfalse\t9\nA\tT2\ttrue\t0.25\nB\tT3\ttrue\t1.5\nC\tT4\ttrue\tNA\nD\tT5\ttrue\t1\n"
    )
    source = track(
        tmp_path / "a.bw",
        [("chr1", 0, [1, 1]), ("chr1", 10, [4] * 4), ("chr2", 0, [2, 2]), ("chr2", 4, [2, 2])],
    )
    columns = (ScoreColumn("a", False, source=source),)
    asked = Question((str(parts),), str(table), "", frozenset(), frozenset(), columns)
    asked = load_protocol("gnomad-genes").applied_to(
        asked, (), {str(table): region_columns(str(table))}
    )
    data = join_regions(asked)
    assert data.scores.tolist() == [[3.0, 2.0]]
    assert data.labels.tolist() == [0.25, 1.5]
    assert data.turned_labels.tolist() == [-0.25, -1.5]
    assert data.counts["without_label"] == data.counts["without_region"] == 1
    table.write_text("gene\tlof.oe_ci.upper\nENSG1\t1\nENSG2\t2\n")
    with pytest.raises(InputError, match="none of its 2 names is in"):
        join_regions(asked.__class__(**(asked.__dict__ | {"where": ()})))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 40), st.sampled_from(["chr1", "chr2"])),
        min_size=3,
        max_size=12,
    ),
    st.integers(1, 50),
)
def test_means_are_those_of_numpy(tmp_path_factory, intervals, batch):
    folder = tmp_path_factory.mktemp("means")
    values = {contig: np.arange(100.0) * (1 + len(contig)) for contig in ("chr1", "chr2")}
    values["chr2"] **= 2
    source = track(folder / "a.bw", [(contig, 0, v) for contig, v in values.items()])
    lines = [f"{contig}\t{a}\t{a + n}\tx\t1" for a, n, contig in intervals]
    (folder / "w.bed").write_text("\n".join(lines) + "\n")
    before, regions._POSITIONS = regions._POSITIONS, batch
    try:
        data = join_regions(question(folder / "w.bed", {"a": source}))
    finally:
        regions._POSITIONS = before
    expected = [values[contig][a : a + n].mean() for a, n, contig in intervals]
    np.testing.assert_allclose(data.scores[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GNOCCHI.replace("\tz\n", "\tzscore\n"), "no column z or gnocchi or score"),
        (GNOCCHI.replace("\t1.5\n", "\thigh\n"), ":2: 'high' in column 'z' is not a number"),
        (GNOCCHI.replace("chr1\t0\t4\t", "chr1\tx\t4\t"), ":2: 'x' is not a position"),
        (GNOCCHI.replace("chr1\t0\t4\t", "chr1\t4\t4\t"), "span nothing"),
        (GNOCCHI.replace("chrom\t", "where\t"), "there is no column chrom or #chrom"),
        (GNOCCHI.replace("chr1", "s1").replace("chr2", "s2"), "has none of the regions' contigs"),
        (
            GNOCCHI.split("chr1\t")[0] + "chr1\t0\t4\t" + "NA\t" * 5 + "NA\n",
            "no region has a label",
        ),
        (GNOCCHI.split("chr2")[0], "has values of all tracks"),
    ],
)
def test_regions_that_are_none(tmp_path, text, message):
    path = tmp_path / "constraint.txt"
    path.write_text(text)
    source = track(tmp_path / "a.bw", [("chr1", 0, [1, 2, 3, 6])])
    with pytest.raises(InputError) as caught:
        join_regions(question(path, {"a": source}))
    assert message in str(caught.value)


def test_what_a_score_of_regions_must_be(tmp_path):
    path = tmp_path / "constraint.txt"
    path.write_text(GNOCCHI)
    with pytest.raises(UsageError, match="name tracks"):
        join_regions(question(path, {}))
    with pytest.raises(UsageError, match=r"a score is a track, NAME=FILE\.bw"):
        join_regions(question(path, {"a": None}))
    with pytest.raises(InputError, match="is no bigWig"):
        join_regions(question(path, {"a": str(path)}))
    with pytest.raises(UsageError, match="labels of regions are numbers"):
        join_regions(question(path, {"a": "x"}, positive=frozenset("a")))
