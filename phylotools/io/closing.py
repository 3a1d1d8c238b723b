"""Objects that hold files or threads, and let go of them at the end of a ``with`` block."""

from __future__ import annotations

from typing import Self


class Closing:
    """A context manager that closes itself, however its block ends."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
