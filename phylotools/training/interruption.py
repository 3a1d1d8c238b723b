"""What signals ask of a run: to save, or to save and end, when the step is done."""

from __future__ import annotations

import contextlib
import enum
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from phylotools.errors import PhylotoolsError
from phylotools.interrupting import is_importing, send_again

#: To end: from batch systems before they kill, and from the keyboard.
_STOPPING = (signal.SIGTERM, signal.SIGINT)
#: To save and go on, as SLURM's ``--signal`` can ask.
_SAVING = signal.SIGUSR1


class Wish(enum.IntEnum):
    """What is asked of a run; of the wishes of several processes the largest counts."""

    NOTHING = 0
    SAVE = 1
    STOP = 2


class StoppedBySignal(PhylotoolsError):
    """A run was asked to end, and has saved where it stands.

    Parameters
    ----------
    number : int
        Of the signal.
    step : int
        The last step done.
    """

    def __init__(self, number: int, step: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}; go on with --resume"
        )
        self.exit_code = 128 + number


class Interruption:
    """Signals to this process, as the loop of training asks for them once a step.

    Without `listening` there is never a wish. A second SIGINT ends at once, also where the first
    is not looked at any more.
    """

    def __init__(self) -> None:
        self._stopped_by: int | None = None
        self._is_to_save = False
        self._is_patient = False

    @property
    def wanted(self) -> Wish:
        """What is asked of this process and was not answered yet."""
        if self._stopped_by is not None:
            return Wish.STOP
        return Wish.SAVE if self._is_to_save else Wish.NOTHING

    def saved(self) -> None:
        """A checkpoint of the step that was just done is on the disk."""
        self._is_to_save = False

    def stopped(self, step: int) -> StoppedBySignal:
        """The end of a run; of a process that got no signal itself, as another's was SIGTERM."""
        return StoppedBySignal(self._stopped_by or signal.SIGTERM, step)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals. Only the main thread may.

        Outside of `patience` those that ask to end do so at once, and one that asks to save is
        kept for the first step.
        """
        before = {number: signal.signal(number, self._receive) for number in (*_STOPPING, _SAVING)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """Meanwhile what asks to end waits to be looked at."""
        self._is_patient = True
        try:
            yield
        finally:
            self._is_patient = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == _SAVING:
            self._is_to_save = True
            return
        # A batch system sends SIGTERM to a launcher and to its processes, and the launcher sends
        # it on: a second one says nothing new.
        is_repeated = self._stopped_by is not None and number == signal.SIGINT
        if self._is_patient and not is_repeated:
            self._stopped_by = self._stopped_by or number
        elif is_importing(frame):
            send_again(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        elif sys.exception() is not None:
            # It is on its way out, most likely, and is to be told: torchrun sends a SIGTERM to all
            # workers as soon as one is gone. If not, the first step heeds the signal.
            self._stopped_by = self._stopped_by or number
        else:
            raise SystemExit(128 + number)
