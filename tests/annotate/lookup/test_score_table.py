from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from score_tables import write_table

from phylotools.annotate.lookup import ScoreTable
from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.tabix import TabixIndex

SHA256 = "ab" * 32
N_LARGE = 60_000
NAMES = ("llr", "rate", "entropy")


class Model:
    name = "toy"
    sha256 = SHA256


def rows_of(contig: str, sequence: str, first: int = 0) -> Iterator[tuple]:
    """Every allele of a sequence, with numbers that tell where they stand."""
    for position, ref in enumerate(sequence, start=first):
        for code, alt in enumerate("ACGT"):
            if alt != ref and ref in "ACGT":
                llr = -(position % 9973) / 10_000 - code
                numbers = f"{llr:.4f}", f"{(position + 1) / 7:.4g}", f"{position % 13 / 10:.4f}"
                yield (contig, position + 1, ref, alt, *numbers)


def expected(rows: list[tuple]) -> dict[tuple[str, int, int], tuple[float, ...]]:
    return {(row[0], row[1] - 1, "ACGT".index(row[3])): tuple(map(float, row[4:])) for row in rows}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, dict]:
    """Two contigs: one dense with a hole, one with a line here and there."""
    folder = tmp_path_factory.mktemp("table")
    letters = np.random.default_rng(2).choice(list("ACGT"), size=N_LARGE)
    letters[20_000:40_000] = "N"
    sequence = "".join(letters)
    rows = list(rows_of("chr1", sequence))
    rows += [row for row in rows_of("chr2", sequence) if row[1] % 997 == 1]
    fasta = folder / "genome.fa"
    fasta.write_text(f">1\n{sequence}\n>chr2\n{sequence}\n>chr3\nACGT\n")
    write_table(folder / "tbi.tsv.gz", rows)
    write_table(folder / "csi.tsv.gz", rows, longest_contig=1 << 29)
    return folder, fasta, sequence, expected(rows)


def check(table: ScoreTable, truth: dict, contig: str, name: str, wanted: list) -> None:
    positions = np.array([position for position, _ in wanted], dtype=np.int64)
    alts = np.array([alt for _, alt in wanted], dtype=np.uint8)
    found = table.lookup(contig, positions, alts)
    nothing = (np.nan,) * 3
    for index, (position, alt) in enumerate(wanted):
        np.testing.assert_array_equal(
            [column[index] for column in found], truth.get((name, position, alt), nothing)
        )


queries = st.lists(
    st.tuples(
        st.integers(0, N_LARGE + 5) | st.integers(19_990, 20_010) | st.integers(39_990, 40_010),
        st.integers(0, 5),
    ),
    max_size=30,
)
places = st.tuples(st.sampled_from([("1", "chr1"), ("chr2", "chr2"), ("chr3", "")]), queries)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(places, min_size=1, max_size=3), st.sampled_from(["tbi", "csi"]))
def test_any_alleles_in_any_order(large, wanted: list, kind: str) -> None:
    folder, fasta, _, truth = large
    with (
        ReferenceGenome.open(fasta) as genome,
        ScoreTable.open(folder / f"{kind}.tsv.gz", Model, genome) as table,
    ):
        for (contig, name), alleles in wanted:
            inside = [(place, alt) for place, alt in alleles if contig != "chr3" or place < 4]
            check(table, truth, contig, name, inside)


def test_every_allele_at_once_and_one_by_one(large) -> None:
    folder, fasta, _, truth = large
    everything = [(place, alt) for place in range(N_LARGE) for alt in range(4)]
    with (
        ReferenceGenome.open(fasta) as genome,
        ScoreTable.open(folder / "tbi.tsv.gz", Model, genome) as table,
    ):
        for contig, name in (("1", "chr1"), ("chr2", "chr2")):
            positions, alts = np.array(everything, dtype=np.int64).T
            found = np.column_stack(table.lookup(contig, positions, alts.astype(np.uint8)))
            truths = [truth.get((name, *allele), (np.nan,) * 3) for allele in everything]
            np.testing.assert_array_equal(found, np.array(truths))
            for allele in everything[:: 4 * 997 + 1]:
                check(table, truth, contig, name, [allele])


def test_a_lone_lookup_reads_little(large, monkeypatch) -> None:
    """Not all 16,384 positions of a bin, as htslib does."""
    from phylotools.annotate.lookup import table as score_table

    folder, _, _, truth = large
    n_blocks = 0

    def counted(*arguments):
        nonlocal n_blocks
        for block in read_blocks(*arguments):
            n_blocks += 1
            yield block

    read_blocks = score_table.read_blocks
    monkeypatch.setattr(score_table, "read_blocks", counted)
    with ScoreTable.open(folder / "tbi.tsv.gz", Model) as table:
        n_blocks = 0
        places = range(500, 20_000, 3_000)
        for position in places:
            check(table, truth, "chr1", "chr1", [(position, 0)])
    assert n_blocks <= 8 * len(places)


@pytest.mark.parametrize("kind", ["tbi", "csi"])
def test_index_bounds_hold_every_line(large, kind: str) -> None:
    folder, *_ = large
    path = str(folder / f"{kind}.tsv.gz")
    index = TabixIndex.read(path)
    assert (
        index.contigs
        == tuple(pysam.TabixFile(path, index=f"{path}.{kind}").contigs)
        == ("chr1", "chr2")
    )
    with pysam.BGZFile(path) as handle:
        offset = handle.tell()
        for line in iter(handle.readline, b""):
            if not line.startswith(b"#"):
                contig, pos = line.split(b"\t")[:2]
                span = index.span(contig.decode(), int(pos) - 1, int(pos))
                assert span is not None
                assert span.low <= offset < span.high
            offset = handle.tell()
    assert index.span("chr9", 0, 5) is None


def test_tables_of_tabix_itself(tmp_path: Path) -> None:
    """The same rows, compressed and indexed by another program."""
    rows = list(rows_of("chrM", "ACGTN" * 50))
    path = write_table(tmp_path / "t.tsv.gz", rows)
    (tmp_path / "snv_scores.tsv").write_bytes(gzip.decompress(path.read_bytes()))
    name = tmp_path / "snv_scores.tsv.gz"
    pysam.tabix_compress(str(tmp_path / "snv_scores.tsv"), str(name))
    pysam.tabix_index(str(name), seq_col=0, start_col=1, end_col=1)
    with ScoreTable.open(tmp_path, Model) as table:
        assert table.path == str(name)
        assert table.facts["Reference"] == 'a "b", c.fa'
        check(table, expected(rows), "MT", "chrM", [(7, 0), (4, 0), (249, 1)])


def lines(*rows: str) -> list[tuple]:
    return [tuple(row.split()) for row in rows]


GOOD = "chr1 2 C A -1.5 0.5 1.0"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (lines(GOOD + " 9"), "lines without seven columns"),
        (lines("chr1 2 C A -1.5 0.5"), "lines without seven columns"),
        (lines("chr1 2 C A x 0.5 1.0"), "no numbers"),
        (lines("chr1 2 C A . 0.5 1.0"), "no numbers"),
        (lines("chr1 2 C A nan 0.5 1.0"), "no numbers"),
        (lines("chr1 2 C A 1e999 0.5 1.0"), "no numbers"),
        (lines(f"chr1 2 C A {'1' * 30} 0.5 1.0"), "no numbers"),
        (lines("chr1 2 C CA -1.5 0.5 1.0"), "no single bases"),
        (lines("chr1 2 C N -1.5 0.5 1.0"), "other than A, C, G, T"),
        (lines("chr1 2 C C -1.5 0.5 1.0"), "other than A, C, G, T"),
        (lines(GOOD, GOOD), "one allele twice"),
        (lines("chr1 2 C G -1.5 0.5 1.0", GOOD), "out of order"),
        (lines("chr1 2 G A -1.5 0.5 1.0"), "its reference at chr1:2 is G, that of .* is C"),
        (lines(GOOD, "chr1 9 G A -1.5 0.5 1.0"), "chr1:9, beyond the end of chr1"),
        (lines("chrX 2 C A -1.5 0.5 1.0"), "is on chrX, none of them a contig of"),
    ],
)
def test_broken_rows(tmp_path: Path, rows: list[tuple], problem: str) -> None:
    path = write_table(tmp_path / "t.tsv.gz", rows)
    (tmp_path / "g.fa").write_text(">chr1\nACGTACGT\n>chr2\nAC\n")
    with (
        ReferenceGenome.open(tmp_path / "g.fa") as genome,
        pytest.raises(InputError, match=re.escape(str(path)) + ".*" + problem),
        ScoreTable.open(path, Model, genome) as table,
    ):
        table.lookup("chr1", np.array([1, 8]), np.array([0, 0], dtype=np.uint8))


def write_raw(path: Path, text: bytes) -> Path:
    """A bgzip table with any header."""
    from phylotools.io.position_table import open_position_table

    with open_position_table(str(path), longest_contig=1000) as table:
        table.write(text)
    return path


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"", "has no header line ##phylotools_scores"),
        (b"#contig\tpos\tref\talt\tllr\trate\tentropy\n", "has no header line"),
        (b'##phylotools_scores=<Model="toy">\n', "has no header line"),
        (f'##phylotools_scores=<Sha256="{SHA256}">\n'.encode(), "its column line is not"),
        (f'##phylotools_scores=<Sha256="{SHA256}">\n#contig\tpos\n'.encode(), "column line"),
        (
            b'##phylotools_scores=<Model="old",Sha256="cd">\n'
            b"#contig\tpos\tref\talt\tllr\trate\tentropy\n",
            rf"are of model old \(sha256 cd\), not of toy \(sha256 {SHA256}\); give that model",
        ),
        (
            f'##phylotools_scores=<Sha256="{SHA256}",Precision="bfloat16">\n'.encode()
            + b"#contig\tpos\tref\talt\tllr\trate\tentropy\n",
            "computed in bfloat16, the others would be in float32; choose --precision bfloat16",
        ),
    ],
)
def test_other_headers(tmp_path: Path, header: bytes, problem: str) -> None:
    body = "\t".join(GOOD.split()).encode() + b"\n"
    with pytest.raises(InputError, match=problem):
        ScoreTable.open(write_raw(tmp_path / "t.tsv.gz", header + body), Model)


def test_other_files(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.tsv.gz", rows_of("chr1", "ACGT" * 2000))
    data, index = path.read_bytes(), Path(f"{path}.tbi").read_bytes()
    bad = tmp_path / "bad.tsv.gz"

    def refused(problem: str, table: bytes, tbi: bytes | None = index) -> None:
        bad.write_bytes(table)
        Path(f"{bad}.tbi").unlink(missing_ok=True)
        if tbi is not None:
            Path(f"{bad}.tbi").write_bytes(tbi)
        with (
            pytest.raises(InputError, match=problem) as caught,
            ScoreTable.open(bad, Model) as opened,
        ):
            opened.lookup("chr1", np.arange(8000), np.zeros(8000, dtype=np.uint8))
        assert "\n" not in str(caught.value)

    refused("not compressed with bgzip", b"")
    refused("not compressed with bgzip", b"#contig\tpos\n")
    refused("has no index .* tabix -f -s1 -b2 -e2", data, None)
    refused("is no index", data, b"")
    refused("is no index", data, b"TBI\x01")
    refused("no end marker", data[:-28])
    for cut in range(30, len(data) - 28, 2000):
        refused("no end marker", data[:cut])
        refused("truncated or damaged", data[:cut] + data[cut + 100 :])
    with pytest.raises(InputError, match="cannot read: No such file"):
        ScoreTable.open(tmp_path / "none.tsv.gz", Model)
    with pytest.raises(InputError, match="no regular file"):
        ScoreTable.open("/dev/null", Model)


def test_index_of_another_kind_of_table(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.tsv.gz", lines(GOOD))
    for options in (
        {"preset": "vcf"},
        {"seq_col": 0, "start_col": 1, "end_col": 1, "zerobased": True},
    ):
        Path(f"{path}.tbi").unlink()
        pysam.tabix_index(str(path), force=True, keep_original=True, meta_char="#", **options)
        with pytest.raises(InputError, match="is no index of contig, 1-based position"):
            ScoreTable.open(path, Model)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_damaged_index_never_gives_wrong_numbers(
    large, tmp_path_factory, at: int, value: int, is_csi: bool
) -> None:
    """It may hide lines, which are then computed."""
    import gzip

    folder, _, _, truth = large
    path = tmp_path_factory.mktemp("damaged") / "t.tsv.gz"
    kind = "csi" if is_csi else "tbi"
    path.symlink_to(folder / f"{kind}.tsv.gz")
    index = bytearray(gzip.decompress((folder / f"{kind}.tsv.gz.{kind}").read_bytes()))
    index[at % len(index)] = value
    Path(f"{path}.{kind}").write_bytes(bytes(index))
    positions, alts = np.arange(0, N_LARGE, 2_500), np.full(N_LARGE // 2_500, 2, dtype=np.uint8)
    try:
        with ScoreTable.open(path, Model) as table:
            llr, _, _ = table.lookup("chr1", positions, alts)
    except InputError:
        return
    for position, number in zip(positions.tolist(), llr.tolist(), strict=True):
        assert np.isnan(number) or number == truth["chr1", position, 2][0]
