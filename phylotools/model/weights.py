"""Network weights as safetensors: never pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from phylotools.errors import InputError
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec


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
    try:
        with safetensors.safe_open(os.fspath(path), framework="pt", device="cpu") as handle:
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
            return tensors, handle.metadata() or {}
    except FileNotFoundError:
        raise InputError("there is no such file", path=path) from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"not a complete safetensors file ({error})", path=path, remedy="copy it again"
        ) from None


def load_network(path: Path, spec: ModelSpec, device: torch.device) -> ByteNet:
    """Build a network and fill it from a weights file, ready for inference.

    Parameters
    ----------
    path : Path
        ``weights.safetensors`` of a model folder.
    spec : ModelSpec
    device : torch.device

    Returns
    -------
    ByteNet
        Frozen: symmetrised once, without gradients.

    Raises
    ------
    InputError
        If the tensors are not exactly those of `spec`.
    """
    tensors, _ = load_tensors(path)
    return build_network(spec, tensors, path).to(device).freeze()


def build_network(spec: ModelSpec, tensors: Mapping[str, Tensor], path: Path) -> ByteNet:
    """A network filled with tensors that must be exactly its own, else an `InputError`."""
    # Compare before building: a hostile size in a file must not allocate.
    if sum(tensor.numel() for tensor in tensors.values()) != spec.n_parameters:
        raise InputError("the weights do not fit the network's described shape", path=path)
    network = ByteNet(spec)
    fill_network(network, tensors, path)
    return network


def fill_network(network: ByteNet, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a network of exactly their names, shapes and type."""
    expected = network.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors or name not in expected:
            state = "is missing" if name in expected else "is unknown"
            raise InputError(f"tensor {name} {state}; the weights fit another network", path=path)
        if tensors[name].shape != expected[name].shape:
            raise InputError(
                f"tensor {name} has shape {tuple(tensors[name].shape)}, "
                f"the network needs {tuple(expected[name].shape)}",
                path=path,
            )
        if tensors[name].dtype != torch.float32:
            raise InputError(f"tensor {name} is {tensors[name].dtype}, not float32", path=path)
        if not bool(torch.isfinite(tensors[name]).all()):
            raise InputError(f"tensor {name} holds NaN or infinite numbers", path=path)
    network.load_state_dict({name: tensors[name] for name in expected})
