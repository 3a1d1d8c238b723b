"""Figures of runs read back: complete, going on, damaged, old and new."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import CPU, HOLDS_OUT, metrics_of

from phylotools.errors import InputError
from phylotools.training.checkpoint import Progress, read_checkpoint, write_checkpoint
from phylotools.training.curves import read_curves, read_runs
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT, METRICS

DAMAGED = Path(__file__).parents[1] / "data" / "damaged" / "metrics_not_utf8.tsv"
pytestmark = pytest.mark.usefixtures("one_thread")


def write_figures(folder: Path, *lines: str, end: str = "\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / METRICS).write_text("\n".join(lines) + end)
    return folder


@pytest.fixture(scope="module")
def run(mammals_store, tmp_path_factory):
    from small_runs import tables

    from phylotools.training.config_file import parse_config

    config, errors = parse_config(tables(mammals_store, **HOLDS_OUT), mammals_store.parent)
    assert config is not None, errors
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("curves") / "first"
    Trainer(config, folder, CPU).run()
    return folder


def test_the_figures_of_a_run_are_those_of_its_file(run):
    curves = read_curves(run)
    rows = metrics_of(run)
    assert curves.name == "first"
    assert curves.step.tolist() == [int(row["step"]) for row in rows]
    for name in ("loss", "evaluation_held_out_species", "learning_rate"):
        steps, values = curves.measured(name)
        expected = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        assert dict(zip(steps.tolist(), values.tolist(), strict=True)) == expected
        assert len(expected) == (3 if name.startswith("evaluation") else 20)
    assert curves.is_complete
    assert curves.kept_step == read_checkpoint(run / CHECKPOINT).progress.best_step > 0
    assert curves.value_at("evaluation_training", 15) == float(rows[7]["evaluation_training"])
    assert curves.value_at("evaluation_training", 7) is None
    assert curves.value_at("evaluation_training", None) == float(rows[-1]["evaluation_training"])
    summary = curves.summary()
    assert summary["step"] == 20
    kept = rows[curves.kept_step - 1]
    assert summary["figures"]["loss"] == float(kept["loss"])


def test_weights_of_the_last_step_are_kept_where_none_were_chosen(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    checkpoint = read_checkpoint(run / CHECKPOINT)
    for progress, kept in (
        (Progress(step=20, complete=True), 20),
        (Progress(step=12), None),
        (Progress(step=12, best_step=8, best_metric=-1.0), 8),
    ):
        changed = checkpoint.__class__(**{**checkpoint.__dict__, "progress": progress})
        write_checkpoint(tmp_path / "run" / CHECKPOINT, changed)
        assert read_curves(tmp_path / "run").kept_step == kept


def test_a_run_that_goes_on(tmp_path, caplog):
    """The last line is being written, and there is no checkpoint yet."""
    folder = write_figures(tmp_path / "run", "step\tloss", "10\t2.5", "20\t2.", end="")
    curves = read_curves(folder)
    assert curves.step.tolist() == [10]
    assert (curves.kept_step, curves.is_complete) == (None, False)
    assert not caplog.records


def test_columns_are_known_by_their_names(tmp_path):
    """Of an older or a newer phylotools, in whatever order."""
    folder = write_figures(
        tmp_path / "run",
        "step\tnull_tree\tnew\tloss\tepoch",
        "10\t-9.5\t1\t2\t0.5",
        "30\t\t\t1\t1.5",
    )
    curves = read_curves(folder)
    assert list(curves.figures) == ["null_tree", "new", "loss", "epoch"]
    assert curves.value_at("null_tree", None) == -9.5
    assert curves.steps_per_epoch == 20
    assert curves.measured("gradient_norm")[1].size == 0
    assert (
        read_curves(write_figures(tmp_path / "old", "step\tloss", "10\t2")).steps_per_epoch is None
    )


def test_damaged_rows_are_left_out_and_counted(tmp_path, caplog):
    folder = write_figures(
        tmp_path / "run",
        "step\tloss\tepoch",
        "30\t3\t1",
        "step\tloss\tepoch",
        "10\t1",
        "10\tone\t2",
        "-5\t1\t2",
        "\x00\x00",
        "9" * 5000 + "\t1\t1",
        str(1 << 60) + "\t1\t1",
        "",
        "15\t1e-320\t0",
        "20\tnan\t1e99",
        "30\t4\t1",
    )
    curves = read_curves(folder)
    assert curves.step.tolist() == [15, 20, 30]
    np.testing.assert_array_equal(curves.figures["loss"], [math.nan, math.nan, 4])
    assert curves.measured("epoch")[0].tolist() == [15, 30]
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "7 damaged rows left out"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not the figures of a run"),
        ("##phylotools_plot=<x>\nstep\tloss\n1\t2\n", "not the figures of a run"),
        ("step\tloss\tloss\n1\t2\t3\n", "not the figures of a run"),
        ("step\tloss\n", "has no figures yet"),
        ("step\tloss\nx\t1\n", "has no figures yet"),
    ],
)
def test_files_without_figures(tmp_path, text, problem):
    (tmp_path / METRICS).write_text(text)
    with pytest.raises(InputError, match=problem):
        read_curves(tmp_path)


def test_no_run_and_no_text(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="there is no run here"):
            read_curves(path)
    shutil.copy(DAMAGED, tmp_path / METRICS)
    with pytest.raises(InputError, match="not UTF-8"):
        read_curves(tmp_path)
    os.remove(tmp_path / METRICS)
    (tmp_path / METRICS).mkdir()
    with pytest.raises(InputError):
        read_curves(tmp_path)


def test_a_damaged_checkpoint_hides_the_kept_step_alone(run, tmp_path, caplog):
    shutil.copytree(run, tmp_path / "run")
    data = (run / CHECKPOINT).read_bytes()
    for bad in (data[:100], b"", data[: len(data) // 2], b"\xff" * 50):
        caplog.clear()
        (tmp_path / "run" / CHECKPOINT).write_bytes(bad)
        curves = read_curves(tmp_path / "run")
        assert curves.kept_step is None
        assert len(curves.step) == 20
        assert "the step that was kept is not known" in caplog.text


def test_runs_of_one_name_are_called_by_their_paths(tmp_path):
    for parent in "ab":
        (tmp_path / parent).mkdir()
        write_figures(tmp_path / parent / "run", "step\tloss", "1\t2")
    one, other = (str(tmp_path / parent / "run") for parent in "ab")
    assert [run.name for run in read_runs([one, other])] == [one, other]
    assert [run.name for run in read_runs([f"{one}/"])] == ["run"]
    figures = f"{one}/{METRICS}"
    assert [run.name for run in read_runs([figures])] == [figures]
