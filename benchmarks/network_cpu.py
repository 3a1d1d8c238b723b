"""The network on a CPU: the original implementation against ours, and our presets against dense.

python benchmarks/network_cpu.py --original FOLDER [--threads 1 2] [--norm layer group] [--runs 5]
python benchmarks/network_cpu.py --presets small medium tiny

FOLDER is a checkout of the public repository songlab-cal/phylogpn, from which the network's code
alone is imported. Both sides have the same random weights of the published shape, 83 million, whose
outputs are compared before anything is timed. "Baked" is the original without parametrisations,
so that weights are not symmetrised in every pass. Of the norms, "group" is that of the repository;
"layer", that of the weights published since 2026-04, replaces it here.

Each row is processor time and wall-clock time, in turn in one run: median, and ratios to the baked
original (of presets: to the dense network) run by run, median [smallest, largest].
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from phylotools.model.network import ByteNet
from phylotools.model.presets import PRESETS, ModelSpec

#: Tensors of a block: layer of the original, part of ours.
BLOCK = {0: "norm_in", 2: "conv_in", 3: "norm_mid", 5: "conv_mid", 6: "norm_out", 8: "conv_out"}


class Size(NamedTuple):
    """What goes through at once: rows, positions each, and what is counted."""

    name: str
    rows: int
    positions: int
    unit: str


SIZES = [
    Size("L 2,048", 1, 2048, "positions"),
    Size("tile of 512", 1, 512, "positions"),
    Size("16 windows", 16, 1, "windows"),
    Size("1 window", 1, 1, "windows"),
]


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (B, C, L), with the parameters of a GroupNorm."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        # Of the ways to write it the fastest: both times the channels lie side by side.
        last = x.transpose(1, 2).contiguous()
        shape = last.shape[2:]
        normed = nn.functional.layer_norm(last, shape, self.weight, self.bias, self.eps)
        return normed.transpose(1, 2).contiguous()


def original_network(folder: Path, norm: str) -> nn.Module:
    """The authors' network with random weights; norm scales and shifts random too."""
    path = folder / "src" / "phylogpn.py"
    description = importlib.util.spec_from_file_location("original_phylogpn", path)
    if description is None or description.loader is None:
        raise SystemExit(f"error: {path} is no module")
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    spec = PRESETS["phylogpn"]
    torch.manual_seed(0)
    network = module.RCEByteNet(
        [3, 2, 1, 0, 4, 5], [3, 2, 1, 0], list(spec.dilations), spec.channels, spec.bottleneck,
        spec.kernel_size, 5,
    )  # fmt: skip
    for parent in list(network.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, nn.GroupNorm):
                nn.init.normal_(part.weight, 1, 0.1)
                nn.init.normal_(part.bias, 0, 0.1)
                if norm == "layer":
                    setattr(parent, name, ChannelNorm(part))
    return network.eval().requires_grad_(False)


def bake(network: nn.Module) -> None:
    """Leave the symmetrised weights in the place of what they are computed from."""
    for part in list(network.modules()):
        if parametrize.is_parametrized(part):
            for name in list(part.parametrizations):
                parametrize.remove_parametrizations(part, name)


def our_network(baked: nn.Module, norm: str) -> ByteNet:
    """Ours with the weights of the baked original."""
    shape = PRESETS["phylogpn"].to_dict() | {"norm": norm, "tied_norm": False}
    network = ByteNet(ModelSpec.from_dict(shape))
    places = {"output_layers.0.": "norm.", "output_layers.2.": "output."}
    for block in range(len(network.blocks)):
        for layer, part in BLOCK.items():
            places[f"blocks.{block}.layers.{layer}."] = f"blocks.{block}.{part}."
    tensors = {}
    for name, tensor in baked.state_dict().items():
        stem, _, last = name.rpartition(".")
        tensors[places.get(f"{stem}.", f"{stem}.") + last] = tensor
    network.load_state_dict(tensors)
    return network.freeze()


def measure(ways: dict[str, Callable[[], object]], runs: int) -> dict[str, np.ndarray]:
    """Processor and wall-clock seconds of every way [runs, 2], in turn."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    for _ in range(runs):
        for name, call in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call()
            seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: np.array(rows) for name, rows in seconds.items()}


def report(title: str, size: Size, seconds: dict[str, np.ndarray], first: str) -> None:
    """Print a row for every way."""
    work = size.rows * size.positions
    for name, spent in seconds.items():
        cells = []
        for clock, label in enumerate(("CPU", "wall")):
            ratio = seconds[first][:, clock] / spent[:, clock]
            speed = work / np.median(spent[:, clock])
            cells.append(
                f"{label} {speed:10,.1f} {np.median(ratio):5.2f} "
                f"[{ratio.min():.2f}, {ratio.max():.2f}]"
            )
        print(
            f"  {title} {size.name:12s} {name:10s} {size.unit}/s  {'   '.join(cells)}", flush=True
        )


def tokens_of(size: Size, spec: ModelSpec) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = size.rows, size.positions + spec.receptive_field - 1
    return torch.randint(0, 4, shape, generator=generator)


def against_the_original(folder: Path, norm: str, threads: list[int], runs: int) -> None:
    """Time the published shape on both sides."""
    published, baked = (original_network(folder, norm) for _ in range(2))
    bake(baked)
    network = our_network(baked, norm)
    trial = tokens_of(SIZES[3], network.spec)
    start = time.process_time()
    ours = network(trial)
    first = time.process_time() - start
    start = time.process_time()
    network(trial)
    print(f"  first pass {first:.1f} s of CPU, of which weights and compiling or loading "
          f"{first - (time.process_time() - start):.1f} s")  # fmt: skip
    apart = max((ours - original(trial)).abs().max().item() for original in (published, baked))
    print(f"  outputs differ by at most {apart:.1e}, their deviation is {ours.std().item():.2f}")
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        for size in SIZES:
            tokens = tokens_of(size, network.spec)
            ways = {
                "baked": lambda t=tokens: baked(t),
                "published": lambda t=tokens: published(t),
                "ours": lambda t=tokens: network(t),
            }
            report(f"{norm} threads {n_threads}", size, measure(ways, runs), "baked")


def against_dense(preset: str, threads: list[int], runs: int) -> None:
    """Time a preset of ours in both ways."""
    spec = PRESETS[preset]
    network = ByteNet(spec).freeze()
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        for size in SIZES:
            tokens = tokens_of(size, spec)
            network(tokens)
            start = time.perf_counter()
            network(tokens)
            repeats = max(1, int(0.05 / (time.perf_counter() - start)))
            ways = {
                "dense": lambda t=tokens, n=repeats: [network.dense(t) for _ in range(n)],
                "ours": lambda t=tokens, n=repeats: [network(t) for _ in range(n)],
            }
            seconds = {way: each / repeats for way, each in measure(ways, runs).items()}
            report(f"{preset} threads {n_threads}", size, seconds, "dense")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--original", type=Path, help="checkout of songlab-cal/phylogpn")
    parser.add_argument("--norm", nargs="*", default=["layer"], choices=("layer", "group"))
    parser.add_argument("--presets", nargs="*", default=[], choices=tuple(PRESETS))
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=5)
    wanted = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, torch {torch.__version__}, {wanted.runs} runs, load {load:.1f}")
    with torch.inference_mode():
        torch.set_num_threads(1)
        if wanted.original:
            for norm in wanted.norm:
                against_the_original(wanted.original, norm, wanted.threads, wanted.runs)
        for preset in wanted.presets:
            against_dense(preset, wanted.threads, wanted.runs)


if __name__ == "__main__":
    main()
