"""Labels out of files: what is one, what is not, and what belongs together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phylotools.errors import InputError, UsageError
from phylotools.finetuning.folds import join_groups
from phylotools.finetuning.items import ItemRows, LabelQuestion
from phylotools.finetuning.reading import is_bed, read_labels

CLASSES = {"positive": frozenset(["bad"]), "negative": frozenset(["good"])}


def read(path: Path, text: str, **question):
    path.write_text(text)
    settings = {"label_column": "label", "group_by": "gene"} | question
    return read_labels(LabelQuestion(str(path), **settings), are_regions=is_bed(str(path)))


def test_numbers_that_are_none_are_left_out(tmp_path, caplog):
    cells = ["1.5", "nan", "inf", ".", "", "-2e3", "NA", "0"]
    rows = "".join(f"chr1\t{k}\tA\tC\t{cell}\tg{k}\n" for k, cell in enumerate(cells, start=1))
    items = read(tmp_path / "x.tsv", "chrom\tpos\tref\talt\tlabel\tgene\n" + rows)
    assert items.labels.tolist() == [1.5, -2000, 0]
    assert [items.groups[g] for g in items.group] == ["g1", "g6", "g8"]
    assert items.start.tolist() == [0, 5, 7]
    assert "left out: 3 labelled ones have a label that is no finite number" in caplog.text


def test_a_word_among_numbers_is_said_with_its_line(tmp_path):
    text = "chrom\tpos\tref\talt\tlabel\tgene\nchr1\t1\tA\tC\t1\tg\nchr1\t2\tA\tC\tbad\tg\n"
    with pytest.raises(InputError, match=r"x\.tsv:3: label 'bad' in column 'label' is not a num"):
        read(tmp_path / "x.tsv", text)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("1e308", "-1e308"), r"x\.tsv:2: label 1e308 in column 'label' is beyond 1e\+20"),
        (("1", "1e21"), r"x\.tsv:3: label 1e21 in column"),
        (("1e-200", "0"), "has no two different numbers"),
    ],
)
def test_numbers_whose_squares_are_none_are_a_line(tmp_path, labels, message):
    """A head fitted to them would be NaN."""
    rows = "".join(f"chr1\t{k}\tA\tC\t{label}\tg{k}\n" for k, label in enumerate(labels, 1))
    with pytest.raises(InputError, match=message):
        read(tmp_path / "x.tsv", "chrom\tpos\tref\talt\tlabel\tgene\n" + rows)


def test_labels_all_alike_are_nothing_to_learn(tmp_path):
    rows = "".join(f"chr1\t{k}\tA\tC\t2\tg{k}\n" for k in range(1, 5))
    with pytest.raises(InputError, match="has no two different numbers"):
        read(tmp_path / "x.tsv", "chrom\tpos\tref\talt\tlabel\tgene\n" + rows)


def test_two_labels_of_a_variant_are_none_and_two_groups_are_one(tmp_path, caplog):
    rows = [
        ("1", "A", "C", "bad", "a"), ("1", "A", "C", "good", "a"),  # contradictory
        ("2", "A", "C", "bad", "a"), ("2", "A", "C", "bad", "b"),  # in two groups
        ("3", "A", "C", "good", "c"), ("3", "A", "G", "good", "d"),  # one site, two groups
        ("4", "A", "AT", "good", "a"), ("5", "A", "C", "good", "."),
    ]  # fmt: skip
    text = "chrom,pos,ref,alt,label,gene\n" + "".join(f"7,{','.join(row)}\n" for row in rows)
    items = read(tmp_path / "x.csv", text, **CLASSES)
    assert items.start.tolist() == [1, 2, 2]
    assert items.labels.tolist() == [1, 0, 0]
    names = {frozenset(items.groups[g] for g in pair) for pair in items.links}
    assert names == {frozenset("ab"), frozenset("cd")}
    for reason in ("contradict each other", "no changes of a single base", "no gene to be grouped"):
        assert reason in caplog.text


def test_regions_that_overlap_link_their_groups(tmp_path):
    rows = [(0, 10, "a", 1), (5, 8, "b", 2), (8, 20, "c", 3), (20, 30, "d", 4), (40, 50, "a", 5)]
    text = "track x\n" + "".join(f"c1\t{s}\t{e}\t{name}\t{n}\n" for s, e, name, n in rows)
    items = read(tmp_path / "x.bed", text, label_column="score", group_by="name")
    assert items.refs is None
    assert items.labels.tolist() == [1, 2, 3, 4, 5]
    names = {frozenset(items.groups[g] for g in pair) for pair in items.links}
    assert names == {frozenset("ab"), frozenset("ac")}


def names_of(items) -> list[str]:
    """Which groups are together."""
    return sorted(join_groups(items).names)


def test_two_names_of_a_contig_are_one(tmp_path, caplog):
    """A variant, a group or a region does not leak by another spelling."""
    rows = [
        ("chrM", 1, "bad", "a"), ("MT", 1, "good", "b"),  # one variant with two labels
        ("MT", 2, "good", "b"), ("chrM", 2, "good", "c"),  # one variant in two groups
        ("1", 5, "bad", "d"), ("NC_000001.11", 6, "bad", "e"), ("2", 5, "bad", "f"),
    ]  # fmt: skip
    header = "chrom\tpos\tref\talt\tlabel\tgene\n"
    text = header + "".join(f"{c}\t{p}\tA\tC\t{label}\t{g}\n" for c, p, label, g in rows)
    items = read(tmp_path / "x.tsv", text, **CLASSES)
    assert [items.contigs[c] for c in items.contig] == ["chrM", "1", "1", "2"]
    assert "contradict each other" in caplog.text
    pairs = {frozenset(items.groups[g] for g in pair) for pair in items.links}
    assert frozenset("bc") in pairs
    by_contig = read(tmp_path / "x.tsv", text, group_by="contig", **CLASSES)
    assert names_of(by_contig) == ["1", "2", "chrM"]


def test_two_names_of_a_contig_in_a_bed_of_groups(tmp_path):
    groups = tmp_path / "genes.bed"
    groups.write_text("MT\t0\t10\ta\nchrM\t9\t20\tb\nchrM\t30\t40\tc\n")
    rows = "".join(f"chrM\t{p}\tA\tC\t{p % 2}\n" for p in (2, 3, 15, 16, 31, 32))
    items = read(
        tmp_path / "x.tsv", "chrom\tpos\tref\talt\tlabel\n" + rows, group_by=None,
        groups=str(groups),
    )  # fmt: skip
    assert len(items) == 6
    assert names_of(items) == ["a+b", "c"]


def test_what_names_several_groups_is_of_all_of_them(tmp_path):
    """Overlapping genes: of both, in whichever way a file writes it."""
    genes = ["A/B", "A", "B", "C:1|D:2", "D:2", "E,F", "F;G", "H&I", "I", "J", "A1"]
    rows = "".join(f'chr1\t{p}\tA\tC\t{p}\t"{gene}"\n' for p, gene in enumerate(genes, start=1))
    items = read(tmp_path / "x.tsv", "chrom\tpos\tref\talt\tlabel\tgene\n" + rows)
    expected = ["A/B+A+B", "A1", "C:1|D:2+D:2", "E,F+F;G", "H&I+I", "J"]
    assert names_of(items) == expected


def test_a_contigs_name_is_never_taken_apart(tmp_path):
    rows = "".join(f"gi|{p}|ref\t{p}\tA\tC\t{p}\n" for p in (1, 2, 3))
    text = "chrom\tpos\tref\talt\tlabel\n" + rows
    items = read(tmp_path / "x.tsv", text, group_by="contig")
    assert names_of(items) == ["gi|1|ref", "gi|2|ref", "gi|3|ref"]


def test_a_region_that_reaches_into_another_group_links_both(tmp_path):
    groups = tmp_path / "genes.bed"
    groups.write_text("c\t0\t10\ta\nc\t12\t20\tb\nc\t20\t30\tc\n")
    text = "c\t4\t13\tx\t1\nc\t15\t20\tx\t2\nc\t21\t25\tx\t3\n"
    items = read(tmp_path / "x.bed", text, label_column="5", group_by=None, groups=str(groups))
    assert names_of(items) == ["a+b", "c"]


def test_the_name_of_many_groups_together_is_short():
    """Each of their items bears it in predictions.tsv."""
    links = frozenset((k, k + 1) for k in range(99))
    items = replace(
        ItemRows().items(are_variants=True), group=np.arange(100), links=links,
        groups=tuple(map(str, range(100))), start=np.arange(100),
    )  # fmt: skip
    (name,) = join_groups(items).names
    assert name.startswith("0+1+2+")
    assert name.endswith("+19+80 more")


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        ({"label_column": "7"}, InputError, "there is no column 7"),
        ({"label_column": "gene"}, UsageError, "'gene' is no column of a BED"),
        ({"label_column": "2"}, UsageError, "'2' is no column of a BED"),
    ],
)
def test_columns_of_a_bed_have_numbers(tmp_path, question, error, message):
    settings = {"label_column": "5", "group_by": "contig"} | question
    with pytest.raises(error, match=message):
        read(tmp_path / "x.bed", "c1\t1\t2\ta\t0\nc2\t1\t2\tb\t1\n", **settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#a\nchr1\t5\t9\tx\n", True),
        ("chr1 5 9\n", True),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\n1\t2\t3\n", False),
        ("chrom\tpos\tref\talt\n", False),
        ("", False),
    ],
)
def test_a_bed_is_told_by_its_first_line(tmp_path, text, expected):
    path = tmp_path / "x"
    path.write_text(text)
    assert is_bed(str(path)) is expected
