"""SLURM as the engine uses it: jobs given to the queue by submitit, looked up there, and cancelled.

A submission is a folder of its own in the work folder, closed to others: submitit's files, the logs
of its jobs, and which partitions each of them runs, so that another process can go on with it.
What submitit pickles there is for the jobs to read; nothing here reads a pickle.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from phylotools.errors import InputError, OutputError, shown
from phylotools.io.documents import read_document
from phylotools.io.files import naming_output
from phylotools.jobs.engines.slurm_task import BEGUN, ENDED, PartitionsOfJob

_PREFIX, _TASKS = "slurm-", "tasks.json"
_FOLDER = re.compile(_PREFIX + "[a-z0-9_]{8}")
#: Seconds that one of SLURM's programs may take: its controller can be busy.
_PATIENCE = 120
_LARGEST_LOG = 1 << 14
_LARGEST_TASKS = 1 << 26


class QueueSilent(Exception):
    """SLURM did not answer; the argument says what it said instead."""


class Refused(OutputError):
    """SLURM turned jobs away; the argument says what it said."""


class Seen(NamedTuple):
    """What the queue says of a job.

    Attributes
    ----------
    job : str
        As SLURM names it: ``12``, ``12_3``.
    state : str
        ``PENDING``, ``RUNNING``, ``NODE_FAIL`` ...
    node : str
        Empty before it runs.
    reason : str
        Why it waits.
    """

    job: str
    state: str
    node: str
    reason: str


@dataclass(frozen=True)
class Submission:
    """Jobs that were given to the queue together.

    Attributes
    ----------
    folder : Path
    tasks : tuple of tuple of int
        Partitions of each job; several jobs are an array with these indices.
    name : str
        Of all its jobs, and of no others.
    jobs : tuple of str
        What SLURM calls each; empty if another process submitted them.
    """

    folder: Path
    tasks: tuple[tuple[int, ...], ...]
    name: str
    jobs: tuple[str, ...] = ()

    def log(self, job: str) -> Path:
        """Where a job writes what it says."""
        return self.folder / f"{job}_0_log.err"

    def last_words(self, job: str) -> list[str]:
        """The last lines that a job wrote."""
        try:
            with open(self.log(job), "rb") as handle:
                handle.seek(max(0, os.fstat(handle.fileno()).st_size - _LARGEST_LOG))
                return handle.read().decode("utf-8", errors="replace").splitlines()
        except OSError:
            return []


def command_end(words: Sequence[str]) -> tuple[int, list[str]] | None:
    """Exit code of the command that a job ran, and what it had said; None if it did not end.

    Parameters
    ----------
    words : sequence of str
        The last lines of the job's log, which may be one of several that SLURM began.
    """
    for at in range(len(words) - 1, -1, -1):
        if words[at] == BEGUN:
            return None
        code = words[at].removeprefix(f"{ENDED} ")
        if code != words[at] and code.removeprefix("-").isdigit():
            begun = max((line for line in range(at) if words[line] == BEGUN), default=-1)
            return int(code), list(words[begun + 1 : at])
    return None


def submit(
    place: Path, verb: str, tasks: Sequence[Sequence[int]], command: Sequence[str], seconds: int,
    parameters: Mapping[str, Any], work: str,
) -> Submission:  # fmt: skip
    """Give jobs to the queue.

    Parameters
    ----------
    place : Path
        Folder for the submission's own one.
    verb : str
        For the name of the jobs.
    tasks : sequence of sequence of int
        Partitions of each job.
    command : sequence of str
        Reads indices from stdin.
    seconds : int
        From a job's start to the signal before its end.
    parameters : mapping
        As `submitit.SlurmExecutor.update_parameters` takes them.
    work : str
        For messages.

    Raises
    ------
    Refused
        If SLURM turns them away.
    OutputError
        If nothing can be written.
    """
    import submitit

    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise OutputError(f"{place}: is no folder of phylotools; remove it")
    with naming_output(work):
        place.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        name, of_jobs = _name(verb, folder), tuple(map(tuple, tasks))
        # Before they are in the queue: whoever goes on after a kill must know of them.
        (folder / _TASKS).write_text(json.dumps({"verb": verb, "tasks": of_jobs}))
        # -P: nothing is imported from where the user stood.
        executor = submitit.SlurmExecutor(
            folder, max_num_timeout=sys.maxsize, python=f"{shlex.quote(sys.executable)} -P"
        )
        executor.update_parameters(**parameters, job_name=name)
        works = [PartitionsOfJob(command, task, seconds) for task in of_jobs]
        try:
            # What sbatch says goes into the error; submitit would print it as well.
            with _outside_of_jobs(), contextlib.redirect_stderr(io.StringIO()):
                jobs = tuple(job.job_id for job in executor.submit_array(works))
        except RuntimeError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise Refused(_refusal(str(error))) from error
        except BaseException:
            # It may be in the queue already.
            cancel([Submission(folder, of_jobs, name)])
            raise
    return Submission(folder, of_jobs, name, jobs)


def earlier_submissions(place: Path, verb: str) -> list[Submission]:
    """Those that a process before this one made in the same work folder."""
    found = []
    if place.is_dir() and not place.is_symlink():
        for folder in sorted(place.iterdir()):
            if _FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                found.append(Submission(folder, _read_tasks(folder), _name(verb, folder)))
    return found


def look(submissions: Iterable[Submission]) -> dict[tuple[str, int], Seen]:
    """What the queue has of some submissions: their name and the job's place in it -> the job.

    Jobs that ended lately are among them; older ones are not.

    Raises
    ------
    QueueSilent
        If SLURM does not answer.
    """
    names = ",".join(submission.name for submission in submissions)
    if not names:
        return {}
    text = _ask("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}",
                f"--name={names}", "--format=%i|%j|%T|%N|%r")  # fmt: skip
    found = {}
    for line in text.splitlines():
        job, name, state, node, reason = (line.split("|", 4) + [""] * 4)[:5]
        _, _, place = job.partition("_")
        if not place or place.isdigit():
            found[name, int(place or 0)] = Seen(job, state, node, reason)
    return found


def cancel(submissions: Sequence[Submission], *, only_waiting: bool = False) -> None:
    """Take jobs out of the queue, and end them; silent if SLURM does not answer."""
    states = ["--state=PENDING"] if only_waiting else []
    for submission in submissions:
        with contextlib.suppress(QueueSilent):
            _ask("scancel", "--quiet", f"--user={os.getuid()}", f"--name={submission.name}",
                 *states)  # fmt: skip


def _name(verb: str, folder: Path) -> str:
    return f"phylotools-{verb}-{folder.name.removeprefix(_PREFIX)}"


def _read_tasks(folder: Path) -> tuple[tuple[int, ...], ...]:
    """Partitions of each job of a submission; none if the file is not as it should be."""
    try:
        tasks = read_document(folder / _TASKS, remedy="", largest=_LARGEST_TASKS).get("tasks")
    except InputError:
        return ()
    is_right = isinstance(tasks, list) and all(
        isinstance(task, list) and all(type(index) is int for index in task) for task in tasks
    )
    return tuple(map(tuple, tasks)) if is_right and tasks else ()


def _refusal(said: str) -> str:
    """What sbatch said, in one line of ours."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1].split("error: ")[-1] if lines else "without a word"
    last = last.removeprefix("Batch job submission failed: ")
    return shown(last) if len(last) > 300 else last


def _ask(*command: str) -> str:
    """What one of SLURM's programs prints.

    Raises
    ------
    QueueSilent
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
            # Ctrl-C is for this process, which then has jobs to cancel.
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueueSilent(f"{command[0]}: {error}") from error
    if done.returncode:
        raise QueueSilent(f"{command[0]}: {_refusal(done.stderr)}")
    return done.stdout


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Without what SLURM tells of the job that this process may itself be.

    A job given to the queue from within another would inherit that one's memory and processors,
    and fail where they contradict its own.
    """
    kept = {"SLURM_CONF", "SLURM_CLUSTERS"}
    told = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("SLURM_", "SRUN_")) and name not in kept
    }
    for name in told:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(told)
