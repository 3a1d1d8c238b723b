"""Where figures go: tables of any version, and TensorBoard."""

from __future__ import annotations

import importlib.util

import pytest
from small_runs import CPU, HOLDS_OUT, metrics_of, train_until

from phylotools.errors import UsageError
from phylotools.training.curves import read_curves
from phylotools.training.loop import Trainer
from phylotools.training.reporting import EVENTS
from phylotools.training.run_folder import (
    CHECKPOINT,
    METRICS,
    METRICS_COLUMNS,
    SPEED,
    MetricsFile,
    describe_run,
    read_rows,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config(config_of, mammals_store):
    run = HOLDS_OUT["run"] | {"site_fits": False}
    return config_of(mammals_store, **HOLDS_OUT | {"run": run})


def test_speed_stands_apart_from_the_figures(config, tmp_path):
    """So that the figures are the same bytes on any machine."""
    Trainer(config, tmp_path / "run", CPU).run()
    header, *rows = [
        line.split("\t") for line in (tmp_path / "run" / SPEED).read_text().splitlines()
    ]
    assert header[:3] == ["step", "seconds", "positions_per_second"]
    assert [int(row[0]) for row in rows] == list(range(1, 21))
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        waiting, evaluating = row["seconds_waiting_for_data"], row["seconds_evaluating"]
        assert 0 <= float(waiting) + float(evaluating) <= float(row["seconds"])
        assert row["gpu_memory_gib"] == ""
        # Of four windows of 48 at most, in the time that was not spent evaluating.
        training = float(row["seconds"]) - float(evaluating)
        assert 0 < float(row["positions_per_second"]) * training < 4 * 48 * 1.001
        assert (float(evaluating) > 0) == (int(row["step"]) in (8, 16, 20))
    described = describe_run(tmp_path / "run")["last_speed"]
    assert described["positions_per_second"] == float(rows[-1][2])
    assert described["gpu_memory_gib"] is None


def test_figures_of_another_version_are_read(config, tmp_path):
    """Columns that it did not have are empty, others are left out; the run goes on in ours."""
    folder = tmp_path / "run"
    train_until(config, folder, 13)
    before = metrics_of(folder)
    path = folder / METRICS
    gone = METRICS_COLUMNS.index("null_tree")
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    for number, cells in enumerate(lines):
        cells[gone] = "new" if number == 0 else "1.5"
    path.write_text("".join("\t".join(cells) + "\n" for cells in lines))
    (rows, *_) = [read_rows(path)]
    assert [dict(zip(METRICS_COLUMNS, row, strict=True)) for row in rows] == [
        row | {"null_tree": ""} for row in before
    ]
    curves = read_curves(folder)
    assert curves.measured("loss")[1].tolist() == [float(row["loss"]) for row in before]
    Trainer(config, folder, CPU, resume=True).run()
    assert [row["loss"] for row in metrics_of(folder)][:12] == [row["loss"] for row in before][:12]
    assert len(metrics_of(folder)) == 20


@pytest.mark.parametrize("text", ["", "\n", "x\ty\n1\t2\n", "loss\tstep\n1\t2\n"])
def test_what_are_no_figures_has_no_rows(tmp_path, text):
    (tmp_path / METRICS).write_text(text)
    assert read_rows(tmp_path / METRICS) == []
    MetricsFile(tmp_path / METRICS).write(1, {"loss": 1.0})
    assert len(read_rows(tmp_path / METRICS)) == 1


# TensorBoard


def test_without_tensorboard_one_line_says_what_to_install(
    config_of, mammals_store, tmp_path, monkeypatch
):
    config = config_of(mammals_store, run={"tensorboard": True})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'phylotools\[tensorboard\]'"):
        Trainer(config, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_deleted_for_one_that_lacks_tensorboard(
    config_of, mammals_store, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    run = {"site_fits": False}
    Trainer(config_of(mammals_store, optimiser={"steps": 1}, run=run), folder, CPU).run()
    config = config_of(mammals_store, run=run | {"tensorboard": True})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="tensorboard"):
        Trainer(config, folder, CPU, force=True)
    assert (folder / CHECKPOINT).exists()


def test_tensorboard_has_every_figure_once(config_of, mammals_store, tmp_path):
    """Also after a kill: what the lost steps wrote is left out."""
    pytest.importorskip("tensorboard", reason="needs pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = HOLDS_OUT["run"] | {"tensorboard": True, "site_fits": False}
    config = config_of(mammals_store, **HOLDS_OUT | {"run": run})
    folder = tmp_path / "run"
    train_until(config, folder, 16)
    Trainer(config, folder, CPU, resume=True).run()
    events = EventAccumulator(str(folder / EVENTS)).Reload()
    rows = metrics_of(folder)
    for name in ("loss", "evaluation_training", "null_tree"):
        expected = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx(expected, rel=1e-5)
        assert len(events.Scalars(name)) == len(expected)
    assert len(events.Scalars("positions_per_second")) == 20
    # Whoever goes on may do without.
    assert (folder / CHECKPOINT).exists()
    plain = config_of(mammals_store, **HOLDS_OUT | {"run": run | {"tensorboard": False}})
    assert Trainer(plain, folder, CPU, resume=True).progress.complete
