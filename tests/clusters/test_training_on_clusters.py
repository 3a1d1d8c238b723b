"""The page 'Training on one machine, and on many': its commands, with workers lost on the way."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from documented_commands import install_program, shell, shell_blocks, write_program
from slurm_cluster import SlurmCluster, slurm_cluster, wait_until

from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.run_folder import CHECKPOINT, METRICS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cluster.md"
SCRIPT = ROOT / "examples" / "train_cluster" / "train.sbatch"
#: Seconds that nothing takes, on a busy machine neither.
PATIENCE, STEPS = 300, 200
#: A run of seconds, of steps of milliseconds.
CONFIG = """
[data]
stores = ["{store}"]
held_out_fraction = 0
[network]
preset = "tiny"
channels = 8
bottleneck = 4
dilations = [1, 2]
[optimiser]
steps = {steps}
windows_per_batch = 4
window_length = 48
parts = 2
[run]
log_every = 1
evaluate_every = {steps}
checkpoint_every = 5
site_fits = false
"""
#: What the page says of a cluster, for one machine with two cores.
SMALLER = {"--nproc-per-node 4": "--nproc-per-node 1", "node1:29500": "localhost:{port}"}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Two nodes whose names are addresses of this machine, for torchrun."""
    folder = tmp_path_factory.mktemp("slurm")
    with slurm_cluster(folder, nodes=("0x7f000001", "0x7f000002")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def home(mammals_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs, a configuration, and the run `alone`, of one process."""
    folder = tmp_path_factory.mktemp("cluster")
    install_program(folder)
    write_program(folder, "torchrun", f'exec {sys.executable} -m torch.distributed.run "$@"')
    shutil.copy(SCRIPT, folder)
    (folder / "model.toml").write_text(CONFIG.format(store=mammals_store, steps=STEPS))
    alone = shell(command("phylotools").replace("run/", "alone/"), folder, timeout=PATIENCE)
    assert alone.returncode == 0, alone.stderr
    return folder


def command(beginning: str) -> str:
    """The block of the page that begins so."""
    (found,) = [text for text in shell_blocks(PAGE) if text.startswith(beginning)]
    return found


@contextlib.contextmanager
def started(line: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, none of which is left afterwards."""
    process = subprocess.Popen(
        ["bash", "-e", "-c", line],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            **environment,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        },
    )
    try:
        yield process
    finally:
        for number in (*workers_of(process.pid), process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.communicate()


def workers_of(number: int) -> list[int]:
    """The processes below a process, the deepest last."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found, last = [], [number]
    while last:
        last = [child for child, parent in parents if parent in last]
        found += last
    return found


def wait_for_step(step: int, run: Path, is_running: Callable[[], bool]) -> None:
    """Until there is a checkpoint of this step or a later one."""
    deadline = time.monotonic() + PATIENCE
    while not (run / CHECKPOINT).exists() or read_checkpoint(run / CHECKPOINT).progress.step < step:
        assert is_running()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def submit(line: str, folder: Path, **exported: str) -> str:
    """Give the page's job to the queue, asking for less; returns its number."""
    less = "sbatch --parsable --gpus-per-node=0 --cpus-per-task=1 --mem=1G --time=50"
    assert line.startswith("sbatch ")
    exports = "".join(f"export {name}={value}\n" for name, value in exported.items())
    done = shell(exports + line.replace("sbatch", less, 1), folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_run_in_four_ways_ends_as_one_process_alone(home: Path, slurm: SlurmCluster) -> None:
    """A job that loses a node, and is out of time; a worker killed; two machines: the same bits."""
    run = home / "run"
    job = submit(command("sbatch"), home, WORKERS="1")
    wait_for_step(5, run, lambda: slurm.jobs()[0]["id"] == job)
    assert slurm.jobs()[0]["node"] == "0x7f[000001-000002]"
    slurm.kill_node(slurm.nodes[1], is_noticed=True)
    wait_until(lambda: slurm.jobs()[0]["state"] == "PENDING", slurm.jobs)
    lost_at = read_checkpoint(run / CHECKPOINT).progress.step
    slurm.start_node(slurm.nodes[1])
    slurm.hurry()
    wait_for_step(lost_at + 5, run, lambda: slurm.jobs()[0]["id"] == job)
    # What `--signal` has SLURM send, to the job's shell alone.
    slurm.do("scancel", "--batch", "--signal=USR1", job)
    wait_until(lambda: slurm.jobs()[0]["state"] == "PENDING", slurm.jobs)
    assert slurm.jobs()[0]["id"] == job
    slurm.do("scancel", job)
    said = (home / f"slurm-{job}.out").read_text()
    assert f"resuming after step {lost_at}\n" in said
    stopped = re.search(r"stopped by SIGTERM after step (\d+); go on with --resume", said)
    assert stopped, said
    step = int(stopped[1])
    assert lost_at + 5 <= step < STEPS
    assert read_checkpoint(run / CHECKPOINT).progress.step == step

    with started("exec " + command("torchrun --standalone"), home) as process:
        wait_for_step(step + 5, run, lambda: process.poll() is None)
        os.kill(workers_of(process.pid)[-1], signal.SIGKILL)
        said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode != 0
    assert re.search(r"worker.* lost.*--resume", said), said
    assert step + 5 <= read_checkpoint(run / CHECKPOINT).progress.step < STEPS

    line = "exec " + command("torchrun --nnodes")
    for stated, here in SMALLER.items():
        assert stated in line
        line = line.replace(stated, here.format(port=20000 + os.getpid() % 10000))
    with started(line, home) as one, started(line, home) as two:
        for process in (one, two):
            said = process.communicate(timeout=PATIENCE)[1]
            assert process.returncode == 0, said
    ended, wanted = (read_checkpoint(home / name / CHECKPOINT) for name in ("run", "alone"))
    assert ended.progress.complete
    assert ended.tensors.keys() == wanted.tensors.keys()
    assert all(torch.equal(ended.tensors[name], wanted.tensors[name]) for name in wanted.tensors)
    assert (run / METRICS).read_text() == (home / "alone" / METRICS).read_text()


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_whose_run_ends_by_itself_is_not_queued_again(
    tmp_path: Path, slurm: SlurmCluster, code: int
) -> None:
    write_program(tmp_path, "torchrun", f'echo "$@"; exit {code}')
    shutil.copy(SCRIPT, tmp_path)
    line = command("sbatch").replace("--nodes=2", "--nodes=1").rstrip() + " --device cpu"
    job = submit(line, tmp_path, WORKERS="8")
    wait_until(lambda: not slurm.jobs(), slurm.jobs)
    ended = slurm.do("scontrol", "show", "job", "-o", job)
    assert f"JobState={'FAILED' if code else 'COMPLETED'} " in ended
    assert f"ExitCode={code}:0" in ended
    assert "Restarts=0" in ended
    port = 20000 + int(job) % 10000
    said = (tmp_path / f"slurm-{job}.out").read_text().splitlines()
    # srun has a line of its own for a failure, before the program's or after it.
    (own,) = (line for line in said if line.startswith("--nnodes"))
    assert own.split() == [
        "--nnodes", "1", "--nproc-per-node", "8", "--rdzv-backend", "c10d", "--rdzv-endpoint",
        f"0x7f000001:{port}", "--rdzv-id", job, "--no-python", "phylotools", "train",
        "model.toml", "-o", "run/", "--resume", "--device", "cpu",
    ]  # fmt: skip


def test_the_script_is_the_one_that_the_page_names() -> None:
    assert f"](../{SCRIPT.relative_to(ROOT)})" in PAGE.read_text()
    assert command("sbatch").split()[2:] == [SCRIPT.name, "model.toml", "run/"]
