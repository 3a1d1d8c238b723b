"""What passes ask of a GPU: memory, streams, graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

#: Streams, by what they do: copy tokens there, compute, copy numbers back.
IN, COMPUTE, OUT = range(3)

Work = Callable[[], None]


class Device(Protocol):
    """A GPU, or a stand-in.

    Attributes
    ----------
    out_of_memory : type
        The exception of an allocation that does not fit.
    """

    out_of_memory: type[Exception]

    def host(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory of the host that the GPU copies from and to by itself."""

    def memory(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory of the GPU, for all streams."""

    def enqueue(self, stream: int, work: Work, after: Sequence[Any] = ()) -> Any:
        """Have work done in a stream once some events have happened; the event of its end."""

    def wait(self, event: Any) -> None:
        """Return when an event has happened."""

    def graph(self, work: Work) -> Work:
        """Record work that is done in `COMPUTE`, and give what does it again, in one launch.

        Raises
        ------
        RuntimeError
            If some of it cannot be recorded; `out_of_memory` where that is why.
        """

    def release(self) -> None:
        """Give memory back that nothing uses."""


class CudaDevice:
    """A GPU of NVIDIA's.

    Parameters
    ----------
    device : torch.device
    """

    out_of_memory: type[Exception] = torch.cuda.OutOfMemoryError

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._streams = [torch.cuda.Stream(device) for _ in (IN, COMPUTE, OUT)]
            # Weights may still be on their way there.
            torch.cuda.synchronize(device)
            #: Graphs are replayed one at a time, so that they can share memory.
            self._pool = torch.cuda.graph_pool_handle()

    def host(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(*shape, dtype=dtype, pin_memory=True)

    def memory(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(*shape, dtype=dtype, device=self._device)

    def enqueue(self, stream: int, work: Work, after: Sequence[Any] = ()) -> Any:
        chosen = self._streams[stream]
        with torch.cuda.stream(chosen):
            for event in after:
                chosen.wait_event(event)
            work()
            end = torch.cuda.Event()
            end.record(chosen)
        return end

    def wait(self, event: Any) -> None:
        event.synchronize()

    def graph(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self._device),
            # Other threads may compute with this GPU or another meanwhile.
            torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=self._streams[COMPUTE],
                capture_error_mode="thread_local",
            ),
        ):
            work()
        return graph.replay

    def release(self) -> None:
        with torch.cuda.device(self._device):
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()
