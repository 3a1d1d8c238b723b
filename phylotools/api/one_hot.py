"""A model as a module that other tools of torch take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phylotools.api.inputs import require_model
from phylotools.scoring.one_hot import ALL, THETA, OneHotModule
from phylotools.scoring.one_hot_head import HEAD, OneHotHead

if TYPE_CHECKING:
    from phylotools.model.folder import Model


def one_hot_module(
    model: Model, output: str = THETA, position: str = ALL, *, padding: bool = True
) -> OneHotModule | OneHotHead:
    """A model as a `torch.nn.Module` on one-hot sequences, float (B, 4, L) in the order A, C, G, T.

    tangermeme, captum and ledidi take it. It is differentiable with respect to its input, its
    numbers are those of `predict_sites` for the same sequence, and none of its parameters requires
    a gradient. A column without a base is N.

    Parameters
    ----------
    model : Model
        From `load_model`.
    output : {'theta', 'llr', 'log_probability', 'embedding', 'head'}
        Of each position: the network's four numbers, which `Model.substitution` reads; the LLR of
        A, C, G and T against the base that stands there (0 where none does); the log of their
        equilibrium frequencies; or the last layer's channels. ``head``: the value that a head for
        regions (`phylotools finetune`) gives the whole sequence, (B, 1).
    position : {'all', 'centre'}
        Every position, (B, L, C); or the middle one alone, (B, C).
    padding : bool
        Whether the sequence ends where it ends, as for `predict_sites`. Without it there are
        numbers of the L - receptive_field + 1 positions whose context the sequence holds.

    Returns
    -------
    torch.nn.Module
        On the model's device, with its own copy of the weights.

    Raises
    ------
    UsageError
        If there is no such output or position; and from the module, if its input has another shape.
    """
    require_model(model)
    if output == HEAD:
        return OneHotHead(model)
    return OneHotModule(model, output, position, padding=padding)
