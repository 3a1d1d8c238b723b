"""Runs that are killed and resumed, for the tests of training."""

from __future__ import annotations

import pytest
import torch

from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT, METRICS, METRICS_COLUMNS

CPU = torch.device("cpu")

HOLDS_OUT = {
    "data": {"held_out_regions": ["chrM:10500-10600"], "held_out_species_fraction": 0.2},
    "run": {"select_by": "held_out_species"},
}


def metrics_of(folder) -> list[dict[str, str]]:
    lines = (folder / METRICS).read_text().splitlines()
    assert tuple(lines[0].split("\t")) == METRICS_COLUMNS
    return [dict(zip(METRICS_COLUMNS, line.split("\t"), strict=True)) for line in lines[1:]]


class Killed(Exception):
    pass


def train_until(config, folder, step: int, *, resume: bool = False) -> None:
    """Train, and die without a word when `step` steps are done."""
    trainer = Trainer(config, folder, CPU, resume=resume)
    take = trainer._step

    def stop(batch):
        if trainer.progress.step >= step:
            raise Killed
        return take(batch)

    trainer._step = stop
    with pytest.raises(Killed):
        trainer.run()


def resumes_to_the_same(config, tmp_path, stops: list[int]) -> None:
    """Assert that runs killed at these steps end as one that was not, bit for bit."""
    Trainer(config, tmp_path / "whole", CPU).run()
    for number, stop in enumerate(stops):
        train_until(config, tmp_path / "parts", stop, resume=number > 0)
    trainer = Trainer(config, tmp_path / "parts", CPU, resume=True)
    assert trainer.progress.step == stops[-1] // 6 * 6
    trainer.run()
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    assert (whole / METRICS).read_bytes() == (parts / METRICS).read_bytes()
    a, b = read_checkpoint(whole / CHECKPOINT), read_checkpoint(parts / CHECKPOINT)
    assert a.progress == b.progress
    assert a.facts == b.facts
    assert a.tensors.keys() == b.tensors.keys()
    assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
    assert any(name.startswith("best.") for name in a.tensors)
