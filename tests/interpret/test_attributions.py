"""Hypothetical attributions: their definitions, strands, widths, and files read without trust."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from brute_force import LETTERS

from phylotools.errors import InputError, UsageError
from phylotools.interpret.attributions import (
    NamedRegion,
    of_one_width,
    read_attributions,
    region_attributions,
    write_attributions,
)
from phylotools.interpret.mutagenesis import EFFECTS, site_effects
from phylotools.io.regions import Region

pytestmark = pytest.mark.usefixtures("one_thread")


def region(start: int, end: int, *, reverse: bool = False) -> NamedRegion:
    return NamedRegion("one", start, end, "x", reverse)


def test_a_logo_is_information_times_centred_log_frequencies(scorer, brute_force) -> None:
    ((codes, values),) = region_attributions(scorer, [region(10, 30)], "logo")
    log_pi = brute_force.log_probability(LETTERS)[10:30]
    bits = 2 + (np.exp(log_pi) * log_pi).sum(axis=1) / np.log(2)
    expected = bits[:, None] * (log_pi - log_pi.mean(axis=1, keepdims=True))
    known = np.array([letter != "N" for letter in LETTERS[10:30]])
    np.testing.assert_allclose(values[known], expected[known], atol=1e-5)
    assert (values[~known] == 0).all()
    assert codes.tolist() == ["ACGTN".index(letter.upper()) for letter in LETTERS[10:30]]


def test_mutagenesis_is_centred(scorer) -> None:
    for effect in ("log_likelihood", "llr"):
        ((codes, values),) = region_attributions(
            scorer, [region(10, 30)], "mutagenesis", effect=effect
        )
        np.testing.assert_allclose(values.sum(axis=1), 0, atol=1e-5)
        for site in site_effects(scorer, [Region("one", 10, 30)]):
            own = values[site.position - 10]
            assert codes[site.position - 10] == site.reference
            shifted = own - own[site.reference]
            expected = site.values[:, EFFECTS.index(effect)]
            np.testing.assert_allclose(shifted, expected, atol=1e-5)


def test_the_other_strand_and_what_lies_beyond_the_contig(scorer) -> None:
    forward, reverse = region_attributions(
        scorer, [region(-5, 20), region(-5, 20, reverse=True)], "logo"
    )
    assert (forward[0][:5] == 4).all()
    assert (forward[1][:5] == 0).all()
    complement = np.where(forward[0] < 4, 3 - forward[0], 4)
    np.testing.assert_array_equal(reverse[0], complement[::-1])
    np.testing.assert_array_equal(reverse[1], forward[1][::-1, ::-1])


def test_one_width() -> None:
    found = of_one_width([region(10, 20), region(12, 15)], 6)
    assert [(r.start, r.end) for r in found] == [(12, 18), (10, 16)]
    assert [r.end - r.start for r in of_one_width([region(1, 8)], None)] == [7]
    with pytest.raises(UsageError, match="lengths from 3 to 10; arrays hold one: give --width"):
        of_one_width([region(10, 20), region(12, 15)], None)
    with pytest.raises(UsageError, match="too many for one set of arrays"):
        of_one_width([region(0, 5)] * 100, 1_000_000)


@pytest.fixture
def written(scorer, tmp_path) -> Path:
    regions = [region(10, 30), region(30, 50, reverse=True)]
    found = region_attributions(scorer, regions, "logo")
    write_attributions(str(tmp_path / "out"), found, regions, {"Model": "toy"}, force=False)
    return tmp_path / "out"


def test_files_are_as_modisco_wants_them(written, scorer) -> None:
    with (
        np.load(written / "sequences.npz") as sequences,
        np.load(written / "attributions.npz") as values,
    ):
        assert sequences["arr_0"].shape == values["arr_0"].shape == (2, 4, 20)
        assert sequences["arr_0"].sum() == sum(letter != "N" for letter in LETTERS[10:50])
        hot = sequences["arr_0"].astype(np.float32)
    read = read_attributions(str(written))
    np.testing.assert_array_equal(read.one_hot, hot.transpose(0, 2, 1))
    ((_, expected),) = region_attributions(scorer, [region(10, 30)], "logo")
    np.testing.assert_array_equal(read.values[0], expected)
    assert read.facts["Model"] == "toy"
    assert (written / "regions.tsv").read_text().splitlines()[2] == "one\t30\t50\tx\t-"


def overwrite(path: Path, array: np.ndarray, name: str = "arr_0") -> None:
    np.savez(path, **{name: array})


def test_other_files_are_refused(written) -> None:
    sequences = written / "sequences.npz"
    kept = sequences.read_bytes()
    with np.load(sequences) as arrays:
        hot = arrays["arr_0"]
    cases = {
        "not (N, 4, L)": lambda: overwrite(sequences, hot.transpose(0, 2, 1)[:, :, :3]),
        "have other shapes": lambda: overwrite(sequences, hot[:1]),
        "no one-hot sequences": lambda: overwrite(sequences, hot * 2),
        "is no array of ours": lambda: sequences.write_bytes(b"PK no"),
        "is no array of ours (KeyError)": lambda: overwrite(sequences, hot, "other"),
        "is no array of ours (ValueError)": lambda: overwrite(sequences, np.array([{}])),
        "does not exist": sequences.unlink,
    }
    for expected, damage in cases.items():
        damage()
        with pytest.raises(InputError) as caught:
            read_attributions(str(written))
        assert expected in str(caught.value)
        sequences.write_bytes(kept)
    overwrite(written / "attributions.npz", np.full(hot.shape, np.nan))
    with pytest.raises(InputError, match="what is no number"):
        read_attributions(str(written))
    with pytest.raises(InputError, match="is no folder"):
        read_attributions(str(written / "sequences.npz"))


def test_a_header_that_promises_too_much_is_refused(written) -> None:
    """An array of a terabyte, in a file of a few bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 18, 4, 1 << 20)}
    )
    with zipfile.ZipFile(written / "sequences.npz", "w") as archive:
        archive.writestr("arr_0.npy", header.getvalue())
    with pytest.raises(InputError, match="is no array of ours"):
        read_attributions(str(written))


def test_nothing_but_n_is_an_error(scorer, tmp_path) -> None:
    regions = [NamedRegion("unknown", 0, 8, ".", False)]
    found = region_attributions(scorer, regions, "logo")
    with pytest.raises(InputError, match="no position of the regions has A, C, G or T"):
        write_attributions(str(tmp_path / "x"), found, regions, {}, force=False)
    assert not (tmp_path / "x").exists()
    assert json.dumps({}) == "{}"
