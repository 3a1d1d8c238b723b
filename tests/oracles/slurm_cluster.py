"""A SLURM of its own for tests: the real daemons, on this machine alone, in folders of the test.

`slurm_cluster` starts munged, slurmctld and one slurmd for each emulated node, each a `machine`
that takes all of its jobs with it when it is switched off. Nothing of an installed SLURM or munge
is used but the programs, and nothing is left when the test ends, however it ends. It runs as
whoever runs the tests.

There is no accounting: `sacct` knows nothing here, as on clusters without slurmdbd. What cannot be
had without it, limits of users, is done by a filter of submissions (`job_submit.lua`): the
partition ``full`` refuses as a user's limit does, with SLURM's own words.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import waiting
from field_tools import require
from waiting import PATIENCE

_MACHINE = Path(__file__).with_name("machine.py")
_CONF = """
ClusterName=test
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={short}/munge/socket
CredType=cred/munge
SlurmctldPort={port}
# Nodes are what is said of them below, whatever this machine has.
SlurmdParameters=config_overrides
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={short}/spool/%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/logs/slurmctld.log
SlurmdLogFile={folder}/logs/%n.log
# Neither cgroups nor a database of jobs: a container has none.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
GresTypes=gpu
EnforcePartLimits=ALL
JobSubmitPlugins=lua
# Everything at once, where a real cluster takes its time.
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
# A machine that stalls for a while has lost no node, message or job: nobody asks for them sooner.
SlurmdTimeout=120
MessageTimeout=60
TCPTimeout=30
BatchStartTimeout=120
KillWait=60
# What became of a job can be asked for a while after.
MinJobAge=300
FirstJobId={first_job}
OverTimeLimit=0
InactiveLimit=0
ReturnToService=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize={max_array}
"""
_SUBMIT_FILTER = """
-- ESLURM_ACCOUNTING_POLICY: what sbatch is told when a user has too many jobs already.
function slurm_job_submit(job, partitions, user)
    if job.partition == "full" then return 2050 end
    return slurm.SUCCESS
end
function slurm_job_modify(job, record, partitions, user) return slurm.SUCCESS end
return slurm.SUCCESS
"""


@dataclass
class SlurmCluster:
    """A running SLURM.

    Attributes
    ----------
    folder : Path
        Its configuration, logs (``logs/``) and state.
    nodes : tuple of str
        Names of its nodes, two processors and two GPUs (on paper) each.
    environment : dict
        What a command needs to find it; already set in this process's.
    """

    folder: Path
    nodes: tuple[str, ...]
    environment: dict[str, str]
    _machines: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    #: Job and how often it was begun again.
    _hurried: set[tuple[str, str]] = field(default_factory=set)

    def kill_node(self, node: str) -> None:
        """Cut the power of a node: its slurmd and all of its jobs are gone without a word.

        SLURM, which would take minutes to find out, is told, as by a site's own watchman
        (``scontrol update state=down``).
        """
        _switch_off(self._machines.pop(node))
        self.do("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=killed")

    def start_node(self, node: str) -> None:
        """Start a node, again or for the first time, and wait until jobs can run there."""
        self._begin(node, "slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"])
        ready = {"idle", "mixed", "allocated"}
        wait_until(
            lambda: self.state(node) in ready,
            lambda: self.said(node) + self.said("slurmctld"),
        )

    def start_controller(self) -> None:
        """Start what has the queue; it goes on with the jobs of the one before it."""
        self._begin("slurmctld", "slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        wait_until(
            lambda: not subprocess.run(["scontrol", "ping"], capture_output=True).returncode,
            lambda: self.said("slurmctld"),
        )

    def stop_controller(self) -> None:
        """End what has the queue: nobody answers, and jobs that run go on."""
        machine = self._machines.pop("slurmctld")
        (number,) = (self.folder / "slurmctld.pid").read_text().split()
        os.kill(int(number), signal.SIGTERM)
        machine.wait(timeout=PATIENCE)

    def hurry(self, only: str | None = None) -> None:
        """Have jobs that were queued again wait ten seconds, not two minutes as SLURM keeps them.

        To a node that has just ended the job it is one that must not run; and what a node of a
        machine that stalls says late of the job's first life, SLURM takes for its second.
        """
        for job, restarts in self._queued_again() - self._hurried:
            if only not in (None, job):
                continue
            self._hurried.add((job, restarts))
            update = ["scontrol", "update", f"JobId={job}", "StartTime=now+10"]
            done = subprocess.run(update, capture_output=True, text=True, timeout=PATIENCE)
            # Somebody may have cancelled it meanwhile.
            assert done.returncode == 0 or (job, restarts) not in self._queued_again(), done

    def _queued_again(self) -> set[tuple[str, str]]:
        """The jobs that wait to be begun again, and how often they were."""
        lines = self.do("scontrol", "show", "job", "-o").splitlines()
        jobs = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        waiting = [
            job
            for job in jobs
            if job.get("JobState") == "PENDING" and job.get("Restarts", "0") != "0"
        ]
        return {
            (
                f"{job['ArrayJobId']}_{job['ArrayTaskId']}"
                if "ArrayJobId" in job
                else job["JobId"],
                job["Restarts"],
            )
            for job in waiting
        }

    def impatient(self) -> dict[str, str]:
        """What a command needs in its environment that is to give up soon if nobody answers."""
        text = (self.folder / "slurm.conf").read_text()
        conf = self.folder / "impatient" / "slurm.conf"
        conf.parent.mkdir(exist_ok=True)
        conf.write_text(text.replace("MessageTimeout=60", "MessageTimeout=2"))
        return {"SLURM_CONF": str(conf)}

    def restore(self) -> None:
        """As it was at the start: no jobs, all nodes up."""
        self.do("scancel", "--user", _own_name())
        for node in self.nodes:
            if node not in self._machines:
                self.start_node(node)
        wait_until(lambda: not self.jobs(), lambda: self.do("squeue"))
        wait_until(
            lambda: all(self.state(node) == "idle" for node in self.nodes),
            lambda: self.do("sinfo", "-N", "-l"),
        )

    def state(self, node: str) -> str:
        """What SLURM says of a node: idle, mixed, allocated, down ..."""
        return self.do("sinfo", "-h", "-N", "-n", node, "-p", "main", "-o", "%T").strip()

    def jobs(self, *options: str) -> list[dict[str, str]]:
        """The jobs in the queue, tasks of arrays one by one: id, state, node, name."""
        keys = ("id", "state", "node", "name")
        text = self.do("squeue", "-h", "-r", "-o", "%i|%T|%N|%j", *options)
        return [dict(zip(keys, line.split("|"), strict=True)) for line in text.splitlines()]

    def do(self, *command: str) -> str:
        """Output of one of SLURM's programs."""
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def said(self, name: str) -> str:
        """The end of what a daemon wrote."""
        path = self.folder / "logs" / f"{name}.out"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def _begin(self, name: str, *command: str) -> None:
        with open(self.folder / "logs" / f"{name}.out", "ab") as log:
            self._machines[name] = subprocess.Popen(
                [sys.executable, "-I", str(_MACHINE), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the test, which then stops them.
                start_new_session=True,
            )

    def _stop(self) -> None:
        for machine in self._machines.values():
            assert machine.stdin
            machine.stdin.close()
        while self._machines:
            _switch_off(self._machines.popitem()[1])


@contextlib.contextmanager
def slurm_cluster(
    folder: Path, *, nodes: tuple[str, ...] = ("node1", "node2"), max_array: int = 1001
) -> Iterator[SlurmCluster]:
    """Start a SLURM in an empty folder, and stop it.

    Partitions: ``main`` (the default; an hour at most), ``urgent`` (takes nodes from the jobs of
    ``main``, which are queued again), ``full`` (refuses every submission, as a user's limit does).
    The names of the nodes mean nothing to anybody else; commands that look them up need such as
    ``0x7f000001``, which is 127.0.0.1 to the resolver.
    """
    require("munged", "slurmctld", "slurmd", "sbatch")
    port, *ports = free_ports(1 + len(nodes))
    for name in ("munge", "logs", "state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(random.randbytes(128))
    # The path of a socket has 107 bytes at most, which TMPDIR may have taken already.
    short = Path("/tmp", f"slurm-{random.SystemRandom().getrandbits(48):x}")
    conf = _CONF.format(
        folder=folder,
        short=short,
        port=port,
        max_array=max_array,
        user=_own_name(),
        # Ports that jobs make of their numbers differ between clusters.
        first_job=random.SystemRandom().randrange(1, 9000),
    )
    for node, node_port in zip(nodes, ports, strict=True):
        conf += (
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={node_port} CPUs=2 "
            "RealMemory=4000 Gres=gpu:2\n"
        )
    conf += "PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1\n"
    conf += "PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=2\n"
    conf += "PartitionName=full Nodes=ALL MaxTime=60\n"
    (folder / "slurm.conf").write_text(conf)
    (folder / "gres.conf").write_text(
        # Devices that every machine has stand for two GPUs.
        "".join(
            f"NodeName={node} Name=gpu File={device}\n"
            for node in nodes
            for device in ("/dev/null", "/dev/zero")
        )
    )
    (folder / "job_submit.lua").write_text(_SUBMIT_FILTER)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    cluster = SlurmCluster(folder, nodes, environment)
    with contextlib.ExitStack() as stack:
        short.symlink_to(folder)
        stack.callback(short.unlink)
        stack.callback(cluster._stop)
        stack.enter_context(_in_environment(environment))
        cluster._begin("munged", *_munged(folder / "munge"), f"--socket={short}/munge/socket")
        wait_until((folder / "munge" / "socket").exists, lambda: cluster.said("munged"))
        cluster.start_controller()
        for node in nodes:
            cluster.start_node(node)
        yield cluster


def _own_name() -> str:
    """The user's, which $USER need not be."""
    return pwd.getpwuid(os.getuid()).pw_name


def wait_until(is_so: Callable[[], bool], say: Callable[[], object]) -> None:
    """Wait for something that is sure to happen; if it does not, say what there is instead."""
    # Not more often: most looks are a program of SLURM's.
    waiting.wait_until(is_so, pause=0.05, say=say)


def _munged(folder: Path) -> list[str]:
    program = shutil.which("munged") or "munged"
    files = {"key-file": "key", "pid-file": "pid", "log-file": "log"}
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    # --force: a folder of the test is closed to others, which munged minds.
    return [program, "--foreground", "--force", "--num-threads=10", f"--seed-file={folder}/seed",
            *options]  # fmt: skip


def _switch_off(machine: subprocess.Popen[bytes]) -> None:
    assert machine.stdin
    machine.stdin.close()
    machine.wait(timeout=PATIENCE)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on.

    They are below those that jobs make of their numbers (from 20,000 on), and those that the
    system hands out by itself.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(10000, 20000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            found.add(port)
    return list(found)


@contextlib.contextmanager
def _in_environment(values: dict[str, str]) -> Iterator[None]:
    # Nothing of a job that the tests themselves run in.
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("SLURM", "SBATCH", "SRUN"))]:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
