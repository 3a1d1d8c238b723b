"""Width of the vectors of the compiled kernel, one thread, float32, by processor time.

python benchmarks/likelihood_lanes.py TREE.nh [TREE.nh ...]

The width is compiled in, so each gets a copy of the package and processes of its own, which take
turns. NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma,+avx,+bmi,+bmi2 measures AVX2 alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import phylotools

WIDTHS, RUNS, COLUMNS = (32, 64, 128, 256), 5, 8192
MODELS = ("f81", "mutation-selection")

CODE = """
import sys, time
from pathlib import Path
import numpy as np
import torch
from phylotools.phylogeny.kernels.cpu.lanes import VECTOR_BYTES
from phylotools.phylogeny.likelihood import column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.threads import set_threads
from phylotools.phylogeny.tree import parse_newick
width, name, path, columns = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
assert width == VECTOR_BYTES
torch.set_num_threads(1)
set_threads(1)
plan = make_plan(parse_newick(Path(path).read_text()).with_minimum_branch_length(1e-6))
rng = np.random.default_rng(0)
states = torch.from_numpy(rng.integers(0, 6, (columns, plan.n_tips), dtype=np.uint8))
theta = torch.from_numpy(rng.normal(size=(columns, 4)).astype(np.float32)).requires_grad_()
model = make_substitution_model(name)
def once():
    column_log_likelihood(states, theta, plan, model, kernel="cpu").sum().backward()
once()
start = time.process_time()
once()
print(columns / (time.process_time() - start))
"""


def package_with_width(folder: Path, width: int) -> Path:
    """A copy of the package whose vectors have another width."""
    target = folder / str(width)
    source = Path(phylotools.__file__).parent
    shutil.copytree(source, target / "phylotools", ignore=shutil.ignore_patterns("__pycache__"))
    lanes = target / "phylotools" / "phylogeny" / "kernels" / "cpu" / "lanes.py"
    text, n = re.subn(r"(?m)^VECTOR_BYTES = \d+$", f"VECTOR_BYTES = {width}", lanes.read_text())
    assert n == 1
    lanes.write_text(text)
    return target


def columns_per_second(package: Path, width: int, model: str, tree: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(width), model, tree, str(COLUMNS)],
        capture_output=True, text=True, check=True, cwd=package,
        env=os.environ | {"PYTHONPATH": str(package)},
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        packages = {width: package_with_width(Path(scratch), width) for width in WIDTHS}
        for path in sys.argv[1:]:
            tree = str(Path(path).resolve())
            for model in MODELS:
                speeds: dict[int, list[float]] = {width: [] for width in WIDTHS}
                for _ in range(RUNS):
                    for width, package in packages.items():
                        speeds[width].append(columns_per_second(package, width, model, tree))
                print(f"{Path(path).name}, {model}, {RUNS} runs each; median [min, max]")
                first = np.array(speeds[WIDTHS[0]])
                for width, found in speeds.items():
                    ratio = np.array(found) / first
                    print(
                        f"  {width:4d} bytes {np.median(found):12,.0f} columns/s  ratio "
                        f"{np.median(ratio):5.2f} [{ratio.min():.2f}, {ratio.max():.2f}]"
                    )


if __name__ == "__main__":
    main()
