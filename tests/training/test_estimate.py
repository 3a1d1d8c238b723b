"""`train --dry-run`: what it counts is what a run takes, and it writes nothing."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os

import pytest
from small_runs import CPU

from phylotools.cli.main import run
from phylotools.errors import PhylotoolsError, UsageError
from phylotools.training.estimate import _Trial, estimate_run
from phylotools.training.loop import Trainer
from phylotools.training.memory_use import MemoryUse
from phylotools.training.run_folder import CHECKPOINT

pytestmark = pytest.mark.usefixtures("one_thread")
HELD_OUT = {"held_out_fraction": 0.2}


@pytest.fixture
def config(config_of, mammals_store):
    return config_of(mammals_store, data=HELD_OUT)


def test_what_is_counted_is_what_a_run_takes(config_of, mammals_store, tmp_path):
    """A network of 300,000 parameters, so that its tensors are most of a checkpoint."""
    config = config_of(
        mammals_store,
        data=HELD_OUT,
        network={"preset": "small", "channels": 128, "bottleneck": 64, "dilations": [1, 2, 1]},
        optimiser={"steps": 11, "average": 0.9},
        run={"evaluate_every": 4, "keep_checkpoints": 2},
    )
    found = estimate_run(config, CPU)
    trainer = Trainer(config, tmp_path / "run", CPU)
    trainer.run()
    assert found.steps == trainer.length == 11
    assert found.evaluations == 3
    assert found.positions == 4 * 48
    assert found.kept == 3
    size = (tmp_path / "run" / CHECKPOINT).stat().st_size
    assert found.checkpoint == pytest.approx(size, rel=0.05)
    weights = sum(tensor.nbytes for tensor in trainer.model.state_dict().values())
    assert found.memory["weights"] == weights
    assert found.memory["best weights"] == found.memory["averaged weights"] == weights
    moments = [s[name] for s in trainer.optimiser.state.values() for name in ("exp_avg",)]
    assert found.memory["moments"] == 2 * sum(tensor.nbytes for tensor in moments)
    assert found.memory["columns"] == 30 * found_columns(trainer)
    assert 0 < found.most_memory < 4 << 30


def found_columns(trainer) -> int:
    return sum(source.training.n_columns for source in trainer.data.stores)


def test_the_whole_is_the_sum_of_its_parts(config):
    found = dataclasses.replace(
        estimate_run(config, CPU),
        steps=1000,
        step_seconds=3.0,
        evaluations=10,
        evaluation_seconds=50.0,
        site_fit_seconds=100.0,
        workers=4,
    )
    assert found.seconds == 3600
    assert found.cost(2.5) == 10
    text = "\n".join(found.lines(2.5))
    assert "cost\t10.00 at most, at 2.5 an hour and worker" in text
    assert "time\t60.0 min at most: training 50.0 min, evaluations 8.3 min, site fits" in text
    assert "exchange" in text


def test_steps_and_evaluations_grow_with_the_work(config, config_of, mammals_store):
    """By count, not by a clock: windows of a worker, and nothing where nothing is fitted."""
    two = estimate_run(config, CPU, workers=2)
    assert (two.workers, two.own_windows, two.measured_windows) == (2, 2, 2)
    shared = config_of(mammals_store, data=HELD_OUT, optimiser={"parts": 4})
    three = estimate_run(shared, CPU, workers=3)
    assert three.own_windows == 2  # of 4: one worker has two, and is waited for
    assert estimate_run(shared, CPU).workers == 4
    assert estimate_run(config, CPU).own_windows == 4
    no_fits = config_of(mammals_store, run={"site_fits": False, "select_by": "last"})
    found = estimate_run(no_fits, CPU)
    assert found.site_fit_seconds == 0
    assert found.memory["best weights"] == found.memory["averaged weights"] == 0
    with pytest.raises(UsageError, match="5 workers cannot share a batch of 4 windows"):
        estimate_run(config, CPU, workers=5)


def test_where_memory_is_short_fewer_windows_are_measured(config, monkeypatch):
    """And the rest extrapolated: the published size on a laptop."""
    seen = []
    step = _Trial._step

    def remember(trial, parts):
        seen.append(sum(len(part.tokens) for part in parts))
        step(trial, parts)

    monkeypatch.setattr(_Trial, "_step", remember)
    free = iter([1 << 40, 0])
    monkeypatch.setattr(MemoryUse, "free", lambda use: next(free))
    found = estimate_run(config, CPU)
    assert max(seen) == found.measured_windows == 2
    assert found.own_windows == 4
    assert "extrapolated from 2 windows" in found.lines()[0]


def test_what_can_never_fit_is_one_line(config, monkeypatch):
    monkeypatch.setattr(MemoryUse, "free", lambda use: 1000)
    with pytest.raises(PhylotoolsError, match=r"weights, gradients and moments alone take") as e:
        estimate_run(config, CPU)
    assert "\n" not in str(e.value)


def test_memory_is_that_of_the_process():
    use = MemoryUse(CPU)
    before = use.now()
    use.begin()
    # Of its own: an array may be laid where others have been.
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"1" * (64 << 20))
        assert use.most() - before > 60 << 20
    use.begin()
    if os.path.exists("/proc/self/clear_refs"):
        assert use.most() - before < 40 << 20
    assert use.free() > 0


def test_the_command_writes_nothing(config_file, tmp_path, capfd):
    path = config_file(run={"site_fits": False})
    before = sorted(tmp_path.rglob("*"))
    line = ["train", str(path), "-o", str(tmp_path / "run"), "-q", "--dry-run"]
    assert run(line) == 0
    assert sorted(tmp_path.rglob("*")) == before
    out = capfd.readouterr().out.splitlines()
    assert [row.split("\t")[0] for row in out] == ["step", "memory", "disk", "length", "time"]
    summary = tmp_path / "summary.json"
    more = ["--workers", "2", "--price-per-hour", "1.5", "--summary-json", str(summary)]
    assert run([*line, *more]) == 0
    assert [row.split("\t")[0] for row in capfd.readouterr().out.splitlines()][-2:] == [
        "workers",
        "cost",
    ]
    facts = json.loads(summary.read_text())["estimate"]
    assert facts["workers"] == 2
    assert facts["cost"] == pytest.approx(2 * 1.5 * facts["seconds"] / 3600)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--workers", "2"], "belong to --dry-run"),
        (["--price-per-hour", "2"], "belong to --dry-run"),
        (["--dry-run", "--workers", "0"], "0 is not in the range"),
        (["--dry-run", "--workers", "9"], "9 workers cannot share a batch of 4 windows"),
        (["--dry-run", "--init"], "--init excludes"),
    ],
)
def test_bad_usage_is_one_line(config_file, tmp_path, capfd, more, match):
    assert run(["train", str(config_file()), "-o", str(tmp_path / "run"), "-q", *more]) == 2
    (text,) = capfd.readouterr().err.splitlines()
    assert match in text


@pytest.mark.parametrize("kind", ["masked", "both"])
def test_other_objectives(config_of, mammals_store, kind):
    found = estimate_run(config_of(mammals_store, objective={"kind": kind}), CPU)
    assert found.step_seconds > 0
    assert found.measured_windows == found.own_windows == 4
