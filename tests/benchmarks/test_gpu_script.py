"""`benchmarks/gpu.py`, whose real run needs a GPU: all of it with tiny shapes, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if find_spec("triton") is None:
    pytest.skip("no Triton here", allow_module_level=True)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / "gpu.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_report

    return gpu_report


def test_every_check_passes_in_a_dry_run(tmp_path, report):
    done = run("--output", tmp_path / "out", "--dry-run")
    assert done.returncode == 0, (tmp_path / "out" / "results.md").read_text()
    rows = report.read_rows(tmp_path / "out")
    assert {row.status for row in rows} == {report.PASSED, report.FIGURE}
    assert len({row.part for row in rows}) == 8
    assert sum(row.status == report.PASSED for row in rows) >= 48
    table = (tmp_path / "out" / "results.md").read_text()
    assert f"{sum(row.status == report.PASSED for row in rows)} checks passed, 0 failed" in table
    assert not (tmp_path / "out" / "failures.log").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    done = run("--output", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == ("there is no CUDA GPU here; --dry-run tries the checks on the CPU\n")
    assert not (tmp_path / "out").exists()


def test_results_are_not_mixed(tmp_path):
    (tmp_path / "results.md").write_text("old")
    done = run("--output", tmp_path, "--dry-run")
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}: is not empty; give another --output\n"


def test_a_check_that_fails_is_a_row_and_the_next_one_comes(tmp_path, report):
    def fail() -> str:
        raise AssertionError("error 0.3\nand more")

    recorder = report.Recorder(tmp_path, "network", time.monotonic() + 600)
    assert not recorder.check("one", fail)
    assert recorder.check("two", lambda: "fine")
    assert recorder.figure("three", lambda: "a\nb\n")
    late = report.Recorder(tmp_path, "speed", time.monotonic() + 1)
    assert not late.check("four", lambda: "fine", needs=5)
    rows = report.write_table(tmp_path, "Some machine.")
    assert [row.status for row in rows] == ["FAILED", "passed", "figure", "not run"]
    assert rows[0].detail == "AssertionError: error 0.3"
    table = (tmp_path / "results.md").read_text()
    assert "1 checks passed, 1 failed, 1 not run." in table
    assert "```text\na\nb\n```" in table
    assert "in fail" in (tmp_path / "failures.log").read_text()


def test_a_part_that_hangs_or_crashes_costs_its_own_rows(tmp_path, report, monkeypatch):
    import gpu

    recorder = report.Recorder(tmp_path, "speed", time.monotonic() + 600)
    script = tmp_path / "script.py"
    monkeypatch.setattr(gpu, "__file__", str(script))
    script.write_text("import time; time.sleep(600)")
    start = time.monotonic()
    gpu.start_part(recorder, "speed", 1, True)
    assert time.monotonic() - start < 300
    script.write_text("import os; os.abort()")
    gpu.start_part(recorder, "speed", 300, True)
    assert [row.detail for row in report.read_rows(tmp_path)] == [
        "stopped after 1 s",
        "ended with -6, see speed.log",
    ]


def test_no_part_begins_without_time(tmp_path, report):
    done = run("--output", tmp_path / "out", "--dry-run", "--seconds", 9)
    assert done.returncode == 1
    rows = report.read_rows(tmp_path / "out")
    assert [(row.status, row.detail) for row in rows] == [("not run", "no time left")] * 8
