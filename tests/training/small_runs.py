"""Training runs of seconds for tests: configurations, stores, and kills."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phylotools.phylogeny.tree import parse_newick
from phylotools.provenance import RunRecord
from phylotools.store import schema
from phylotools.store.assemble import assemble_store
from phylotools.store.chunks import StoredChunk, chunk_digest, encode_values
from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT, METRICS, METRICS_COLUMNS

#: A run of seconds: 973 columns, 30 species, a network of 1,500 parameters.
TABLES: dict[str, dict[str, Any]] = {
    "network": {"preset": "tiny", "channels": 8, "bottleneck": 4, "dilations": [1, 2]},
    "optimiser": {
        "steps": 20, "windows_per_batch": 4, "window_length": 48, "learning_rate": 0.02,
        "warmup_steps": 2,
    },
    "run": {"seed": 5, "log_every": 1, "evaluate_every": 8, "checkpoint_every": 6},
}  # fmt: skip


def tables(store: Path, **changes: dict[str, Any]) -> dict[str, Any]:
    """Nothing is held out unless the changes say so."""
    data = {"stores": [str(store)], "held_out_fraction": 0}
    merged: dict[str, Any] = {"data": data, **copy.deepcopy(TABLES)}
    for name, values in changes.items():
        merged[name] = merged.get(name, {}) | values
    return merged


#: Contigs of `many_segments`: whole chunks, parts of chunks, less than a window.
CONTIGS = [("one", 11_000), ("tiny", 5), ("two", 2048), ("three", 17_001)]

#: Bytes of a buffer of which those 30,000 columns are several groups.
SMALL = 40_000


def random_store(folder: Path, seed: int, *, weights: bool = False) -> Path:
    """Store of five species: random bases, blocks with holes, some columns with few species."""
    rng = np.random.default_rng(seed)

    def chunks():
        for contig, (_, length) in enumerate(CONTIGS):
            for index in range(-(-length // schema.CHUNK_LENGTH)):
                size = min(length - index * schema.CHUNK_LENGTH, schema.CHUNK_LENGTH)
                bases = np.full((5, schema.CHUNK_LENGTH), schema.NO_BLOCK, dtype=np.uint8)
                bases[:, :size] = rng.integers(0, 4, (5, size)) | rng.choice([0, 8], (5, size))
                bases[2:, :size][:, rng.random(size) < 0.1] = schema.GAP_IN_BLOCK
                bases[1, :size][rng.random(size) < 0.1] = schema.GAP_IN_BLOCK
                for start in rng.integers(0, schema.CHUNK_LENGTH, 3).tolist():
                    bases[:, start : start + 200] = schema.NO_BLOCK
                depth = ((bases & schema.CODE_MASK) < schema.N).sum(axis=0).astype(np.uint16)
                blob, digest = encode_values(bases), chunk_digest(bases)
                yield StoredChunk(contig, index, blob, digest, bases[0], depth)

    assemble_store(
        folder,
        tree=parse_newick("((a:0.1,b:0.2):0.1,(c:0.1,d:0.3):0.2,e:0.3);"),
        reference_species="a",
        contigs=CONTIGS,
        chunks=chunks(),
        weights=_weights if weights else None,
        statistics={},
        run=RunRecord(inputs={"alignment": None}),
    )
    return folder


def _weights(region) -> np.ndarray:
    positions = np.arange(region.start, region.end)
    return np.where(positions % 700 < 300, 0, positions % 7 / 4).astype(np.float32)


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


def train_until(config, folder, step: int, *, resume: bool = False, extend: bool = False) -> None:
    """Train, and die without a word when `step` steps are done."""
    trainer = Trainer(config, folder, CPU, resume=resume, extend=extend)
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
    same_run(tmp_path / "whole", tmp_path / "parts")
    tensors = read_checkpoint(tmp_path / "whole" / CHECKPOINT).tensors
    assert any(name.startswith("best.") for name in tensors)


def same_run(one: Path, other: Path) -> None:
    """Assert that two runs have the same figures and end in the same checkpoint, bit for bit."""
    assert (one / METRICS).read_bytes() == (other / METRICS).read_bytes()
    a, b = (read_checkpoint(folder / CHECKPOINT) for folder in (one, other))
    assert a.progress == b.progress
    assert a.facts == b.facts
    assert a.tensors.keys() == b.tensors.keys()
    assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
