from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from small_runs import SMALL, random_store, tables

from phylotools.training.config import TrainingConfig
from phylotools.training.config_file import parse_config


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


@pytest.fixture(scope="session")
def many_segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that a small buffer cuts into dozens of segments."""
    return random_store(tmp_path_factory.mktemp("segments") / "store", 1)


@pytest.fixture(scope="session")
def weighted_segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise, with weights, many of them 0."""
    return random_store(tmp_path_factory.mktemp("weights") / "store", 2, weights=True)


@pytest.fixture
def small(config_of):
    """A configuration with a buffer much smaller than the store."""

    def make(store, **data):
        return config_of(store, data={"buffer_bytes": SMALL} | data)

    return make
