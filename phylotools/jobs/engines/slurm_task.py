"""What a job of SLURM does: it runs partitions, and goes on with the rest when it is queued again.

Started by submitit on a node. Nothing of it is kept but the lines that it writes to the job's log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from submitit.helpers import DelayedSubmission

#: In the log, at the start, and before the exit code of the command that ran partitions.
BEGUN, ENDED = "phylotools-task: begun", "phylotools-task: ended with exit code"
#: Jobs in a row whose time ends before that of one partition.
MOST_TIMEOUTS = 3
#: SLURM may send its signal a minute early.
_EARLY_SECONDS = 60
#: For clearing up, of the seconds that SLURM leaves.
_GRACE_SECONDS = 10.0


class PartitionsOfJob:
    """Runs partitions when called; submitit pickles it, and calls `checkpoint` at SLURM's signal.

    Parameters
    ----------
    command : sequence of str
        Reads indices from stdin and prints each when its piece stands.
    indices : sequence of int
    seconds : int
        From the start of the job to the signal.
    n_timeouts : int
        Jobs before this one that ended by the clock without finishing any.
    """

    def __init__(
        self, command: Sequence[str], indices: Sequence[int], seconds: int, n_timeouts: int = 0
    ) -> None:
        self.command, self.indices = tuple(command), tuple(indices)
        self.seconds, self.n_timeouts = seconds, n_timeouts
        self._started = time.monotonic()
        self._finished: list[int] = []
        self._process: subprocess.Popen[str] | None = None

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return PartitionsOfJob, (self.command, self.indices, self.seconds, self.n_timeouts)

    def __call__(self) -> None:
        """Run the partitions; ends the process with the command's exit code if it is not 0."""
        self._started = time.monotonic()
        _say(BEGUN)
        self._process = subprocess.Popen(
            with_threads(self.command, os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # SLURM signals every process of the job.
            preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("".join(f"{index}\n" for index in self.indices))
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        for line in self._process.stdout:
            if line.strip().isdigit():
                self._finished.append(int(line))
        code = self._process.wait()
        _say(f"{ENDED} {code}")
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

    def checkpoint(self) -> DelayedSubmission | None:
        """End what is under way, and say what the job should do when it runs again.

        Called by a handler of signals, in the middle of `__call__`.
        """
        self._end()
        left = [index for index in self.indices if index not in self._finished]
        is_timeout = time.monotonic() - self._started > self.seconds - _EARLY_SECONDS
        n_timeouts = self.n_timeouts + is_timeout if not self._finished else 0
        if n_timeouts >= MOST_TIMEOUTS:
            _say(
                f"error: partition {left[0]} was not done when its job's time was over, "
                f"{n_timeouts} times; give more (time=MINUTES)"
            )
            _say(f"{ENDED} 1")
            return None
        return DelayedSubmission(
            PartitionsOfJob(self.command, left or self.indices, self.seconds, n_timeouts)
        )

    def _end(self) -> None:
        """End the command, which may clear up; it stays for `__call__` to be waited for."""
        if self._process is None:
            return
        # Not by methods of the process: the call that was interrupted holds their lock.
        number, last = self._process.pid, time.monotonic() + _GRACE_SECONDS
        wanted = os.WEXITED | os.WNOWAIT | os.WNOHANG
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(number, signal.SIGTERM)
            while os.waitid(os.P_PID, number, wanted) is None:
                if time.monotonic() > last:
                    os.kill(number, signal.SIGKILL)
                time.sleep(0.05)


def with_threads(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """A command with as many threads as its job has processors, unless it says how many.

    Where SLURM does not bind jobs to processors, a program that counts them finds those of others.
    """
    names = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
    n_threads = next((environment[name] for name in names if name in environment), "")
    if "-@" in command or not n_threads.isdigit():
        return list(command)
    return [*command[:-1], "-@", n_threads, *command[-1:]]


def _say(line: str) -> None:
    # Into the job's log, which is this process's stderr.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
