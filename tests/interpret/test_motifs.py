"""Two planted motifs must be found, and named right; files of patterns; what is no motif file."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from only_error import only_error

from phylotools.cli.main import run
from phylotools.interpret.attributions import ARRAY, ATTRIBUTIONS, RECORD, SEQUENCES
from phylotools.interpret.motif_files import draw_patterns, meme_text
from phylotools.interpret.motifs import Match, Pattern, benjamini_hochberg
from phylotools.io.motifs import consensus_motif, read_meme

PLANTED = {"ap1": "TGACTCA", "ebox": "CACGTGGC"}
#: By hand, in IUPAC letters; the planted ones among them.
KNOWN = {
    **PLANTED, "gcbox": "GGGGCGGGG", "tata": "TATAAAAG", "creb": "TGACGTCA", "gata": "AGATAAGR",
    "ets": "ACCGGAAGT", "runx": "TGTGGTTW", "mef2": "CTAAAAATAG", "nfy": "CCAATCAGC",
    "oct": "ATGCAAAT", "sox": "AACAATGG", "nrf1": "TGCGCATGCGCA", "ctcf": "CCACCAGGGGGC",
    "stat": "TTCCNGGAA", "nfkb": "GGGACTTTCC", "hnf4": "CAAAGTCCA", "fox": "TGTTTAC",
    "yy1": "CAAGATGGC", "p53": "RRRCATGYYY", "myb": "TAACTGAC", "tead": "ACATTCCA",
    "rfx": "GTTGCCATGG", "homeo": "TAATTAGC", "zfx": "AGGCCTAG", "srf": "CCATATTAGG",
}  # fmt: skip


def write_meme(path, motifs: dict[str, str]) -> None:
    lines = ["MEME version 4", "", "ALPHABET= ACGT", ""]
    for name, letters in motifs.items():
        matrix = consensus_motif(letters).probabilities * 0.94 + 0.015
        lines.append(f"MOTIF {name}")
        lines.append(f"letter-probability matrix: alength= 4 w= {len(matrix)} nsites= 20 E= 0")
        lines += [" ".join(f"{p:.6f}" for p in row / row.sum()) for row in matrix]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random sequences, each with one of two motifs that is worth something, on either strand."""
    place = tmp_path_factory.mktemp("planted")
    draw = np.random.default_rng(1)
    n_regions, length = 240, 100
    codes = draw.integers(0, 4, (n_regions, length))
    values = draw.normal(0, 0.02, (n_regions, length, 4))
    for row in range(n_regions):
        motif = np.array(["ACGT".index(c) for c in list(PLANTED.values())[row % 2]])
        if row % 3 == 0:
            motif = 3 - motif[::-1]
        at = draw.integers(25, 65)
        codes[row, at : at + len(motif)] = motif
        values[row, at : at + len(motif)] -= 0.3
        values[row, np.arange(at, at + len(motif)), motif] += 1.3
    hot = np.eye(4, dtype=np.int8)[codes].transpose(0, 2, 1)
    np.savez(place / SEQUENCES, **{ARRAY: hot})
    np.savez(place / ATTRIBUTIONS, **{ARRAY: values.transpose(0, 2, 1).astype(np.float32)})
    (place / RECORD).write_text(json.dumps({"Model": "planted"}))
    write_meme(place / "known.meme", KNOWN)
    return place


def test_planted_motifs_are_found_and_named(folder, tmp_path, capsys) -> None:
    pytest.importorskip("modiscolite")
    out = tmp_path / "out"
    with warnings.catch_warnings(action="ignore"):
        code = run(["interpret", "motifs", str(folder), "--meme", str(folder / "known.meme"),
                    "-o", str(out), "-q", "-@", "1"])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in out.iterdir()) == [
        "modisco.h5", "patterns.meme", "patterns.png", "patterns.svg", "patterns.tsv",
    ]  # fmt: skip
    header, *rows = [line.split("\t") for line in (out / "patterns.tsv").read_text().splitlines()]
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert {row["match"] for row in found} == set(PLANTED)
    assert len(found) == 2
    for row in found:
        assert float(row["q_value"]) < 0.01
        assert int(row["n_seqlets"]) >= 20
        letters = PLANTED[row["match"]]
        other = letters[::-1].translate(str.maketrans("ACGT", "TGCA"))
        assert row["consensus"] in (letters, other)
    patterns = read_meme(str(out / "patterns.meme"))
    assert [motif.name for motif in patterns] == [row["pattern"] for row in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no motifs here\n", "is no MEME file"),
        ("MEME version 4\n", "holds no motif"),
        ("MEME version 4\nMOTIF x\nletter-probability matrix: w= 2\n1 0 0 0\n", "fewer rows"),
        ("MEME version 4\nMOTIF x\nletter-probability matrix: w= 1\n1 1 0 0\n", "sum is 1"),
    ],
)
def test_a_motif_file_that_is_none(folder, tmp_path, capsys, text, expected) -> None:
    (tmp_path / "bad.meme").write_text(text)
    code = run(["interpret", "motifs", str(folder), "--meme", str(tmp_path / "bad.meme"),
                "-o", str(tmp_path / "out"), "-q"])  # fmt: skip
    assert code == 1
    only_error(*capsys.readouterr(), expected, "bad.meme")
    assert not (tmp_path / "out").exists()


def test_without_the_extra_it_says_what_brings_it(folder, tmp_path, capsys, monkeypatch) -> None:
    for name in ("modiscolite", "modiscolite.tfmodisco"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    code = run(["interpret", "motifs", str(folder), "-o", str(tmp_path / "out"), "-q"])
    assert code == 1
    only_error(*capsys.readouterr(), "pip install 'phylotools[motifs]'")
    assert not (tmp_path / "out").exists()


def test_short_sequences_are_refused(tmp_path, capsys) -> None:
    np.savez(tmp_path / SEQUENCES, **{ARRAY: np.eye(4, dtype=np.int8)[None]})
    np.savez(tmp_path / ATTRIBUTIONS, **{ARRAY: np.ones((1, 4, 4), dtype=np.float32)})
    code = run(["interpret", "motifs", str(tmp_path), "-o", str(tmp_path / "out"), "-q"])
    assert code == 2
    only_error(*capsys.readouterr(), "sequences of 4 bases are too short")


def test_q_values_are_those_of_scipy() -> None:
    from scipy.stats import false_discovery_control

    p_values = np.random.default_rng(2).uniform(0, 1, 40) ** 3
    expected = false_discovery_control(p_values, method="bh")
    np.testing.assert_allclose(benjamini_hochberg(p_values), expected)


def pattern(letters: str, name: str = "pos_0") -> Pattern:
    probability = consensus_motif(letters).probabilities
    return Pattern(name, probability, probability * 0.5, 30)


def test_a_consensus_is_the_commonest_bases() -> None:
    assert pattern("TGASTCA").consensus == "TGASTCA"
    np.testing.assert_allclose(pattern("ARN").information, [2, 1, 0], atol=1e-6)


def test_the_meme_file_reads_back(tmp_path) -> None:
    patterns = [pattern("TGASTCA"), pattern("CACGTG", "neg_0")]
    (tmp_path / "x.meme").write_text(meme_text(patterns))
    for motif, own in zip(read_meme(str(tmp_path / "x.meme")), patterns, strict=True):
        assert (motif.name, motif.n_sites) == (own.name, 30)
        np.testing.assert_allclose(motif.probabilities, own.probabilities, atol=1e-6)


def test_pictures_of_many_patterns(tmp_path) -> None:
    patterns = [pattern("TGASTCA", f"pos_{k}") for k in range(33)]
    motif = consensus_motif("TGACTCA")
    matches = [Match(motif, 1e-4, 0.2, True, 0, 7)] * 33
    figure = draw_patterns(patterns, matches, "footer")
    assert len(figure.axes) == 60
    assert "3 more in the table" in figure.texts[0].get_text()
    assert len(draw_patterns([], None, "footer").axes) == 0
