"""Odd, broken and cut files: the right columns, or one clear line and no output."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from maf_projection import assert_store_equals, star_tree, store_of
from only_error import only_error
from slow_projection import bgzip, blocks_by_lines, blocks_by_rules, project

from phylotools.cli.main import run
from phylotools.errors import InputError
from phylotools.store.read import open_store

DATA = Path(__file__).parents[1] / "data"
HOSTILE = DATA / "hostile_alignments"
EDGE_CASES = DATA / "maf_edge_cases"
BIRDS_TREE = DATA / "birds53" / "53birds.nh"

#: File -> reference, columns.
GOOD = {
    "ucsc_test.maf": ("hg16", 57),
    "chr22_ieq2.maf": ("hg19", 54),
    "mm8_subset_a.maf": ("mm8", 137),
    "t1-bad1.maf": ("human_hoxa", 8),
    "mm10_chr12_slice2.maf": ("mm10", 47),
    "dcking_ghp074.maf": ("mm8", 698),
    "gzip_without_suffix.maf": ("mm8", 822),
    "dupe_test_truth.maf": ("Anc0", 51),
    "gap_column_filter_test.maf": ("simCow", 6),
    "paf_test_rev_flip.maf": ("x", 4950),
    "../maf_edge_cases/all_gap_columns.maf": ("galGal6", 443),
    "../maf_edge_cases/block_without_reference.maf": ("galGal6", 423),
    "../maf_edge_cases/eof_marker.maf": ("galGal6", 443),
    "../maf_edge_cases/iupac_codes.maf": ("galGal6", 443),
    "../maf_edge_cases/ref_on_minus_strand.maf": ("galGal6", 443),
    "../maf_edge_cases/rna_U.maf": ("galGal6", 443),
    "../maf_edge_cases/src_many_dots.maf": ("galGal6", 443),
    "../maf_edge_cases/star_characters.maf": ("galGal6", 443),
    "../maf_edge_cases/two_reference_rows.maf": ("galGal6", 443),
    "../maf_edge_cases/zero_size_row.maf": ("galGal6", 443),
}

#: File -> what the one line of error says.
BAD = {
    "binary.maf": "binary.maf:1: ",
    "not_a_maf.maf": "not_a_maf.maf",
    "cnksr3.fa": "cnksr3.fa",
    "gap-filled1.fa": "gap-filled1.fa",
    "mm8_chr7_tiny.maf.bz2": "mm8_chr7_tiny.maf.bz2: the file is compressed with bzip2",
    "mm8_chr7_tiny.maf.lzo": "mm8_chr7_tiny.maf.lzo: the file is compressed with lzop",
    "truncated.maf.gz": "truncated.maf.gz: the compressed file is truncated or damaged; ",
    "sample.maf": r"sample.maf:13: size is 20485, but the reference row has 50 bases; ",
    "tiny.maf": r"tiny.maf:13: size is 20485, but the reference row has 4 bases; ",
    "ucsc_mm9_chr10_bad.maf.xz": "only 1 of 48 blocks have bases of mm8.*; give --reference",
    "../maf_edge_cases/beyond_source_size.maf": ":35: start 200206 \\+ size 13 lies beyond",
    "../maf_edge_cases/cr_only_newlines.maf": ":1: line ends are CR only; convert them",
    "../maf_edge_cases/negative_start.maf": ":35: start '-1' is no whole number",
    "../maf_edge_cases/species_not_in_tree.maf": ":6: no tip .* 'notInTree1.chr1'; rename",
    "../maf_edge_cases/strand_field_bad.maf": r":3: strand '\?' is neither",
    "../maf_edge_cases/unequal_row_lengths.maf": ":36: the row has 98 columns, .* have 99; ",
}

#: Tree -> tips, or what the one line of error says.
TREES = {
    "nhx.nh": 3,
    "support_values.nh": 3,
    "rooted_tag.nh": 3,
    "root_length.nh": 3,
    "no_semicolon.nh": 3,
    "crlf.nh": 3,
    "case_differs.nh": "rename the tips",
    "single_leaf.nh": "",
    "comma_decimal.nh": "comma_decimal.nh:1: .*not commas",
    "duplicate_leaf.nh": "duplicate_leaf.nh:1: .*two tips are called hg38; ",
    "extra_close.nh": "extra_close.nh:1: .*unbalanced",
    "only_semicolon.nh": "only_semicolon.nh:1: .*a tip has no name; ",
    "mammals.mod": "mammals.mod: is a PHAST model",
    "primates.beast.mcct.noedgelens.tree": ":1: .*NEXUS.*; export",
    "brca1_5.tree": "brca1_5.tree:1: .*no length; ",
}


def readable(name: str, folder: Path) -> tuple[Path, str]:
    """A file of the test data as phylotools can open it, and its text."""
    path = HOSTILE / name
    data = path.read_bytes()
    if name.endswith(".xz"):
        path = folder / path.stem
        data = lzma.decompress(data)
        path.write_bytes(data)
    if data.startswith(b"\x1f\x8b"):
        data = zlib.decompressobj(31).decompress(data)
    return path, data.decode("latin-1")


def tree_for(name: str, text: str, folder: Path) -> Path:
    if "edge_cases" in name:
        return BIRDS_TREE
    # Files without rows get some species or other.
    return star_tree(text + "\ns hg38.1\ns mm10.1\n", folder / "star.nh")


@pytest.mark.parametrize("name", GOOD)
def test_odd_files_are_read(name, tmp_path):
    reference, n_columns = GOOD[name]
    path, text = readable(name, tmp_path)
    store = store_of(path, tree_for(name, text, tmp_path), tmp_path / "s")
    assert store.reference_species == reference
    expected = project(blocks_by_lines(text), store.species, reference)
    assert sum(map(len, expected.values())) == n_columns
    assert_store_equals(store, expected)


def assert_one_error(arguments: list[str], message: str, folder: Path, capsys) -> None:
    before = sorted(folder.rglob("*"))
    assert run(arguments) == 1
    error = only_error(*capsys.readouterr(), "; ", among_others=True)
    assert re.search(message, error)
    assert len(error) < 500
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", BAD)
def test_broken_files_give_one_line(name, tmp_path, capsys):
    path, text = readable(name, tmp_path)
    tree = tree_for(name, text, tmp_path)
    arguments = ["preprocess", str(path), "--tree", str(tree), "-o", str(tmp_path / "s")]
    assert_one_error(arguments, BAD[name], tmp_path, capsys)


def test_a_file_that_is_bad_in_two_ways(tmp_path):
    # With the reference that the first error asks for, a row of the wrong size is found.
    path, text = readable("ucsc_mm9_chr10_bad.maf.xz", tmp_path)
    with pytest.raises(InputError, match=":87: size is 319, but the reference row has 219 bases"):
        store_of(path, tree_for("", text, tmp_path), tmp_path / "s", reference="mm9")


@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_reference_row_of_another_size_is_refused(size, tmp_path):
    (tmp_path / "t.nh").write_text(TREE)
    good = "a\ns A.1 5 1 + 99 A\ns B.1 0 1 + 9 A\n\n"
    (tmp_path / "a.maf").write_text(
        f"{good}a\ns A.1 2 {size} + 99 AC-GT\ns B.1 0 5 + 9 ACGGT\n\n{good}"
    )
    with pytest.raises(InputError, match=f":6: size is {size}, but the reference row has 4 bases"):
        store_of(tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s")


@pytest.mark.parametrize("name", TREES)
def test_trees(name, tmp_path, capsys):
    (tmp_path / "a.maf").write_text(
        "a\ns hg38.1 0 1 + 9 A\ns panTro6.1 0 1 + 9 A\ns mm10.1 0 1 + 9 C\n"
    )
    arguments = ["preprocess", str(tmp_path / "a.maf"), "--tree", str(HOSTILE / name)]
    arguments += ["-o", str(tmp_path / "s")]
    if isinstance(TREES[name], str):
        assert_one_error(arguments, TREES[name], tmp_path, capsys)
        return
    assert run(arguments) == 0
    assert open_store(tmp_path / "s").tree.n_tips == TREES[name]


SMALL = b"""##maf version=1

a score=1
s A.1 2 4 + 20 ACG-T
s B.x 0 4 - 9  AC-GT

a score=2
s A.1 9 3 - 20 TnG
s C.1 0 3 + 5  GGG
i C.1 N 0 C 0
"""
TREE = "(A:1,B:1,C:2);"


@pytest.mark.parametrize("packing", ["gzip", "bgzip", "one bgzip block"])
def test_a_cut_compressed_file_is_an_error_at_every_byte(packing, tmp_path):
    (tmp_path / "t.nh").write_text(TREE)
    block = 40 if packing == "bgzip" else 1 << 16
    data = gzip.compress(SMALL, mtime=0) if packing == "gzip" else bgzip(SMALL, block)
    path = tmp_path / "a.maf.gz"
    path.write_bytes(data)
    store = store_of(path, tmp_path / "t.nh", tmp_path / "whole")
    assert_store_equals(store, project(blocks_by_rules(SMALL), store.species, "A"))
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError):
            store_of(path, tmp_path / "t.nh", tmp_path / "s")
    # One byte changed is noticed too, other than in times and names that no reader looks at.
    for at in range(18, len(data) - 28, 5):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        try:
            store = store_of(path, tmp_path / "t.nh", tmp_path / "s", force=True)
        except InputError:
            continue
        assert_store_equals(store, project(blocks_by_rules(SMALL), store.species, "A"))


def test_a_cut_plain_file_is_an_error_within_a_row_and_a_prefix_elsewhere(tmp_path):
    """A row that is cut is noticed; a file that ends after a whole row may be a whole file."""
    (tmp_path / "t.nh").write_text(TREE)
    path = tmp_path / "a.maf"
    for cut in range(len(SMALL)):
        text = SMALL[:cut]
        path.write_bytes(text)
        last = text.rpartition(b"\n")[2]
        whole = SMALL[len(text) - len(last) :].partition(b"\n")[0]
        if last.startswith(b"s") and last != whole:
            with pytest.raises(InputError) as caught:
                store_of(path, tmp_path / "t.nh", tmp_path / "s", force=True, reference="A")
            assert caught.value.line == text.count(b"\n") + 1
            continue
        blocks = blocks_by_rules(text)
        if sum(map(len, blocks)) < 2:
            with pytest.raises(InputError):
                store_of(path, tmp_path / "t.nh", tmp_path / "s", force=True, reference="A")
            continue
        store = store_of(path, tmp_path / "t.nh", tmp_path / "s", force=True, reference="A")
        assert_store_equals(store, project(blocks, store.species, "A"))


@pytest.mark.parametrize(
    ("joined", "n_columns"),
    [
        (SMALL + SMALL, 7),
        (gzip.compress(SMALL, mtime=0) + gzip.compress(SMALL.replace(b"A.1", b"A.2"), mtime=0), 14),
        (bgzip(SMALL, 40) + bgzip(SMALL.replace(b"A.1", b"A.2"), 70), 14),
    ],
    ids=["plain", "gzip", "bgzip"],
)
def test_joined_files(joined, n_columns, tmp_path):
    (tmp_path / "t.nh").write_text(TREE)
    (tmp_path / "a.maf").write_bytes(joined)
    store = store_of(tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s")
    assert sum(len(region) for region in store.covered_regions(min_species=0)) == n_columns


#: What the file holds (made when it is needed), and the message.
BOMBS = {
    "a long line": (lambda: b"#" + b"x" * 40_000_000, "no alignment block"),
    "a row without end": (lambda: b"a\ns A.1 0 9 + 9 " + b"A" * 40_000_000, ":2: "),
    "a long name": (lambda: b"a\ns A." + b"1" * 2_000_000 + b" 0 1 + 9 A\ns B.1 0 1 + 9 A\n", None),
    "fields without end": (lambda: b"a\ns" + b" 1" * 10_000_000, ":2: "),
    "empty lines": (lambda: b"\n" * 20_000_000, "no alignment block"),
    "empty blocks": (lambda: b"a\n\n" * 10_000_000, "no alignment block"),
    "zeros": (lambda: b"\0" * 40_000_000, ":1: "),
    "sizes beyond all": (
        lambda: b"a\ns A.1 0 99999999999999999999 + 99999999999999999999 A\n",
        ":2: ",
    ),
    "a far base": (lambda: b"a\ns A.1 1099511627775 1 + 1099511627776 A\ns B.1 0 1 + 9 A\n", None),
    "many contigs": (
        lambda: b"".join(
            b"a\ns A.%d 8999999999 1 + 9000000000 A\ns B.1 0 1 + 9 A\n" % i for i in range(100)
        ),
        None,
    ),
}


def assert_survived(folder: Path, message: str | None) -> None:
    """Preprocess a.maf.gz with t.nh.gz in a process of its own, in less than 1 GiB."""
    # Not getrusage: it would count what this process took before it started the other.
    code = (
        "import sys; from phylotools.cli.main import run; status = run(sys.argv[1:]);"
        "print([line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line][0]);"
        "sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "preprocess", "a.maf.gz", "--tree", "t.nh.gz", "-o", "s"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    if message is None:
        assert done.returncode == 0, done.stderr[-2000:]
    else:
        assert done.returncode == 1
        assert len(errors) == 1
        assert message in errors[0]
        assert len(errors[0]) < 500
        assert "internal error" not in errors[0]
    assert int(done.stdout) < 1 << 20  # KiB
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert stored < 50_000_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_burn_neither_time_nor_memory(name, tmp_path):
    text, message = BOMBS[name]
    (tmp_path / "t.nh.gz").write_bytes(gzip.compress(TREE.encode()))
    (tmp_path / "a.maf.gz").write_bytes(gzip.compress(text(), 1))
    assert_survived(tmp_path, message)


TREE_BOMBS = {
    "a tree too large": (lambda: b"(" * 90_000_000, "t.nh.gz: is larger than 64 MiB; "),
    "a tree of opening parentheses": (lambda: b"(" * 60_000_000, "t.nh.gz:1: Newick: more than"),
    "a long name": (
        lambda: b"(A:1,'" + b"B" * 60_000_000 + b"':1);",
        "only the reference A has rows",
    ),
    "open quotes": (lambda: b"(A:1,'" + b"''" * 30_000_000, "t.nh.gz:1: "),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", TREE_BOMBS)
def test_trees_that_are_bombs(name, tmp_path):
    text, message = TREE_BOMBS[name]
    (tmp_path / "t.nh.gz").write_bytes(gzip.compress(text(), 1))
    (tmp_path / "a.maf.gz").write_bytes(gzip.compress(b"a\ns A.1 0 1 + 9 A\n"))
    assert_survived(tmp_path, message)


def test_bzip2_is_named_with_the_way_out(tmp_path):
    (tmp_path / "t.nh").write_text(TREE)
    (tmp_path / "a.maf").write_bytes(bz2.compress(SMALL))
    with pytest.raises(InputError, match="bzip2"):
        store_of(tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s")
