"""Motifs: MEME files against another reader, consensuses, and where sequences have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from memelite.io import read_meme as their_read_meme

from phylotools.errors import InputError, UsageError
from phylotools.io.motifs import best_matches, consensus_motif, find_motif, read_meme

MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.3 C 0.2 G 0.2 T 0.3

MOTIF one alias
letter-probability matrix: alength= 4 w= 3 nsites= 10 E= 0
 0.9 0.1 0.0 0.0
 0.0 0.0 1.0 0.0
 0.25 0.25 0.25 0.25

MOTIF two
letter-probability matrix: alength= 4 w= 1
 0 0 0 1
"""


@pytest.fixture
def meme(tmp_path):
    path = tmp_path / "motifs.meme"
    path.write_text(MEME)
    return str(path)


def test_a_file(meme):
    one, two = read_meme(meme)
    assert (one.name, one.n_sites, two.name, two.n_sites) == ("one", 10, "two", 20)
    assert one.background.tolist() == [0.3, 0.2, 0.2, 0.3]
    for motif, matrix in zip((one, two), their_read_meme(meme).values(), strict=True):
        assert motif.probabilities == pytest.approx(np.asarray(matrix).T)
    assert find_motif(f"{meme}:two").name == "two"
    counts = (0.9 * 10 + 0.1 * 0.3) / 10.1
    assert one.log_odds[0, 0] == pytest.approx(math.log2(counts / 0.3))


def test_the_best_place(meme):
    rng = np.random.default_rng(2)
    motif = read_meme(meme)[0]
    codes = rng.integers(0, 4, (30, 9)).astype(np.uint8)
    bits, places, reverse = best_matches(motif, codes)
    for row in range(30):
        found = {}
        for strand, sequence in ((False, codes[row]), (True, 3 - codes[row][::-1])):
            for place in range(7):
                window = sequence[place : place + 3]
                own = 6 - place if strand else place
                found[own, strand] = motif.log_odds[np.arange(3), window].sum()
        assert bits[row] == pytest.approx(max(found.values()))
        assert found[places[row], bool(reverse[row])] == pytest.approx(bits[row])


def test_a_consensus():
    motif = consensus_motif("tgr")
    assert motif.probabilities[2].tolist() == [0.5, 0, 0.5, 0]
    assert motif.best_possible == pytest.approx(
        2 * math.log2(20.025 / 20.1 / 0.25) + 0.9946, abs=0.01
    )
    assert find_motif("TGACGTCA").name == "TGACGTCA"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("MEME version 4", "hello"), "is no MEME file"),
        (("ACGT", "ACDEFGHIKLMNPQRSTVWY"), "its alphabet is"),
        (("0.3 C", "0.0 C"), "background"),
        (("0.9 0.1", "0.9 0.3"), "four probabilities"),
        (("0.9 0.1", "nan 0.1"), "four probabilities"),
        (("0.9 0.1 0.0", "0.9 0.1"), "four probabilities"),
        (("w= 3", "w= 4"), "four probabilities"),
        (("w= 3", "w= 99999999"), "must say w="),
        ((MEME[MEME.index("MOTIF") :], ""), "no motif"),
        ((" 0 0 0 1\n", ""), "fewer rows"),
    ],
)
def test_damage(tmp_path, change, message):
    path = tmp_path / "x.meme"
    path.write_text(MEME.replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        read_meme(str(path))
    assert str(path) in str(caught.value)


def test_what_is_no_motif(meme):
    with pytest.raises(InputError, match="holds 2 motifs"):
        find_motif(meme)
    with pytest.raises(InputError, match="no motif 'three'"):
        find_motif(f"{meme}:three")
    with pytest.raises(UsageError, match="no such file"):
        find_motif("absent.meme")
    with pytest.raises(UsageError, match="no IUPAC code"):
        find_motif("TGAE")
