"""Checkpoints: model, optimiser and place in the data, in one safetensors file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import tomli_w
import torch
from torch import Tensor, nn

from phylotools.errors import InputError
from phylotools.io.files import atomic_path
from phylotools.model.site_model import SiteModel, SiteModelSpec
from phylotools.model.weights import (
    build_site_model,
    load_metadata,
    load_tensors,
    save_tensors,
    tensors_under,
)
from phylotools.provenance import RunRecord

FORMAT = "phylotools checkpoint 3"
_CHECKSUM = "crc32c"

#: Facts of every training store.
_STORE_FACTS = {
    "fingerprint": str,
    "species": int,
    "training_columns": int,
    "reference_species": str,
}


class DamagedCheckpoint(InputError):
    """A checkpoint that is not as it was written: truncated, altered or gone."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes
    ----------
    step : int
        Steps done.
    best_metric : float or None
        Best value of the selection metric so far.
    best_step : int
        The step of the weights kept as best.
    stale : int
        Evaluations since the best one, or since the learning rate fell.
    falls : int
        How often the learning rate has fallen.
    best_held_out : float or None
        Best log-likelihood of held-out columns so far, whatever selects the weights.
    best_held_out_step : int
    null_constants, null_tree : float or None
        Log-likelihoods of the held-out columns under the null models.
    warnings : dict of str to str
        Warnings of the training that go into the card, by kind.
    complete : bool
        Training has ended.
    stopped : str
        Why, in words.
    """

    step: int = 0
    best_metric: float | None = None
    best_step: int = 0
    stale: int = 0
    falls: int = 0
    best_held_out: float | None = None
    best_held_out_step: int = 0
    null_constants: float | None = None
    null_tree: float | None = None
    warnings: dict[str, str] = field(default_factory=dict)
    complete: bool = False
    stopped: str = ""

    @property
    def held_out_figures(self) -> dict[str, float]:
        """Log-likelihoods of the held-out columns: the best of the network's, the null models'."""
        figures = {
            "best": self.best_held_out,
            "null_constants": self.null_constants,
            "null_tree": self.null_tree,
        }
        return {name: value for name, value in figures.items() if value is not None}

    @property
    def selected_step(self) -> int:
        """The step of the weights that become the model."""
        return self.best_step or self.step


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back.

    Attributes
    ----------
    progress : Progress
    config : dict
        The training configuration's tables.
    spec : SiteModelSpec
        With the shared parameters and the rate as they stand.
    facts : dict
        What the model's manifest will say of its training data.
    tensors : dict of str to Tensor
        ``model.*``, ``average.*`` (of the weights, where a run has one), ``best.*`` (the selected
        weights, when they are not the last) and ``optimiser.*``.
    """

    progress: Progress
    config: dict[str, Any]
    spec: SiteModelSpec
    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names begin with `prefix`, without it."""
        return tensors_under(prefix, self.tensors)

    def selected_model(self, path: Path) -> SiteModel:
        """The model that the run's selection rule chose, frozen."""
        return build_site_model(self.spec, self.selected_tensors(), path).freeze()

    def selected_tensors(self) -> dict[str, Tensor]:
        """The weights of `selected_model`, by their names in it."""
        return self.part("best.") or self.part("average.") or self.part("model.")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all, replacing the one before."""
    metadata = {
        "format": FORMAT,
        "progress": json.dumps(checkpoint.progress.__dict__),
        "config": json.dumps(checkpoint.config),
        "model": json.dumps(checkpoint.spec.to_dict()),
        "facts": json.dumps(checkpoint.facts),
        "run": json.dumps(RunRecord().to_dict()),
    }
    tensors = {name: tensor.detach().cpu() for name, tensor in checkpoint.tensors.items()}
    metadata[_CHECKSUM] = str(checkpoint_checksum(metadata, tensors))
    with atomic_path(path, force=True) as temporary:
        save_tensors(temporary, tensors, metadata)


def checkpoint_checksum(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> int:
    """CRC-32C of all that a checkpoint holds; its file has none, and a flipped bit is a number.

    Parameters
    ----------
    metadata : mapping of str to str
        That of the file, whose own ``crc32c`` does not count.
    tensors : mapping of str to Tensor
    """
    texts = {key: text for key, text in metadata.items() if key != _CHECKSUM}
    found = google_crc32c.value(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(tensors):
        found = google_crc32c.extend(found, name.encode())
        content = tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy()
        found = google_crc32c.extend(found, content)
    return int(found)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    DamagedCheckpoint
        If it is not whole.
    InputError
        If it is no checkpoint, or another version's.
    """
    try:
        tensors, metadata = load_tensors(path)
    except InputError as error:
        raise DamagedCheckpoint(error.problem, path=path, remedy=error.remedy) from None
    _check_format(path, metadata)
    try:
        if metadata[_CHECKSUM] != str(checkpoint_checksum(metadata, tensors)):
            raise ValueError("the checksum is another")
        return Checkpoint(
            _parse_progress(_parse_table("progress", metadata["progress"])),
            _parse_config(metadata["config"]),
            SiteModelSpec.from_dict(_parse_table("model", metadata["model"]), path=str(path)),
            _parse_facts(metadata["facts"]),
            tensors,
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None


def read_progress(path: Path) -> Progress:
    """Where a run stands, without reading its tensors.

    Raises
    ------
    InputError
        If the checkpoint is damaged or none.
    """
    metadata = load_metadata(path)
    _check_format(path, metadata)
    try:
        return _parse_progress(_parse_table("progress", metadata["progress"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None


def read_objective(path: Path) -> str:
    """``objective.kind`` of a run's configuration, without reading its tensors.

    Raises
    ------
    InputError
        As for `read_progress`.
    """
    metadata = load_metadata(path)
    _check_format(path, metadata)
    try:
        objective = _parse_config(metadata["config"]).get("objective", {})
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    return str(objective.get("kind", "phylogenetic"))


def _check_format(path: Path, metadata: dict[str, str]) -> None:
    found = metadata.get("format", "")
    if found != FORMAT and found.startswith("phylotools checkpoint"):
        raise InputError("another version of phylotools made this checkpoint", path=path)
    if found != FORMAT:
        raise InputError("not a phylotools checkpoint", path=path)


def _damaged(path: Path, error: Exception) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"the checkpoint is damaged ({error})", path=path)


def _parse_table(name: str, text: str) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"{name} is no table")
    # Half a surrogate pair can be read but never written.
    json.dumps(values, ensure_ascii=False).encode()
    return values


def _parse_config(text: str) -> dict[str, Any]:
    config = _parse_table("config", text)
    if not all(isinstance(table, dict) for table in config.values()):
        raise ValueError("config holds no tables")
    tomli_w.dumps(config)  # an export writes it: what TOML cannot hold is found here
    return config


def _parse_facts(text: str) -> dict[str, Any]:
    facts = _parse_table("facts", text)
    for name in ("length", "steps_per_epoch"):
        if type(facts[name]) is not int or facts[name] < 1:
            raise ValueError(f"{name} is {facts[name]!r}")
    stores = facts["training_stores"]
    if not isinstance(stores, list) or not all(isinstance(store, dict) for store in stores):
        raise ValueError("facts describe no training stores")
    for store in stores:
        for name, kind in _STORE_FACTS.items():
            if type(store[name]) is not kind:
                raise ValueError(f"{name} of a training store is {store[name]!r}")
    return facts


def _parse_progress(values: dict[str, Any]) -> Progress:
    progress = Progress(**values)
    for name, default in Progress().__dict__.items():
        value = getattr(progress, name)
        if default is None:
            is_right = value is None or (isinstance(value, float) and math.isfinite(value))
        else:
            is_right = type(value) is type(default) and not (type(value) is int and value < 0)
        if not is_right:
            raise ValueError(f"{name} is {value!r}")
    if not all(isinstance(text, str) for text in progress.warnings.values()):
        raise ValueError("warnings are no texts")
    return progress


def describe_checkpoint(path: str | Path) -> dict[str, Any]:
    """Progress, model, configuration and training data of a checkpoint, for `inspect`."""
    checkpoint = read_checkpoint(Path(path))
    return {
        **checkpoint.progress.__dict__,
        **checkpoint.spec.to_dict(),
        "configuration": checkpoint.config,
        **checkpoint.facts,
    }


def optimiser_tensors(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's moments and step counts under the names of their parameters."""
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
    return {
        f"{names[parameter]}.{key}": value
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def restore_optimiser(
    model: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Inverse of `optimiser_tensors`; a tensor that cannot be theirs is a ValueError."""
    for name, parameter in model.named_parameters():
        keys = ("step", "exp_avg", "exp_avg_sq")
        if f"{name}.step" in tensors:
            for key in keys:
                tensor = tensors[f"{name}.{key}"]
                shape = torch.Size() if key == "step" else parameter.shape
                if tensor.shape != shape or tensor.dtype != parameter.dtype:
                    raise ValueError(f"optimiser.{name}.{key} has the wrong shape or type")
                if not tensor.isfinite().all() or (key != "exp_avg" and (tensor < 0).any()):
                    raise ValueError(f"optimiser.{name}.{key} is out of range")
            optimiser.state[parameter] = {
                # AdamW keeps the step count on the CPU, the moments with the parameter.
                key: tensors[f"{name}.{key}"].to("cpu" if key == "step" else parameter.device)
                for key in keys
            }
