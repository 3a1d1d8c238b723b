"""Devices and precisions of a network."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from phylotools.errors import UsageError

#: Arithmetic of a network's matrix products. `auto` is float32 wherever it runs: see
#: `resolve_precision`.
PRECISIONS = ("float32", "tf32", "bfloat16", "float16", "auto")
#: Stands for every GPU of a machine.
ALL_GPUS = "cuda:all"
#: Most positions that an automatic batch has, context included: 64 tiles of the published network,
#: or 16 of 4,096 positions, which give every product more rows than a large GPU works on at once.
LARGEST_AUTOMATIC_BATCH = 80_000
#: Share of a GPU's free memory that an automatic batch may need.
_MEMORY_SHARE = 0.5
#: First architecture with TF32 and bfloat16.
_AMPERE = (8, 0)
#: Held by who has set torch's arithmetic of float32, which all threads share; to launch a pass
#: takes the interpreter's lock anyhow.
_MATMUL_SETTING = threading.RLock()
#: Without a way to ask for free memory.
_DEFAULT_BATCH = 16


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """The device a user named; ``auto`` is the first GPU, else the CPU.

    Raises
    ------
    UsageError
        If there is no such device on this machine.
    """
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Python callers may give a torch.device.
    if str(name) == ALL_GPUS or "," in str(name):
        raise UsageError(
            f"--device {name}: this computes on one device; phylotools tracks shares its "
            "partitions out over several"
        )
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"there is no device '{name}' here; try --device auto") from None
    return device


def device_names(text: str) -> list[str]:
    """The devices that a user named for work in parts: ``cuda:all``, ``cuda:0,cuda:2``, or one.

    Raises
    ------
    UsageError
        If there is no GPU, one is named twice, or one of several is none.
    """
    if text == ALL_GPUS:
        if not torch.cuda.is_available():
            raise UsageError(f"there is no GPU for --device {text} here; try --device auto")
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    names = [name.strip() for name in text.split(",")]
    if len(names) > 1 and not (
        len(set(names)) == len(names) and all(re.fullmatch(r"cuda:\d{1,4}", name) for name in names)
    ):
        raise UsageError(
            f"--device {text}: several devices are GPUs, as cuda:0,cuda:1, or cuda:all"
        )
    return names


def resolve_precision(name: str, device: torch.device) -> str:
    """The arithmetic that a name stands for on a device.

    ``auto`` is float32: scores are written with four decimals, which no other arithmetic gives, and
    tables of scores have to agree with them. The others are for whom ranks suffice; how far they
    are off is measured in docs/tracks.md.

    Returns
    -------
    {'float32', 'tf32', 'bfloat16', 'float16'}

    Raises
    ------
    UsageError
        If there is no such precision, or the device is slower in it: CPUs.
    """
    if name not in PRECISIONS:
        raise UsageError(f"there is no precision '{name}'; choose among {', '.join(PRECISIONS)}")
    if name == "auto":
        return "float32"
    if name != "float32" and device.type != "cuda":
        raise UsageError(
            f"precision {name} needs a CUDA device, not {device.type}; "
            "choose --precision float32 or auto"
        )
    oldest = {"tf32": "TF32", "bfloat16": "bfloat16"}
    if name in oldest and torch.cuda.get_device_capability(device) < _AMPERE:
        raise UsageError(f"this GPU has no {oldest[name]}; choose --precision float16 or float32")
    return name


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Context in which matrix products use a precision of `resolve_precision`.

    Norms and the sums of the residual stream stay float32. On a GPU float32 is just that, whatever
    the process has allowed; its setting is the process's again afterwards.
    """
    if device.type == "cpu" and precision == "float32":
        yield
        return
    if precision in ("bfloat16", "float16"):
        with torch.autocast(device.type, dtype=getattr(torch, precision)):
            yield
        return
    with _MATMUL_SETTING:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def automatic_batch_size(trial: Callable[[], object], length: int, device: torch.device) -> int:
    """Windows of one pass on an accelerator.

    On a GPU the largest power of two with at most `LARGEST_AUTOMATIC_BATCH` positions that needs
    no more than half of the free memory, by what one window is seen to need.

    Parameters
    ----------
    trial : callable
        Makes a pass of one window.
    length : int
        Positions of a window.
    device : torch.device
    """
    if device.type != "cuda":
        return _DEFAULT_BATCH
    trial()  # what stays in memory from the first pass on is no part of a window's need
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    trial()
    needed = torch.cuda.max_memory_allocated(device) - before
    return largest_fitting_batch(length, needed, torch.cuda.mem_get_info(device)[0])


def largest_fitting_batch(length: int, needed: int, free: int) -> int:
    """`automatic_batch_size` where a window needs `needed` bytes and `free` are free."""
    fitting = int(_MEMORY_SHARE * free / max(1, needed))
    return 1 << (max(1, min(LARGEST_AUTOMATIC_BATCH // length, fitting)).bit_length() - 1)
