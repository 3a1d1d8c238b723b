"""Pruning on a GPU: log-likelihood and gradient in one launch, compiled by Triton."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from phylotools.phylogeny.kernels import reference
from phylotools.phylogeny.kernels.gpu_layout import TraversalLayout, traversal_layout
from phylotools.phylogeny.kernels.plan import PruningPlan
from phylotools.phylogeny.substitution import F81, SubstitutionModel

BLOCK = 32
CHUNK = 32


def run_f81(states, theta, plan, grid=4):
    from phylotools.phylogeny.kernels import gpu_models as g
    from phylotools.phylogeny.kernels.gpu_traversal import prune
    lay = traversal_layout(plan)
    dev = theta.device
    L = [torch.from_numpy(a).to(dev) for a in (lay.tip, lay.tip_depth, lay.clade, lay.first_merge, lay.merge_depth)]
    C, S = states.shape
    nb = -(-C // BLOCK)
    P = min(nb, grid)
    value = torch.empty(C, dtype=theta.dtype)
    grad = torch.empty_like(theta)
    e = lambda *s, d: torch.empty(s, dtype=d, device=dev)
    prune[(P,)](states, theta, theta, value, grad, grad, *L,
        e(P, S, BLOCK, 4, d=theta.dtype), e(P, S, BLOCK, d=torch.uint8), e(P, 4, S + 1, d=torch.int32), e(P, 2, S + 1, d=torch.float64),
        e(P, S, 2, d=torch.int32), e(P, S, 2, d=theta.dtype), C, S, nb,
        SITE=g.f81_site, PULL=g.f81_pull, PUSH=g.f81_push, START=g.f81_start, FINISH=g.f81_finish, BLOCK=BLOCK, CHUNK=CHUNK, num_warps=1)
    return value, grad
