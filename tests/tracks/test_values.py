"""The numbers of tracks against their definitions, and as text against Python's."""

from __future__ import annotations

import gzip
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from phylotools.io.bases import BASE_COLOURS
from phylotools.io.bgzf import compress_blocks, read_blocks
from phylotools.io.files import BGZF_EOF
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS, make_substitution_model
from phylotools.tracks.catalogue import (
    ALL_SIGNALS,
    SIGNALS,
    TRACK_NAMES,
    signals_of,
    tracks_of_scores,
)
from phylotools.tracks.table import snv_lines
from phylotools.tracks.values import SiteValues, rounded, site_values

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", SUBSTITUTION_MODELS)
def test_values_by_definition(name):
    substitution = make_substitution_model(name)
    chance = np.random.default_rng(2)
    # More sites than are computed together.
    theta = chance.normal(0, 2, (5000, 4)).astype(np.float32)
    reference = chance.integers(0, 4, 5000).astype(np.uint8)
    values = site_values(substitution, theta, reference, ("llr", "fixation", "rate-to-alt"))
    asked = signals_of((*TRACK_NAMES, *tracks_of_scores(["fixation", "rate-to-alt"])))
    assert asked[: len(SIGNALS)] == list(SIGNALS)
    assert len(asked) == len(SIGNALS) + 4
    by_name = {signal.name: values.signal(signal) for signal in asked}
    with torch.inference_mode():
        for row in (0, 1, 17, 4095, 4096, 4999):
            site = torch.from_numpy(theta[row]).double()
            log_pi = substitution.log_equilibrium_frequencies(site).tolist()
            ref = int(reference[row])
            others = [base for base in range(4) if base != ref]
            ratios = [log_pi[base] - log_pi[ref] for base in others]
            pi = [math.exp(value) for value in log_pi]
            entropy = -sum(p * math.log(p) for p in pi)
            q = substitution.rate_matrix(site).numpy()
            rate = sum(pi[a] * q[a, b] for a in range(4) for b in range(4) if a != b)
            expected = {
                "llr_mean": sum(ratios) / 3,
                "llr_min": min(ratios),
                "rate": rate,
                "entropy": entropy,
            }
            for score, key in (("fixation", "fixation"), ("rate-to-alt", "rate_to_alt")):
                changes = substitution.change_scores(site, score)[ref, others].tolist()
                expected |= {f"{key}_mean": sum(changes) / 3, f"{key}_min": min(changes)}
            for base, letter in enumerate("ACGT"):
                expected[f"log_probability_{letter}"] = log_pi[base]
                expected[f"logo_{letter}"] = pi[base] * (2 - entropy / math.log(2))
            assert set(expected) == set(by_name)
            for track, value in expected.items():
                assert by_name[track][row] == pytest.approx(value, rel=2e-6, abs=2e-6), track
    heights = sum(by_name[f"logo_{letter}"] for letter in "ACGT")
    assert heights.min() >= 0
    assert heights.max() <= 2


def test_the_catalogue_is_in_order():
    assert len({signal.file for signal in SIGNALS}) == len(SIGNALS)
    assert [signal.name for signal in signals_of(("logo", "rate"))] == [
        "rate", "logo_A", "logo_C", "logo_G", "logo_T",
    ]  # fmt: skip
    assert signals_of(TRACK_NAMES) == list(SIGNALS)
    colours = {
        signal.name[-1]: "#{:02X}{:02X}{:02X}".format(*signal.colour)
        for signal in signals_of(("logo",))
    }
    assert tuple(colours.values()) == BASE_COLOURS
    for signal in ALL_SIGNALS:
        # UCSC cuts longer labels.
        assert len(f"{signal.description} ({signal.unit})") <= 76


@given(arrays.arrays(np.float64, 30, elements=st.floats(-1e30, 1e30, allow_subnormal=False)))
@settings(max_examples=75, deadline=None)
def test_rounding_is_to_fourteen_significant_bits(values):
    found = rounded(values)
    exact = values.astype(np.float32).astype(np.float64)
    normal = np.abs(exact) > 1e-37
    assert (np.abs(found - exact)[normal] <= np.abs(exact[normal]) * 2.0**-14).all()
    mantissas = np.frexp(found.astype(np.float64))[0] * 2**14
    np.testing.assert_array_equal(mantissas, np.round(mantissas))
    np.testing.assert_array_equal(rounded(found.astype(np.float64)), found)
    assert not np.signbit(found[found == 0]).any()


def line_by_line(contig, positions, values) -> str:
    """The table by Python's own formatting."""
    lines = []
    for row, position in enumerate(positions.tolist()):
        ref = int(values.reference[row])
        for alt in range(4):
            if alt == ref:
                continue
            llr = f"{values.llr[row, alt]:.4f}"
            llr = "0.0000" if llr == "-0.0000" else llr
            numbers = f"{llr}\t{values.rate[row]:.4g}\t{values.entropy[row]:.4f}"
            place = f"{contig}\t{position + 1}\t{'ACGT'[ref]}\t{'ACGT'[alt]}"
            more = "".join(f"\t{found[row, alt]:.4f}" for found in values.scores.values())
            lines.append(f"{place}\t{numbers}{more}\n")
    return "".join(lines)


#: Numbers as they come, and those at which roundings are decided.
_LLRS = st.one_of(
    st.floats(-40, 40),
    st.integers(-(10**6), 10**6).map(lambda n: n / 20000),
    st.integers(-(10**5), 10**5).map(lambda n: n / 2**15),
    st.floats(-1e-4, 1e-4),
)
_RATES = st.one_of(
    st.floats(0, 20),
    st.floats(1e-30, 1e30),
    st.integers(1, 10**6).flatmap(
        lambda n: st.integers(-10, 6).map(lambda exponent: n * 10.0**exponent / 2)
    ),
)


@given(st.data(), st.integers(1, 12), st.sampled_from(["chr1", "scaffold|7.1", "é"]))
@settings(max_examples=75, deadline=None)
def test_lines_are_those_of_python(data, n_sites, contig):
    positions = np.array(
        sorted(data.draw(st.sets(st.integers(0, 2**32), min_size=n_sites, max_size=n_sites)))
    )
    draw = lambda kind, shape: data.draw(arrays.arrays(np.float64, shape, elements=kind))  # noqa: E731
    reference = np.array([data.draw(st.integers(0, 3)) for _ in range(n_sites)], dtype=np.uint8)
    values = SiteValues(
        draw(_LLRS, (n_sites, 4)),
        draw(_RATES, n_sites),
        draw(st.floats(0, 1.4), n_sites),
        np.zeros((n_sites, 4)),
        reference,
    )
    assert snv_lines(contig, positions, values).decode() == line_by_line(contig, positions, values)


def test_a_hundred_thousand_lines_are_those_of_python():
    chance = np.random.default_rng(6)
    n = 34_000
    llr = chance.normal(-4, 4, (n, 4))
    # A third lies where four decimals are decided.
    llr[::3] = np.round(llr[::3] * 20000) / 20000
    rate = np.exp(chance.normal(-1, 4, n))
    values = SiteValues(
        llr, rate, chance.uniform(0, 1.3863, n), np.zeros((n, 4)),
        chance.integers(0, 4, n).astype(np.uint8),
        {"fixation": chance.normal(3, 4, (n, 4)), "fitness": chance.normal(-90, 4, (n, 4))},
    )  # fmt: skip
    positions = np.cumsum(chance.integers(1, 5, n))
    text = snv_lines("chr7", positions, values)
    assert text.count(b"\n") == 3 * n
    assert text.decode() == line_by_line("chr7", positions, values)


@pytest.mark.parametrize("kind", ["random", "one letter", "empty line"])
def test_blocks_are_bgzf(kind):
    """Also where nothing can be compressed, so that a block would not fit the format."""
    chance = np.random.default_rng(3)
    text = {
        "random": chance.integers(0, 256, 200_000, dtype=np.uint8).tobytes(),
        "one letter": b"A" * 200_000,
        "empty line": b"\n",
    }[kind]
    blocks = compress_blocks(text, fast=True)
    found = [part for _, part in read_blocks(io.BytesIO(blocks + BGZF_EOF), 0, "x")]
    assert b"".join(found) == text
    assert gzip.decompress(blocks) == text


def test_no_lines_and_no_blocks():
    empty = np.empty(0)
    values = SiteValues(np.empty((0, 4)), empty, empty, np.empty((0, 4)), np.empty(0, np.uint8))
    assert snv_lines("c", np.empty(0, np.int64), values) == b""
    assert compress_blocks(b"") == b""
