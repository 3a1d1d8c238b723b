from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import struct
import subprocess
import sys

import pytest
import torch
from small_runs import CPU, HOLDS_OUT, metrics_of, resumes_to_the_same, train_until
from small_stores import change_attributes

from phylotools.errors import InputError, OutputError, PhylotoolsError
from phylotools.io.locks import lock_folder
from phylotools.model.weights import load_tensors
from phylotools.training.checkpoint import (
    checkpoint_checksum,
    describe_checkpoint,
    read_checkpoint,
)
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT, METRICS, METRICS_COLUMNS, MetricsFile

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config(config_of, mammals_store):
    return config_of(mammals_store, **HOLDS_OUT)


def test_loss_falls_on_real_columns(config_of, mammals_store, tmp_path, device):
    config = config_of(mammals_store, optimiser={"steps": 40}, rate={"treatment": "free"})
    progress = Trainer(config, tmp_path / "run", device).run()
    assert progress.complete
    assert progress.step == 40
    loss = [float(row["loss"]) for row in metrics_of(tmp_path / "run")]
    assert len(loss) == 40
    assert sum(loss[-8:]) / 8 < sum(loss[:4]) / 4 - 1
    evaluated = [row for row in metrics_of(tmp_path / "run") if row["evaluation_training"]]
    assert [int(row["step"]) for row in evaluated] == [8, 16, 24, 32, 40]
    assert all(row["evaluation_held_out_species"] == "" for row in evaluated)


def test_training_improves_held_out_figures(config, tmp_path):
    Trainer(config, tmp_path / "run", CPU).run()
    rows = [row for row in metrics_of(tmp_path / "run") if row["evaluation_training"]]
    for figure in ("evaluation_training", "evaluation_held_out_columns"):
        assert float(rows[-1][figure]) > float(rows[0][figure])
    assert all(float(row["evaluation_held_out_species"]) < 0 for row in rows)


def test_seeds_decide_everything(config, config_of, mammals_store, tmp_path):
    for name in ("a", "b"):
        Trainer(config, tmp_path / name, CPU).run()
    assert (tmp_path / "a" / METRICS).read_bytes() == (tmp_path / "b" / METRICS).read_bytes()
    one, two = (read_checkpoint(tmp_path / name / CHECKPOINT).tensors for name in ("a", "b"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = config_of(mammals_store, run={"seed": 6})
    Trainer(other, tmp_path / "c", CPU).run()
    assert (tmp_path / "c" / METRICS).read_bytes() != (tmp_path / "a" / METRICS).read_bytes()


@pytest.mark.parametrize("stops", [[6], [7], [11], [13, 16], [19]])
def test_resumed_runs_equal_uninterrupted_ones(config, tmp_path, stops):
    resumes_to_the_same(config, tmp_path, stops)


def test_killed_before_the_first_checkpoint(config, tmp_path):
    train_until(config, tmp_path / "run", 4)
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    assert Trainer(config, tmp_path / "run", CPU, resume=True).progress.step == 0
    Trainer(config, tmp_path / "run", CPU).run()
    assert len(metrics_of(tmp_path / "run")) == 20


def test_a_complete_run_stays_as_it_is(config, tmp_path):
    Trainer(config, tmp_path / "run", CPU).run()
    before = (tmp_path / "run" / METRICS).read_bytes()
    assert Trainer(config, tmp_path / "run", CPU, resume=True).run().step == 20
    assert (tmp_path / "run" / METRICS).read_bytes() == before


def test_an_existing_run_is_refused_or_replaced(config, tmp_path):
    folder = tmp_path / "run"
    train_until(config, folder, 8)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="--resume"):
        Trainer(config, folder, CPU)
    assert read_checkpoint(folder / CHECKPOINT).progress.step == 6
    assert Trainer(config, folder, CPU, force=True).progress.step == 0
    assert not (folder / CHECKPOINT).exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_force_with_bad_data_keeps_the_old_run(config, config_of, mammals_store, tmp_path):
    train_until(config, tmp_path / "run", 8)
    bad = config_of(mammals_store, data={"held_out_contigs": ["chr99"]})
    with pytest.raises(InputError):
        Trainer(bad, tmp_path / "run", CPU, force=True)
    assert read_checkpoint(tmp_path / "run" / CHECKPOINT).progress.step == 6


def test_another_configuration_cannot_resume(config, tmp_path):
    train_until(config, tmp_path / "run", 8)
    changed = dataclasses.replace(
        config, optimiser=dataclasses.replace(config.optimiser, learning_rate=0.5)
    )
    with pytest.raises(InputError, match=r"optimiser\.learning_rate changed"):
        Trainer(changed, tmp_path / "run", CPU, resume=True)


def test_another_store_cannot_resume(config_of, mammals_store, tmp_path):
    store = tmp_path / "copy"
    shutil.copytree(mammals_store, store)
    train_until(config_of(store), tmp_path / "run", 8)
    change_attributes(store, lambda a: a.update(tree=a["tree"].replace(":0.", ":1.", 1)))
    with pytest.raises(InputError, match="another column store"):
        Trainer(config_of(store), tmp_path / "run", CPU, resume=True)


def rewritten(path, change) -> None:
    """Pass the header of a checkpoint through `change`, its tensors untouched.

    Whoever forges one gives it the checksum that it must have.
    """
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header = change(header) or header

    def write() -> None:
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])

    write()
    with contextlib.suppress(InputError):
        tensors, metadata = load_tensors(path)
        if metadata:
            header["__metadata__"]["crc32c"] = str(checkpoint_checksum(metadata, tensors))
            write()


def _rename(header: dict) -> dict:
    return {name.replace("exp_avg_sq", "moment"): value for name, value in header.items()}


def _reshape_moment(header: dict) -> None:
    moment = next(value for name, value in header.items() if name.endswith("exp_avg"))
    moment["shape"] = [1, *moment["shape"]]


def _reshape_best(header: dict) -> None:
    best = next(value for name, value in header.items() if name.startswith("best."))
    best["shape"] = [1, *best["shape"]]


def _retype_moment(header: dict) -> None:
    moment = next(value for name, value in header.items() if name.endswith("exp_avg"))
    moment["dtype"] = "I32"


NETWORK = {"channels": 8, "bottleneck": 4, "dilations": [1, 2]}


def _with_metadata(name: str, value: str):
    return lambda path: rewritten(path, lambda h: h["__metadata__"].update({name: value}))


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a checkpoint\n"),
    "no metadata": lambda path: rewritten(path, lambda h: h.pop("__metadata__") and None),
    "another format": lambda path: rewritten(path, lambda h: h["__metadata__"].update(format="x")),
    "no progress": lambda path: rewritten(
        path, lambda h: h["__metadata__"].pop("progress") and None
    ),
    "odd progress": lambda path: rewritten(
        path, lambda h: h["__metadata__"].update(progress='{"x": 1}')
    ),
    "progress no number": lambda path: rewritten(
        path, lambda h: h["__metadata__"].update(progress='{"step": "six"}')
    ),
    "deep": lambda path: rewritten(path, lambda h: h["__metadata__"].update(facts="[" * 99_999)),
    "no facts": lambda path: rewritten(path, lambda h: h["__metadata__"].update(facts="{}")),
    "an older format": lambda path: rewritten(
        path, lambda h: h["__metadata__"].update(format="phylotools checkpoint 1")
    ),
    "bad network": _with_metadata("model", '{"network": {"channels": 7, "bottleneck": 2}}'),
    "another substitution model": _with_metadata(
        "model", json.dumps({"network": NETWORK, "substitution": {"model": "hky"}})
    ),
    "no substitution model": _with_metadata(
        "model", json.dumps({"network": NETWORK, "substitution": {"model": "x"}})
    ),
    "bad rate": _with_metadata(
        "model", json.dumps({"network": NETWORK, "rate": {"treatment": "prior"}})
    ),
    "no moments": lambda path: rewritten(path, _rename),
    "a moment reshaped": lambda path: rewritten(path, _reshape_moment),
    "a moment of integers": lambda path: rewritten(path, _retype_moment),
} | {
    f"{name} is {value}": _with_metadata(name, value)
    for name, values in {
        "facts": ["[]", "{}", "null", '{"training_stores": 5}', '{"training_stores": [5]}',
                  '{"training_stores": [{"fingerprint": "x"}]}'],
        "config": ["[]", "null", '{"data": 5}', '{"data": {"stores": null}}',
                   '{"data": {"stores": ["\\ud800"]}}'],
        "model": ["[]", "null", "5", "{}", '{"network": 5}'],
        "progress": ["[]", "null", '{"best_metric": "x"}', '{"best_metric": NaN}'],
    }.items()
    for value in values
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoints_are_errors(config, tmp_path, damage):
    train_until(config, tmp_path / "run", 8)
    DAMAGE[damage](tmp_path / "run" / CHECKPOINT)
    with pytest.raises(InputError, match="checkpoint"):
        Trainer(config, tmp_path / "run", CPU, resume=True)


@pytest.mark.parametrize(
    "damage",
    [_reshape_best, lambda h: {name.replace("best.", "b."): value for name, value in h.items()}],
)
def test_damaged_best_weights_are_found_before_they_are_gone_back_to(
    config_of, mammals_store, tmp_path, damage
):
    config = config_of(mammals_store, data={"held_out_fraction": 0.1}, run={"evaluate_every": 3})
    train_until(config, tmp_path / "run", 8)
    rewritten(tmp_path / "run" / CHECKPOINT, damage)
    with pytest.raises(InputError, match="checkpoint"):
        Trainer(config, tmp_path / "run", CPU, resume=True)


def test_a_hostile_network_size_allocates_nothing(config, tmp_path, monkeypatch):
    train_until(config, tmp_path / "run", 8)
    path = tmp_path / "run" / CHECKPOINT
    size = '{"network": {"channels": %d, "bottleneck": %d}}'
    _with_metadata("model", size % (10000, 4000))(path)
    checkpoint = read_checkpoint(path)
    monkeypatch.setattr("phylotools.model.site_model.ByteNet", None)  # must not be called
    with pytest.raises(InputError, match="do not fit"):
        checkpoint.selected_model(path)
    _with_metadata("model", size % (200000, 100000))(path)
    with pytest.raises(InputError, match="too large"):
        read_checkpoint(path)


def test_one_run_in_a_folder_at_a_time(config, tmp_path):
    first = Trainer(config, tmp_path / "run", CPU)
    for flags in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(OutputError, match="another run is going on"):
            Trainer(config, tmp_path / "run", CPU, **flags)
    assert first.run().complete
    assert Trainer(config, tmp_path / "run", CPU, resume=True).progress.complete


def test_a_killed_run_gives_its_lock_back(tmp_path):
    code = "import sys, pathlib, time; from phylotools.io.locks import lock_folder\n"
    code += "kept = lock_folder(pathlib.Path(sys.argv[1])); print('locked', flush=True)\n"
    code += "time.sleep(600)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(OutputError, match="another run is going on"):
            lock_folder(tmp_path / "run")
    finally:
        holder.kill()
        holder.communicate()
    lock_folder(tmp_path / "run").close()


def test_the_folder_above_must_exist(config, tmp_path):
    with pytest.raises(OutputError, match="does not exist; create it first"):
        Trainer(config, tmp_path / "a" / "b", CPU)
    assert not (tmp_path / "a").exists()


def test_a_checkpoint_on_a_full_disk_names_it(config, tmp_path, file_size_limit):
    trainer = Trainer(config, tmp_path / "run", CPU)
    with (
        file_size_limit(1000),
        pytest.raises(OutputError, match=r"checkpoint\.safetensors: cannot"),
    ):
        trainer._save()
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_metrics_on_a_full_disk_name_the_file(tmp_path, file_size_limit):
    metrics = MetricsFile(tmp_path / METRICS)
    with file_size_limit(100), pytest.raises(OutputError, match=r"metrics\.tsv: cannot write"):
        metrics.write(1, {"loss": 1.0})


def test_describe_checkpoint(config, tmp_path):
    train_until(config, tmp_path / "run", 8)
    described = describe_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert described["step"] == 6
    assert not described["complete"]
    assert described["network"]["channels"] == 8
    (store,) = described["training_stores"]
    assert store["species"] == 30
    assert len(store["held_out_species"]) == 6
    assert store["held_out_columns"] == 101
    json.dumps(described)


def test_the_best_weights_are_those_of_the_best_evaluation(config, tmp_path):
    trainer = Trainer(config, tmp_path / "run", CPU)
    kept = {}
    evaluate = trainer._evaluate

    def remember(is_last):
        figures = evaluate(is_last)
        kept[figures["evaluation_held_out_species"]] = {
            name: tensor.clone() for name, tensor in trainer.model.state_dict().items()
        }
        return figures

    trainer._evaluate = remember
    trainer.run()
    checkpoint = read_checkpoint(tmp_path / "run" / CHECKPOINT)
    best = max(kept)
    assert checkpoint.progress.best_metric == best
    chosen = checkpoint.selected_model(tmp_path).state_dict()
    assert all(torch.equal(chosen[name], tensor) for name, tensor in kept[best].items())


def test_the_best_weights_survive_a_kill(config, tmp_path):
    train_until(config, tmp_path / "run", 13)
    kept = read_checkpoint(tmp_path / "run" / CHECKPOINT).part("best.")
    trainer = Trainer(config, tmp_path / "run", CPU, resume=True)
    assert trainer.progress.best_step == 8
    assert trainer.best.keys() == trainer.model.state_dict().keys()
    assert all(torch.equal(trainer.best[name], tensor) for name, tensor in kept.items())


def test_a_gradient_that_is_not_finite_stops_the_run(config, tmp_path):
    trainer = Trainer(config, tmp_path / "run", CPU)
    parameter = next(trainer.model.parameters())
    parameter.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(
        PhylotoolsError, match=r"gradient is not finite at step 1; lower .*; no checkpoint"
    ):
        trainer.run()
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_only_convolutions_are_decayed(config, tmp_path):
    trainer = Trainer(config, tmp_path / "run", CPU)
    decayed = {
        id(p) for g in trainer.optimiser.param_groups if g["weight_decay"] for p in g["params"]
    }
    for name, parameter in trainer.model.named_parameters():
        convolution = name.endswith("weight") and "norm" not in name and "embedding" not in name
        assert (id(parameter) in decayed) == convolution


def test_metrics_file_drops_later_and_damaged_rows(tmp_path):
    path = tmp_path / "metrics.tsv"
    metrics = MetricsFile(path)
    for step in (1, 2, 3):
        metrics.write(step, {"loss": step / 3})
    metrics.flush()
    with open(path, "a") as handle:
        handle.write("x\t" * (len(METRICS_COLUMNS) - 1) + "\n4\t0.1\n")
        for step, loss in (("9" * 5000, "1"), ("\u00b2", "1"), ("2", "one"), ("2", "nan")):
            handle.write("\t".join([step, loss, *[""] * (len(METRICS_COLUMNS) - 2)]) + "\n")
    MetricsFile(path, keep_until_step=2).write(3, {"loss": 9.0})
    loss = METRICS_COLUMNS.index("loss")
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    rows = [[row[0], row[loss]] for row in rows]
    assert rows == [["1", "0.3333333"], ["2", "0.6666667"], ["3", "9"]]
