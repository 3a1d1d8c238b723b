"""The truth table of docs/annotate.md, row by row: the tests read the page."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from field_tools import require
from toy_models import write_toy_model

from phylotools.annotate.fields import InfoFields
from phylotools.cli.main import run

PAGE = Path(__file__).parents[2] / "docs" / "annotate.md"
HEADER = b"##fileformat=VCFv4.3\n"
COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
NUMBER = re.compile(r"-?\d+\.\d{4}")
RATE = re.compile(r"\d+(\.\d+)?(e[-+]\d+)?")
#: The toy model's.
FIELDS = tuple(key.removeprefix("PHYLOGPN_") for key in InfoFields().keys)


@dataclass(frozen=True)
class Row:
    section: str
    case: str
    record: tuple[str, str, str, str]
    llr: str
    status: str
    site: str

    def __str__(self) -> str:
        return f"{self.case}: {' '.join(self.record)}"[:80]


def tables() -> Iterator[tuple[str, list[str]]]:
    """Heading and cells of every table row below `Truth table`."""
    heading = ""
    text = PAGE.read_text().split("## Truth table\n")[1].split("\n## ")[0]
    for line in text.splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
        elif line.startswith("| ") and not line.startswith(("| record |", "| file |")):
            yield heading, [cell.strip() for cell in line.strip("|").split("|")]


def read_rows() -> list[Row]:
    rows = []
    for heading, cells in tables():
        if heading != "Files":
            match = re.fullmatch(r"`(\S+ \S+ \S+ \S+)`(?: and ([\d,]+) bases more)?", cells[1])
            assert match, cells
            record = match[1].split()
            record[3] += "A" * int((match[2] or "0").replace(",", ""))
            rows.append(Row(heading, cells[0], tuple(record), *cells[2:]))
    return rows


ROWS = read_rows()
FILE_ROWS = [cells for heading, cells in tables() if heading == "Files"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_toy_model(tmp_path_factory.mktemp("models") / "toy"))


@pytest.fixture(scope="module")
def regional_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models")
    (folder / "regions.bed").write_text("chrM\t3000\t4000\n")
    model = write_toy_model(folder / "toy", training_regions=folder / "regions.bed")
    return str(model)


def annotate(model: str, source: Path, output: Path, *options: str) -> int:
    return run(["annotate", str(source), "-m", model, "-o", str(output), "-@", "1", "-q", *options])


def fields_of(line: str, tag: str = "PHYLOGPN") -> dict[str, str]:
    entries = (entry.partition("=") for entry in line.split("\t")[7].split(";"))
    return {key.removeprefix(tag + "_"): value for key, _, value in entries if key.startswith(tag)}


@pytest.fixture(scope="module")
def results(model: str, regional_model: str, tmp_path_factory) -> dict[Row, dict[str, str]]:
    """Fields of every row; sections that need the same options are one file."""
    folder = tmp_path_factory.mktemp("rows")
    genes = folder / "genes.gff3"
    genes.write_text(
        "".join(
            f"chrM\t.\tCDS\t{start}\t{end}\t.\t+\t0\tParent=gene\n"
            for start, end in ((2671, 2715), (2731, 2780))
        )
    )
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in ROWS:
        options = re.findall(r"with `([^`]*)`", row.section)
        chosen = regional_model if "training regions" in row.section else model
        words = options[0].replace(genes.name, str(genes)).split() if options else ()
        groups.setdefault((chosen, *words), []).append(row)
    found = {}
    for index, ((chosen, *options), rows) in enumerate(groups.items()):
        source, output = folder / f"{index}.vcf", folder / f"{index}.out.vcf"
        lines = [
            "\t".join([*row.record[:2], ".", *row.record[2:], ".", ".", "."]).encode()
            for row in rows
        ]
        source.write_bytes(HEADER + b"\n".join([COLUMNS, *lines, b""]))
        assert annotate(chosen, source, output, *options) == 0
        written = [line for line in output.read_text().splitlines() if not line.startswith("#")]
        assert [line.encode().rsplit(b"\t", 1)[0] for line in written] == [
            line.rsplit(b"\t", 1)[0] for line in lines
        ]
        found |= dict(zip(rows, map(fields_of, written), strict=True))
    return found


@pytest.fixture(scope="module")
def letters(results: dict[Row, dict[str, str]]) -> dict[str, set[str]]:
    """What was written where the page has one letter."""
    found: dict[str, set[str]] = {}
    for row, fields in results.items():
        for symbol, llr in zip(row.llr.split(","), fields["LLR"].split(","), strict=True):
            if len(symbol) == 1 and symbol != ".":
                found.setdefault(symbol, set()).add(llr)
    return found


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row(row: Row, results: dict[Row, dict[str, str]], letters: dict[str, set[str]]) -> None:
    fields = dict(results[row])
    if "--transcripts" in row.section:
        scored = ["." if llr == "." else "gene" for llr in fields["LLR"].split(",")]
        assert fields.pop("TRANSCRIPT") == ",".join(scored)
    assert tuple(fields) == FIELDS
    assert fields["STATUS"] == row.status
    written = fields["LLR"].split(",")
    assert len(written) == len(row.record[3].split(","))
    for symbol, llr in zip(row.llr.split(","), written, strict=True):
        if symbol == ".":
            assert llr == "."
            continue
        assert NUMBER.fullmatch(llr)
        assert llr != "-0.0000"
        terms = re.findall(r"([+-]?)([a-z])", symbol)
        assert "".join(sign + letter for sign, letter in terms) == symbol
        values = []
        for sign, letter in terms:
            (value,) = letters[letter]
            values.append(Decimal(sign + "1") * Decimal(value))
        slack = Decimal("0.0001") if "-" in symbol else 0
        assert abs(sum(values) - Decimal(llr)) <= slack
    if row.site == ".":
        assert fields["RATE"] == fields["ENTROPY"] == "."
    else:
        assert row.site == "given"
        assert RATE.fullmatch(fields["RATE"])
        assert NUMBER.fullmatch(fields["ENTROPY"])


def test_letters_tell_numbers_apart(letters: dict[str, set[str]]) -> None:
    numbers = {value for values in letters.values() for value in values}
    assert len(numbers) == len(letters) > 15


def test_every_status_is_on_the_page() -> None:
    from phylotools.io.vcf.alleles import Status

    statuses = {status for row in ROWS for status in row.status.split(",")}
    assert statuses == {str(status) for status in Status}
    listed = re.findall(r"^\| `(\w+)` \| (?:no|yes)\b", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(statuses)


# The rows of the table `Files`.

SNVS = [("chrM", 2703, "C", "T"), ("chrM", 2704, "A", "G"), ("chrM", 3106, "C", "T,A")]
Texts = Callable[..., tuple[list[str], list[str]]]


class Workplace:
    """Writes a file, annotates it, and takes the result apart."""

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.n_files = 0

    def annotate(self, data: bytes, *options: str, kind: str = "vcf") -> bytes:
        self.n_files += 1
        source = self.folder / f"{self.n_files}.in"
        self.output = self.folder / f"{self.n_files}.{kind}"
        source.write_bytes(data)
        self.exit_code = annotate(self.model, source, self.output, *options)
        return self.output.read_bytes() if self.exit_code == 0 else b""

    def records(self, data: bytes, *options: str) -> list[list[bytes]]:
        lines = self.annotate(data, *options).splitlines()
        return [line.split(b"\t") for line in lines if not line.startswith(b"#")]


def vcf(
    records: list[tuple],
    *,
    info: str = "DP=3",
    header: bytes = b"##contig=<ID=chrM,length=16569>\n",
    more_columns: bytes = b"",
    more: bytes = b"",
    end: bytes = b"\n",
) -> bytes:
    lines = [HEADER + header + COLUMNS + more_columns]
    for chrom, pos, ref, alt in records:
        fixed = f"{chrom}\t{pos}\tid\t{ref}\t{alt}\t5\tPASS\t{info}"
        lines.append(fixed.encode() + more)
    return b"\n".join([*lines, b""]).replace(b"\n", end)


def numbers(records: list[list[bytes]]) -> list[bytes]:
    return [re.sub(rb"^(.*;)?(?=PHYLOGPN_LLR)", b"", record[7]) for record in records]


def check_contig_names(work: Workplace) -> None:
    plain = work.records(vcf(SNVS))
    for name in ("MT", "M", "NC_012920.1", "26"):
        found = work.records(vcf([(name, *record[1:]) for record in SNVS], header=b""))
        assert numbers(found) == numbers(plain)
        assert {record[0] for record in found} == {name.encode()}
    fasta = work.folder / "one.fa"
    for ours, theirs in (("1", "chr1"), ("chr1", "1")):
        fasta.write_text(f">{ours}\n{'ACGT' * 50}\n")
        (record,) = work.records(vcf([(theirs, 101, "A", "C")], header=b""), "-f", str(fasta))
        assert record[0] == theirs.encode()
        assert b"STATUS=ok" in record[7]


def check_bcf(work: Workplace) -> None:
    require("bcftools")
    text = vcf(
        SNVS, header=b'##contig=<ID=chrM>\n##INFO=<ID=DP,Number=1,Type=Integer,Description="">\n'
    )
    source = work.folder / "plain.vcf"
    source.write_bytes(text)
    bcf = subprocess.run(
        ["bcftools", "view", "-Ob", source], check=True, capture_output=True
    ).stdout
    viewed = subprocess.run(["bcftools", "view", "-H", source], check=True, capture_output=True)
    found = work.records(bcf)
    assert numbers(found) == numbers(work.records(text))
    for old, new in zip(viewed.stdout.splitlines(), found, strict=True):
        assert old.split(b"\t")[:7] == new[:7]
    work.annotate(text, kind="bcf")
    again = subprocess.run(
        ["bcftools", "query", "-f", "%PHYLOGPN_LLR\n", work.output], check=True, capture_output=True
    )
    written = [re.search(rb"LLR=([^;]*)", record[7])[1] for record in found]
    # BCF holds floats of 32 bits, of which bcftools prints six digits.
    for text_value, bcf_value in zip(written, again.stdout.split(), strict=True):
        for first, second in zip(text_value.split(b","), bcf_value.split(b","), strict=True):
            assert float(first) == pytest.approx(float(second), rel=1e-5)


def check_crlf(work: Workplace) -> None:
    found = work.annotate(vcf(SNVS, end=b"\r\n"))
    assert found.count(b"\r\n") == found.count(b"\n") > 4
    assert found.replace(b"\r\n", b"\n").count(b"\r") == 0
    plain = work.annotate(vcf(SNVS))
    assert [line for line in found.replace(b"\r\n", b"\n").splitlines() if line[:1] != b"#"] == [
        line for line in plain.splitlines() if line[:1] != b"#"
    ]


def check_huge_info(work: Workplace) -> None:
    info = "A=" + "x" * 1_000_000
    for record in work.records(vcf(SNVS, info=info)):
        assert record[7].startswith(info.encode() + b";PHYLOGPN_LLR=")


def check_samples(work: Workplace) -> None:
    names = b"".join(b"\ts%d" % index for index in range(3000))
    genotypes = b"\tGT:AD" + b"".join(b"\t%d|.:%d" % (i % 3, i) for i in range(3000))
    found = work.annotate(vcf(SNVS, more_columns=b"\tFORMAT" + names, more=genotypes))
    for line in found.splitlines():
        if not line.startswith(b"##"):
            assert line.endswith(names if line.startswith(b"#") else genotypes)


def check_format_without_samples(work: Workplace) -> None:
    records = work.records(vcf(SNVS, more_columns=b"\tFORMAT", more=b"\tGT"))
    assert [record[8:] for record in records] == [[b"GT"]] * len(SNVS)


def check_no_samples(work: Workplace) -> None:
    assert {len(record) for record in work.records(vcf(SNVS))} == {8}


def check_empty_info(work: Workplace) -> None:
    for record in work.records(vcf(SNVS, info=".")):
        assert record[7].startswith(b"PHYLOGPN_LLR=")


def check_flags(work: Workplace) -> None:
    for record in work.records(vcf(SNVS, info="DB;H2;X=1=2;SOMATIC")):
        assert record[7].startswith(b"DB;H2;X=1=2;SOMATIC;PHYLOGPN_LLR=")


def check_unsorted(work: Workplace) -> None:
    order = [SNVS[2], SNVS[0], SNVS[1]]
    records = work.records(vcf(order))
    assert [int(record[1]) for record in records] == [record[1] for record in order]
    work.annotate(vcf(order), kind="vcf.gz")
    assert work.exit_code == 0
    assert not list(work.folder.glob("*.tbi"))
    work.annotate(vcf(SNVS), kind="vcf.gz")
    assert len(list(work.folder.glob("*.tbi"))) == 1


def check_joined_by_cat(work: Workplace) -> None:
    work.annotate(vcf(SNVS) + vcf(SNVS))
    assert work.exit_code == 1
    assert not work.output.exists()


def check_duplicates(work: Workplace) -> None:
    first, second, _ = work.records(vcf([SNVS[0], SNVS[0], SNVS[1]]))
    assert first == second


def check_header_without_contigs(work: Workplace) -> None:
    found = work.annotate(vcf(SNVS, header=b""))
    assert b"##contig" not in found
    assert numbers([x.split(b"\t") for x in found.splitlines()[-3:]]) == numbers(
        work.records(vcf(SNVS))
    )


def check_undeclared_contig(work: Workplace) -> None:
    found = work.records(vcf(SNVS, header=b"##contig=<ID=chr1>\n"))
    assert numbers(found) == numbers(work.records(vcf(SNVS)))


def check_same_tag_twice(work: Workplace) -> None:
    once = work.annotate(vcf(SNVS))
    twice = work.annotate(once)
    strip = rb"##phylotools_annotate=<ID=PHYLOGPN,.*\n"
    assert re.sub(strip, b"", once) == re.sub(strip, b"", twice)
    assert len(re.findall(strip, twice)) == 1
    stale = vcf(SNVS, info="PHYLOGPN_LLR=9,9,9;A=1;PHYLOGPN_STATUS;PHYLOGPN_RATE=7;B")
    for record in work.records(stale):
        assert record[7].startswith(b"A=1;B;PHYLOGPN_LLR=")
        assert record[7].count(b"PHYLOGPN_") == 5


def check_two_tags(work: Workplace) -> None:
    both = work.annotate(work.annotate(vcf(SNVS)), "--tag", "MINE")
    for line in both.splitlines():
        if not line.startswith(b"#"):
            mine, ours = (fields_of(line.decode(), tag) for tag in ("MINE", "PHYLOGPN"))
            assert mine == ours
            assert tuple(mine) == FIELDS
    assert both.count(b"##phylotools_annotate=<ID=") == 2


def check_mismatch_error(work: Workplace) -> None:
    work.annotate(vcf([*SNVS, ("chrM", 2703, "A", "T")]), "--on-ref-mismatch", "error")
    assert work.exit_code == 1
    assert not work.output.exists()


FILE_CHECKS = {
    "contig names": check_contig_names,
    "BCF": check_bcf,
    "CRLF": check_crlf,
    "INFO of 1 MB": check_huge_info,
    "3,000 samples": check_samples,
    "FORMAT without samples": check_format_without_samples,
    "no samples": check_no_samples,
    "INFO `.`": check_empty_info,
    "INFO flags": check_flags,
    "unsorted": check_unsorted,
    "two files joined by `cat`": check_joined_by_cat,
    "a record twice": check_duplicates,
    "header without contigs": check_header_without_contigs,
    "contig absent from the header": check_undeclared_contig,
    "the same tag twice": check_same_tag_twice,
    "`--tag NAME`": check_two_tags,
    "`--on-ref-mismatch error`": check_mismatch_error,
}


@pytest.mark.parametrize("case", [cells[0] for cells in FILE_ROWS])
def test_file(case: str, model: str, tmp_path: Path, capfd) -> None:
    FILE_CHECKS[case](Workplace(model, tmp_path))
    complaints = capfd.readouterr().err
    assert "Traceback" not in complaints
    if case == "unsorted":
        assert "the records are not sorted, so there is no index" in complaints
    if case.startswith("two files"):
        assert ".in:7: a second header begins here; join files with `bcftools" in complaints
    if case == "`--on-ref-mismatch error`":
        assert ".in:7: REF disagrees with the reference: chrM:2703 REF A, reference C" in complaints


def test_every_check_is_on_the_page() -> None:
    assert [cells[0] for cells in FILE_ROWS] == list(FILE_CHECKS)
