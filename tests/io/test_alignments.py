from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.io.alignments import MafReader
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick

EDGE_CASES = Path(__file__).parents[1] / "data" / "maf_edge_cases"
BIRDS = parse_newick((EDGE_CASES.parent / "birds53" / "53birds.nh").read_text()).tips


def read(tmp_path, text, species=("A", "B", "C"), **kwargs):
    path = tmp_path / "a.maf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    reader = MafReader(path, species, **kwargs)
    return reader, list(reader)


def test_reverse_reference_is_turned_forward(tmp_path):
    _, (block,) = read(tmp_path, "a\ns B.q 0 4 + 9 AC-gt\ns A.1 2 4 - 10 aC-Nt\n", reference="A")
    assert block.region == Region("1", 4, 8)
    assert block.species == ("B", "A")
    # t N C a -> A N G t complemented, case kept: t(soft)->a, N, C->G, a->t
    assert block.bases.tolist() == [[8, 9, 2, 3], [8, 4, 2, 11]]
    assert block.contig_length == 10
    assert block.line == 3


def test_reference_gaps_are_dropped_and_others_kept(tmp_path):
    _, (block,) = read(tmp_path, "a\ns A.1 0 2 + 5 A--C\ns B.1 0 2 + 5 -GT-\n")
    assert block.bases.tolist() == [[0, 1], [5, 5]]


def test_sources_belong_to_the_longest_species_name(tmp_path):
    species = ("A", "A.x", "B", "B.1.2")
    text = "a\ns A.x.chr.1 0 1 + 5 A\ns A 0 1 + 5 C\ns B.1.2 0 1 + 5 G\ns B.1 0 1 + 5 T\n"
    reader, (block,) = read(tmp_path, text, species)
    assert reader.reference == "A.x"
    assert block.region == Region("chr.1", 0, 1)
    assert block.species == ("A.x", "A", "B.1.2", "B")


def test_a_source_without_a_contig_is_its_own_contig(tmp_path):
    _, (block,) = read(tmp_path, "a\ns A 0 1 + 5 A\ns B 0 1 + 5 C\n")
    assert block.region == Region("A", 0, 1)


def test_the_row_most_like_the_reference_stays(tmp_path):
    rows = ["B.2 0 4 + 9 ACTT", "B.1 0 4 + 9 AcGT", "B.3 0 4 + 9 ACGT"]
    text = "a\ns A.1 0 4 + 9 ACGT\n" + "".join(f"s {row}\n" for row in rows)
    reader, (block,) = read(tmp_path, text)
    assert block.species == ("A", "B")
    assert block.bases[1].tolist() == [0, 9, 2, 3]
    assert sum(reader.counts.values()) == 2


def test_ancestors_are_passed_over(tmp_path):
    text = "a\ns A.1 0 1 + 5 A\ns Anc0.r 0 1 + 5 C\ns B.1 0 1 + 5 C\n"
    reader, (block,) = read(tmp_path, text, ancestors=("Anc0", ""))
    assert block.species == ("A", "B")
    assert not reader.counts


def test_unknown_species(tmp_path, caplog):
    text = "a\ns A.1 0 1 + 5 A\ns B.1 0 1 + 5 C\ns Zz.1 0 1 + 5 C\ns Yy.1 0 1 + 5 C\n"
    with pytest.raises(InputError, match=r"a\.maf:4: .*'Zz\.1'.*--unknown-species drop"):
        read(tmp_path, text)
    reader, (block,) = read(tmp_path, text, drop_unknown=True)
    assert block.species == ("A", "B")
    assert list(reader.counts.values()) == [2]


def test_unknown_first_row_cannot_be_the_reference(tmp_path):
    text = "a\ns Zz.1 0 1 + 5 C\ns A.1 0 1 + 5 A\n"
    with pytest.raises(InputError, match="give --reference"):
        read(tmp_path, text, drop_unknown=True)
    _, blocks = read(tmp_path, text, drop_unknown=True, reference="A")
    assert len(blocks) == 1


def test_a_guessed_reference_that_most_blocks_lack(tmp_path):
    block = "a\ns B.1 0 1 + 5 C\ns C.1 0 1 + 5 A\n\n"
    text = "a\ns A.1 0 1 + 5 A\ns B.1 0 1 + 5 C\n\n" + 2 * block
    with pytest.raises(InputError, match="only 1 of 3 blocks"):
        read(tmp_path, text)
    assert len(read(tmp_path, text, reference="A")[1]) == 1


def test_wrong_size_of_another_row_is_counted(tmp_path):
    reader, blocks = read(tmp_path, "a\ns A.1 0 2 + 9 AC\ns B.1 0 7 + 9 A-\n")
    assert len(blocks) == 1
    assert list(reader.counts.values()) == [1]


def test_a_reference_row_of_gaps_gives_no_block(tmp_path):
    text = "a\ns A.1 3 0 + 9 --\ns B.1 0 2 + 9 AC\n\na\ns A.1 3 1 + 9 A\ns B.1 0 1 + 9 C\n"
    _, blocks = read(tmp_path, text)
    assert [block.region for block in blocks] == [Region("1", 3, 4)]


PLAIN = (EDGE_CASES / "birds_plain.maf").read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN.replace(b" ", b"\t"),
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.rstrip(),
        gzip.compress(PLAIN),
        b"track name=x\n" + PLAIN.replace(b"\na ", b"\n# c\ni A N 0 C 0\nq A 99\ne A 1 2\na "),
        b"#" * 200_000 + b"\n" + PLAIN,
    ],
    ids=["crlf", "tabs", "bom", "no final newline", "gzip", "other lines", "long comment"],
)
def test_spellings_of_the_same_file(tmp_path, text):
    _, expected = read(tmp_path, PLAIN, BIRDS)
    _, found = read(tmp_path, text, BIRDS)
    assert [b.region for b in found] == [b.region for b in expected]
    for a, b in zip(found, expected, strict=True):
        assert a.species == b.species
        np.testing.assert_array_equal(a.bases, b.bases)


def test_rows_longer_than_the_read_piece(tmp_path):
    rng = np.random.default_rng(1)
    a, b = ("".join(rng.choice(list("ACGTacgtN"), 300_000)) for _ in range(2))
    text = f"a\ns A.1 0 300000 + 400000 {a}\ns B.1 0 300000 + 400000 {b}\n"
    _, (block,) = read(tmp_path, text)
    letters = np.array(list("ACGTN   acgt"))
    shown = "".join(letters[block.bases[1]])
    assert shown == b
    assert len(block.region) == 300_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no alignment block"),
        ("##maf version=1\n", "holds no alignment block"),
        ("s A.1 0 1 + 5 A\n", ":1: a row outside a block"),
        ("a\n\ns A.1 0 1 + 5 A\n", ":3: a row outside a block"),
        ("a\ns A.1 0 1 + 5\n", ":2: a row has 7 fields, this one 6"),
        ("a\ns A.1 0 1 + 5 A C\n", "this one 8"),
        ("a\ns A.1 -1 1 + 5 A\n", "start '-1'"),
        ("a\ns A.1 1_0 1 + 50 A\n", "start '1_0'"),
        ("a\ns A.1 0 x + 5 A\n", "size 'x'"),
        ("a\ns A.1 0 1 + 99999999999999999999 A\n", "source size"),
        ("a\ns A.1 0 1 + 9999999999999 A\n", "beyond"),
        ("a\ns A.1 5 1 + 5 A\n", "beyond the source size 5"),
        ("a\ns A.1 0 1 ? 5 A\n", "strand"),
        ("a\ns A.1 0 2 + 5 AC\ns B.1 0 1 + 5 A\n", ":3: the row has 1 columns"),
        ("a\ns A.1 0 2 + 5 A-\n", ":2: size is 2, but the reference row has 1"),
        ("a\ns A.1 0 2 + 5 A1\n", ":2: '1' in column 2"),
        ("a\ns A.1 0 2 + 5 AC\ns B.1 0 2 + 5 A!\n", ":3: '!' in column 2"),
        ("a\ns A.1 0 2 + 5 A\x00\n", "in column 2"),
        ("a\ns A.1 0 1 + 5 A\n\na\ns A.1 0 1 + 6 A\n", ":5: contig 1 has the source size 6"),
        ("a\rs A.1 0 1 + 5 A\r", "CR only"),
        ("hello\n", ":1: 'hello"),
        (">A\nACGT\n", "begins no line"),
        ("#taf version:1\n", "is TAF"),
        (b"\x00\x01\xff" * 1000, "begins no line"),
        (b"\xff\xfea\x00\n\x00", "begins no line"),
        (b"a\ns \xff\xfe.1 0 1 + 5 A\n", "no tip of the tree"),
        (b"\x00" * 3_000_000, "begins no line"),
        (gzip.compress(PLAIN)[:-20], "truncated"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert "a.maf" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("negative_start", 35),
        ("beyond_source_size", 35),
        ("strand_field_bad", 3),
        ("unequal_row_lengths", 36),
        ("species_not_in_tree", 6),
        ("cr_only_newlines", 1),
    ],
)
def test_bad_bird_files(name, line):
    path = EDGE_CASES / f"{name}.maf"
    with pytest.raises(InputError) as caught:
        list(MafReader(path, BIRDS))
    assert caught.value.line == line
    assert caught.value.remedy
