"""The configuration of a published network: five whole numbers, in JSON or in lines of text.

``config.yaml`` needs no YAML: its five lines ``name: number`` are all that is taken. A parser of
YAML would be one more dependency, with tags and anchors to guard against.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from phylotools.errors import InputError, UsageError, shown
from phylotools.io.files import open_regular
from phylotools.model.presets import ModelSpec

CONFIG_JSON, CONFIG_YAML = "config.json", "config.yaml"
#: What a configuration must say, and the largest value that a network can have.
_KEYS = {
    "outer_dim": 100_000,
    "inner_dim": 100_000,
    "kernel_size": 1_001,
    # Each further one multiplies the dilation by the kernel's size.
    "stack_size": 20,
    "num_stacks": 10_000,
}
_MODEL_TYPE = "phylogpn"
#: The published ones have 400 bytes.
_LARGEST = 64 << 10
_YAML_LINE = re.compile(r"(\w+):[ \t]+(\d{1,9})[ \t]*(?:#.*)?")


def read_configuration(path: Path, norm: str) -> ModelSpec:
    """Shape of a published network.

    Parameters
    ----------
    path : Path
        ``config.json`` or ``config.yaml``; names of files and classes in it are not looked at.
    norm : {'layer', 'group'}
        Which no configuration says.

    Returns
    -------
    ModelSpec
        With untied norms: the published networks train each scale by itself.

    Raises
    ------
    InputError
        If one of the five numbers is missing or impossible, or the model is of another type.
    """
    text = _read(path)
    values = _from_yaml(text, path) if path.suffix == ".yaml" else _from_json(text, path)
    for key, largest in _KEYS.items():
        value = values.get(key)
        # Not isinstance: true is no number.
        if type(value) is not int or not 1 <= value <= largest:
            found = "is missing" if key not in values else f"is {shown(repr(value))}"
            raise InputError(
                f"{key} {found}; a published configuration has a whole number up to {largest}",
                path=path,
            )
    width = values["kernel_size"]
    dilations = [width**power for power in range(values["stack_size"])] * values["num_stacks"]
    try:
        return ModelSpec(
            values["outer_dim"], values["inner_dim"], width, tuple(dilations), norm, tied_norm=False
        )
    except UsageError as error:
        raise InputError(str(error), path=path) from None


def _read(path: Path) -> str:
    with open_regular(path) as handle:
        data = handle.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise InputError("is too large for a published configuration", path=path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("the file is not UTF-8 text", path=path) from None


def _from_json(text: str, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("is no JSON", path=path, remedy="download it again") from None
    if not isinstance(values, dict):
        raise InputError("is no JSON object", path=path, remedy="download it again")
    kind = values.get("model_type", _MODEL_TYPE)
    if kind != _MODEL_TYPE:
        raise InputError(
            f"describes a model of type {shown(repr(kind))}, not '{_MODEL_TYPE}'", path=path
        )
    return values


def _from_yaml(text: str, path: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _YAML_LINE.fullmatch(line)
        if match is None:
            raise InputError(
                f"expected a line 'name: number', not {shown(repr(line))}", path=path, line=number
            )
        values[match[1]] = int(match[2])
    return values
