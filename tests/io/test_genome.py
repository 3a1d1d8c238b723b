from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

CHR_M = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data" / "chrM.fa"
CODES = {letter: code for code, letter in enumerate("ACGT")}


def slow_codes(letters: str) -> list[int]:
    return [CODES.get(x.upper(), 4) + (8 if x.islower() else 0) for x in letters]


def as_fasta(sequences: dict[str, str], width: int, line_end: str, final_end: bool) -> bytes:
    text = ""
    for name, letters in sequences.items():
        lines = [letters[i : i + width] for i in range(0, len(letters), width)]
        text += f">{name} note{line_end}" + "".join(line + line_end for line in lines)
    return (text if final_end else text.removesuffix(line_end)).encode()


letters = st.text("ACGTNacgtnRy-", min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(letters, min_size=1, max_size=4),
    st.integers(1, 30),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from(["plain", "gzip", "blank", "fai", "bgzip"]),
)
def test_any_layout_gives_the_sequence(
    tmp_path_factory, sequences, width, line_end, final_end, layout
) -> None:
    named = {f"c{index}": text for index, text in enumerate(sequences)}
    data = as_fasta(named, width, line_end, final_end)
    path = tmp_path_factory.mktemp("fasta") / "a.fa"
    if layout == "gzip":
        data = gzip.compress(data)
    elif layout == "blank":
        data = data.replace(b">", line_end.encode() + b">").lstrip() + b"\n\n"
    path.write_bytes(data)
    if layout == "fai":
        pysam.faidx(str(path))
    elif layout == "bgzip":
        pysam.tabix_compress(str(path), str(path) + ".gz", force=True)
        path = path.with_name("a.fa.gz")
        pysam.faidx(str(path))
    with ReferenceGenome.open(path) as genome:
        assert genome.contigs == {name: len(text) for name, text in named.items()}
        for name, text in named.items():
            for start in range(0, len(text), 7):
                for end in (start, min(start + 5, len(text)), len(text)):
                    codes = genome.fetch(Region(name, start, end))
                    assert codes.dtype == np.uint8
                    assert codes.tolist() == slow_codes(text[start:end])


def test_real_mitochondrion() -> None:
    with ReferenceGenome.open(CHR_M) as genome, pysam.FastxFile(str(CHR_M)) as oracle:
        (record,) = oracle
        assert genome.contigs == {"chrM": 16569}
        codes = genome.fetch(Region("chrM", 0, 16569))
        assert codes.tolist() == slow_codes(record.sequence)
        assert codes[3106] == 4


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_text(">c\nACGT\n")
    with ReferenceGenome.open(path):
        pass
    assert os.listdir(tmp_path) == ["a.fa"]


@pytest.mark.parametrize("problem", ["older", "foreign", "garbage"])
def test_an_index_that_does_not_fit_is_not_used(tmp_path: Path, problem: str) -> None:
    path = tmp_path / "a.fa"
    path.write_text(">c\nACGT\nAC\n>d\nGGGGGG\n")
    index = {"older": "c\t2\t3\t4\t5\n", "foreign": "c\t900\t7\t60\t61\n", "garbage": "x y\n"}
    (tmp_path / "a.fa.fai").write_text(index[problem])
    if problem == "older":
        os.utime(tmp_path / "a.fa.fai", (1, 1))
    with ReferenceGenome.open(path) as genome:
        assert genome.contigs == {"c": 6, "d": 6}
        assert genome.fetch(Region("c", 3, 6)).tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"ACGT\n", "is not FASTA"),
        (b"@r\nACGT\n+\nIIII\n", "is not FASTA"),
        (b">c\nACGT\n>c\nAC\n", "'c' appears twice"),
        (b">c\n>d\nAC\n", "'c' has no sequence"),
        (b">c\n\n\n", "'c' has no sequence"),
        (b">c", "'c' has no sequence"),
        (b">\nACGT\n", "no contig name"),
        (b">c" + b"A" * 100_000, "far too long"),
        (gzip.compress(b">c\nACGT\n" * 50, mtime=0)[:-9], "truncated"),
    ],
)
def test_odd_files_are_errors(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "odd.fa"
    path.write_bytes(data)
    with pytest.raises(InputError, match=problem) as caught:
        ReferenceGenome.open(path)
    assert str(caught.value).startswith(str(path))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.fa", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            ReferenceGenome.open(path)


@pytest.mark.parametrize("letter", "EFIJLOPQZefijlopqz7?")
def test_a_protein_or_digits_are_found_when_read(tmp_path: Path, letter: str) -> None:
    (tmp_path / "a.fa").write_text(f">c\nAC{letter}T\n")
    with (
        ReferenceGenome.open(tmp_path / "a.fa") as genome,
        pytest.raises(InputError, match=f"{re.escape(repr(letter))} at c:3 is no nucleotide code"),
    ):
        genome.fetch(Region("c", 1, 4))


def test_rna_is_read_as_dna(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">c\nACGUuRYSWKMBDHVNXry-*.\n")
    with ReferenceGenome.open(tmp_path / "a.fa") as genome:
        codes = genome.fetch(Region("c", 0, 22)).tolist()
    assert codes == [0, 1, 2, 3, 11, *[4] * 12, 12, 12, 4, 4, 4]


@pytest.mark.parametrize("region", [Region("d", 0, 1), Region("c", 2, 5), Region("c", -1, 1)])
def test_regions_outside_are_errors(tmp_path: Path, region: Region) -> None:
    (tmp_path / "a.fa").write_text(">c\nACGT\n")
    with ReferenceGenome.open(tmp_path / "a.fa") as genome, pytest.raises(InputError):
        genome.fetch(region)
