"""Shapes of networks, and the named sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from phylotools.errors import InputError, UsageError

#: Token of each character; complement reverses A, C, G, T and leaves N and '-' alone.
VOCABULARY = "ACGTN-"
N_TOKENS = len(VOCABULARY)
PAD_TOKEN = VOCABULARY.index("-")
#: What hides a base: that of a base that is not known, which is its own complement.
MASK_TOKEN = VOCABULARY.index("N")
#: Far beyond any use; a size read from a file must not ask for unbounded memory.
_LARGEST_RECEPTIVE_FIELD = 1_000_001
_MOST_PARAMETERS = 1_000_000_000
_MOST_BLOCKS = 10_000
#: Positions of a tile in which a network is computed whose norm runs over positions. The authors of
#: PhyloGPN embed long sequences in windows of 512 and half a receptive field on either side.
GROUP_TILE_LENGTH = 512
#: Beyond exp(50) and exp(-50) substitutions a unit of branch length, no data say anything.
LARGEST_LOG_RATE = 50.0
#: Theta beyond it is that of damaged weights.
LARGEST_THETA = 1000.0


#: Of a model's table ``objective``, ``input``: see `masks_its_site`.
MASKED_INPUT = "masked"


@dataclass(frozen=True)
class ModelSpec:
    """Shape of a reverse-complement-equivariant ByteNet.

    Attributes
    ----------
    channels : int
        H of the residual stream; even.
    bottleneck : int
        H inside a block; even.
    kernel_size : int
        Odd width of the dilated convolution.
    dilations : tuple of int
        One residual block each.
    norm : {'layer', 'group'}
        ``layer`` normalises each position over its channels; ``group`` is the published first
        generation's norm over channels and positions, whose scores depend on the window.
    tied_norm : bool
        Keep norm scales and shifts palindromic, without which equivariance is lost in training.
        False only for weights published without it.
    """

    channels: int
    bottleneck: int
    kernel_size: int = 5
    dilations: tuple[int, ...] = (1, 5)
    norm: str = "layer"
    tied_norm: bool = True

    def __post_init__(self) -> None:
        problems = []
        if self.channels < 2 or self.channels % 2 or self.bottleneck < 2 or self.bottleneck % 2:
            problems.append("channels and bottleneck must be even and positive")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            problems.append("kernel_size must be odd")
        if not self.dilations or min(self.dilations) < 1:
            problems.append("dilations must be positive, one for each block")
        if self.norm not in ("layer", "group"):
            problems.append("norm must be 'layer' or 'group'")
        elif self.receptive_field > _LARGEST_RECEPTIVE_FIELD:
            problems.append(f"the receptive field must not exceed {_LARGEST_RECEPTIVE_FIELD}")
        if len(self.dilations) > _MOST_BLOCKS:
            problems.append(f"dilations must not name more than {_MOST_BLOCKS} blocks")
        if self.n_parameters > _MOST_PARAMETERS:
            problems.append(f"a network of more than {_MOST_PARAMETERS} parameters is too large")
        if problems:
            raise UsageError("network: " + "; ".join(problems))

    @property
    def receptive_field(self) -> int:
        """Positions of sequence that one output reads; odd."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)

    @property
    def n_parameters(self) -> int:
        """Stored parameters, before the symmetries tie half of them."""
        wide, narrow = self.channels, self.bottleneck
        block = (
            2 * (wide + narrow + narrow)
            + narrow * (wide + 1)
            + narrow * (narrow * self.kernel_size + 1)
            + wide * (narrow + 1)
        )
        return N_TOKENS * wide + len(self.dilations) * block + 2 * wide + 4 * (wide + 1)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"dilations": list(self.dilations)}

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, path: str | None = None) -> ModelSpec:
        """Inverse of `to_dict`; unknown or ill-typed keys are an `InputError`."""
        types: dict[str, tuple[type, ...]] = {
            **dict.fromkeys(("channels", "bottleneck", "kernel_size"), (int,)),
            "dilations": (list,),
            "norm": (str,),
            "tied_norm": (bool,),
        }
        check_types("network", values, types, path)
        if any(type(d) is not int for d in values.get("dilations", [])):
            raise InputError("network.dilations must be integers", path=path)
        if "channels" not in values or "bottleneck" not in values:
            raise InputError("network needs channels and bottleneck", path=path)
        try:
            return cls(**values | {"dilations": tuple(values.get("dilations", (1, 5)))})
        except UsageError as error:
            raise InputError(str(error), path=path) from None


def check_types(
    table: str, values: dict[str, Any], types: Mapping[str, tuple[type, ...]], path: str | None
) -> None:
    """Raise `InputError` for a key of a table that is unknown or of none of its types."""
    for key, value in values.items():
        if key not in types:
            raise InputError(f"unknown {table} key '{key}'", path=path)
        if type(value) not in types[key]:
            kind = types[key][0].__name__
            raise InputError(f"{table}.{key} must be of type {kind}", path=path)


def masks_its_site(objective: Mapping[str, Any], *, path: str) -> bool:
    """Whether a model of this table ``objective`` predicts a position from all but its own base.

    Raises
    ------
    InputError
        If it says neither that nor nothing.
    """
    check_types("objective", dict(objective), {"input": (str,)}, path)
    if objective.get("input", MASKED_INPUT) != MASKED_INPUT:
        raise InputError(f"objective.input must be '{MASKED_INPUT}' or left out", path=path)
    return "input" in objective


def model_tables(config: dict[str, Any], *, path: str) -> dict[str, dict[str, Any]]:
    """The tables of a model's configuration: network, substitution, rate and objective.

    A model without the table ``substitution`` was made when there was F81 alone. Its rate, if
    fixed, is then the network's ``fixed_log_rate``.

    Returns
    -------
    dict of str to dict
        Copies; ``substitution`` has the entry ``model``.

    Raises
    ------
    InputError
        If one is missing or no table.
    """
    names = ("network", "substitution", "rate", "objective")
    found = {"substitution": {}, "rate": {}, "objective": {}} | config
    for name in names:
        if not isinstance(found.get(name), dict):
            raise InputError(f"the table [{name}] is missing or no table", path=path)
    tables = {name: dict(found[name]) for name in names}
    if "fixed_log_rate" in tables["network"]:
        tables["rate"] = {"treatment": "fixed", "mean": tables["network"].pop("fixed_log_rate")}
    tables["substitution"].setdefault("model", "f81")
    return tables


#: Named sizes. ``phylogpn`` is the published architecture: 83,185,924 parameters. Dilations of
#: powers of 3 step from codon to codon and leave no hole. The wide ones come soon: what a valid
#: convolution crops, later blocks need not compute. In the same time ``tiny``, ``small`` and
#: ``medium`` predict exons of genes never seen 0.08, 0.16 and 0.11 nats a column better than with 1
#: and 5 (docs/training.md). ``phylogpn2`` has the receptive field and the 256 features that the
#: card of PhyloGPN2 states. What it leaves open, depth, bottleneck and dilations, is ours: hills
#: of powers of 3, the widest first; about as deep as PhyloGPN.
PRESETS = {
    "tiny": ModelSpec(channels=32, bottleneck=16, dilations=(1, 3, 9, 9, 3, 1)),
    "small": ModelSpec(channels=128, bottleneck=64, dilations=(1, 3, 9, 27, 9, 3, 1, 1)),
    "medium": ModelSpec(
        channels=256,
        bottleneck=128,
        dilations=(1, 3, 9, 27, 27, 9, 3, 1, 1, 3, 9, 3, 1, 1, 1, 3, 1, 3, 1, 1),
    ),
    "large": ModelSpec(channels=512, bottleneck=256, dilations=(1, 5) * 20),
    "phylogpn": ModelSpec(channels=960, bottleneck=480, dilations=(1, 5) * 20),
    "phylogpn2": ModelSpec(
        channels=256,
        bottleneck=128,
        dilations=(
            *(1, 3, 9, 27, 81, 81, 27, 9, 3, 1),
            *(1, 3, 9, 27, 9, 3, 1) * 2,
            *(1, 3, 9, 3, 1) * 2,
            *(1,) * 5,
        ),
    ),
}
