"""``slurm:KEY=VALUE,...``: jobs of SLURM, given to its queue through submitit."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phylotools.errors import OutputError, PhylotoolsError, UsageError, counted, shown
from phylotools.jobs.engines.child import End, how_it_ended
from phylotools.jobs.engines.engine import Board, Task, shown_reason
from phylotools.jobs.engines.ledger import Ledger
from phylotools.jobs.work_folder import WORKERS

if TYPE_CHECKING:
    from phylotools.jobs.engines.slurm_queue import Seen, Submission

logger = logging.getLogger("phylotools")

_PROGRAMS = ("sbatch", "srun", "squeue", "scancel")
#: Jobs that are given to the queue at once; SLURM's own limit of an array is 1,001 unless set.
_MOST_JOBS = 1000
_MOST_PARTS = 10_000
_MINUTES = 60
#: From SLURM's signal to the end of a job's time.
_SIGNAL_SECONDS = 90
#: After its job is gone, a piece may take so long to be seen on a shared disk.
_SETTLE_SECONDS, _SETTLE_SECONDS_OF_DONE = 5.0, 90.0
#: Without an answer of SLURM.
_SILENT_SECONDS = 3600.0
#: For jobs to end that were cancelled, or have nothing left to do.
_LEAVE_SECONDS = 20.0
_SHORTEST_POLL, _LONGEST_POLL = 0.5, 15.0
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
_OVER = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT", "REVOKED", "SPECIAL_EXIT",
}  # fmt: skip
#: Why jobs wait, of which nothing need be said.
_USUAL = {"", "None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime"}
_SLURM_SAYS = ("slurmstepd", "srun: error:")
_WHY = {
    "NODE_FAIL": "its node was lost",
    "OUT_OF_MEMORY": "its job had too little memory",
    "TIMEOUT": "its job's time was over",
    "CANCELLED": "its job was cancelled",
    "PREEMPTED": "another job took its node",
}

#: Key -> what a value looks like, and an example of it.
_KEYS = {
    "account": (r"[^\s=]+", "lab"),
    "array": (r"[1-9]\d{0,5}", "100"),
    "constraint": (r"\S+", "a100"),
    "cpus": (r"[1-9]\d{0,3}", "8"),
    "exclude": (r"[^\s=]+", "node7"),
    "gpus": (r"([\w.-]+:)?[1-9]\d{0,2}", "1"),
    "memory": (r"[1-9]\d{0,8}[KMGT]?", "16G"),
    "parts": (r"[1-9]\d{0,4}", "10"),
    "partition": (r"[^\s=]+", "gpu"),
    "qos": (r"[^\s=]+", "normal"),
    "reservation": (r"[^\s=]+", "course"),
    "time": (r"[1-9]\d{0,5}", "240"),
}


@dataclass(frozen=True)
class SlurmOptions:
    """What jobs ask of SLURM.

    Attributes
    ----------
    asked : dict
        Key of `--on slurm:` -> value, as it was given.
    """

    asked: dict[str, str] = field(default_factory=dict)

    @property
    def n_at_once(self) -> int | None:
        """The most jobs that run at a time, if that is limited."""
        return int(self.asked["array"]) if "array" in self.asked else None

    @property
    def n_parts(self) -> int | None:
        """Partitions of a job, if that is said."""
        return int(self.asked["parts"]) if "parts" in self.asked else None

    @property
    def minutes(self) -> int:
        """Time of a job."""
        return int(self.asked.get("time", _MINUTES))

    @property
    def signal_seconds(self) -> int:
        """From the signal to the end of a job's time."""
        return min(_SIGNAL_SECONDS, 15 * self.minutes)

    def parameters(self) -> dict[str, Any]:
        """As submitit takes them."""
        asked = self.asked
        names = {"cpus": "cpus_per_task", "gpus": "gpus_per_node"}
        same = ("account", "constraint", "exclude", "partition", "qos")
        found: dict[str, Any] = {key: asked[key] for key in same if key in asked}
        found |= {name: asked[key] for key, name in names.items() if key in asked}
        beside = {"mem": "memory", "reservation": "reservation"}
        found["additional_parameters"] = {
            # After a lost node or a preemption, whatever the cluster's default is.
            "requeue": True,
            **{name: asked[key] for name, key in beside.items() if key in asked},
        }
        if "cpus" in asked:
            # Since SLURM 22.05 srun does not take the processors of its job by itself.
            found["srun_args"] = [f"--cpus-per-task={asked['cpus']}"]
        return found | {
            "time": self.minutes,
            "signal_delay_s": self.signal_seconds,
            "array_parallelism": self.n_at_once or _MOST_JOBS,
            "wckey": None,
        }


def slurm_engine(text: str) -> SlurmEngine:
    """The engine of ``slurm`` or ``slurm:KEY=VALUE,...``; `text` is what follows the colon.

    Raises
    ------
    UsageError
        If a key or value is none, submitit is not installed, or SLURM's programs are not here.
    """
    options = SlurmOptions(dict(_pairs(text)))
    if importlib.util.find_spec("submitit") is None:
        raise UsageError(
            "--on slurm needs the package submitit, which is not installed; install it: "
            "pip install 'phylotools[slurm]'"
        )
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise UsageError(
            f"--on slurm: there is no {missing[0]} here; give the command where jobs are "
            "submitted, on a login node"
        )
    return SlurmEngine(options)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values; a part without ``=`` belongs to the value before it: ``exclude=n1,n2``."""
    parts: list[str] = []
    for part in text.split(",") if text else []:
        if "=" not in part and parts:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    for part in parts:
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise UsageError(
                f"--on slurm: there is no key {shown(key)!r}; choose among {', '.join(_KEYS)}"
            )
        pattern, example = _KEYS[key]
        # What begins like an option, or ends a line, is no value of one.
        if not value.isprintable() or not re.fullmatch(pattern, value):
            raise UsageError(f"--on slurm: {key}={shown(value)}: give it as {key}={example}")
        yield key, value


@dataclass(frozen=True)
class SlurmEngine:
    """Jobs of SLURM.

    Attributes
    ----------
    options : SlurmOptions
    """

    options: SlurmOptions

    @property
    def n_workers(self) -> int | None:
        """How many partitions run at a time, if the user said so."""
        return self.options.n_at_once

    def run(
        self, task: Task, indices: Sequence[int], is_done: Callable[[int], bool], board: Board
    ) -> None:
        """See `Engine`."""
        ledger = Ledger(task, indices, is_done, board)
        with _Jobs(self.options, task, ledger, board) as jobs:
            jobs.work()
        ledger.conclude()


@dataclass
class _Job:
    """A job that is not known to be over.

    Attributes
    ----------
    submission : Submission
    place : int
        Among those of the submission.
    indices : list of int
        Its partitions that are not finished.
    seen : Seen or None
        What the queue said last.
    gone_since : float or None
        When it was first seen to be over.
    """

    submission: Submission
    place: int
    indices: list[int]
    seen: Seen | None = None
    gone_since: float | None = None

    @property
    def name(self) -> str:
        """As SLURM names it."""
        if self.seen is not None:
            return self.seen.job
        return self.submission.jobs[self.place]

    @property
    def where(self) -> str:
        """For messages: node, job and log."""
        node = self.seen.node if self.seen else ""
        log = self.submission.log(self.name)
        return ", ".join(
            filter(None, (node, f"job {self.name}", f"log {log}" if log.exists() else ""))
        )


class _Jobs:
    """The jobs of one call: submitted, looked at until all is done, cancelled if that fails."""

    def __init__(self, options: SlurmOptions, task: Task, ledger: Ledger, board: Board) -> None:
        self._options, self._task, self._ledger, self._board = options, task, ledger, board
        self._place = Path(task.work) / WORKERS
        self._jobs: list[_Job] = []
        self._submissions: list[Submission] = []
        self._begun = self._heard = time.monotonic()
        self._said: set[str] = set()
        self._is_full = self._has_cancelled = False

    def __enter__(self) -> _Jobs:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        from phylotools.jobs.engines.slurm_queue import cancel

        if kind is not None:
            cancel(self._submissions)
        self._wait_for_the_last()
        if kind is None and not self._ledger.has_failed:
            for submission in self._submissions:
                shutil.rmtree(submission.folder, ignore_errors=True)

    def work(self) -> None:
        """Return when nothing is left to submit or to wait for."""
        self._go_on()
        while not self._ledger.is_over:
            self._submit()
            self._look()
            if self._ledger.has_failed and not self._has_cancelled:
                from phylotools.jobs.engines.slurm_queue import cancel

                cancel(self._submissions, only_waiting=True)
                self._has_cancelled = True
            if not self._ledger.is_over:
                elapsed = time.monotonic() - self._begun
                time.sleep(min(_LONGEST_POLL, max(_SHORTEST_POLL, elapsed / 60)))

    def _go_on(self) -> None:
        """Take over the jobs of a process that was killed, and remove what it left of others."""
        from phylotools.jobs.engines.slurm_queue import QueueSilent, earlier_submissions, look

        earlier = earlier_submissions(self._place, self._task.verb)
        try:
            queue = look(earlier)
        except QueueSilent as error:
            raise PhylotoolsError(f"--on slurm: SLURM does not answer: {error}") from error
        n_taken = 0
        for submission in earlier:
            mine = [
                (place, seen)
                for (name, place), seen in queue.items()
                if name == submission.name and seen.state not in _OVER
            ]
            if not mine:
                shutil.rmtree(submission.folder, ignore_errors=True)
                continue
            self._submissions.append(submission)
            for place, seen in mine:
                wanted = submission.tasks[place] if place < len(submission.tasks) else ()
                taken = [index for index in wanted if self._ledger.take(index)]
                if taken:
                    self._jobs.append(_Job(submission, place, taken, seen))
                    n_taken += 1
        if n_taken:
            logger.info(
                "%s: %s of an earlier run are still in SLURM's queue and are waited for",
                self._task.work, counted(n_taken, "job"),
            )  # fmt: skip

    def _submit(self) -> None:
        """Give all that is left to the queue."""
        from phylotools.jobs.engines.slurm_queue import Refused

        if self._is_full and self._jobs:
            return
        left = list(iter(self._ledger.next, None))
        if not left:
            return
        for index in left:
            self._ledger.hand_over(index)
        size = self._options.n_parts or -(-len(left) // _MOST_JOBS)
        if len(left) > _MOST_PARTS * _MOST_JOBS:
            raise UsageError("--on slurm: there are too many partitions; make them larger")
        tasks = [left[at : at + size] for at in range(0, len(left), size)]
        try:
            for at in range(0, len(tasks), _MOST_JOBS):
                self._submit_some(tasks[at : at + _MOST_JOBS])
        except Refused as error:
            submitted = {index for job in self._jobs for index in job.indices}
            if not submitted:
                raise self._refused(error) from error
            # The queue may be full; when a job of ours is over there is room.
            logger.warning("SLURM refuses more jobs for now: %s", error)
            self._is_full = True
            for index in left:
                if index not in submitted:
                    self._ledger.give_back(index)

    def _submit_some(self, tasks: list[list[int]]) -> None:
        """Give an array of jobs to the queue."""
        from phylotools.jobs.engines.slurm_queue import submit

        options = self._options
        submission = submit(
            self._place,
            self._task.verb,
            tasks,
            self._task.of_stdin,
            60 * options.minutes - options.signal_seconds,
            options.parameters(),
            self._task.work,
        )
        self._submissions.append(submission)
        self._jobs += [_Job(submission, place, list(task)) for place, task in enumerate(tasks)]

    def _refused(self, error: OutputError) -> OutputError:
        """The error of a queue that takes nothing at all."""
        return OutputError(
            f"--on slurm: sbatch refused the jobs: {error}; change what is asked for (--on "
            f"slurm:{','.join(f'{key}=' for key in ('partition', 'time', 'parts'))}...) or come "
            "back later; finished partitions are kept"
        )

    def _look(self) -> None:
        """See what is finished, and what has become of the jobs of the rest."""
        from phylotools.jobs.engines.slurm_queue import QueueSilent, look

        for job in self._jobs:
            job.indices = [index for index in job.indices if not self._ledger.finish(index)]
        before = len(self._jobs)
        self._jobs = [job for job in self._jobs if job.indices]
        waited_for = {job.submission.folder: job.submission for job in self._jobs}
        now = time.monotonic()
        try:
            queue = look(waited_for.values())
        except QueueSilent as error:
            self._say_once(f"SLURM does not answer ({error}); asked again")
            if now - self._heard > _SILENT_SECONDS:
                raise PhylotoolsError(
                    f"--on slurm: no answer for {_SILENT_SECONDS / 60:.0f} minutes: {error}; jobs "
                    "may still run, and the same command goes on with them"
                ) from error
            return
        self._heard = now
        for job in self._jobs:
            self._follow(job, queue.get((job.submission.name, job.place)), now)
        self._jobs = [job for job in self._jobs if job.indices]
        self._is_full = self._is_full and len(self._jobs) == before

    def _follow(self, job: _Job, seen: Seen | None, now: float) -> None:
        """Take in what the queue says of a job whose partitions are not all finished."""
        if seen is None or seen.state in _OVER:
            if seen is not None:
                job.seen = seen
            self._bury(job, now)
            return
        job.gone_since = None
        before, job.seen = job.seen, seen
        was_running = before is not None and before.state in _RUNNING
        if seen.state in _RUNNING and not (was_running and before and before.node == seen.node):
            for index in job.indices:
                self._board.running(index, f"{seen.node}, job {seen.job}")
        elif seen.state not in _RUNNING:
            if was_running and before is not None:
                for index in job.indices:
                    self._board.lost(index, before.node, "SLURM has put its job back in the queue")
            if seen.reason not in _USUAL:
                self._say_once(f"jobs wait in SLURM's queue: {shown(seen.reason)}")

    def _bury(self, job: _Job, now: float) -> None:
        """A job is over, and some of its partitions are not finished."""
        if job.gone_since is None:
            job.gone_since = now
        settle, (is_error, why) = _last_end(job)
        if now - job.gone_since < settle:
            return
        first, *others = job.indices
        job.indices = []
        if is_error:
            self._ledger.fail(first, job.where, why)
            for index in others:
                self._ledger.give_back(index)
        elif self._ledger.has_failed and (job.seen is None or job.seen.node == ""):
            # Taken out of the queue before it began.
            for index in (first, *others):
                self._ledger.give_back(index)
        else:
            for index in (first, *others):
                self._ledger.lose(index, job.where, why)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)

    def _wait_for_the_last(self) -> None:
        """Wait a little until no job of ours is left in the queue."""
        from phylotools.jobs.engines.slurm_queue import QueueSilent, look

        last = time.monotonic() + _LEAVE_SECONDS
        with contextlib.suppress(QueueSilent):
            while time.monotonic() < last and any(
                seen.state not in _OVER for seen in look(self._submissions).values()
            ):
                time.sleep(_SHORTEST_POLL)


def _last_end(job: _Job) -> tuple[float, End]:
    """How the command of a job that is over ended, and for how long another end may yet show."""
    from phylotools.jobs.engines.slurm_queue import command_end

    words = job.submission.last_words(job.name)
    ended = command_end(words)
    if ended is None:
        return _SETTLE_SECONDS, End(False, _without_end(job, words))
    code, said = ended
    if code == 0:
        why = "is said to be done, but its piece is not to be seen from here"
        return _SETTLE_SECONDS_OF_DONE, End(False, why)
    return 0.0, how_it_ended(code, said)


def _without_end(job: _Job, words: Sequence[str]) -> str:
    """Why a job is over whose command had no end."""
    state = job.seen.state if job.seen else ""
    node = job.seen.node if job.seen else ""
    if not words and node and state in ("FAILED", "COMPLETED"):
        return f"its job left no log: is {job.submission.folder.parent} to be seen on {node}"
    why = _WHY.get(state, "its job is gone" if words else "its job is gone without a word")
    # That it exited is known.
    telling = [line for line in words if line.strip() and "Exited with exit code" not in line]
    of_slurm = [line for line in telling if line.startswith(_SLURM_SAYS)]
    last = (of_slurm or (telling if state == "FAILED" else []) or [""])[-1]
    return f"{why}: {shown_reason(last)}" if last else why
