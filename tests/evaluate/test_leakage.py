"""What the sides of a split know of each other."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.evaluate.labelled import Factor, Variants
from phylotools.evaluate.leakage import find_leakage, leakage_table
from phylotools.evaluate.neighbours import neighbours_across
from phylotools.evaluate.split_items import JUDGED, TRAINED, split_items, trained_items
from phylotools.io.bases import reverse_complement

MODEL = Path(__file__).parents[2] / "models" / "mammals671-mtdna"


def variants(rows, contigs=("chr1", "chr2")):
    """Of (contig, 1-based position, REF, ALT)."""
    return Variants(
        contigs,
        np.array([contigs.index(row[0]) for row in rows], dtype=np.int32),
        np.array([row[1] - 1 for row in rows], dtype=np.int64),
        tuple(row[2] for row in rows),
        tuple(row[3] for row in rows),
    )


def counts_of(leakage):
    return {kind.name: kind.counts.tolist() for kind in leakage.kinds}


def test_counts_by_hand():
    rows = [
        ("chr1", 100, "A", "C"),  # train; the same variant
        ("chr1", 100, "A", "C"),  # test
        ("chr1", 100, "A", "G"),  # test: the same position
        ("chr1", 599, "A", "G"),  # test: 498 positions between
        ("chr1", 9000, "A", "G"),  # test: the gene alone
        ("chr2", 100, "A", "C"),  # test: another contig
        ("chr1", 101, "A", "C"),  # on no side
    ]
    split = Factor.of("fold", ["train", "test", "test", "test", "test", "test", "."])
    genes = Factor.of("gene", ["G", "G", "G", "H", "G", ".", "G"])
    items = split_items(variants(rows), split, genes)
    leakage = find_leakage(items, "fold")
    assert leakage.sides == ("train", "test")
    assert leakage.sizes.tolist() == [1, 5]
    assert counts_of(leakage) == {
        "same variant": [1, 1],
        "same position": [1, 2],
        "within 500 bases": [1, 3],
        "same gene": [1, 3],
    }
    assert leakage.kinds[0].examples[0] == ("chr1:100 A>C", "chr1:100 A>C", "")
    assert leakage.kinds[3].examples[1][2] == "G"
    table = leakage_table([leakage])
    first = dict(zip(table.header, table.rows[1], strict=True))
    assert (first["side"], first["n"], first["of"], first["fraction"]) == ("test", 1, 5, 0.2)
    assert leakage.finding.is_warning
    told = "same variant 1 of 1 train, 1 of 5 test, as chr1:100 A>C and chr1:100 A>C"
    assert leakage.sentences()[0] == told
    closer = find_leakage(items, "fold", near=498)
    assert counts_of(closer)["within 498 bases"] == [1, 2]


def test_nothing_shared_is_said():
    rows = [("chr1", 100, "A", "C"), ("chr2", 100, "A", "C")]
    leakage = find_leakage(split_items(variants(rows), Factor.of("fold", ["1", "2"])), "fold")
    assert leakage.is_clean
    assert not leakage.finding.is_warning
    assert "nothing is on both sides of fold" in leakage.sentences()[0]
    assert any("no FASTA" in note for note in leakage.notes)


@pytest.mark.parametrize("levels", [["1", "1"], ["1", "."], [".", "."]])
def test_a_split_of_one_side_is_refused(levels):
    rows = [("chr1", 100, "A", "C"), ("chr2", 100, "A", "C")]
    with pytest.raises(InputError, match="no split has so few"):
        split_items(variants(rows), Factor.of("fold", levels))
    many = [("chr1", place, "A", "C") for place in range(1, 60)]
    with pytest.raises(InputError, match="no split has so many"):
        split_items(variants(many), Factor.of("POS", list(map(str, range(59)))))


spans = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 60), st.integers(1, 12), st.integers(0, 2)),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(spans, st.integers(0, 20))
def test_neighbours_are_those_of_all_pairs(rows, distance):
    contig, start, length, side = np.array(rows, dtype=np.int64).T
    end = start + length
    found = neighbours_across(contig, start, end, side, distance)
    for i in range(len(rows)):
        close = [
            j
            for j in range(len(rows))
            if contig[i] == contig[j]
            and side[i] != side[j]
            and max(start[i], start[j]) - min(end[i], end[j]) < distance
        ]
        assert (found[i] >= 0) == bool(close)
        assert found[i] < 0 or found[i] in close


class TestTrainedOn:
    own = variants([("chrM", 3400, "A", "C"), ("chrM", 100, "A", "C")], ("chrM",))

    def test_a_models_folder(self):
        items = trained_items(self.own, MODEL)
        leakage = find_leakage(items, "the model")
        assert leakage.sides == (JUDGED, TRAINED)
        assert counts_of(leakage)["same position"][0] == 1
        assert leakage.kinds[1].examples[0][0] == "chrM:3400 A>C"

    def test_a_bed_by_another_name_of_the_contig(self, tmp_path):
        (tmp_path / "t.bed").write_text("MT\t90\t99\nX\t5\t9\n")
        counts = counts_of(find_leakage(trained_items(self.own, tmp_path / "t.bed"), "t.bed"))
        assert counts["same position"] == [0, 0]
        assert counts["within 500 bases"] == [1, 1]

    def test_variants(self, tmp_path):
        text = "chrom\tpos\tref\talt\nMT\t3400\tA\tC\nMT\t3400\tA\tT\n"
        (tmp_path / "t.tsv").write_text(text)
        counts = counts_of(find_leakage(trained_items(self.own, tmp_path / "t.tsv"), "t.tsv"))
        assert counts["same variant"] == [1, 1]
        assert counts["same position"] == [1, 2]

    def test_what_is_none(self, tmp_path):
        with pytest.raises(InputError, match="what it was trained on is not known"):
            trained_items(self.own, tmp_path)
        (tmp_path / "t.bed").write_text("chr7\t90\t99\n")
        with pytest.raises(InputError, match="none of the variants' contigs"):
            trained_items(self.own, tmp_path / "t.bed")


class TestHomologous:
    def genome(self, tmp_path, *, is_reverse, share):
        """Two contigs; 2,000 to 2,600 of the second is 5,100 to 5,700 of the first, changed."""
        draw = np.random.default_rng(4)
        one, two = (draw.choice(list("ACGT"), 20_000) for _ in range(2))
        copy = one[5_100:5_700].copy()
        changed = draw.random(600) < share
        copy[changed] = [("ACGT".replace(base, ""))[draw.integers(3)] for base in copy[changed]]
        letters = "".join(copy)
        if is_reverse:
            letters = reverse_complement(letters.encode()).decode()
        text = "".join(two)
        path = tmp_path / "g.fa"
        path.write_text(f">1\n{''.join(one)}\n>2\n{text[:2000]}{letters}{text[2600:]}\n")
        return str(path)

    @pytest.mark.parametrize("is_reverse", [False, True])
    @pytest.mark.parametrize("share", [0, 0.1, 0.15])
    def test_copies_are_found_on_both_strands(self, tmp_path, is_reverse, share):
        rows = [("chr1", 5400, "A", "C"), ("chr1", 9000, "A", "C"), ("chr2", 2300, "A", "C")]
        items = split_items(variants(rows), Factor.of("fold", ["a", "a", "b"]))
        fasta = self.genome(tmp_path, is_reverse=is_reverse, share=share)
        leakage = find_leakage(items, "fold", fasta=fasta)
        kind = leakage.kinds[-1]
        assert kind.name.startswith("homologous sequence (80%")
        assert kind.leaks.tolist() == [True, False, True]
        one, other, what = kind.examples[0]
        assert (one, other) == ("chr1:5400 A>C", "chr2:2300 A>C")
        assert ("reverse strand" in what) == is_reverse
        assert abs(float(what.split("%")[0]) / 100 - (1 - share)) < 0.06

    def test_sequence_that_is_not_alike(self, tmp_path):
        rows = [("chr1", 5400, "A", "C"), ("chr2", 2300, "A", "C")]
        items = split_items(variants(rows), Factor.of("fold", ["a", "b"]))
        fasta = self.genome(tmp_path, is_reverse=False, share=0.5)
        assert find_leakage(items, "fold", fasta=fasta).is_clean

    def test_copies_on_one_side_do_not_leak(self, tmp_path):
        rows = [("chr1", 5400, "A", "C"), ("chr2", 2300, "A", "C"), ("chr2", 9000, "A", "C")]
        items = split_items(variants(rows), Factor.of("fold", ["a", "a", "b"]))
        fasta = self.genome(tmp_path, is_reverse=False, share=0)
        assert find_leakage(items, "fold", fasta=fasta).is_clean

    def test_repeats_and_unknown_bases_cost_nothing(self, tmp_path):
        text = "ACACACAC" * 20_000
        (tmp_path / "g.fa").write_text(f">1\n{text}\n>2\n{'N' * 160_000}\n")
        draw = np.random.default_rng(1)
        rows = [
            (f"chr{draw.integers(1, 3)}", int(draw.integers(1, 160_000)), "A", "C")
            for _ in range(2000)
        ]
        items = split_items(
            variants(rows), Factor.of("fold", draw.choice(["a", "b"], 2000).tolist())
        )
        leakage = find_leakage(items, "fold", fasta=str(tmp_path / "g.fa"))
        assert not leakage.kinds[-1].counts.any()

    def test_variants_at_the_ends_and_beyond(self, tmp_path):
        fasta = self.genome(tmp_path, is_reverse=False, share=0)
        rows = [("chr1", 1, "A", "C"), ("chr1", 20_000, "A", "C"), ("chr2", 30_000, "A", "C")]
        items = split_items(variants(rows), Factor.of("fold", ["a", "b", "b"]))
        assert find_leakage(items, "fold", fasta=fasta).is_clean

    def test_another_assembly(self, tmp_path):
        (tmp_path / "g.fa").write_text(">chr9\nACGT\n")
        rows = [("chr1", 1, "A", "C"), ("chr1", 2, "A", "C")]
        items = split_items(variants(rows), Factor.of("fold", ["a", "b"]))
        with pytest.raises(InputError, match="none of the variants' contigs"):
            find_leakage(items, "fold", fasta=str(tmp_path / "g.fa"))
