"""Where a network runs."""

from __future__ import annotations

import torch

from phylotools.errors import UsageError


def resolve_device(name: str = "auto") -> torch.device:
    """The device a user named; ``auto`` is the first GPU, else the CPU.

    Raises
    ------
    UsageError
        If there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"there is no device '{name}' here; try --device auto") from None
    return device
