"""Which checkpoints stay, what a run goes on from, and full disks."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from small_runs import CPU, HOLDS_OUT, same_run, tables, train_until

from phylotools.cli.main import run
from phylotools.errors import InputError, OutputError
from phylotools.training.checkpoint import (
    Checkpoint,
    DamagedCheckpoint,
    Progress,
    read_checkpoint,
    write_checkpoint,
)
from phylotools.training.config_file import parse_config, read_config
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.keeping import checkpoint_to_resume, save_checkpoint
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT, kept_checkpoints

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config(config_of, mammals_store):
    """Checkpoints at 6, 12, 18 and, the last, 20."""
    changes = HOLDS_OUT | {"run": HOLDS_OUT["run"] | {"keep_checkpoints": 2, "site_fits": False}}
    return config_of(mammals_store, **changes)


@pytest.fixture(scope="module")
def a_checkpoint(tmp_path_factory, mammals_store):
    """One of a run, and its bytes."""
    config, errors = parse_config(tables(mammals_store), mammals_store.parent)
    assert config is not None, errors
    folder = tmp_path_factory.mktemp("a") / "run"
    train_until(config, folder, 8)
    return read_checkpoint(folder / CHECKPOINT), (folder / CHECKPOINT).read_bytes()


def at(checkpoint: Checkpoint, step: int) -> Checkpoint:
    return dataclasses.replace(checkpoint, progress=Progress(step=step))


def test_a_run_keeps_the_last_ones(config, tmp_path):
    folder = tmp_path / "run"
    Trainer(config, folder, CPU).run()
    assert list(kept_checkpoints(folder)) == [12, 18]
    assert read_checkpoint(folder / CHECKPOINT).progress.step == 20
    train_until(config, tmp_path / "other", 13)
    other = read_checkpoint(tmp_path / "other" / CHECKPOINT)
    kept = read_checkpoint(kept_checkpoints(folder)[12])
    assert kept.progress == other.progress
    assert all(torch.equal(kept.tensors[name], other.tensors[name]) for name in other.tensors)
    # The best weights are in it.
    assert kept.part("best.")


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_so_many_are_kept(a_checkpoint, tmp_path, keep):
    checkpoint, _ = a_checkpoint
    for step in (5, 10, 10, 15, 20, 25):
        save_checkpoint(tmp_path, at(checkpoint, step), keep)
    assert list(kept_checkpoints(tmp_path)) == [5, 10, 15, 20][4 - keep :]
    # A run that went back to an older one has no later ones.
    write_checkpoint(tmp_path / CHECKPOINT, at(checkpoint, 12))
    save_checkpoint(tmp_path, at(checkpoint, 14), keep)
    expected = {0: [], 1: [12], 3: [5, 10, 12]}
    assert list(kept_checkpoints(tmp_path)) == ([10, 12] if keep == 3 else expected[keep])


def test_keeping_writes_nothing_twice(a_checkpoint, tmp_path):
    checkpoint, _ = a_checkpoint
    save_checkpoint(tmp_path, at(checkpoint, 5), 1)
    inode = (tmp_path / CHECKPOINT).stat().st_ino
    save_checkpoint(tmp_path, at(checkpoint, 10), 1)
    assert kept_checkpoints(tmp_path)[5].stat().st_ino == inode


def test_a_file_system_without_second_names(a_checkpoint, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    checkpoint, _ = a_checkpoint
    for step in (5, 10):
        save_checkpoint(tmp_path, at(checkpoint, step), 1)
    assert read_checkpoint(kept_checkpoints(tmp_path)[5]).progress.step == 5


def test_foreign_files_stay(a_checkpoint, config, tmp_path):
    folder = tmp_path / "run"
    Trainer(config, folder, CPU).run()
    (folder / "checkpoints" / "notes.txt").write_text("mine")
    (folder / "checkpoints" / "step-12.safetensors").write_text("mine")
    Trainer(config, folder, CPU, force=True)
    assert sorted(os.listdir(folder / "checkpoints")) == ["notes.txt", "step-12.safetensors"]


def _truncated(path):
    # Not in place: the file may have a second name.
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def _flipped(path):
    content = bytearray(path.read_bytes())
    path.unlink()
    content[-1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncated, _flipped, os.unlink])
def test_a_run_goes_on_from_the_last_good_one(config, tmp_path, caplog, damage):
    Trainer(config, tmp_path / "whole", CPU).run()
    folder = tmp_path / "run"
    train_until(config, folder, 19)
    damage(folder / CHECKPOINT)
    _truncated(kept_checkpoints(folder)[12])
    trainer = Trainer(config, folder, CPU, resume=True)
    assert trainer.progress.step == 6
    assert f"going on from {kept_checkpoints(folder)[6]}" in caplog.text
    assert str(folder / CHECKPOINT) in caplog.text
    trainer.run()
    same_run(tmp_path / "whole", folder)


def test_a_run_whose_newest_is_gone_is_a_run(config, tmp_path):
    train_until(config, tmp_path / "run", 13)
    (tmp_path / "run" / CHECKPOINT).unlink()
    with pytest.raises(OutputError, match="a run is here already"):
        Trainer(config, tmp_path / "run", CPU)


def test_where_none_is_whole_the_newest_is_named(config, tmp_path):
    folder = tmp_path / "run"
    train_until(config, folder, 13)
    for path in (folder / CHECKPOINT, *kept_checkpoints(folder).values()):
        _truncated(path)
    with pytest.raises(DamagedCheckpoint, match=r"run/checkpoint\.safetensors: not a complete"):
        Trainer(config, folder, CPU, resume=True)


def test_an_export_names_the_last_good_one(config, tmp_path):
    folder = tmp_path / "run"
    Trainer(config, folder, CPU).run()
    _flipped(folder / CHECKPOINT)
    with pytest.raises(
        InputError, match=r"checksum.*the last good one is .*step-0000018.*--resume"
    ):
        export_model(folder, tmp_path / "toy", ExportRequest("toy"))


def test_a_foreign_checkpoint_is_not_passed_over(config, tmp_path):
    """Somebody put it there: nothing is guessed."""
    folder = tmp_path / "run"
    train_until(config, folder, 13)
    (folder / CHECKPOINT).unlink()
    save_file({"x": torch.zeros(2)}, folder / CHECKPOINT, {"format": "pt"})
    with pytest.raises(InputError, match="not a phylotools checkpoint"):
        checkpoint_to_resume(folder)


@settings(max_examples=40)
@given(data=st.data())
def test_any_flipped_bit_is_found(a_checkpoint, tmp_path, data):
    """Metadata and tensors: the file itself has no checksum."""
    _, content = a_checkpoint
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / CHECKPOINT
    path.write_bytes(changed)
    with pytest.raises(InputError):
        read_checkpoint(path)


# Full disks


def _files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*safetensors*")
        if path.is_file()
    }


@pytest.mark.parametrize("call", ["os.link", "phylotools.training.checkpoint.save_tensors"])
def test_a_full_disk_leaves_the_last_good_one(
    mammals_store, tmp_path, capfd, monkeypatch, call, config_file
):
    """Whichever write it is: one line, exit code 1, and the run goes on when there is room."""
    path = config_file(run={"keep_checkpoints": 2, "site_fits": False})
    folder = tmp_path / "run"
    train_until(read_config(path), folder, 8)
    before = _files(folder)
    shutil.copytree(folder, tmp_path / "whole")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        if call == "os.link":
            patch.setattr(shutil, "copyfile", full)
        assert run(["train", str(path), "-o", str(folder), "--resume", "-q"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "cannot write: No space left on device" in line
    assert str(folder) in line
    assert _files(folder).items() >= before.items()
    for name in ("run", "whole"):
        assert run(["train", str(path), "-o", str(tmp_path / name), "--resume", "-q"]) == 0
    same_run(tmp_path / "whole", folder)


def test_another_number_may_be_kept_later(config_of, mammals_store, tmp_path):
    train_until(config_of(mammals_store), tmp_path / "run", 8)
    more = config_of(mammals_store, run={"keep_checkpoints": 5})
    Trainer(more, tmp_path / "run", CPU, resume=True).run()
    assert list(kept_checkpoints(tmp_path / "run")) == [6, 12, 18]


def test_resume_begins_a_run_where_there_is_none(config_file, tmp_path):
    """So that a job that is put into the queue again is one line."""
    path = config_file(run={"site_fits": False})
    line = ["train", str(path), "-o", str(tmp_path / "run"), "--resume", "-q"]
    assert run(line) == 0
    assert read_checkpoint(tmp_path / "run" / CHECKPOINT).progress.complete
    assert run(line) == 0
