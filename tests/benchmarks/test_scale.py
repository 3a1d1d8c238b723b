"""`benchmarks/scale.py` and docs/scale.md: sums by hand, and where their figures stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import contract  # noqa: E402
import scale  # noqa: E402
from scale import Measured, Prices  # noqa: E402

RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text()


def section(anchor: str) -> str:
    """Text of a section of RESULTS.md, its parts included."""
    for match in re.finditer(r"^(#+) (.+)$", RESULTS, flags=re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", match[2].lower()).replace(" ", "-")
        if name == anchor:
            rest = RESULTS[match.end() :]
            end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, flags=re.MULTILINE)
            return rest[: end.start() if end else None]
    raise AssertionError(anchor)


@pytest.mark.parametrize("one", scale.MEASURED, ids=lambda one: one.says[:30])
def test_every_figure_stands_in_the_results(one: Measured):
    assert one.quote in section(one.section)
    digits = f"{one.value:.10g}".rstrip("0").rstrip(".")
    quoted = one.quote.replace(",", "")
    # 413 microseconds, 6 %, 3.2 of 3.16 and 3.27: as a part of what is quoted, or computed from it.
    numbers = [float(text) for text in re.findall(r"\d+(?:\.\d+)?", quoted)]
    near = [abs(number * unit / one.value - 1) < 0.1 for number in numbers
            for unit in (1, 1e-6, 1 / 1024)]  # fmt: skip
    assert digits in quoted or any(near) or (one is scale.MARGIN and 6.0 in numbers)


def test_the_page_has_the_tables_of_the_script():
    page = (ROOT / "docs" / "scale.md").read_text()
    assert scale.filled(page, Prices()) == page
    assert set(re.findall(r"<!-- (\w+) -->", page)) == set(scale.tables(Prices()))


def test_gpus_by_hand():
    """One GPU at the roof: 2.94e9 / 3.5e6 s; 64 of them wait for 62.6 GB at 2 GB/s."""
    assert scale.tracks_step(3.5e6, 1, Prices()) == ("network", pytest.approx(840))
    assert scale.tracks_step(3.5e6, 64, Prices()) == ("shared disk", pytest.approx(31.311))
    assert scale.tracks_step(3.5e6, 64, Prices(disk=1e6)).name == "network"
    rows = list(scale.gpu_table(Prices(gpu_hour=10)))
    assert rows[2].startswith("| 3,500,000 (the roof) | 1 | 14 min |")
    assert rows[2].endswith("| network | $2.34 |")


def test_species_by_hand():
    """1.589 TB of text: 5,722 core seconds on 16 cores, then 779 s of one."""
    parts, merge = scale.preprocess_steps(447, 16, Prices())
    assert parts == ("cores", pytest.approx(357.6, rel=1e-3))
    assert merge == ("one core", pytest.approx(778.8, rel=1e-3))
    more = scale.preprocess_steps(1000, 16, Prices())
    assert more[0].seconds / parts.seconds == pytest.approx(1000 / 447)
    assert scale.preprocess_steps(447, 64, Prices())[0].name == "shared disk"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.5, "1.5 s"),
        (59, "59 s"),
        (119, "119 s"),
        (150, "2.5 min"),
        (7200, "2.0 h"),
        (4e5, "4.6 days"),
    ],
)
def test_durations(seconds, text):
    assert scale.duration(seconds) == text


def test_amounts():
    assert scale.amount(1.589e12) == "1.59 TB"
    assert scale.amount(4.2e10) == "42 GB"
    assert scale.dollars(0.7) == "$0.70"


def test_what_a_lost_node_costs():
    """Without losses the clock is that of a list; with losses half a part each."""
    parts = [60.0] * 640
    none = contract.simulate(parts, contract.Cluster(), 0)
    assert none == contract.Outcome(610.0, 38_400.0, 0, False)
    lost = [contract.simulate(parts, contract.Cluster(losses=1.0), seed) for seed in range(20)]
    finished = [each for each in lost if not each.failed]
    assert len(finished) > 15
    n_lost = sum(each.n_lost for each in finished)
    wasted = sum(each.node_seconds - none.node_seconds for each in finished)
    assert n_lost > 100
    assert 20 < wasted / n_lost < 40
    # Parts of two hours on machines that live for one.
    assert contract.simulate([7200.0] * 64, contract.Cluster(losses=1.0), 1).failed


def test_the_contract_is_measured(tmp_path):
    found = contract.measure(8, 2, 6000.0, tmp_path)
    assert found["beside"] > 0
    assert len(list((tmp_path / "work" / "pieces").iterdir())) == 8
