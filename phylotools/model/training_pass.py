"""How a network in training is computed by torch's products: narrower, compiled, in less memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from phylotools.errors import PhylotoolsError, UsageError
from phylotools.model import halved
from phylotools.model.device import arithmetic

if TYPE_CHECKING:
    from phylotools.model.network import ByteNet

logger = logging.getLogger("phylotools")

#: Arithmetics of the products.
TRAINING_PRECISIONS = ("float32", "bfloat16")


def _dense(network: ByteNet, tokens: Tensor) -> Tensor:
    return network.dense(tokens)


@dataclass(frozen=True)
class TrainingPass:
    """A pass by torch's products, with a gradient; theta is float32 whatever the products are.

    Attributes
    ----------
    precision : {'float32', 'bfloat16'}
        Of the products. Norms, the residual stream and all weights stay float32.
    compute : callable
        Network and tokens to theta: plainly, or compiled.
    """

    precision: str
    compute: Callable[[ByteNet, Tensor], Tensor]

    def __call__(self, network: ByteNet, tokens: Tensor) -> Tensor:
        """Theta of every position, float32 (B, L, A)."""
        with arithmetic(self.precision, tokens.device):
            return self.compute(network, tokens).float()


def set_training_pass(
    network: ByteNet,
    shape: tuple[int, int],
    *,
    precision: str = "float32",
    recomputes: bool = False,
    is_compiled: bool = False,
) -> None:
    """Say how a network is computed until it is frozen; in float32 as ever, if nothing is said.

    Parameters
    ----------
    network : ByteNet
    shape : (int, int)
        Windows that are computed together, and predicted positions of each: for these a compiled
        network is compiled here and now, and again where others come.
    precision : {'float32', 'bfloat16'}
    recomputes : bool
        As `ByteNet.recomputes`.
    is_compiled : bool

    Raises
    ------
    UsageError
        If the device has no such arithmetic.
    PhylotoolsError
        If torch cannot compile here.
    """
    device = network.output.bias.device
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError("optimiser.precision: this GPU has no bfloat16; leave it at float32")
    network.recomputes, network.training_pass = recomputes, None
    if is_compiled:
        network.training_pass = TrainingPass(precision, torch.compile(_dense))
        _try(network, *shape)
    elif precision != "float32":
        network.training_pass = TrainingPass(precision, _dense)
    elif recomputes and device.type == "cpu" and halved.suits(network.spec):
        logger.warning(
            "run.recompute_activations has no effect on this network on a CPU in float32, which "
            "keeps little of a window; more of optimiser.parts need less memory"
        )


def _try(network: ByteNet, windows: int, width: int) -> None:
    """One pass and its gradient, so that what cannot be compiled is known before training."""
    device, length = network.output.bias.device, width + network.spec.receptive_field - 1
    tokens = torch.zeros(windows, length, dtype=torch.int64, device=device)
    try:
        network(tokens).sum().backward()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler, or the lack of one, makes of it
        reason = next(iter(str(error).strip().splitlines()), repr(error))
        raise PhylotoolsError(
            f"run.compile: torch cannot compile the network here ({reason}); install a C++ "
            "compiler, or leave the key out"
        ) from None
    network.zero_grad(set_to_none=True)
