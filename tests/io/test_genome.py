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
from phylotools.io.memory import free_memory
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


@settings(max_examples=40, deadline=None)
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


def random_letters(n: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGTacgtN"), n))


ONE, OTHER = random_letters(1200, 1), random_letters(1200, 2)
#: What a file was when it was indexed, and what it is now.
STALE = {
    "swapped": ({"a": ONE, "b": OTHER}, {"b": OTHER, "a": ONE}, 60, 60),
    "grown": ({"a": ONE[:600]}, {"a": ONE}, 60, 60),
    "cut": ({"a": ONE}, {"a": ONE[:600]}, 60, 60),
    "contig added": ({"a": ONE}, {"a": ONE, "b": OTHER}, 60, 60),
    "contig lost": ({"a": ONE, "b": OTHER}, {"a": ONE}, 60, 60),
    "renamed": ({"a": ONE}, {"b": ONE}, 60, 60),
    "border moved": ({"a": ONE, "b": OTHER}, {"a": ONE[:-3], "b": ONE[-3:] + OTHER}, 1300, 1300),
    "other lines": ({"a": ONE}, {"a": ONE}, 60, 50),
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("case", STALE)
def test_a_stale_index_is_not_used(tmp_path: Path, caplog, case: str, suffix: str) -> None:
    before, now, width_before, width = STALE[case]
    path = tmp_path / "a.fa"

    def write(sequences: dict[str, str], line: int) -> str:
        path.write_bytes(as_fasta(sequences, line, "\n", True))
        if suffix:
            pysam.tabix_compress(str(path), f"{path}.gz", force=True)
        return f"{path}{suffix}"

    pysam.faidx(write(before, width_before))
    name = write(now, width)
    for index in tmp_path.glob("*i"):
        os.utime(index)
    with ReferenceGenome.open(name) as genome:
        assert genome.contigs == {contig: len(text) for contig, text in now.items()}
        for contig, text in now.items():
            assert genome.fetch(Region(contig, 0, len(text))).tolist() == slow_codes(text)
    assert "a.fa" + suffix + ".fai does not fit the file and is not used" in caplog.text


def test_lines_that_do_not_end_where_the_index_says_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGTA\nACGTA\nACGTA\nAC\n")
    pysam.faidx(str(path))
    # As long, and with the same beginning and end.
    path.write_text(">a\nACGTA\nACGTAA\nCGTA\nAC\n")
    os.utime(f"{path}.fai")
    with ReferenceGenome.open(path) as genome:
        assert len(genome.fetch(Region("a", 0, 4))) == 4
        with pytest.raises(InputError, match="a:12-13 does not lie where the layout"):
            genome.fetch(Region("a", 11, 13))


@pytest.mark.parametrize("problem", ["foreign", "cut", "garbage"])
def test_a_gzi_of_another_file_misleads_nobody(tmp_path: Path, caplog, problem: str) -> None:
    text = random_letters(300_000, 3)
    path = tmp_path / "a.fa.gz"
    (tmp_path / "a.fa").write_bytes(as_fasta({"a": text}, 60, "\n", True))
    pysam.tabix_compress(str(tmp_path / "a.fa"), str(path), force=True)
    pysam.faidx(str(path))
    index = Path(f"{path}.gzi")
    entries = np.frombuffer(index.read_bytes(), dtype="<u8").copy()
    assert len(entries) == 1 + 2 * 4
    entries[3] += 1 if problem == "foreign" else 0
    data = entries.tobytes()
    index.write_bytes({"foreign": data, "cut": data[:-8], "garbage": b"x"}[problem])
    with ReferenceGenome.open(path) as genome:
        if problem == "foreign":
            with pytest.raises(InputError, match="gzi index does not fit the file"):
                genome.fetch(Region("a", 0, 300_000))
            return
        assert genome.fetch(Region("a", 0, 300_000)).tolist() == slow_codes(text)
    assert "a.fa.gz.gzi does not fit the file and is not used" in caplog.text


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_cut_while_it_is_read_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(as_fasta({"a": random_letters(500_000, 4)}, 60, "\n", True))
    if suffix:
        pysam.tabix_compress(str(path), f"{path}.gz", force=True)
    with ReferenceGenome.open(f"{path}{suffix}") as genome:
        os.truncate(f"{path}{suffix}", 1000)
        with pytest.raises(InputError, match="became shorter while it was read"):
            genome.fetch(Region("a", 400_000, 400_010))


def test_a_large_bgzip_file_is_not_held(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("phylotools.io.memory.free_memory", lambda: 1000)
    path = tmp_path / "a.fa"
    path.write_bytes(as_fasta({"a": ONE}, 60, "\n", True))
    pysam.tabix_compress(str(path), f"{path}.gz", force=True)
    with ReferenceGenome.open(f"{path}.gz") as genome:
        assert genome.contigs == {"a": 1200}
    Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.fa\.gz: decompressed, it is larger .* bgzip > NEW"):
        ReferenceGenome.open(f"{path}.gz")


def test_a_bomb_is_noticed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("phylotools.io.memory._LARGE", 1 << 20)
    path = tmp_path / "a.fa.gz"
    path.write_bytes(gzip.compress(b">a\n" + b"A" * (1 << 25)))
    with pytest.raises(InputError, match="the same again and again"):
        ReferenceGenome.open(path)


def test_free_memory_is_that_of_the_machine() -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free_memory() <= whole


def test_a_reference_comes_from_no_stdin() -> None:
    with pytest.raises(InputError, match="cannot come from stdin"):
        ReferenceGenome.open("-")
