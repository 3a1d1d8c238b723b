"""``phylotools``, whose training waits before a step until whoever runs it is ready for more.

A file ``hold`` in the working folder has the number of steps after which a run waits: until the
file names a later one, or is gone, or a signal asks the run to end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

HOLD = Path("hold")


def is_held(step: int) -> bool:
    """Whether a run that has done so many steps is to wait."""
    try:
        return step >= int(HOLD.read_text())
    except FileNotFoundError:
        return False


def main() -> None:
    """The command line."""
    from phylotools.cli.main import main as command_line
    from phylotools.training.interruption import Wish
    from phylotools.training.loop import Trainer

    step = Trainer._step

    def held_step(self: Trainer, own: Any) -> dict[str, float]:
        while is_held(self.progress.step) and self._interruption.wanted is not Wish.STOP:
            time.sleep(0.02)
        return step(self, own)

    Trainer._step = held_step  # type: ignore[method-assign]
    command_line()


if __name__ == "__main__":
    main()
