"""The table of neutral sites: its means, what stands in for a rare context, and bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.model.calibration import (
    FEWEST_SITES,
    N_CONTEXTS,
    Calibration,
    calibration_lines,
    context_index,
    read_calibration,
)

HEADER = "#context\talt\tsites\tmean_llr\n"


def index(context: str) -> int:
    letters = np.array([["ACGTN".index(base) for base in context]], dtype=np.uint8)
    return int(context_index(letters)[0])


def table(sites: dict[str, tuple[int, list[float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Counts and sums of contexts, given the number of sites and their mean of each base."""
    counts, sums = np.zeros(N_CONTEXTS, dtype=np.int64), np.zeros((N_CONTEXTS, 4))
    for context, (count, means) in sites.items():
        counts[index(context)] = count
        sums[index(context)] = np.multiply(count, means)
    return counts, sums


#: Two with enough sites, two rare ones that share the middle three bases with the first, one that
#: shares the middle base alone.
SITES = {
    "AACAA": (100, [-1.0, 0.0, -2.0, -0.5]),
    "TTGTT": (FEWEST_SITES, [0.25, -3.0, 0.0, -4.0]),
    "GACAT": (10, [-3.0, 0.0, -3.0, -3.0]),
    "CACAG": (10, [-5.0, 0.0, -1.0, 2.0]),
    "TTCTT": (20, [-9.0, 0.0, -9.0, -9.0]),
}


def mean(contexts: list[str], base: int) -> float:
    total = sum(SITES[context][0] for context in contexts)
    return sum(SITES[context][0] * SITES[context][1][base] for context in contexts) / total


@pytest.mark.parametrize("is_read", [False, True])
def test_means_and_what_stands_in_for_them(tmp_path: Path, is_read: bool) -> None:
    found = Calibration.of_sums(*table(SITES))
    if is_read:
        (tmp_path / "t.tsv").write_text(calibration_lines(*table(SITES)))
        found = read_calibration(tmp_path / "t.tsv")
    middle_c = ["AACAA", "GACAT", "CACAG", "TTCTT"]
    wanted = {
        "AACAA": ["AACAA"],
        "TTGTT": ["TTGTT"],
        "GACAT": middle_c[:3],  # rare: as its middle three bases, ACA
        "GACAC": middle_c[:3],  # never seen
        "NACAN": middle_c[:3],  # at an end of a contig
        "TTCTT": middle_c,  # TCT was seen 20 times
        "NNCAA": middle_c,
    }
    for context, like in wanted.items():
        for base in range(4):
            expected = 0 if "ACGT"[base] == context[2] else mean(like, base)
            value = found.expected[index(context), base]
            assert value == pytest.approx(expected, abs=1e-4), (context, base)
    # A middle base that was never seen: the mean of all alternatives of all sites.
    n = sum(count for count, _ in SITES.values())
    overall = sum(count * sum(means) for count, means in SITES.values()) / (3 * n)
    np.testing.assert_allclose(found.expected[index("AATAA")], [overall] * 3 + [0], atol=1e-4)
    assert np.isfinite(found.expected).all()


GOOD = "AACAA\tA\t3\t-1.0000\nAACAA\tG\t3\t-2.0000\nAACAA\tT\t3\t-0.5000\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r":1: the columns are not #context, alt, sites, mean_llr"),
        ("context\talt\n", r":1: the columns are not"),
        (HEADER, ":1: holds no context"),
        (HEADER + GOOD.replace("AACAA", "AACA", 1), ":2: is no context"),
        (HEADER + GOOD.replace("AACAA", "AACAN", 1), ":2: is no context"),
        (HEADER + GOOD.replace("\tA\t", "\tC\t"), ":2: is no context"),
        (HEADER + GOOD.replace("-2.0000", "nan"), ":3: is no context"),
        (HEADER + GOOD.replace("-2.0000", "1e9"), ":3: is no context"),
        (HEADER + GOOD.replace("-2.0000", "99999.0"), ":3: is no context"),
        (HEADER + GOOD.replace("\t3\t-2", "\t0\t-2"), ":3: is no context"),
        (HEADER + GOOD.replace("\t3\t-2", "\t" + "9" * 400 + "\t-2"), ":3: is no context"),
        (HEADER + GOOD.replace("\t3\t-2", "\t4\t-2"), ":3: its context has another number"),
        (HEADER + GOOD + GOOD, ":5: its context and alternative occur twice"),
        (HEADER + GOOD[:-22], "AACAA lacks an alternative"),
        (HEADER + "\x1b[31m\n" + GOOD, ":2: is no context"),
        (HEADER + GOOD + "x" * (5 << 20), "is too large"),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "calibration.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as error:
        read_calibration(path)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "calibration.tsv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_calibration(path)
