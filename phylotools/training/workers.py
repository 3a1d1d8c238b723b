"""The processes of a run: who they are, and what they tell each other.

``torchrun`` starts them and names each in its environment. What they exchange are numbers and text,
never pickles: small things by gloo on the CPU, gradients there or, on GPUs, by NCCL. A worker that
waits for another does so without a limit, and ends as soon as that one is gone.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from phylotools.errors import PhylotoolsError, UsageError, counted
from phylotools.model.device import resolve_device
from phylotools.threads import n_cores
from phylotools.threads import set_threads as set_likelihood_threads

#: While the workers find each other: they are started together.
_TO_BEGIN = datetime.timedelta(minutes=5)
#: One worker may fit for hours what the others wait for. That a process is gone is seen from its
#: closed connection, at once.
_TO_WAIT = datetime.timedelta(days=30)
#: Of gradients between GPUs, for which no worker sets out before all are there.
_ON_GPUS = datetime.timedelta(minutes=2)
#: For the question who reports an error.
_TO_CLAIM = datetime.timedelta(seconds=10)
#: Numbers of gradients that are gathered at once: 16 MiB of each worker.
_TOGETHER = 1 << 22


class LostWorker(PhylotoolsError):
    """Another process of the run has ended, by an error of its own or by none."""


class SaidElsewhere(PhylotoolsError):
    """An end of all workers that another one reports.

    Parameters
    ----------
    error : BaseException
        This worker's own.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        code = getattr(error, "exit_code", getattr(error, "code", None))
        self.exit_code = code if isinstance(code, int) else 1


class Terminated(PhylotoolsError):
    """A signal ended this worker while nothing could be saved."""

    def __init__(self, code: object) -> None:
        super().__init__(
            "ended by a signal, which torchrun also sends where another worker has ended; a run "
            "that has a checkpoint goes on with --resume"
        )
        self.exit_code = code if isinstance(code, int) else 1


@dataclass(frozen=True)
class Workers:
    """The workers of a run as one of them sees them; alone unless `join_workers` finds others.

    Attributes
    ----------
    rank, size : int
        This one's number, and how many there are.
    local_rank, local_size : int
        The same on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def share(self, parts: int) -> range:
        """Which of `parts` equal parts are this worker's: neighbours, in the order of ranks."""
        return range(parts * self.rank // self.size, parts * (self.rank + 1) // self.size)

    def device(self, name: str) -> torch.device:
        """The device that a user named; of several GPUs the worker's own.

        Raises
        ------
        UsageError
            If there is no such device, or there are fewer GPUs than workers on this machine.
        """
        device = resolve_device(name)
        if self.size == 1 or device.type != "cuda":
            return device
        if device.index is not None:
            raise UsageError(f"--device {name}: {self.size} workers take a GPU each; leave it out")
        if self.local_size > torch.cuda.device_count():
            raise UsageError(
                f"{self.local_size} workers on a machine with "
                f"{counted(torch.cuda.device_count(), 'GPU')}: start as many as there are GPUs"
            )
        device = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(device)
        return device

    def gather(self, rows: Tensor, parts: int) -> Tensor:
        """Rows of all parts, from those of each worker's `share`; on the CPU.

        Parameters
        ----------
        rows : Tensor, shape (n, K)
            Of the parts of this worker.
        parts : int

        Returns
        -------
        Tensor, shape (parts, K)
        """
        if self.size == 1:
            return rows
        shares = [Workers(rank, self.size).share(parts) for rank in range(self.size)]
        # All send as much as who has most.
        padded = rows.new_zeros((max(map(len, shares)), *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in shares]
        with _noticing_loss(self):
            dist.all_gather(found, padded)
        return torch.cat([one[: len(share)] for one, share in zip(found, shares, strict=True)])

    def sum_of_parts(self, rows: Tensor, parts: int) -> Tensor:
        """Sum of the rows of all parts in their order, whichever workers have them; on the CPU.

        Parameters
        ----------
        rows : Tensor, shape (n, K)
            Of the parts of this worker.
        parts : int

        Returns
        -------
        Tensor, shape (K,)
        """
        pieces = (self.gather(piece, parts) for piece in rows.split(_TOGETHER, dim=1))
        return torch.cat([sum_in_order(piece) for piece in pieces])

    def sum_on_gpus(self, values: Tensor) -> Tensor:
        """Sum over the workers, in place; on GPUs."""
        if self.size > 1:
            with _noticing_loss(self):
                dist.all_reduce(values, group=_state.gpus)
        return values

    def sum_rows(self, rows: Sequence[Sequence[float]]) -> list[list[float]]:
        """Sums over the workers, exact where all but one of them have zeros."""
        found = torch.tensor(rows, dtype=torch.float64)
        if self.size > 1 and len(rows):
            with _noticing_loss(self):
                dist.all_reduce(found)
        return found.tolist()

    def gather_texts(self, text: str) -> list[str]:
        """A text of every worker."""
        if self.size == 1:
            return [text]
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        lengths = self.gather(torch.tensor([[len(content)]]), self.size).flatten().tolist()
        row = torch.zeros(1, max(lengths), dtype=torch.uint8)
        row[0, : len(content)] = content
        rows = self.gather(row, self.size)
        return [
            bytes(row[:length].tolist()).decode() for row, length in zip(rows, lengths, strict=True)
        ]

    def from_first(self, values: Sequence[float]) -> list[float]:
        """The first worker's numbers; the others give as many of their own."""
        if self.size == 1:
            return list(values)
        sent = torch.tensor(values, dtype=torch.float64)
        with _noticing_loss(self):
            dist.broadcast(sent, 0)
        return sent.tolist()

    def highest(self, number: int) -> int:
        """The largest of all workers' numbers."""
        if self.size == 1:
            return number
        found = torch.tensor([number])
        with _noticing_loss(self):
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found.item())

    def wait(self) -> None:
        """Wait for all others, however long."""
        self.from_first([0.0])

    def demand_same(self, facts: Mapping[str, str]) -> None:
        """Compare facts that all workers must share.

        Raises
        ------
        PhylotoolsError
            That names those which differ, and one of the workers that have others.
        """
        width = len(facts)
        found = self.gather_texts("\0".join(facts.values()))
        first = found[0].split("\0")
        for rank, text in enumerate(found):
            values = text.split("\0")
            assert len(values) == width, "no fact holds a NUL"
            differ = [name for name, a, b in zip(facts, first, values, strict=True) if a != b]
            if differ:
                raise PhylotoolsError(
                    f"worker {rank} has another {' and another '.join(differ)} than worker 0; all "
                    "workers must read the same files"
                )


#: Who is alone.
ALONE = Workers()


@dataclass
class _State:
    """What belongs to the process."""

    store: Any = None
    gpus: Any = None


_state = _State()


def sum_in_order(rows: Tensor) -> Tensor:
    """Sum of rows, from the first to the last."""
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    return total


@contextlib.contextmanager
def join_workers() -> Iterator[Workers]:
    """Be one of the workers that ``torchrun`` started, or alone where it did not.

    Of several workers the first that ends by an error raises it, and reports it that way; the
    others raise `SaidElsewhere`.

    Raises
    ------
    UsageError
        If the environment names a worker by halves.
    LostWorker
        If the others are not found, or one of them is gone.
    Terminated
        By a signal.
    """
    workers = _workers_of_environment()
    if workers.size == 1:
        yield workers
        return
    try:
        _begin(workers)
        yield workers
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if not _claim():
            raise SaidElsewhere(error) from None
        word = Terminated(error.code) if isinstance(error, SystemExit) else error
        if isinstance(word, PhylotoolsError):
            # torchrun may see that a worker is gone before this is told.
            word.is_last_word = True
        if word is error:
            raise
        raise word from None
    finally:
        _end()


def _workers_of_environment() -> Workers:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    found = {name: os.environ[name] for name in names if name in os.environ}
    if not {"RANK", "WORLD_SIZE"} <= found.keys() or found["WORLD_SIZE"] == "1":
        return ALONE
    if not all(text.isascii() and text.isdecimal() and len(text) < 7 for text in found.values()):
        said = ", ".join(f"{name}={text}" for name, text in found.items())
        raise UsageError(f"the environment names no worker ({said}); start the run by torchrun")
    rank, size = int(found["RANK"]), int(found["WORLD_SIZE"])
    local_rank = int(found.get("LOCAL_RANK", rank))
    local_size = int(found.get("LOCAL_WORLD_SIZE", size))
    if not (rank < size and local_rank < local_size <= size):
        raise UsageError(
            f"the environment names worker {rank} of {size}, {local_rank} of {local_size} on this "
            "machine; start the run by torchrun"
        )
    return Workers(rank, size, local_rank, local_size)


def _begin(workers: Workers) -> None:
    """Find the others."""
    try:
        _state.store, _, _ = next(dist.rendezvous("env://", timeout=_TO_BEGIN))
        dist.init_process_group(
            "gloo",
            store=dist.PrefixStore("workers", _state.store),
            rank=workers.rank,
            world_size=workers.size,
            timeout=_TO_WAIT,
        )
        if torch.cuda.is_available() and dist.is_nccl_available():
            _state.gpus = dist.new_group(backend="nccl", timeout=_ON_GPUS)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise LostWorker(
            f"worker {workers.rank} of {workers.size} did not find the others ({reason}); start "
            "all of them by torchrun"
        ) from None


def _claim() -> bool:
    """Whether this worker is the first to end by an error, and so is to report it."""
    try:
        _state.store.set_timeout(_TO_CLAIM)
        return bool(_state.store.add("ended by an error", 1) == 1)
    except (RuntimeError, AttributeError):
        # Without a way to ask: rather twice than never.
        return True


def _end() -> None:
    """Leave the others, without waiting for any."""
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()
    _state.store = _state.gpus = None


@contextlib.contextmanager
def _noticing_loss(workers: Workers) -> Iterator[None]:
    """Turn what torch says of a broken connection into one line."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        raise LostWorker(
            f"another of the {workers.size} workers was lost, so this one ended; the last "
            "checkpoint is whole: start them again with --resume"
        ) from None


def set_threads(threads: int | None, workers: Workers = ALONE) -> None:
    """Use so many threads in the network and in the likelihood.

    By default the likelihood takes every core, which the workers of a machine share, and the
    network one. Two threads in the dense products of a ``small`` network gain half on idle cores
    and lose half or more on busy ones; the likelihood's threads gain and never lose
    (benchmarks/RESULTS.md). It gives the same bits with any number, so that by default a run's
    losses do not depend on the machine's cores. The halved network shares out windows; its
    gradients are summed in another order with another number.
    """
    torch.set_num_threads(threads or 1)
    set_likelihood_threads(threads or max(1, n_cores() // workers.local_size))
