"""Peak memory of `make_alignment | phylotools preprocess -`, whatever the size.

python benchmarks/preprocess_memory.py [--sizes 100MB 1GB 10GB] [--blocks birds] [--workers 1]

The text goes through a pipe and is never on disk. Memory is the resident set of the command and all
its child processes together, 20 times a second; pages that processes share count for each.
Seconds include making the text.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from make_alignment import number_of_bytes

HERE = Path(__file__).parent
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=number_of_bytes, nargs="+", default=[1e8, 1e9, 1e10])
    parser.add_argument("--blocks", choices=["birds", "mammals"], default="birds")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{arguments.blocks}, -@ {arguments.workers}, through a pipe")
    for size in arguments.sizes:
        seconds, peak, store = through_a_pipe(size, arguments.blocks, arguments.workers)
        print(
            f"  {size / 1e9:6.1f} GB of MAF: {peak / 2**20:7.0f} MiB, {seconds:7.1f} s, "
            f"{size / 1e6 / seconds:6.1f} MB/s, store {store / 1e6:,.0f} MB",
            flush=True,
        )


def through_a_pipe(size: float, blocks: str, workers: int) -> tuple[float, int, int]:
    """Seconds, most resident bytes at once, and bytes of the store."""
    with tempfile.TemporaryDirectory() as name:
        tree, output = Path(name, "tree.nh"), Path(name, "out.store")
        making = [
            sys.executable,
            str(HERE / "make_alignment.py"),
            "--blocks",
            blocks,
            "--tree",
            tree,
        ]
        # The tree must be there before the alignment begins.
        subprocess.run([*making, "--size", "1"], check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen([*making, "--size", str(size)], stdout=subprocess.PIPE) as source:
            start = time.perf_counter()
            command = [sys.executable, "-m", "phylotools", "preprocess", "-", "--tree", tree]
            options = ["-o", output, "-@", str(workers), "-q"]
            with subprocess.Popen([*command, *options], stdin=source.stdout) as process:
                assert source.stdout is not None
                source.stdout.close()  # so that the source hears if the command ends early
                peak = 0
                while process.poll() is None:
                    peak = max(peak, resident(process.pid))
                    time.sleep(0.05)
            seconds = time.perf_counter() - start
        if process.returncode or source.returncode:
            raise SystemExit("the command failed")
        return seconds, peak, sum(p.stat().st_size for p in output.rglob("*") if p.is_file())


def resident(pid: int) -> int:
    """Resident bytes of a process and its descendants (Linux)."""
    try:
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for t in threads for child in (t / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
    return total + sum(resident(int(child)) for child in children)


if __name__ == "__main__":
    main()
