"""Parts of `gpu.py` that measure: positions a second, memory, utilisation, and all of hg38."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from gpu_checks import NARROW, _device, computing, random_network, run_together
from gpu_report import Recorder
from likelihood_gpu import seconds
from torch import Tensor

from phylotools.model.fused import steps
from phylotools.model.network import ByteNet
from phylotools.model.presets import PRESETS, ModelSpec
from phylotools.scoring.gpu.passes import GpuPasses

#: Bases of hg38's chromosomes that are not N, and those of the whole.
HG38 = 2_937_000_000
#: Positions of a tile that scoring uses for lone regions, and of one for whole genomes.
TILES = 512, 4096


@dataclass(frozen=True)
class Scale:
    """How much is computed, and where."""

    device: torch.device
    spec: ModelSpec
    seconds: float
    batches: tuple[int, ...]
    tiles: tuple[int, ...]
    genome: int

    @classmethod
    def of(cls, is_dry: bool) -> Scale:
        if is_dry:
            small = ModelSpec(12, 6, 5, (1, 2))
            return cls(torch.device("cpu"), small, 0.05, (1, 2), (16, 64), 3000)
        sizes = (8, 16, 32, 64, 128)
        return cls(torch.device("cuda"), PRESETS["phylogpn"], 2.5, sizes, TILES, 24_000_000)

    @property
    def is_dry(self) -> bool:
        return self.device.type == "cpu"


# speed


def speed(recorder: Recorder, scale: Scale) -> None:
    made = random_network(scale.spec, scale.device).freeze()
    short, long = scale.tiles
    # The dense network in bfloat16 alone: it is what the halved one must beat.
    for precision, way in (
        ("bfloat16", "halved"),
        ("bfloat16", "dense"),
        ("tf32", "halved"),
        ("float32", "halved"),
    ):
        measure = partial(_throughput, made, precision, way, long, _batch(long), scale)
        recorder.figure(f"{precision}, {way}, windows of {long}", measure, needs=8)
    recorder.figure(
        f"bfloat16, halved, windows of {short}",
        partial(_throughput, made, "bfloat16", "halved", short, _batch(short), scale),
        needs=8,
    )
    recorder.figure(
        f"bfloat16, halved, dilated products gathered, windows of {long}",
        partial(_gathered, made, long, _batch(long), scale),
        needs=8,
    )
    recorder.figure("batch sizes, bfloat16, halved", partial(_batches, made, scale), needs=12)
    recorder.figure("lone windows, bfloat16, halved", partial(_lone, made, scale), needs=5)
    for way in ("halved", "dense"):
        recorder.figure(f"profile, bfloat16, {way}", partial(_profile, made, way, scale), needs=6)
    recorder.figure("bytes between products", partial(_bandwidth, scale), needs=4)
    recorder.figure("graphs off, bfloat16, halved", partial(_without_graphs, made, scale), needs=6)


def _batch(tile: int) -> int:
    return 64 if tile <= 512 else 16


def _throughput(
    made: ByteNet, precision: str, way: str, tile: int, batch: int, scale: Scale
) -> str:
    if scale.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    compute = computing(made, precision, scale.device, dense=way == "dense")
    with _utilisation(scale) as used:
        rate = _positions_a_second(compute, tile, 2 if scale.is_dry else batch, scale)
    flops = rate * _operations(scale.spec, tile) / (1 if way == "dense" else 2)
    text = (
        f"{rate:,.0f} positions/s, {flops / 1e12:.0f} TFLOP/s in products, hg38 in "
        f"{HG38 / rate / 60:,.0f} minutes"
    )
    if scale.device.type == "cuda":
        allocated = torch.cuda.max_memory_allocated() / 2**30
        reserved = torch.cuda.max_memory_reserved() / 2**30
        text += f", memory {allocated:.1f} GiB ({reserved:.1f} reserved), {used}"
    return text


def _gathered(made: ByteNet, tile: int, batch: int, scale: Scale) -> str:
    """With `steps.dilated_product`: the figure that decides about `steps.IS_GATHERED`."""
    before = steps.IS_GATHERED
    steps.IS_GATHERED = True
    try:
        return _throughput(made, "bfloat16", "halved", tile, batch, scale)
    finally:
        steps.IS_GATHERED = before


def _positions_a_second(
    compute: Callable[[Tensor], Tensor],
    tile: int,
    batch: int,
    scale: Scale,
    *,
    has_graphs: bool = True,
) -> float:
    """From tokens in the host's memory to theta there."""
    length = tile + scale.spec.receptive_field - 1
    rng = np.random.default_rng(1)
    windows = list(rng.integers(0, 4, (batch * 4, length)).astype(np.uint8))
    gpu = GpuPasses(
        _device_of(scale), compute, scale.spec.receptive_field, 4, has_graphs=has_graphs
    )
    for _ in range(2):
        _exhaust(gpu.values(windows, batch))
    start, n_done = time.perf_counter(), 0
    while time.perf_counter() - start < scale.seconds:
        n_done += _exhaust(gpu.values(windows * 4, batch))
    seconds = time.perf_counter() - start
    gpu.graphs.clear()
    return n_done * tile / seconds


def _exhaust(values: Iterator[object]) -> int:
    return sum(1 for _ in values)


def _device_of(scale: Scale):
    return _device(scale)  # type: ignore[arg-type]


def _operations(spec: ModelSpec, tile: int) -> float:
    """Additions and multiplications of the dense products for a position of a tile."""
    wide, narrow = spec.channels * spec.bottleneck, spec.bottleneck**2 * spec.kernel_size
    rows, total = tile + spec.receptive_field - 1, 0
    for dilation in spec.dilations:
        total += rows * wide
        rows -= dilation * (spec.kernel_size - 1)
        total += rows * (narrow + wide)
    return 2 * (total + 4 * rows * spec.channels) / tile


@dataclass
class _Used:
    """What nvidia-smi saw; `str` is for the table."""

    lines: list[list[float]] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.lines:
            return "utilisation not seen"
        # The first and last may have seen something else.
        inner = self.lines[1:-1] or self.lines
        busy, clock, watts = (statistics.median(column) for column in zip(*inner, strict=True))
        return f"{busy:.0f} % busy, {clock:.0f} MHz, {watts:.0f} W"


@contextmanager
def _utilisation(scale: Scale) -> Iterator[_Used]:
    """Have nvidia-smi look, four times a second."""
    used = _Used()
    if scale.is_dry:
        yield used
        return
    query = "--query-gpu=utilization.gpu,clocks.sm,power.draw"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits", "-lms", "250", "-i", "0"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        yield used
        return

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                used.lines.append([float(part) for part in line.split(",")])
            except ValueError:
                continue

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield used
    finally:
        process.terminate()
        process.wait()
        reader.join(timeout=2)


def _batches(made: ByteNet, scale: Scale) -> str:
    lines = ["window  batch  positions/s"]
    compute = computing(made, "bfloat16", scale.device)
    brief = Scale(**{**vars(scale), "seconds": scale.seconds / 4})
    for tile, batch in itertools.product(scale.tiles, scale.batches):
        if tile * batch > 300_000:
            continue
        rate = _positions_a_second(compute, tile, batch, brief)
        lines.append(f"{tile:6d} {batch:6d} {rate:12,.0f}")
    return "\n".join(lines)


def _lone(made: ByteNet, scale: Scale) -> str:
    """Windows of one position, as scoring has them for isolated variants."""
    compute = computing(made, "bfloat16", scale.device)
    rate = _positions_a_second(compute, 1, 2 if scale.is_dry else 128, scale)
    return f"{rate:,.0f} windows/s"


def _without_graphs(made: ByteNet, scale: Scale) -> str:
    compute = computing(made, "bfloat16", scale.device)
    found = []
    for tile in scale.tiles:
        batch = 2 if scale.is_dry else _batch(tile)
        rate = _positions_a_second(compute, tile, batch, scale, has_graphs=False)
        found.append(f"windows of {tile}: {rate:,.0f} positions/s")
    return ", ".join(found)


def _profile(made: ByteNet, way: str, scale: Scale) -> str:
    """Where the time of a pass goes, by kernel."""
    from torch.profiler import ProfilerActivity, profile

    tile = scale.tiles[-1]
    length = tile + scale.spec.receptive_field - 1
    batch = 1 if scale.is_dry else _batch(tile)
    tokens = torch.randint(0, 4, (batch, length), dtype=torch.uint8, device=scale.device)
    compute = computing(made, "bfloat16", scale.device, dense=way == "dense")
    compute(tokens)
    kind = ProfilerActivity.CPU if scale.is_dry else ProfilerActivity.CUDA
    with profile(activities=[kind]) as seen:
        compute(tokens)
        if not scale.is_dry:
            torch.cuda.synchronize()
    attribute = "self_cpu_time_total" if scale.is_dry else "self_device_time_total"
    events = sorted(seen.key_averages(), key=lambda event: -getattr(event, attribute))
    whole = sum(getattr(event, attribute) for event in events) or 1
    lines = ["   ms  share  calls  kernel"]
    for event in events[:12]:
        spent = getattr(event, attribute)
        lines.append(f"{spent / 1000:5.1f} {spent / whole:6.1%} {event.count:6d}  {event.key[:90]}")
    return "\n".join(lines)


def _bandwidth(scale: Scale) -> str:
    """Bytes a second of what Triton does, in bfloat16, against a copy's."""
    half, rows = scale.spec.channels // 2, 8 if scale.is_dry else 65536
    narrow, kind, device = scale.spec.bottleneck // 2, torch.bfloat16, scale.device
    around = steps.Planes(torch.randn(2, rows, half, device=device), rows)
    product = steps.Planes(torch.randn(2, rows, half, device=device).to(kind), rows)
    norm = torch.ones(4, half, device=device)
    pending = steps.Pending(product, torch.zeros(half, device=device))
    hidden = steps.Planes(torch.randn(2, rows, narrow, device=device).to(kind), rows)
    long = around.values.numel()
    work = {
        "copy": (lambda: around.values.clone(), long * 8),
        "residual, norm, GELU": (
            lambda: steps.activated(
                around, pending, norm, kind, is_summed=True, over_positions=False
            ),
            long * 12,
        ),
        "taps": (
            lambda: steps.packed_taps(hidden, scale.spec.kernel_size, 1),
            hidden.values.numel() * 2 * (1 + scale.spec.kernel_size),
        ),
    }
    return ", ".join(
        f"{name}: {size / seconds(call, device) / 1e12:.2f} TB/s"
        for name, (call, size) in work.items()
    )


# genome


def genome(recorder: Recorder, scale: Scale) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta = folder / "random.fa"
        if recorder.check("a model and a FASTA", partial(_make_inputs, folder, fasta, scale)):
            precision = NARROW[0] if scale.is_dry else "bfloat16"
            measure = partial(_scorer, folder / "model", fasta, precision, scale)
            recorder.figure(f"FASTA to theta, {precision}", measure, needs=12)
            measure = partial(_sparse, folder / "model", fasta, precision, scale)
            recorder.figure(f"a variant per 10 kb, {precision}", measure, needs=6)
            measure = partial(_tracks, folder, fasta, precision, scale)
            recorder.figure(f"phylotools tracks, one bigWig, {precision}", measure, needs=15)


def _make_inputs(folder: Path, fasta: Path, scale: Scale) -> str:
    from phylotools.model.folder import ModelDraft, write_model
    from phylotools.model.site_model import SiteModel

    rng = np.random.default_rng(3)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, scale.genome)]
    with open(fasta, "wb") as file:
        file.write(b">chr1\n")
        for start in range(0, scale.genome, 1 << 20):
            file.write(letters[start : start + (1 << 20)].tobytes())
        file.write(b"\n")
    site_model = SiteModel(random_network(scale.spec, torch.device("cpu")))
    write_model(ModelDraft("random", "r1", site_model, {}, {}, "Random.\n"), folder / "model")
    return f"{scale.genome:,} bases"


def _scorer(model_folder: Path, fasta: Path, precision: str, scale: Scale) -> str:
    """In memory: what every verb has of the network."""
    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import Region
    from phylotools.model.registry import load_model
    from phylotools.scoring.scorer import Scorer
    from phylotools.scoring.tiled_network import dense_tile_length

    model = load_model(str(model_folder), scale.device.type)
    with ReferenceGenome.open(fasta) as reference:
        scorer = Scorer(
            model,
            reference,
            precision=precision,
            tile_length=dense_tile_length(model, [Region("chr1", 0, scale.genome)]),
        )
        step = min(1 << 21, scale.genome // 2)
        scorer.theta(Region("chr1", 0, step // 8))
        start, done = time.perf_counter(), 0
        while done + step <= scale.genome and time.perf_counter() - start < 4 * scale.seconds:
            scorer.theta(Region("chr1", done, done + step))
            done += step
        rate = done / (time.perf_counter() - start)
    return f"{rate:,.0f} positions/s, hg38 in {HG38 / rate / 60:,.0f} minutes"


def _sparse(model_folder: Path, fasta: Path, precision: str, scale: Scale) -> str:
    from phylotools.io.genome import ReferenceGenome
    from phylotools.model.registry import load_model
    from phylotools.scoring.scorer import Scorer

    model = load_model(str(model_folder), scale.device.type)
    positions = np.arange(100, scale.genome, 10_000 if not scale.is_dry else 500)
    with ReferenceGenome.open(fasta) as reference:
        scorer = Scorer(model, reference, precision=precision)
        scorer.theta_at("chr1", positions[: len(positions) // 4])
        start = time.perf_counter()
        scorer.theta_at("chr1", positions)
        rate = len(positions) / (time.perf_counter() - start)
    return f"{rate:,.0f} sites/s"


def _tracks(folder: Path, fasta: Path, precision: str, scale: Scale) -> str:
    bases = scale.genome // 2
    start = time.perf_counter()
    run_together(
        [
            (
                "tracks", "-m", folder / "model", "-f", fasta, "-r", f"chr1:1-{bases}",
                "--tracks", "llr_mean", "--no-snv-table", "--device", scale.device.type,
                "--precision", precision, "-o", folder / "tracks",
            )
        ]
    )  # fmt: skip
    seconds = time.perf_counter() - start
    return (
        f"{bases:,} positions in {seconds:.1f} s, start and end included: "
        f"{bases / seconds:,.0f} positions/s"
    )
