"""The authors' network out of a checkout of songlab-cal/phylogpn, to run beside ours; no script."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from phylotools.model.folder import Model
from phylotools.model.published.importing import ImportRequest, import_published
from phylotools.model.registry import load_model

#: What their configuration says.
CONFIGURATION = {
    "outer_dim": 960, "inner_dim": 480, "stack_size": 2, "num_stacks": 20, "kernel_size": 5
}  # fmt: skip


class ChannelNorm(nn.GroupNorm):
    """The norm of their releases since 2026-04, under the name that it had before."""

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.swapaxes(1, 2), (x.shape[1],), self.weight, self.bias, self.eps)
        return normed.swapaxes(1, 2)


def original_network(checkout: Path, *, norm: str = "group", seed: int = 1) -> Any:
    """Their network of 83 million parameters with random weights.

    Parameters
    ----------
    checkout : Path
        Holds ``src/phylogpn.py``.
    norm : {'group', 'layer'}
        As in the repository, or as in the newer releases: the same weights.
    seed : int
    """
    theirs = _module(checkout / "src" / "phylogpn.py")
    kernel, stacks = CONFIGURATION["kernel_size"], CONFIGURATION["num_stacks"]
    torch.manual_seed(seed)
    network = theirs.RCEByteNet(
        input_involution_indices=[3, 2, 1, 0, 4, 5],
        output_involution_indices=[3, 2, 1, 0],
        dilation_rates=[kernel**i for i in range(CONFIGURATION["stack_size"])] * stacks,
        outer_dim=CONFIGURATION["outer_dim"],
        inner_dim=CONFIGURATION["inner_dim"],
        kernel_size=kernel,
        pad_token_idx=5,
    )
    if norm == "layer":
        for part in network.modules():
            if type(part) is nn.GroupNorm:
                part.__class__ = ChannelNorm
    return network.eval().requires_grad_(False)


def baked(network: Any) -> Any:
    """The network with its parametrisations removed: weights are symmetrised once."""
    for part in list(network.modules()):
        if parametrize.is_parametrized(part):
            for name in list(part.parametrizations):
                parametrize.remove_parametrizations(part, name)
    return network


def imported_model(network: Any, folder: Path, norm: str = "layer") -> Model:
    """Our model of the same weights, by way of `model import`.

    Parameters
    ----------
    network : Module
        From `original_network`, with its parametrisations.
    folder : Path
        Where the checkpoint and the model folder are made.
    norm : {'layer', 'group'}
    """
    torch.save({"model_state_dict": network.state_dict()}, folder / "checkpoint.pt")
    text = "".join(f"{key}: {value}\n" for key, value in CONFIGURATION.items())
    (folder / "config.yaml").write_text(text)
    made = folder / f"model_{norm}"
    import_published(folder, made, ImportRequest("random", norm=norm))
    return load_model(str(made))


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise SystemExit(f"error: {path} is missing; give a checkout of songlab-cal/phylogpn")
    found = importlib.util.spec_from_file_location("original_phylogpn", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["original_phylogpn"] = module
    found.loader.exec_module(module)
    return module
