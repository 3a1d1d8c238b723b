"""Variants as TSV, CSV or Parquet: the table comes out with the scores that a VCF gets."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pyarrow as pa
import pytest
from only_error import only_error
from pyarrow import parquet
from toy_models import CHRM, write_toy_model

from phylotools.annotate.fields import InfoFields
from phylotools.cli.main import run

#: The toy model's.
SCORES = InfoFields().keys
SEQUENCE = "".join(CHRM.read_text().split("\n")[1:]).upper()
Variant = tuple[str, int, str, str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("models") / "toy"))


@pytest.fixture(scope="module")
def variants() -> list[Variant]:
    """Unsorted; every kind of status that a table can have, each many times."""
    draw = random.Random(3)
    found: list[Variant] = []
    for _ in range(3000):
        position = draw.randint(1, len(SEQUENCE) - 9)
        ref = SEQUENCE[position - 1 : position - 1 + draw.choice([1, 1, 1, 2])]
        alt = draw.choice(["A", "C", "G", "T", "AC", "<DEL>", "*", "N", "."])
        contig = draw.choice(["chrM", "MT", "chr7"]) if draw.random() < 0.1 else "chrM"
        found.append((contig, position, ref if draw.random() < 0.98 else "A", alt))
    return found


@pytest.fixture(scope="module")
def expected(
    model: str, variants: list[Variant], tmp_path_factory: pytest.TempPathFactory
) -> list[list[str]]:
    """Every field as it stands in an annotated VCF."""
    folder = tmp_path_factory.mktemp("expected")
    lines = [f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\t.\n" for c, p, r, a in variants]
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "in.vcf").write_text("##fileformat=VCFv4.2\n" + columns + "".join(lines))
    assert annotate(model, folder / "in.vcf", folder / "out.vcf") == 0
    rows = (folder / "out.vcf").read_text().splitlines()
    info = [row.split("\t")[7].split(";") for row in rows if not row.startswith("#")]
    return [[entry.partition("=")[2] for entry in entries] for entries in info]


def annotate(model: str, source: Path, output: Path, *options: str) -> int:
    return run(["annotate", str(source), "-m", model, "-o", str(output), "-@", "1", "-q", *options])


def as_cells(expected: list[list[str]]) -> list[list[str]]:
    return [["" if value == "." else value for value in row] for row in expected]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_tsv(
    model: str, variants: list[Variant], expected: list, tmp_path: Path, is_compressed: bool
) -> None:
    lines = ["gene\t#CHROM\tPOS\tREF\tALT\tnote"]
    lines += [f'g{i}\t{c}\t{p}\t{r}\t{a}\t"lone, é' for i, (c, p, r, a) in enumerate(variants)]
    text = "# a comment\n" + "\n".join(lines) + "\n"
    source = tmp_path / "in"
    source.write_bytes(gzip.compress(text.encode()) if is_compressed else text.encode())
    output = tmp_path / ("out.tsv.gz" if is_compressed else "out.tsv")
    assert annotate(model, source, output) == 0
    data = output.read_bytes()
    comment, *found = (gzip.decompress(data) if is_compressed else data).decode().splitlines()
    assert comment == "# a comment"
    assert [row.rsplit("\t", len(SCORES))[0] for row in found] == lines
    assert [row.split("\t")[-len(SCORES) :] for row in found] == [list(SCORES), *as_cells(expected)]


def test_csv_of_a_spreadsheet(
    model: str, variants: list[Variant], expected: list, tmp_path: Path
) -> None:
    lines = ["\ufeffvariant,note"]
    lines += [
        f'{c}:{p}:{r}:{a},"two\nlines, and ""quotes"""' for c, p, r, a in variants if a != "."
    ]
    (tmp_path / "in.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    assert annotate(model, tmp_path / "in.csv", tmp_path / "out.csv") == 0
    found = (tmp_path / "out.csv").read_bytes().decode().split("\r\n")[:-1]
    assert [row.rsplit(",", len(SCORES))[0] for row in found] == lines
    wanted = [
        row for row, (_, _, _, a) in zip(as_cells(expected), variants, strict=True) if a != "."
    ]
    assert [row.rsplit(",", len(SCORES))[1:] for row in found] == [list(SCORES), *wanted]


@pytest.mark.parametrize("positions", [pa.int64(), pa.float64(), pa.string(), pa.uint32()])
def test_parquet(
    model: str, variants: list[Variant], expected: list, tmp_path: Path, positions: pa.DataType
) -> None:
    contigs, numbers, refs, alts = zip(*variants, strict=True)
    table = pa.table(
        {
            "nested": [[index] * (index % 3) for index in range(len(variants))],
            "chr": pa.array(contigs).dictionary_encode(),
            "position": pa.array(numbers).cast(positions),
            "ref": refs,
            "alt": pa.array(alts, pa.large_string()),
            "missing": pa.nulls(len(variants)),
        },
        metadata={"who": "test"},
    )
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=700, compression="zstd")
    assert annotate(model, tmp_path / "in.parquet", tmp_path / "out.parquet") == 0
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.drop(list(SCORES)).equals(table)
    assert found.schema.metadata[b"who"] == b"test"
    for name, column in zip(SCORES, zip(*expected, strict=True), strict=True):
        wanted = [None if value == "." else value for value in column]
        if name != "PHYLOGPN_STATUS":
            wanted = [None if value is None else float(value) for value in wanted]
        assert found.column(name).to_pylist() == wanted


def test_again_another_tag_and_regions(model: str, tmp_path: Path) -> None:
    source, once, twice = (tmp_path / name for name in ("in.csv", "once.csv", "twice.csv"))
    source.write_text("a;chrom;pos;ref;alt\n1;chrM;2703;C;T\n2;chrM;9000;A;G\n3;chrM;2704.0;A;G\n")
    assert annotate(model, source, once) == 0
    assert annotate(model, once, twice) == 0
    assert once.read_text() == twice.read_text()
    assert annotate(model, once, twice, "--tag", "MINE", "--force", "-r", "MT:2001-3000") == 0
    rows = [line.split(";") for line in twice.read_text().splitlines()]
    assert [row[0] for row in rows] == ["a", "1", "3"]
    n = len(SCORES)
    assert all(row[5 : 5 + n] == row[5 + n :] for row in rows[1:])
    assert rows[0][5:] == [*SCORES, *(key.replace("PHYLOGPN", "MINE") for key in SCORES)]


def test_row_names_as_r_has_them(model: str, tmp_path: Path) -> None:
    source, once, twice = (tmp_path / name for name in ("in.tsv", "once.tsv", "twice.tsv"))
    source.write_text('"chrom"\t"pos"\t"ref"\t"alt"\n"7"\t"chrM"\t2703\t"C"\t"T"\n')
    assert annotate(model, source, once) == 0
    assert once.read_text().startswith('"chrom"\t"pos"\t"ref"\t"alt"\tPHYLOGPN_LLR\t')
    assert once.read_text().splitlines()[1].startswith('"7"\t"chrM"\t2703\t"C"\t"T"\t')
    assert annotate(model, once, twice) == 0
    assert once.read_text() == twice.read_text()


@pytest.mark.parametrize(
    ("text", "name", "options", "expected"),
    [
        ("chrom,pos,ref,alt\nchrM,x,C,T\n", "o.csv", (), "in:2: 'x' is not a position"),
        ("chrom,pos,ref,alt\nchrM,5,C\n", "o.csv", (), "in:2: 3 columns where the header has 4"),
        ("chrom,pos,ref,alt\n\nchrM,5,C,\n", "o.csv", (), "in:3: the row lacks contig, REF"),
        ('chrom,pos,ref,alt\n"chr M",5,C,T\n', "o.csv", (), "in:2: contig, REF or ALT hold white"),
        ("chrom,pos,ref,alt\nchr7,5,C,T\n", "o.csv", (), "no record is on a contig of the ref"),
        ("chrom,pos\nchr7,5\n", "o.csv", (), "whose header names CHROM, POS, REF and ALT"),
        ("chrM,3310,C,T\n", "o.csv", (), "whose header names CHROM, POS, REF and ALT"),
        ("chrom,pos,ref,alt\nchrM,5,C,T\n", "o.vcf", (), "name the output OUT.csv"),
        ("chrom,pos,ref,alt\nchrM,5,C,T\n", "o.tsv.gz", (), "name the output OUT.csv"),
        ("chrom,pos,ref,alt\nchrM,5,C,T\n", "o", ("-O", "b"), "leave -O out"),
        ("chrom,pos,ref,alt\nchrM,5,C,T\n", "o.csv.gz", ("-O", "v"), "contradicts the suffix"),
        ("chrom,pos,ref,alt\nchrM,5,C,T\n", "o.csv.gz", ("--write-index",), "has no index"),
    ],
)
def test_what_is_wrong_is_one_line(
    model: str, tmp_path: Path, capfd, text: str, name: str, options: tuple, expected: str
) -> None:
    (tmp_path / "in").write_text(text)
    assert annotate(model, tmp_path / "in", tmp_path / name, *options) in (1, 2)
    only_error(*capfd.readouterr(), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_damaged_parquet(model: str, tmp_path: Path, capfd) -> None:
    source = tmp_path / "in"
    table = pa.table({"chrom": ["chrM"], "pos": [2703], "ref": ["C"], "alt": ["T"]})
    parquet.write_table(table, source)
    data = source.read_bytes()
    for damaged in (data[:50], data[: len(data) // 2], b"PAR1" + bytes(99), data[:-1]):
        source.write_bytes(damaged)
        assert annotate(model, source, tmp_path / "out.parquet") == 1
        assert "the Parquet file is damaged" in capfd.readouterr().err
    for column, values, expected in (
        ("pos", [None], "row 1: '' is not a position"),
        ("pos", [2703.5], "row 1: '2703.5' is not a position"),
        ("alt", ["T,A"], "row 1: there are several ALTs"),
    ):
        parquet.write_table(
            table.set_column(table.schema.names.index(column), column, [values]), source
        )
        assert annotate(model, source, tmp_path / "out.parquet") == 1
        assert expected in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
