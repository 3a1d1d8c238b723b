"""The model that training begins with: new, or with the weights of another one."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor

from phylotools.errors import InputError
from phylotools.model.folder import CONFIG, WEIGHTS, ModelIdentity, open_model
from phylotools.model.registry import find_model
from phylotools.model.site_model import SiteModel, SiteModelSpec
from phylotools.model.weights import fill_module, load_folder_tensors, tensors_under
from phylotools.provenance import sha256_file
from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.config import TrainingConfig

logger = logging.getLogger("phylotools")


def new_model(config: TrainingConfig) -> SiteModel:
    """The model that a configuration describes, with new weights."""
    model = config.site_model_spec().build()
    model.start_at_neutral_rate()
    _choose_learned(model, config)
    return model


def _choose_learned(model: SiteModel, config: TrainingConfig) -> None:
    learn = config.substitution.learn
    for name, parameter in model.substitution.named_parameters():
        is_frequency = name == "log_frequencies"
        parameter.requires_grad_(
            learn == "all" or (learn == "exchangeabilities" and not is_frequency)
        )
    if model.fixed_log_rate is not None:
        model.fixed_log_rate.requires_grad_(config.rate.learn)


def fill_from_model(model: SiteModel, config: TrainingConfig) -> dict[str, str] | None:
    """Give a new model the weights of ``run.init_from``, if the configuration names one.

    The parameters that all sites share come along, but for those that the configuration gives. The
    assumption on the rate is the configuration's.

    Returns
    -------
    dict or None
        Name, revision and SHA-256 of the other model, as checkpoint and manifest note them; a
        checkpoint's revision is its step.

    Raises
    ------
    InputError
        If there is no such model, or its network or substitution model is another.
    """
    if not config.run.init_from:
        return None
    path, origin, spec, tensors = _read_origin(config)
    wanted = model.network.spec
    if spec.network != wanted:
        theirs, ours = spec.network.to_dict(), wanted.to_dict()
        differ = [
            f"{key} is {theirs[key]}, not {ours[key]}" for key in ours if theirs[key] != ours[key]
        ]
        raise InputError(
            f"run.init_from: its network has another shape: {'; '.join(differ)}",
            path=path,
            remedy="give the table network the same shape",
        )
    if spec.substitution != model.substitution.name:
        raise InputError(
            f"run.init_from: its substitution model is {spec.substitution}, the configuration's "
            f"{model.substitution.name}",
            path=path,
        )
    fill_module(model.network, tensors_under("network.", tensors), path)
    given = config.substitution.settings()
    shared = model.substitution.state_dict()
    for name, tensor in tensors_under("substitution.", tensors).items():
        if name in shared and _setting_of(name) not in given:
            shared[name] = tensor
    fill_module(model.substitution, shared, path)
    logger.info("starting from %s, revision %s", origin.name, origin.revision)
    return origin.to_dict()


def _setting_of(tensor: str) -> str:
    """The setting that a tensor of a substitution model holds the logarithm of."""
    name = tensor.removeprefix("log_")
    return "mutation_frequencies" if name == "frequencies" else name


def _read_origin(
    config: TrainingConfig,
) -> tuple[Path, ModelIdentity, SiteModelSpec, dict[str, Tensor]]:
    """File of weights, identity, shape and tensors (as a `SiteModel` names them)."""
    given = config.run.init_from
    near = config.folder / given
    if near.is_file():
        checkpoint = read_checkpoint(near)
        tensors = checkpoint.selected_tensors()
        step = checkpoint.progress.selected_step
        return (
            near,
            ModelIdentity(given, f"step {step}", sha256_file(near)),
            checkpoint.spec,
            tensors,
        )
    model = open_model(near if near.is_dir() else find_model(given))
    path = model.folder / WEIGHTS
    spec = SiteModelSpec.from_dict(model.config, path=str(model.folder / CONFIG))
    return path, model.from_sequence_alone().identity, spec, load_folder_tensors(path)
