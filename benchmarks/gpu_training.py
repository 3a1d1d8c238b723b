"""The part of `gpu.py` that trains: steps of the 83 M network, and where their time goes."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from gpu_checks import TREE
from gpu_report import Recorder
from gpu_speed import _operations
from likelihood_gpu import seconds
from simulated_store import BIRDS, simulated_store

from phylotools.model.network import EquivariantConv
from phylotools.model.presets import PRESETS
from phylotools.phylogeny.likelihood import column_log_likelihood
from phylotools.training.config_file import read_config
from phylotools.training.loop import Trainer
from phylotools.training.workers import Workers

#: What an H200 is to reach (docs/training.md): share of the measured rate, of the likelihood.
LEAST_SHARE, MOST_LIKELIHOOD = 0.35, 0.02
#: Relative to float32 on a CPU: a bfloat16 has 8 bits, and errors of single products cancel.
LARGEST_LOSS_ERROR, LARGEST_GRADIENT_ERROR = 0.01, 0.1


@dataclass(frozen=True)
class Way:
    """A way to train: lines of the table `run`, blocks, and seconds that it needs.

    The compiler takes its time for every block, so it gets some of them: all cost the same.
    """

    name: str
    run: str = ""
    blocks: int | None = None
    needs: float = 12.0

    @property
    def is_compiled(self) -> bool:
        return "compile" in self.run


WAYS = (
    Way("plain"),
    Way("recomputed", "recompute_activations = true\n"),
    Way("compiled, 8 blocks", "compile = true\n", 8, 30),
    Way("plain, 8 blocks", "log_every = 10\n", 8),
)


@dataclass(frozen=True)
class Scale:
    """How much is computed, and where."""

    device: torch.device
    preset: str
    tree: Path
    columns: int
    windows: int
    window_length: int
    seconds: float
    #: Rows of the largest product that tells the measured rate.
    rows: int

    @classmethod
    def of(cls, is_dry: bool) -> Scale:
        if is_dry:
            return cls(torch.device("cpu"), "tiny", BIRDS, 2000, 4, 64, 0.05, 64)
        # 37,000 rows with their context: more than a GPU works on at once, and 35 GiB of numbers.
        return cls(torch.device("cuda"), "phylogpn", TREE, 200_000, 16, 2048, 3.0, 65536)

    @property
    def is_dry(self) -> bool:
        return self.device.type == "cpu"


@dataclass
class Measured:
    """What later figures are relative to.

    Attributes
    ----------
    rate : float
        Multiplications and additions of a large product in bfloat16, a second.
    likelihood : float
        Seconds of a batch's likelihood, forward and backward.
    """

    rate: float = math.nan
    likelihood: float = math.nan


def steps(recorder: Recorder, scale: Scale) -> None:
    measured = Measured()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not recorder.check("a store of simulated columns", partial(_simulate, folder, scale)):
            return
        recorder.check("bfloat16 against float32 on a CPU", partial(_agrees, folder, scale))
        recorder.figure("bfloat16 products alone", partial(_rate, measured, scale), needs=4)
        likelihood = partial(_likelihood, folder, measured, scale)
        recorder.figure("the likelihood of a batch", likelihood, needs=4)
        # A dry run is of seconds, and tests of training compile.
        for way in (way for way in WAYS if not (scale.is_dry and way.is_compiled)):
            measure = partial(_steps, folder, way, measured, scale)
            recorder.figure(f"a step, bfloat16, {way.name}", measure, needs=way.needs)
            if not way.run:
                recorder.check("NCCL with one worker", partial(_nccl, scale), needs=5)
                dilated = partial(_dilated, scale)
                recorder.figure("dilated products, forward and backward", dilated, needs=4)


def _simulate(folder: Path, scale: Scale) -> str:
    simulated_store(folder, tree=scale.tree, length=scale.columns)
    return f"{scale.columns:,} columns"


def _trainer(
    folder: Path, name: str, device: torch.device, scale: Scale, **changes: str
) -> Trainer:
    """A run whose buffer holds a fraction of the store, which so is read again and again."""
    config = folder / f"{name}.toml"
    species = scale.tree.read_text().count(",") + 1
    config.write_text(
        f'[data]\nstores = ["{folder / "simulated.store"}"]\nheld_out_fraction = 0\n'
        f"buffer_bytes = {max(100_000, scale.columns * species // 3)}\n"
        f'[network]\npreset = "{changes.get("preset", scale.preset)}"\n{changes.get("network", "")}'
        f"[optimiser]\nsteps = 1000000\nwindows_per_batch = {scale.windows}\n"
        f'window_length = {scale.window_length}\nprecision = "{changes["precision"]}"\n'
        f"[run]\nsite_fits = false\n{changes.get('run', '')}"
    )
    return Trainer(read_config(config), folder / name, device)


def _agrees(folder: Path, scale: Scale) -> str:
    """Loss and gradient of one batch, on the device in bfloat16 and on a CPU in float32."""
    found = []
    for name, device, precision in (
        ("narrow", scale.device, "bfloat16"),
        ("exact", torch.device("cpu"), "float32"),
    ):
        trainer = _trainer(folder, name, device, scale, preset="tiny", precision=precision)
        with closing(trainer.data.stream()) as batches:
            loss = trainer.update(next(batches), 0.0)["loss"]
        parameters = trainer.model.network.parameters()
        found.append((loss, torch.cat([p.grad.flatten().cpu() for p in parameters])))
    (loss, narrow), (exact_loss, exact) = found
    of_loss = abs(loss - exact_loss) / abs(exact_loss)
    of_gradient = ((narrow - exact).norm() / exact.norm()).item()
    assert of_loss < LARGEST_LOSS_ERROR, f"error of the loss {of_loss:.1e}"
    assert of_gradient < LARGEST_GRADIENT_ERROR, f"error of the gradient {of_gradient:.1e}"
    return f"error of the loss {of_loss:.1e}, of the gradient {of_gradient:.1e}"


def _nccl(scale: Scale) -> str:
    """The two groups of a run, of one worker: that NCCL starts here, and sums."""
    from phylotools.training import workers

    names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29487", "RANK": "0", "WORLD_SIZE": "1"}
    before = dict(os.environ)
    os.environ.update(names)
    one = Workers(0, 1, 0, 1)
    try:
        workers._begin(one)
        values = torch.arange(1 << 20, dtype=torch.float32, device=scale.device)
        summed = values.clone()
        torch.distributed.all_reduce(summed, group=workers._state.gpus)
        assert torch.equal(summed, values)
        backend = torch.distributed.get_backend(workers._state.gpus)
        assert backend == ("gloo" if scale.is_dry else "nccl")
    finally:
        workers._end()
        for name in names:
            os.environ.pop(name)
        os.environ.update(before)
    return f"{backend} sums {len(values):,} numbers"


def _rate(measured: Measured, scale: Scale) -> str:
    """Of the largest square product, which the others are relative to, and of the network's."""
    spec = PRESETS[scale.preset]
    wide, narrow = spec.channels, spec.bottleneck
    side = min(8192, scale.rows)
    shapes = [
        ("square", side, side, side),
        ("in", scale.rows, wide, narrow),
        ("dilated", scale.rows, narrow * spec.kernel_size, narrow),
        ("out", scale.rows, narrow, wide),
    ]
    kind = {"dtype": torch.bfloat16, "device": scale.device}
    found = {}
    for name, rows, inner, outer in shapes:
        left, right = torch.randn(rows, inner, **kind), torch.randn(inner, outer, **kind)
        spent = seconds(partial(torch.matmul, left, right), scale.device)
        found[name] = 2 * rows * inner * outer / spent
    measured.rate = found["square"]
    return ", ".join(f"{name} {value / 1e12:,.0f} TFLOP/s" for name, value in found.items())


def _steps(folder: Path, way: Way, measured: Measured, scale: Scale) -> str:
    """Real steps: the loader, the network, the likelihood, AdamW."""
    if not scale.is_dry:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    network = "" if way.blocks is None else f"dilations = {[1, 5] * (way.blocks // 2)}\n"
    trainer = _trainer(
        folder, way.name, scale.device, scale, precision="bfloat16", run=way.run, network=network
    )
    began, n_steps, waited = time.perf_counter(), 0, 0.0
    with _full_batches(trainer, scale) as batches:
        for _ in range(2):
            trainer.update(next(batches), 1.0)
        start = time.perf_counter()
        while n_steps < 2 or time.perf_counter() - start < scale.seconds:
            asked = time.perf_counter()
            own = next(batches)
            waited += time.perf_counter() - asked
            # It ends with a look at its figures, so that the GPU has done it.
            trainer.update(own, 1.0)
            n_steps += 1
        spent = (time.perf_counter() - start) / n_steps
    memory = 0.0 if scale.is_dry else torch.cuda.max_memory_allocated() / 2**30
    positions = scale.windows * scale.window_length
    flops = 3 * _operations(trainer.model.network.spec, scale.window_length) * positions / spent
    return (
        f"{positions / spent:,.0f} positions/s, {flops / 1e12:,.0f} TFLOP/s of the dense network: "
        f"{flops / measured.rate:.0%} of the measured rate (target {LEAST_SHARE:.0%}); likelihood "
        f"{measured.likelihood / spent:.1%} of a step (target {MOST_LIKELIHOOD:.0%}); waited for "
        f"the loader {waited / n_steps / spent:.1%}; memory {memory:.1f} GiB; first two steps "
        f"{start - began:.0f} s"
    )


@contextmanager
def _full_batches(trainer: Trainer, scale: Scale) -> Iterator[Iterator[list]]:
    """Batches without the smaller ones at the ends of epochs, which are other shapes."""
    with closing(trainer.data.stream()) as batches:
        yield (parts for parts in batches if sum(len(p.tokens) for p in parts) == scale.windows)


def _likelihood(folder: Path, measured: Measured, scale: Scale) -> str:
    trainer = _trainer(folder, "likelihood", scale.device, scale, precision="bfloat16")
    with _full_batches(trainer, scale) as batches:
        (batch,) = next(batches)
    batch = batch.to(scale.device)
    theta = torch.randn(len(batch.states), 4, device=scale.device, requires_grad=True)
    substitution = trainer.model.substitution

    def both_ways() -> None:
        value = column_log_likelihood(batch.states, theta, batch.plan, substitution)
        torch.autograd.grad(value.sum(), theta)

    measured.likelihood = seconds(both_ways, scale.device)
    n_columns, n_species = batch.states.shape
    return (
        f"{1e3 * measured.likelihood:.1f} ms for {n_columns:,} columns of {n_species} species, "
        f"{n_columns / measured.likelihood / 1e6:.1f} million a second"
    )


def _dilated(scale: Scale) -> str:
    """Taps side by side and one product, as `EquivariantConv` has it, against cuDNN's."""
    spec = PRESETS[scale.preset]
    narrow, dilation = spec.bottleneck, 5
    with scale.device:
        conv = EquivariantConv(narrow, narrow, spec.kernel_size, dilation)
        x = torch.randn(scale.windows, scale.window_length, narrow, requires_grad=True)

    def taps() -> torch.Tensor:
        return conv(x)

    def convolution() -> torch.Tensor:
        weight, bias = conv.effective()
        weight = weight.unflatten(1, (spec.kernel_size, narrow)).permute(0, 2, 1)
        # Channels last: a sequence is an image of one row.
        image, kernel = x.transpose(1, 2).unsqueeze(2), weight.unsqueeze(2)
        found = torch.nn.functional.conv2d(image, kernel, bias, dilation=(1, dilation))
        return found.squeeze(2).transpose(1, 2)

    torch.testing.assert_close(convolution(), taps(), rtol=0, atol=0.02)

    def timed(way) -> float:
        def both_ways() -> None:
            with torch.autocast(scale.device.type, torch.bfloat16):
                found = way()
            torch.autograd.grad(found.float().sum(), [x, conv.weight])

        return 1e3 * seconds(both_ways, scale.device)

    return ", ".join(f"{way.__name__} {timed(way):.2f} ms" for way in (taps, convolution))
