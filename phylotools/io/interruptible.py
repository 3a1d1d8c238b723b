"""Input that another thread can end while a read waits for data that may never come."""

from __future__ import annotations

import contextlib
import io
import os
import select


class InterruptibleReader(io.RawIOBase):
    """Raw bytes of a pipe, terminal or socket; `cancel` makes reads end as at the end of data.

    Parameters
    ----------
    descriptor : int
    is_owned : bool
        Whether it is closed with the reader.
    """

    def __init__(self, descriptor: int, *, is_owned: bool) -> None:
        self._descriptor = descriptor
        self._is_owned = is_owned
        self._is_cancelled = False
        self._wake_reader, self._wake_writer = os.pipe()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._wake_reader, select.POLLIN)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._is_cancelled or self._wake_reader in dict(self._poll.poll()):
            return 0
        return os.readv(self._descriptor, [buffer])

    def cancel(self) -> None:
        """End a read that waits, and all later ones; may be called from any thread."""
        self._is_cancelled = True
        if not self.closed:
            with contextlib.suppress(OSError):
                os.write(self._wake_writer, b"x")

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            if self._is_owned:
                os.close(self._descriptor)
