from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from phylotools.training.config import TrainingConfig
from phylotools.training.config_file import parse_config

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
    merged: dict[str, Any] = {"data": {"stores": [str(store)]}, **copy.deepcopy(TABLES)}
    for name, values in changes.items():
        merged[name] = merged.get(name, {}) | values
    return merged


@pytest.fixture
def config_of() -> Callable[..., TrainingConfig]:
    """Make a checked configuration from a store and changes to its tables."""

    def make(store: Path, **changes: dict[str, Any]) -> TrainingConfig:
        config, errors = parse_config(tables(store, **changes), store.parent)
        assert config is not None, errors
        return config

    return make


@pytest.fixture
def config_file(tmp_path: Path, mammals_store: Path) -> Callable[..., Path]:
    """Write a configuration of the mammals' store."""

    def write(**changes: dict[str, Any]) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(tomli_w.dumps(tables(mammals_store, **changes)))
        return path

    return write
