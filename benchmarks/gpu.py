"""Check and measure everything that runs on a GPU, in less than eight minutes.

python benchmarks/gpu.py --output FOLDER [--seconds 460] [--part NAME ...] [--dry-run]

FOLDER gets results.md, a table that is written anew after every part, and failures.log. Each part
runs in a process of its own: one that crashes, hangs or leaves the GPU unusable costs its own rows
alone.

- likelihood: the four substitution models, forward and backward, against the reference in float64;
  columns a second (`likelihood_gpu.py`)
- network: the fused network against the dense one in float64, all layouts and precisions
- passes: CUDA graphs and transfers against plain passes, to the bit; memory that runs out
- steps: the 83 M network in training: bfloat16 against the CPU; share of the measured matrix rate
  with and without torch.compile and recomputing; the likelihood's share; waiting for the loader;
  NCCL with one worker
- training: a step's gradients against float64 on the CPU; a run of the command
- verbs: annotate, tracks, embed and model verify with --device cuda against --device cpu; how far
  scores of the shipped model are off in every precision
- speed: positions a second of the 83 M network, dense and halved, by precision and batch; memory,
  utilisation, profile
- genome: a FASTA end to end, and what that means for hg38

--dry-run does the same with tiny shapes on the CPU, kernels in Triton's interpreter.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from gpu_report import FAILED, NOT_RUN, Recorder, Row, write_table

#: Most seconds of a part, in the order of what matters; the last ones have what is left.
PARTS = {
    "likelihood": 65,
    "network": 50,
    "steps": 100,
    "speed": 75,
    "training": 45,
    "passes": 35,
    "verbs": 60,
    "genome": 50,
}
#: Module of each part's function, which has its name.
MODULES = (
    dict.fromkeys(PARTS, "gpu_checks")
    | dict.fromkeys(("speed", "genome"), "gpu_speed")
    | {"steps": "gpu_training"}
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, help="for all parts together [default: 460]")
    parser.add_argument("--part", action="append", choices=list(PARTS))
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"
    seconds = given.seconds or (3600 if given.dry_run else 460)
    if given.alone:
        run_part(given.part[0], given.output, seconds, is_dry=given.dry_run)
        return
    sys.exit(run_all(given.part or list(PARTS), given.output, seconds, given.dry_run))


def run_part(part: str, folder: Path, seconds: float, *, is_dry: bool) -> None:
    """One part, in this process."""
    module = importlib.import_module(MODULES[part])
    recorder = Recorder(folder, part, time.monotonic() + seconds)
    getattr(module, part)(recorder, module.Scale.of(is_dry))


def run_all(parts: list[str], folder: Path, seconds: float, is_dry: bool) -> int:
    """All parts, one after the other; 1 if something failed or was not run."""
    import torch

    if not is_dry and not torch.cuda.is_available():
        print("there is no CUDA GPU here; --dry-run tries the checks on the CPU", file=sys.stderr)
        return 1
    if folder.exists() and any(folder.iterdir()):
        print(f"{folder}: is not empty; give another --output", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    machine = describe_machine(is_dry)
    rows: list[Row] = []
    for part in parts:
        left = end - time.monotonic()
        recorder = Recorder(folder, part, end)
        # The last seconds are for ending.
        share = min(PARTS[part] * (10 if is_dry else 1), left - 3)
        if share < 10:
            recorder.add(Row(part, "all of it", NOT_RUN, "no time left"))
        else:
            start_part(recorder, part, share, is_dry)
        rows = write_table(folder, machine)
        own = [row for row in rows if row.part == part]
        print(f"{part}: " + ", ".join(f"{row.name}: {row.status}" for row in own), flush=True)
    return int(not rows or any(row.status in (FAILED, NOT_RUN) for row in rows))


def start_part(recorder: Recorder, part: str, seconds: float, is_dry: bool) -> None:
    """Run a part in a process, which is ended when its time is over."""
    command = [
        sys.executable, __file__, "--alone", "--part", part, "--output", str(recorder.folder),
        # It ends by itself a little earlier, if it can.
        "--seconds", str(seconds - 4), *(["--dry-run"] if is_dry else []),
    ]  # fmt: skip
    start = time.monotonic()
    with open(recorder.folder / f"{part}.log", "wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            # What it started, too: commands, and nvidia-smi.
            os.killpg(process.pid, 9)
            process.wait()
            took = time.monotonic() - start
            recorder.add(Row(part, "its end", FAILED, f"stopped after {took:.0f} s", took))
            return
    if code:
        detail = f"ended with {code}, see {part}.log"
        recorder.add(Row(part, "its end", FAILED, detail, time.monotonic() - start))


def describe_machine(is_dry: bool) -> str:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    common = f"torch {torch.__version__}, Python {platform.python_version()}, {cores} cores"
    date = time.strftime("%Y-%m-%d")
    if is_dry:
        return f"Dry run on a CPU, tiny shapes: no figure here means anything. {common}; {date}"
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = torch.cuda.get_device_name()
    return f"{found.replace(chr(10), '; ')}; {common}; {date}"


if __name__ == "__main__":
    main()
