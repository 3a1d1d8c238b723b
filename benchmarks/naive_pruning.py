"""The yardstick of `likelihood.py`: F81 pruning as one writes it in PyTorch.

Node by node over whole columns, gradient by autograd, every inner node's partials scaled by their
largest, children of polytomies multiplied at once. Written for this project, in the plainest way
that is fast; nothing of it comes from elsewhere, and it shares no code with the package.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

#: Slots of an inner node's children and the lengths of the branches to them.
Children = list[tuple[int, float]]


def parse_newick(text: str) -> tuple[list[str], list[Children]]:
    """Tips in the order of the text, and the children of inner nodes, root last.

    Slots 0..S-1 are the tips, slot S + i is the i-th inner node.
    """
    tokens = re.findall(r"[(),;]|[^(),;]+", re.sub(r"\s+", "", text))
    tips: list[str] = []
    inner: list[list[tuple[bool, int, float]]] = []
    place = 0

    def node() -> tuple[bool, int, float]:
        """Whether it is a tip, its number among those, and the length of the branch above."""
        nonlocal place
        children = []
        if tokens[place] == "(":
            while tokens[place] != ")":
                place += 1
                children.append(node())
            place += 1
        label = ""
        if tokens[place] not in "(),;":
            label = tokens[place]
            place += 1
        name, _, length = label.partition(":")
        (inner if children else tips).append(children or name)
        return not children, len(inner if children else tips) - 1, float(length or 0)

    node()
    return tips, [
        [(index if is_tip else len(tips) + index, length) for is_tip, index, length in children]
        for children in inner
    ]


def log_likelihood(states: Tensor, theta: Tensor, nodes: list[Children]) -> Tensor:
    """Log-likelihood of columns, float (C,), from log rates (C, A) and base codes (C, S).

    Codes above 3 are missing data.
    """
    pi, rate = theta.softmax(-1), theta.logsumexp(-1, keepdim=True).exp()
    one_hot = torch.cat([torch.eye(4), torch.ones(252, 4)]).to(theta)
    partials = [one_hot[states[:, tip].long()] for tip in range(states.shape[1])]
    log_scale = torch.zeros_like(rate[:, 0])
    for children in nodes:
        product = None
        for slot, length in children:
            keep = torch.exp(-rate * length)
            mean = (pi * partials[slot]).sum(-1, keepdim=True)
            carried = (1 - keep) * mean + keep * partials[slot]
            product = carried if product is None else product * carried
        assert product is not None
        largest = product.amax(-1, keepdim=True).detach().clamp_min(1e-30)
        partials.append(product / largest)
        log_scale = log_scale + largest.log().squeeze(-1)
    return (pi * partials[-1]).sum(-1).log() + log_scale
