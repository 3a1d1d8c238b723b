"""The table of variants against a dictionary, and joins of more than one block."""

from __future__ import annotations

import numpy as np

from phylotools.evaluate.selection import Question, ScoreColumn
from phylotools.evaluate.tables import join_tables
from phylotools.evaluate.variant_index import KeyTable, parted, places_of


def test_numbers_are_those_of_a_dictionary():
    draw = np.random.default_rng(1)
    table, known = KeyTable(), {}
    for size in (1, 700, 3000, 20_000):
        places = draw.integers(0, 4000, size)
        keys = draw.integers(0, 5, size).astype(np.uint64)
        pairs = list(zip(places.tolist(), keys.tolist(), strict=True))
        expected = [known.setdefault(pair, len(known)) for pair in pairs]
        assert table.add(places, keys).tolist() == expected
    assert len(table) == len(known)
    assert list(zip(table.places.tolist(), table.keys.tolist(), strict=True)) == list(known)
    wanted = draw.integers(-1, 8000, 5000), draw.integers(0, 7, 5000).astype(np.uint64)
    pairs = zip(*(each.tolist() for each in wanted), strict=True)
    assert table.find(*wanted).tolist() == [known.get(pair, -1) for pair in pairs]


def test_places_are_contigs_and_positions():
    contigs, positions = np.array([0, 0, 3, -1]), np.array([-1, 7, 1 << 39, 5])
    places = places_of(contigs, positions)
    assert places[3] == -1
    assert [each[:3].tolist() for each in parted(places)] == [[0, 0, 3], [-1, 7, 1 << 39]]


def test_files_of_many_blocks(tmp_path):
    n = 60_000
    draw = np.random.default_rng(2)
    values = draw.normal(size=n).round(6)
    order = draw.permutation(n)
    alts = np.array(list("CGT"))[np.arange(n) % 3]
    long_text = "x" * 40
    labels = [f"chr1\t{i // 3 + 1}\tA\t{alts[i]}\t{values[i]}\t{long_text}\n" for i in range(n)]
    scored = [f"1\t{i // 3 + 1}\t.\tA\t{alts[i]}\t.\t.\tZ={i};S={2 * values[i]}\n" for i in order]
    (tmp_path / "l.tsv").write_text("chrom\tpos\tref\talt\tL\tnote\n" + "".join(labels))
    header = '##fileformat=VCFv4.2\n##INFO=<ID=S,Number=A,Type=Float,Description="x">\n'
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "s.vcf").write_text(header + columns + "".join(scored))
    files = (str(tmp_path / "s.vcf"),), str(tmp_path / "l.tsv")
    question = Question(*files, "L", frozenset(), frozenset(), (ScoreColumn("S", False),))
    data = join_tables(question)
    assert data.labels.tolist() == values.tolist()
    np.testing.assert_allclose(data.scores[0], 2 * values, rtol=1e-12)
    assert data.variants.alts == tuple(alts.tolist())
    assert data.clusters.tolist() == (np.arange(n) // 3).tolist()
