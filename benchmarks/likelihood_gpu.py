"""Columns per second of the GPU kernel: log-likelihood and gradient, float32.

python benchmarks/likelihood_gpu.py [--columns C] [--programs P ...] TREE.nh [TREE.nh ...]

Every tree is pruned to 32, 64, 128 and 256 species, and whole. Against plain torch on the same GPU
(`reference`, on as many columns as it has memory for), and against the two limits of the GPU:

- instructions: those counted in the code compiled for sm_90, at four a cycle and multiprocessor;
- memory: the bytes that must pass (a merge's partials once each way), at the speed of a copy.

A third of the cells are missing at random, so that no species drops out of a block: the worst case.
`half absent`: every block of 32 columns lacks half of the species.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch

from phylotools.phylogeny.kernels.gpu import dispatch
from phylotools.phylogeny.likelihood import PruningPlan, column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import F81, GTR, HKY, MutationSelection, SubstitutionModel
from phylotools.phylogeny.tree import Tree, parse_newick

SPECIES = (32, 64, 128, 256)
REFERENCE_COLUMNS = 4096
#: Instructions of a warp: for a merge forwards and back, and for a tip in the plan of a block.
INSTRUCTIONS = {"f81": (149 + 205, 22), "hky": (242 + 340, 22), "gtr": (320 + 584, 22)}
INSTRUCTIONS["mutation-selection"] = INSTRUCTIONS["gtr"]
#: Jacobi's rotations and what else a block does once; in float64, at half the speed.
ONCE = {"f81": 300, "hky": 400, "gtr": 6000, "mutation-selection": 6000}


def seconds(call: Callable[[], object], device: torch.device, runs: int = 7) -> float:
    """Median time of a call, after two that are not timed."""
    times = []
    for run in range(runs + 2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if run > 1:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def gradient(
    kernel: str,
    model: SubstitutionModel,
    states: torch.Tensor,
    theta: torch.Tensor,
    plan: PruningPlan,
) -> torch.Tensor:
    theta = theta.clone().requires_grad_()
    column_log_likelihood(states, theta, plan, model, kernel=kernel).sum().backward()
    assert theta.grad is not None
    return theta.grad


def limits(device: torch.device) -> tuple[float, float]:
    """Instructions of a warp a second, and bytes a second of a copy (read and written)."""
    if device.type != "cuda":
        return math.nan, math.nan
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    megahertz = float(subprocess.run(query, check=True, capture_output=True).stdout.split()[0])
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    source = torch.empty(1 << 32, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    copied = 2 * len(source) / seconds(lambda: target.copy_(source), device)
    print(
        f"{multiprocessors} multiprocessors, {megahertz:.0f} MHz, copies {copied / 1e12:.2f} TB/s"
    )
    return multiprocessors * 4 * megahertz * 1e6, copied


def bytes_per_column(n_tips: int) -> float:
    """Partials of every merge written and read once; states read, copied and read twice."""
    return (n_tips - 1) * 32 + n_tips * 4 + 16 + 20


def measure(
    model: SubstitutionModel,
    tree: Tree,
    columns: int,
    device: torch.device,
    instruction_rate: float,
    copied: float,
) -> None:
    plan = make_plan(tree)
    n_tips = tree.n_tips
    generator = torch.Generator(device).manual_seed(0)
    # Codes 0 to 5 equally often; 4 and 5 are missing data.
    states = torch.randint(
        0, 6, (columns, n_tips), dtype=torch.uint8, device=device, generator=generator
    )
    theta = torch.randn(columns, 4, device=device, generator=generator)
    few = slice(0, min(REFERENCE_COLUMNS, columns))
    found = gradient("gpu", model, states[few], theta[few], plan)
    wanted = gradient("reference", model, states[few], theta[few].double(), plan)
    error = ((found - wanted).norm() / wanted.norm()).item()
    fused = columns / seconds(lambda: gradient("gpu", model, states, theta, plan), device)
    plain = len(theta[few]) / seconds(
        lambda: gradient("reference", model, states[few], theta[few], plan), device, runs=3
    )
    states[:, torch.randperm(n_tips, device=device)[: n_tips // 2]] = 4
    halved = columns / seconds(lambda: gradient("gpu", model, states, theta, plan), device)
    per_merge, per_tip = INSTRUCTIONS[model.name]
    instructions = (n_tips - 1) * per_merge + n_tips * per_tip + ONCE[model.name]
    issued = fused / 32 * instructions / instruction_rate
    moved = fused * bytes_per_column(n_tips) / copied
    print(
        f"  {n_tips:4d} {model.name:20s} {fused / 1e6:9.2f} {halved / 1e6:11.2f} "
        f"{plain / 1e6:10.4f} {fused / plain:8.0f} {issued:13.0%} {moved:7.0%} {error:9.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=1 << 20)
    parser.add_argument("--programs", type=int, nargs="*", help="of a multiprocessor, for F81")
    parser.add_argument("--species", type=int, nargs="*", default=SPECIES)
    parser.add_argument("trees", nargs="+")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU: interpreter"
    print(f"{name}, torch {torch.__version__}, {arguments.columns} columns, medians")
    instruction_rate, copied = limits(device)
    for path in arguments.trees:
        whole = parse_newick(Path(path).read_text(), path=path).with_minimum_branch_length(1e-6)
        trees = [whole.prune(whole.tips[:few]) for few in arguments.species if few < whole.n_tips]
        print(
            f"{Path(path).name}: millions of columns/s\n  tips model                     fused "
            "half absent      plain    ratio  instructions  memory  gradient"
        )
        for tree in [*trees, whole]:
            for model in (F81(), HKY(), GTR(), MutationSelection()):
                measure(model.to(device), tree, arguments.columns, device, instruction_rate, copied)
        for programs in arguments.programs or ():
            dispatch.PROGRAMS_PER_MULTIPROCESSOR = programs
            print(f"{programs} programs a multiprocessor:")
            measure(F81(), whole, arguments.columns, device, instruction_rate, copied)


if __name__ == "__main__":
    main()
