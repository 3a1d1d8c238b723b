"""The page 'Training on one machine, and on many': its commands, with workers lost on the way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from documented_commands import install_program, shell, shell_blocks, write_program

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
def home(mammals_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs, a configuration, and the run `alone`, of one process."""
    folder = tmp_path_factory.mktemp("cluster")
    install_program(folder)
    write_program(folder, "torchrun", f'exec {sys.executable} -m torch.distributed.run "$@"')
    write_cluster(folder)
    (folder / "model.toml").write_text(CONFIG.format(store=mammals_store, steps=STEPS))
    alone = shell(command("phylotools").replace("run/", "alone/"), folder)
    assert alone.returncode == 0, alone.stderr
    return folder


def write_cluster(folder: Path) -> None:
    """SLURM's programs for one machine; what it is asked to do with the job goes to a file."""
    # As SLURM's: a SIGTERM to srun kills its tasks, and only scancel signals them.
    write_program(
        folder,
        "srun",
        '"$@" & task=$!; echo $task > task.txt; trap "kill -KILL $task" TERM; wait $task',
    )
    write_program(
        folder,
        "scancel",
        '[ "$*" = "--signal=TERM $SLURM_JOB_ID.0" ] && kill -TERM "$(cat task.txt)"',
    )
    write_program(
        folder,
        "scontrol",
        'if [ "$1" = show ]; then echo localhost; else echo "$@" >> scontrol.txt; fi',
    )


def slurm_of(workers: str) -> dict[str, str]:
    """What a job finds in its environment; its number gives a port."""
    return {
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_NODELIST": "here",
        "WORKERS": workers,
    }


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


def wait_for_step(step: int, run: Path, process: subprocess.Popen[str]) -> None:
    """Until there is a checkpoint of this step or a later one."""
    deadline = time.monotonic() + PATIENCE
    while not (run / CHECKPOINT).exists() or read_checkpoint(run / CHECKPOINT).progress.step < step:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_in_three_ways_ends_as_one_process_alone(home: Path) -> None:
    """A job out of time, then a worker that is killed, then two machines: the same last bits."""
    run, slurm = home / "run", slurm_of("2")
    with started(f"exec bash {SCRIPT} model.toml run/", home, **slurm) as process:
        wait_for_step(5, run, process)
        process.send_signal(signal.SIGUSR1)
        said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said
    assert (home / "scontrol.txt").read_text() == f"requeue {slurm['SLURM_JOB_ID']}\n"
    stopped = re.search(r"stopped by SIGTERM after step (\d+); go on with --resume", said)
    assert stopped, said
    step = int(stopped[1])
    assert 5 <= step < STEPS
    assert read_checkpoint(run / CHECKPOINT).progress.step == step

    with started("exec " + command("torchrun --standalone"), home) as process:
        wait_for_step(step + 5, run, process)
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
def test_a_job_whose_run_ends_by_itself_is_not_queued_again(tmp_path: Path, code: int) -> None:
    write_cluster(tmp_path)
    write_program(tmp_path, "torchrun", f'echo "$@"; exit {code}')
    exports = " ".join(f"{name}={value}" for name, value in slurm_of("8").items())
    ended = shell(f"export {exports}\nexec bash {SCRIPT} model.toml run/ --device cpu", tmp_path)
    assert ended.returncode == code
    assert not (tmp_path / "scontrol.txt").exists()
    port = 20000 + os.getpid() % 10000
    assert ended.stdout.split() == [
        "--nnodes", "1", "--nproc-per-node", "8", "--rdzv-backend", "c10d", "--rdzv-endpoint",
        f"localhost:{port}", "--rdzv-id", str(os.getpid()), "--no-python", "phylotools", "train",
        "model.toml", "-o", "run/", "--resume", "--device", "cpu",
    ]  # fmt: skip


def test_the_script_is_the_one_that_the_page_names() -> None:
    assert f"](../{SCRIPT.relative_to(ROOT)})" in PAGE.read_text()
    assert command("sbatch").split()[2:] == [SCRIPT.name, "model.toml", "run/"]
