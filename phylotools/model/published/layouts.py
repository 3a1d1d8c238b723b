"""How the tensors of the published networks are called, and which are ours.

Two families of names have been published. Until 2026-04 the layers of a block stood in a row and
had numbers; every release with these names has GroupNorm. Since then they have names, among them
``layer_norm1``. The shapes of both are the same. Before the names stands a prefix: ``_model.`` on
Hugging Face, none in the repository on GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch

from phylotools.errors import InputError, counted, shown
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec

_EMBEDDING = "embedding.parametrizations.weight.original"
_PREFIX = re.compile(rf"((?:\w+\.)*){re.escape(_EMBEDDING)}")
_NORMS = ("norm_in", "norm_mid", "norm_out", "norm")


@dataclass(frozen=True)
class Layout:
    """A family of names.

    Attributes
    ----------
    name : str
    norm : {'layer', 'group'}
        Which every release with these names has.
    says_norm : bool
        Whether the names themselves tell the norm.
    parts : dict of str to str
        Our name of a part of the network -> theirs.
    """

    name: str
    norm: str
    says_norm: bool
    parts: dict[str, str]


NAMED = Layout(
    "named layers (since 2026-04)",
    "layer",
    True,
    {
        "norm_in": "layer_norm1", "conv_in": "conv1",
        "norm_mid": "layer_norm2", "conv_mid": "conv2",
        "norm_out": "layer_norm3", "conv_out": "conv3",
        "norm": "output_layer_norm", "output": "output_conv",
    },
)  # fmt: skip
NUMBERED = Layout(
    "numbered layers (before 2026-04)",
    "group",
    False,
    {
        "norm_in": "layers.0", "conv_in": "layers.2",
        "norm_mid": "layers.3", "conv_mid": "layers.5",
        "norm_out": "layers.6", "conv_out": "layers.8",
        "norm": "output_layers.0", "output": "output_layers.2",
    },
)  # fmt: skip


@dataclass(frozen=True)
class FoundLayout:
    """The layout of some tensors.

    Attributes
    ----------
    layout : Layout
    prefix : str
        Before every name; empty, or ends with a dot.
    """

    layout: Layout
    prefix: str

    def choose_norm(self, wanted: str | None, path: object) -> str:
        """The norm of the network: as its tensors' names have it, or as a user says.

        Raises
        ------
        InputError
            If the names contradict the user.
        """
        if wanted is not None and wanted != self.layout.norm and self.layout.says_norm:
            raise InputError(
                f"the names of the tensors say that the norm is '{self.layout.norm}', "
                f"not '{wanted}'",
                path=str(path),
                remedy="leave --norm out",
            )
        return wanted or self.layout.norm

    def their_names(self, spec: ModelSpec) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Yield our name of each tensor, theirs, and its shape."""
        with torch.device("meta"):  # shapes alone, no memory
            expected = ByteNet(spec).state_dict()
        for ours, tensor in expected.items():
            yield ours, self.prefix + self._their_name(ours), tuple(tensor.shape)

    def _their_name(self, ours: str) -> str:
        *place, part, parameter = ours.split(".")
        theirs = ".".join([*place, self.layout.parts.get(part, part)])
        is_norm = part in _NORMS
        return (
            f"{theirs}.{parameter}"
            if is_norm
            else f"{theirs}.parametrizations.{parameter}.original"
        )


def find_layout(names: Collection[str], path: object) -> FoundLayout:
    """The published layout that some names of tensors belong to.

    Parameters
    ----------
    names : collection of str
    path : path
        Of their file, for messages.

    Raises
    ------
    InputError
        If they belong to none.
    """
    prefixes = [match[1] for name in names if (match := _PREFIX.fullmatch(name))]
    if len(prefixes) == 1:
        (prefix,) = prefixes
        found = [
            layout
            for layout in (NAMED, NUMBERED)
            if f"{prefix}blocks.0.{layout.parts['norm_in']}.weight" in names
        ]
        if len(found) == 1:
            return FoundLayout(found[0], prefix)
    raise InputError(
        "the tensors are not named as those of a published PhyloGPN"
        + (f" (one is {shown(min(names))!r})" if names else ""),
        path=str(path),
        remedy="give the model.safetensors or checkpoint.pt of PhyloGPN, with its configuration "
        "beside it",
    )


def check_blocks(found: FoundLayout, names: Collection[str], spec: ModelSpec, path: object) -> None:
    """Refuse, before anything is built, a configuration with another number of blocks."""
    block = re.compile(re.escape(found.prefix) + r"blocks\.(\d+)\.")
    n_blocks = len({match[1] for name in names if (match := block.match(name))})
    if n_blocks != len(spec.dilations):
        raise InputError(
            f"has tensors of {counted(n_blocks, 'block')}, its configuration describes "
            f"{len(spec.dilations):,}",
            path=str(path),
            remedy="give the configuration that was published with these weights",
        )
