"""Runs ended at random moments, resumed, and compared with one that was not: bit for bit.

python benchmarks/kills.py [STORE] [--kills 50] [--workers 1 2] [--seed 1]

Each kill is a process of its own (of several workers: torchrun and its processes), which gets
SIGKILL, SIGTERM or SIGUSR1 at a moment drawn from the whole time that a run takes, its start
included. The numbers of workers are taken in turn. A run that ends before its kill is compared, and
another begun. Without a store, real columns of the tests are trained on. Ends with 1 if a run ended
otherwise than an uninterrupted one: in its figures, its weights or its progress.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from phylotools.cli.main import main as phylotools
from phylotools.cli.main import run

DATA = Path(__file__).parents[1] / "tests" / "data" / "mammals671"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
#: A run of a second or two, with all that happens in one: evaluations, falls, checkpoints.
CONFIGURATION = """
[data]
stores = ["{store}"]
held_out_fraction = 0.2
{data}
[network]
preset = "tiny"
channels = 8
bottleneck = 4
dilations = [1, 2]
[optimiser]
steps = {steps}
windows_per_batch = 4
window_length = 48
learning_rate = 0.02
warmup_steps = 2
{optimiser}
[run]
seed = 5
log_every = 1
evaluate_every = 8
checkpoint_every = 5
keep_checkpoints = 2
site_fits = false
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path, nargs="?")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = given.store or small_store(folder)
        return compared(folder, store, given)


def small_store(folder: Path) -> Path:
    """973 columns of mammals' mitochondria."""
    line = ["preprocess", str(DATA / "mtCDS_cut.maf.gz"), "--tree", str(DATA / "mammals671.nh")]
    assert run([*line, "-o", str(folder / "store"), "-q"]) == 0
    return folder / "store"


def compared(folder: Path, store: Path, given: argparse.Namespace) -> int:
    """Kill, resume and compare; the exit code."""
    most = max(given.workers)
    text = CONFIGURATION.format(
        store=store.resolve(),
        steps=given.steps,
        data="",
        optimiser=f"parts = {most}" if most > 1 else "",
    )
    (folder / "model.toml").write_text(text)
    draw = random.Random(given.seed)
    # The first one compiles.
    seconds = {}
    for workers in (*given.workers, *given.workers):
        shutil.rmtree(folder / "whole", ignore_errors=True)
        start = time.monotonic()
        code = ended(begun(folder, "whole", workers))
        seconds[workers] = time.monotonic() - start
        if code:
            print(f"an uninterrupted run with {workers} workers ended with {code}")
            return 1
    expected = outcome(folder / "whole")
    kills: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    n_compared = 0
    while kills.total() < given.kills:
        workers = given.workers[kills.total() % len(given.workers)]
        process = begun(folder, "parts", workers)
        number = draw.choice(SIGNALS)
        is_killed = killed_after(process, number, draw.random() * seconds[workers], draw)
        code = ended(process)
        if is_killed:
            kills[number.name] += 1
            codes[f"{number.name} {code}"] += 1
        # torchrun ends with 1 at any signal.
        is_error = code in (1, 2) and not (is_killed and workers > 1)
        if is_error or (code == 0 and outcome(folder / "parts") != expected):
            print((folder / "errors").read_text()[-2000:])
            print(f"after {kills.total()} kills, {number.name} the last: ended with {code}")
            return 1
        if code == 0:
            n_compared += 1
            shutil.rmtree(folder / "parts")
    for workers in given.workers:
        if ended(begun(folder, "parts", workers)) or outcome(folder / "parts") != expected:
            print(f"after {kills.total()} kills the run ended otherwise")
            return 1
    lines = (folder / "errors").read_text().splitlines()
    for line, count in sorted(Counter(re.sub(r"\d+", "N", line) for line in lines).items()):
        if line.startswith("error: "):
            print(f"{count} x {line}")
    said = ", ".join(f"{count} x {name}" for name, count in sorted(codes.items()))
    print(
        f"{kills.total()} kills (signal and exit code: {said}) of {n_compared + 1} runs with "
        f"{' and '.join(map(str, given.workers))} workers: all ended in the same bits"
    )
    return 0


def begun(folder: Path, name: str, workers: int) -> int:
    """Begin or resume a run in a process group of its own; its number."""
    line = ["train", str(folder / "model.toml"), "-o", str(folder / name), "-q", "--resume"]
    if workers > 1:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        torchrun += ["--local-addr", "localhost"]
        command = [*torchrun, f"--nproc-per-node={workers}", "-m", "phylotools", *line]
        with open(folder / "errors", "a") as errors:
            return subprocess.Popen(command, stderr=errors).pid
    # What takes longest to import is imported once.
    importlib.import_module("phylotools.training.loop")
    pid = os.fork()
    if not pid:
        errors = os.open(folder / "errors", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(errors, 2)
        sys.argv = ["phylotools", *line]
        try:
            phylotools()
        except SystemExit as stop:
            os._exit(stop.code if isinstance(stop.code, int) else 1)
        finally:
            os._exit(99)
    return pid


def killed_after(pid: int, number: signal.Signals, seconds: float, draw: random.Random) -> bool:
    """Wait so long and send a signal, unless the process has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_over(pid):
            return False
        time.sleep(0.002)
    if is_over(pid):
        return False
    # It starts no more: torchrun's processes have sessions of their own.
    os.kill(pid, signal.SIGSTOP)
    family = psutil.Process(pid).children(recursive=True)
    victims = [pid]
    if number == signal.SIGKILL:
        # One of them is lost, or all.
        is_one = bool(family) and draw.random() < 0.5
        victims = [draw.choice(family).pid] if is_one else [pid, *(child.pid for child in family)]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, number)
    os.kill(pid, signal.SIGCONT)
    # Those that outlive it, dying or as orphans, have the folder until they end.
    psutil.wait_procs(family, timeout=300)
    return True


def is_over(pid: int) -> bool:
    """Whether a child has ended, which stays to be waited for."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None


def ended(pid: int) -> int:
    """The exit code of a process, minus the signal where that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def outcome(folder: Path) -> tuple[object, ...]:
    """Figures, progress and every bit of the tensors of a run."""
    from phylotools.training.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(folder / "checkpoint.safetensors")
    tensors = {name: tensor.numpy().tobytes() for name, tensor in checkpoint.tensors.items()}
    figures = (folder / "metrics.tsv").read_bytes()
    return figures, checkpoint.progress, checkpoint.facts, tensors


if __name__ == "__main__":
    sys.exit(main())
