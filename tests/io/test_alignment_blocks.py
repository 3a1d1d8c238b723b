from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.io.alignment.blocks import DUPLICATE_POLICIES, BlockResolver
from phylotools.io.alignment.maf import MafReader
from phylotools.io.bases import ALIGNED_CODE_OF_BYTE, ALIGNED_COMPLEMENT_OF_BYTE
from phylotools.io.files import open_input
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick

EDGE_CASES = Path(__file__).parents[1] / "data" / "maf_edge_cases"
BIRDS = parse_newick((EDGE_CASES.parent / "birds53" / "53birds.nh").read_text()).tips


@dataclass
class Block:
    region: Region
    species: tuple[str, ...]
    bases: np.ndarray
    line: int


def blocks_of(batch, names, contigs):
    """The blocks of a batch, letter by letter."""
    text = batch.buffer.tobytes()
    for block in range(len(batch)):
        width, at = int(batch.width[block]), int(batch.reference_at[block])
        columns = [i for i in range(width) if text[at + i : at + i + 1] != b"-"]
        table = ALIGNED_COMPLEMENT_OF_BYTE if batch.is_reverse[block] else ALIGNED_CODE_OF_BYTE
        rows = slice(int(batch.first_row[block]), int(batch.first_row[block + 1]))
        bases = [[table[text[start + i]] for i in columns] for start in batch.letters_at[rows]]
        bases = np.array(bases)[:, :: -1 if batch.is_reverse[block] else 1]
        start = int(batch.start[block])
        region = Region(contigs[batch.contig[block]], start, start + int(batch.length[block]))
        species = tuple(names[index] for index in batch.species[rows])
        yield Block(region, species, bases, int(batch.line[block]))


def read_path(path, species, piece=1 << 20, **kwargs):
    resolver = BlockResolver(path, species, **kwargs)
    with open_input(path) as handle:
        found = []
        for table in MafReader(handle, str(path), piece=piece):
            batch = resolver.resolve(table)
            found += blocks_of(batch, species, list(resolver.contigs))
    return resolver, found


def read(tmp_path, text, species=("A", "B", "C"), **kwargs):
    path = tmp_path / "a.maf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_path(path, species, **kwargs)


def test_reverse_reference_is_turned_forward(tmp_path):
    _, (block,) = read(tmp_path, "a\ns B.q 0 4 + 9 AC-gt\ns A.1 2 4 - 10 aC-Nt\n", reference="A")
    assert block.region == Region("1", 4, 8)
    assert block.species == ("B", "A")
    # t N C a -> A N G t complemented, case kept: t(soft)->a, N, C->G, a->t
    assert block.bases.tolist() == [[8, 9, 2, 3], [8, 4, 2, 11]]
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
    assert reader.counts.per_species[1].tolist() == [0, 2, 0]
    assert reader.counts.first_case["duplicate_rows"] == "B, line 4"


DUPLICATES = {
    "best-identity": "aCGTN",
    "first": "ACTTN",
    # Column 1: A, a, a; column 3: T, G, t; column 5: N, N and a gap.
    "consensus": "ACTTN",
    "drop": None,
}


@pytest.mark.parametrize("policy", DUPLICATES)
def test_duplicate_policies(tmp_path, policy):
    rows = ["A.1 0 5 + 5 ACGTA", "B.2 0 5 + 9 ACTTN", "B.1 0 5 + 9 aCGTN", "B.3 0 4 + 9 aGtT-"]
    text = "a\n" + "".join(f"s {row}\n" for row in rows)
    _, (block,) = read(tmp_path, text, duplicates=policy)
    expected = DUPLICATES[policy]
    if expected is None:
        assert block.species == ("A",)
        return
    assert block.species == ("A", "B")
    assert block.bases[1].tolist() == [ALIGNED_CODE_OF_BYTE[ord(letter)] for letter in expected]


def test_duplicate_policies_are_those_of_the_command_line():
    from phylotools.cli.preprocess import DUPLICATES as named

    assert tuple(DUPLICATE_POLICIES) == named


def test_consensus_ties_gaps_and_masks(tmp_path):
    rows = ["A.1 0 6 + 9 ACGTAC", "B.1 0 4 + 9 ac--nA", "B.2 0 4 + 9 ga-Tn-"]
    rows = [row.replace(" 0 4 ", f" 0 {sum(c != '-' for c in row.split()[-1])} ") for row in rows]
    text = "a\n" + "".join(f"s {row}\n" for row in rows)
    _, (block,) = read(tmp_path, text, duplicates="consensus")
    assert block.bases[1].tolist() == [ALIGNED_CODE_OF_BYTE[ord(letter)] for letter in "nn-TnA"]


@pytest.mark.parametrize("policy", DUPLICATE_POLICIES)
def test_pieces_of_one_sequence_are_joined(tmp_path, policy):
    rows = ["A.1 0 6 + 9 ACGTAC", "B.1 0 2 + 9 Ac----", "B.2 4 1 - 9 -----g", "B.1 3 2 + 9 ---NA-"]
    reader, (block,) = read(tmp_path, "a\n" + "".join(f"s {r}\n" for r in rows), duplicates=policy)
    assert block.bases[1].tolist() == [ALIGNED_CODE_OF_BYTE[ord(letter)] for letter in "Ac-NAg"]
    assert reader.counts.per_species[:, 1].tolist() == [3, 0, 2, 0]


def test_the_reference_keeps_its_first_row_whatever_the_policy(tmp_path):
    text = "a\ns A.1 0 2 + 9 AC\ns A.2 5 2 + 9 GG\ns B.1 0 2 + 9 GG\n"
    for policy in DUPLICATE_POLICIES:
        _, (block,) = read(tmp_path, text, duplicates=policy)
        assert block.species == ("A", "B")
        assert block.bases[0].tolist() == [0, 1]
        assert block.region == Region("1", 0, 2)


def test_ancestors_are_passed_over(tmp_path):
    text = "a\ns A.1 0 1 + 5 A\ns Anc0.r 0 1 + 5 C\ns B.1 0 1 + 5 C\n"
    reader, (block,) = read(tmp_path, text, ignored=("Anc0", ""))
    assert block.species == ("A", "B")
    assert not reader.counts.unknown_rows


def test_unknown_species(tmp_path, caplog):
    text = "a\ns A.1 0 1 + 5 A\ns B.1 0 1 + 5 C\ns Zz.1 0 1 + 5 C\ns Yy.1 0 1 + 5 C\n"
    with pytest.raises(InputError, match=r"a\.maf:4: .*'Zz\.1'.*--unknown-species drop"):
        read(tmp_path, text)
    reader, (block,) = read(tmp_path, text, drop_unknown=True)
    assert block.species == ("A", "B")
    assert reader.counts.unknown_rows == {"Zz": 1, "Yy": 1}


def test_unknown_first_row_cannot_be_the_reference(tmp_path):
    text = "a\ns Zz.1 0 1 + 5 C\ns A.1 0 1 + 5 A\n"
    with pytest.raises(InputError, match="give --reference"):
        read(tmp_path, text, drop_unknown=True)
    _, blocks = read(tmp_path, text, drop_unknown=True, reference="A")
    assert len(blocks) == 1


def test_blocks_without_the_reference_are_counted(tmp_path):
    block = "a\ns B.1 0 1 + 5 C\ns C.1 0 1 + 5 A\n\n"
    text = "a\ns A.1 0 1 + 5 A\ns B.1 0 1 + 5 C\n\n" + 2 * block
    resolver, blocks = read(tmp_path, text)
    assert len(blocks) == 1
    assert (resolver.counts.blocks, resolver.counts.blocks_with_reference) == (3, 1)
    assert list(resolver.counts.notes.values()) == [2]


def test_wrong_size_of_another_row_is_counted(tmp_path):
    reader, blocks = read(tmp_path, "a\ns A.1 0 2 + 9 AC\ns B.1 0 7 + 9 A-\n")
    assert len(blocks) == 1
    assert reader.counts.per_species[3].tolist() == [0, 1, 0]


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
        gzip.compress(PLAIN, mtime=0),
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


@pytest.mark.parametrize("piece", [1, 20, 300, 5000])
def test_pieces_of_any_size_give_the_same_blocks(tmp_path, piece):
    resolver, expected = read(tmp_path, PLAIN, BIRDS)
    small, found = read(tmp_path, PLAIN, BIRDS, piece=piece)
    assert [block.line for block in found] == [block.line for block in expected]
    for a, b in zip(found, expected, strict=True):
        assert (a.region, a.species) == (b.region, b.species)
        np.testing.assert_array_equal(a.bases, b.bases)
    assert small.counts.to_dict() == resolver.counts.to_dict()


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
        ("s A.1 0 1 + 5 A\n", ":1: a row outside a block"),
        ("a\n\ns A.1 0 1 + 5 A\n", ":3: a row outside a block"),
        ("a\ns A.1 0 1 + 5\n", ":2: a row has 7 fields, this one 6"),
        ("a\ns A.1 0 1 + 5 A C\n", "this one 8"),
        ("a\ns A.1 -1 1 + 5 A\n", "start '-1'"),
        ("a\ns A.1 1_0 1 + 50 A\n", "start '1_0'"),
        ("a\ns A.1 0 x + 5 A\n", "size 'x'"),
        ("a\ns A.1 0 1 + 99999999999999999999 A\n", "source size"),
        ("a\ns A.1 0 1 + 9999999999999 A\n", "source size"),
        ("a\ns A.1 0 1 + 5 A\ns B.1 0 1 + 5 A A\n", ":3: a row has 7 fields, this one 8"),
        (
            "a\ns A.1 0 9 + 9 AC-GT-ACG--\ns B.1 0 2 + 5 A\n\na\n\n#",
            ":3: the row has 1 columns, the rows above have 11",
        ),
        ("a\ns A.1 5 1 + 5 A\n", "beyond the source size 5"),
        ("a\ns A.1 0 1 ? 5 A\n", "strand"),
        ("a\ns A.1 0 2 + 5 AC\ns B.1 0 1 + 5 A\n", ":3: the row has 1 columns"),
        ("a\ns A.1 0 2 + 5 A-\n", ":2: size is 2, but the reference row has 1"),
        ("a\ns A.1 0 2 + 5 A1\n", ":2: '1' in column 2"),
        ("a\ns A.1 0 2 + 5 AC\ns B.1 0 2 + 5 A!\n", ":3: '!' in column 2"),
        ("a\ns A.1 0 2 + 5 A\x00\n", "in column 2"),
        ("a\ns A.1 0 2 + 5 AC\ns B.1 0 2 + 5 AE\n", ":3: 'E' in column 2.*not of proteins"),
        ("a\ns A.1 0 17 + 17 ACGTURYSWKMBDHVNX\ns B.1 0 17 + 17 acgtnrykmswbdhvuq\n", "'q'"),
        ("a\ns A.1 0 1 + 5 A\n\na\ns A.1 0 1 + 6 A\n", ":5: contig 1 has the source size 6"),
        ("a\rs A.1 0 1 + 5 A\r", "CR only"),
        ("hello\n", ":1: 'hello"),
        (">A\nACGT\n", "begins no line"),
        (b"\x00\x01\xff" * 1000, "begins no line"),
        (b"\xff\xfea\x00\n\x00", "begins no line"),
        (b"a\ns \xff\xfe.1 0 1 + 5 A\n", "no tip of the tree"),
        (b"\x00" * 3_000_000, "begins no line"),
        (gzip.compress(PLAIN, mtime=0)[:-20], "truncated"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    with pytest.raises(InputError, match=message):
        read(tmp_path, text, piece=16)
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
        read_path(path, BIRDS)
    assert caught.value.line == line
    assert caught.value.remedy
