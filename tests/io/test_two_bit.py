"""2bit files, as two readers see them that share no code with us: py2bit (C) and twobitreader."""

from __future__ import annotations

import re
import struct

import numpy as np
import py2bit
import pytest
import twobitreader
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io import two_bit
from phylotools.io.genome import ReferenceGenome
from phylotools.io.two_bit import write_two_bit


def written(path, sequences: dict[str, bytes]):
    genome = ReferenceGenome.from_sequences(sequences)
    write_two_bit(path, genome, genome.contigs)
    return path


def expected(letters: bytes) -> str:
    """What a reader gives: letters other than A, C, G and T (and U, which is T) are N."""
    text = letters.decode().replace("U", "T").replace("u", "t")
    text = re.sub(r"[^ACGTacgt]", lambda match: "N" if match[0].isupper() else "n", text)
    # Neither a case nor a mask of their own.
    return text.replace("-", "N").replace(".", "N").replace("*", "N")


def check(path, sequences: dict[str, bytes]) -> None:
    handle = py2bit.open(str(path), True)
    assert handle.chroms() == {name: len(letters) for name, letters in sequences.items()}
    other = twobitreader.TwoBitFile(str(path))
    assert set(other) == set(sequences)
    for name, letters in sequences.items():
        text = expected(letters)
        # The one shows no mask where there is no base.
        assert handle.sequence(name, 0, len(letters)) == text.replace("n", "N")
        assert str(other[name]).replace("n", "N") == text.replace("n", "N")
        runs = [(m.start(), m.end()) for m in re.finditer("[Nn]+", text)]
        assert [tuple(pair) for pair in handle.hardMaskedBlocks(name)] == runs
        masked = [(m.start(), m.end()) for m in re.finditer("[a-z]+", text)]
        assert [tuple(pair) for pair in handle.softMaskedBlocks(name)] == masked
    handle.close()


def test_two_readers_see_the_sequence(tmp_path):
    sequences = {
        "chr1": b"ACGTacgtNNNNnnRyACGTT",
        "one": b"A",
        "unknown": b"NNNN",
        "masked": b"acgtt",
        "x" * 255: b"GATTACA" * 9,
    }
    check(written(tmp_path / "a.2bit", sequences), sequences)


@given(
    chunk=st.sampled_from([4, 8, 12]),
    letters=st.lists(st.text("ACGTNacgtnRU", min_size=1, max_size=40), min_size=1, max_size=4),
)
def test_where_chunks_end_does_not_matter(tmp_path_factory, chunk, letters):
    folder = tmp_path_factory.getbasetemp() / "two_bit"
    folder.mkdir(exist_ok=True)
    sequences = {f"s{i}": text.encode() for i, text in enumerate(letters)}
    whole = written(folder / "whole.2bit", sequences).read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_bit, "_CHUNK", chunk)
        path = written(folder / "parts.2bit", sequences)
    assert path.read_bytes() == whole
    check(path, sequences)


def test_a_large_genome_gets_offsets_of_64_bits(tmp_path, monkeypatch):
    """As the format's version 1 has them; read by hand, for the readers know version 0 alone."""
    sequences = {"chr1": b"ACGTN", "b": b"ttt"}
    narrow = written(tmp_path / "narrow.2bit", sequences).read_bytes()
    monkeypatch.setattr(two_bit, "_LARGEST", 1 << 28)
    wide = written(tmp_path / "wide.2bit", sequences).read_bytes()
    assert struct.unpack("<4I", narrow[:16]) == (0x1A412743, 0, 2, 0)
    assert struct.unpack("<4I", wide[:16]) == (0x1A412743, 1, 2, 0)
    (first,) = struct.unpack("<Q", wide[21:29])
    (second,) = struct.unpack("<Q", wide[31:39])
    assert (first, wide[29:31]) == (39, b"\x01b")
    # The records themselves are the same, and in the same order.
    assert wide[first:] == narrow[struct.unpack("<I", narrow[21:25])[0] :]
    assert struct.unpack("<I", wide[second : second + 4]) == (3,)


def test_a_fasta_is_read_as_it_stands(tmp_path):
    rng = np.random.default_rng(3)
    sequences = {
        name: rng.choice(list("ACGTacgtN"), length).astype("S").tobytes()
        for name, length in (("a", 1000), ("b", 61), ("c", 7))
    }
    with open(tmp_path / "genome.fa", "wb") as handle:
        for name, letters in sequences.items():
            lines = [letters[i : i + 60] for i in range(0, len(letters), 60)]
            handle.write(b">%b x\n%b\n" % (name.encode(), b"\n".join(lines)))
    with ReferenceGenome.open(tmp_path / "genome.fa") as genome:
        write_two_bit(tmp_path / "genome.2bit", genome, {"c": 7, "a": 1000})
    check(tmp_path / "genome.2bit", {name: sequences[name] for name in ("c", "a")})


def test_what_it_cannot_hold_is_refused(tmp_path):
    genome = ReferenceGenome.from_sequences({"a": b"ACGT", "y" * 256: b"A"})
    with pytest.raises(InputError, match="256 bytes; 2bit takes 255"):
        write_two_bit(tmp_path / "x", genome, genome.contigs)
    with pytest.raises(InputError, match="'a' is not there with 5 bases"):
        write_two_bit(tmp_path / "x", genome, {"a": 5})
