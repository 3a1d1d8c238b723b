"""Weights as safetensors: never pickle."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from phylotools.errors import InputError
from phylotools.model.site_model import SiteModel, SiteModelSpec

#: In a model folder the network's tensors have no prefix.
_NETWORK, _SUBSTITUTION = "network.", "substitution."
#: A weight beyond it is damage: initial ones are below 10, and training moves them by little.
_LARGEST_WEIGHT = 1e6
#: Written in the configuration alone, to all its digits.
_FIXED_RATE = "fixed_log_rate"


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors and string metadata as one safetensors file.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(on_cpu, metadata=dict(metadata))
    # Not save_file: it makes private files, and its error of a full disk is no OSError.
    with open(path, "wb") as handle:
        handle.write(data)


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises
    ------
    InputError
        If the file cannot be read or is no complete safetensors file.
    """
    with _opened(path) as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        return tensors, handle.metadata() or {}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Metadata of a safetensors file, whose tensors stay on the disk.

    Raises
    ------
    InputError
        If the file cannot be read or is no complete safetensors file.
    """
    with _opened(path) as handle:
        return handle.metadata() or {}


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    try:
        with safetensors.safe_open(os.fspath(path), framework="pt", device="cpu") as handle:
            yield handle
    except FileNotFoundError:
        raise InputError("there is no such file", path=path) from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"not a complete safetensors file ({error})", path=path, remedy="copy it again"
        ) from None


def folder_tensors(model: SiteModel) -> dict[str, Tensor]:
    """The tensors of a model as its folder names them.

    Those of the network have the names that they have in it, the parameters shared by all sites
    the prefix ``substitution.``.
    """
    return {
        name.removeprefix(_NETWORK): tensor
        for name, tensor in model.state_dict().items()
        if name != _FIXED_RATE
    }


def load_folder_tensors(path: Path) -> dict[str, Tensor]:
    """Inverse of `folder_tensors`: those of a file of weights, as `SiteModel` names them.

    Raises
    ------
    InputError
        If the file cannot be read or is no complete safetensors file.
    """
    return {
        name if name.startswith(_SUBSTITUTION) else _NETWORK + name: tensor
        for name, tensor in load_tensors(path)[0].items()
    }


def tensors_under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def load_site_model(path: Path, spec: SiteModelSpec, device: torch.device) -> SiteModel:
    """Build a model and fill it from a weights file, ready for inference.

    Parameters
    ----------
    path : Path
        ``weights.safetensors`` of a model folder.
    spec : SiteModelSpec
    device : torch.device

    Returns
    -------
    SiteModel
        Frozen: symmetrised once, without gradients.

    Raises
    ------
    InputError
        If the tensors are not exactly those of `spec`.
    """
    return load_unfrozen(path, spec).to(device).freeze()


def load_unfrozen(path: Path, spec: SiteModelSpec) -> SiteModel:
    """As `load_site_model`, on the CPU and not frozen."""
    tensors = load_folder_tensors(path)
    if spec.rate.treatment == "fixed":
        tensors[_FIXED_RATE] = torch.tensor(spec.rate.mean, dtype=torch.float32)
    model = build_site_model(spec, tensors, path)
    _check_settings(spec, model, path)
    return model


def build_site_model(spec: SiteModelSpec, tensors: Mapping[str, Tensor], path: Path) -> SiteModel:
    """A model filled with tensors that must be exactly its own, else an `InputError`."""
    # Compare before building: a hostile size in a file must not allocate.
    stored = sum(t.numel() for name, t in tensors.items() if name.startswith(_NETWORK))
    if stored != spec.network.n_parameters:
        raise InputError("the weights do not fit the network's described shape", path=path)
    model = spec.build()
    fill_module(model, tensors, path)
    return model


def _check_settings(spec: SiteModelSpec, model: SiteModel, path: Path) -> None:
    """The shared parameters are written twice: exactly as tensors, readably as settings."""
    for key, value in model.substitution.settings().items():
        stated, found = (torch.tensor(v) for v in (spec.settings.get(key, value), value))
        if not torch.allclose(stated.double(), found.double(), rtol=1e-4, atol=1e-7):
            raise InputError(
                f"the tensors say {key} = {value}, the configuration {spec.settings[key]}",
                path=path,
                remedy="fetch or export the model again",
            )


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a module of exactly their names, shapes and type."""
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors or name not in expected:
            state = "is missing" if name in expected else "is unknown"
            raise InputError(f"tensor {name} {state}; the weights fit another model", path=path)
        check_tensor(name, tensors[name], tuple(expected[name].shape), path)
    module.load_state_dict({name: tensors[name] for name in expected})


def check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...], path: Path) -> None:
    """Refuse a tensor of another shape or type, or with numbers that no training gives.

    Parameters
    ----------
    name : str
        As the file of weights has it.
    tensor : Tensor
    shape : tuple of int
        What it must be.
    path : Path
        The file, for messages.

    Raises
    ------
    InputError
        If the tensor is none that the network can have.
    """
    check_kind(name, tuple(tensor.shape), str(tensor.dtype), shape, path)
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"tensor {name} holds NaN or infinite numbers", path=path)
    if bool((tensor.abs() > _LARGEST_WEIGHT).any()):
        raise InputError(
            f"tensor {name} holds numbers beyond {_LARGEST_WEIGHT:g}: the weights are damaged, "
            "or their training diverged",
            path=path,
            remedy="fetch or export the model again",
        )


def check_kind(
    name: str, found: tuple[int, ...], dtype: str, shape: tuple[int, ...], path: Path
) -> None:
    """Refuse the shape or type that a file states for a tensor, before the tensor is read.

    Parameters
    ----------
    name : str
    found, shape : tuple of int
        As the file has it, and as the network needs it.
    dtype : str
        Of the file, ``torch.float32`` for what we take.
    path : Path
        The file, for messages.

    Raises
    ------
    InputError
        If either is wrong.
    """
    if found != shape:
        raise InputError(f"tensor {name} has shape {found}, the model needs {shape}", path=path)
    if dtype != str(torch.float32):
        raise InputError(f"tensor {name} is {dtype}, not float32", path=path)
