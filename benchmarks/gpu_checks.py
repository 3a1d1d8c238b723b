"""Parts of `gpu.py` that compare a GPU's numbers with others."""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from gpu_report import Recorder
from torch import Tensor

from phylotools.model.device import PRECISIONS, arithmetic
from phylotools.model.fused import FusedNetwork, steps
from phylotools.model.network import ByteNet
from phylotools.model.presets import PRESETS, ModelSpec
from phylotools.phylogeny.likelihood import column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import F81, GTR, HKY, MutationSelection, SubstitutionModel
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.scoring.gpu.device import CudaDevice, Device
from phylotools.scoring.gpu.passes import GpuPasses

ROOT = Path(__file__).parents[1]
TREE = ROOT / "examples" / "likelihood_study" / "data" / "447-mammalian-2022v1.nh"
MTDNA = ROOT / "examples" / "human_mtdna" / "data"
NARROW = [name for name in PRECISIONS if name != "auto"]
LAYOUTS = [("layer", True), ("layer", False), ("group", True), ("group", False)]
#: Root mean square error of theta relative to its spread that rounding explains, forty blocks deep.
LARGEST_ERROR = {"float32": 1e-5, "tf32": 1e-2, "bfloat16": 1e-1, "float16": 1e-2}


@dataclass(frozen=True)
class Scale:
    """How much is computed, and where."""

    device: torch.device
    n_tips: int
    n_columns: int
    spec: ModelSpec
    positions: int
    n_windows: int
    steps: int

    @classmethod
    def of(cls, is_dry: bool) -> Scale:
        if is_dry:
            small = ModelSpec(12, 6, 5, (1, 2))
            return cls(torch.device("cpu"), 5, 6, small, 7, 5, 2)
        return cls(torch.device("cuda"), 447, 512, PRESETS["phylogpn"], 64, 40, 20)

    @property
    def is_dry(self) -> bool:
        return self.device.type == "cpu"

    @property
    def name(self) -> str:
        """As commands call the device."""
        return self.device.type


# likelihood


def likelihood(recorder: Recorder, scale: Scale) -> None:
    whole = parse_newick(TREE.read_text()).with_minimum_branch_length(1e-6)
    tree = whole.prune(whole.tips[: scale.n_tips]) if scale.n_tips < whole.n_tips else whole
    for model in (F81(), HKY(), GTR(), MutationSelection()):
        for dtype in (torch.float32, torch.float64):
            name = f"{model.name}, {str(dtype).removeprefix('torch.')}"
            check = partial(_likelihood_agrees, model, dtype, tree, scale)
            recorder.check(f"value and gradients: {name}", check)
    recorder.check("columns that leave float32 are done again", partial(_leaves_float32, scale))
    recorder.figure("speed", partial(_likelihood_speed, tree, scale), needs=15)


def _likelihood_agrees(
    model: SubstitutionModel, dtype: torch.dtype, tree: Tree, scale: Scale
) -> str:
    rng = np.random.default_rng(1)
    states = torch.from_numpy(rng.integers(0, 6, (scale.n_columns, tree.n_tips)).astype(np.uint8))
    states[0] = 4
    states[1, 1:] = 5
    theta = torch.from_numpy(rng.normal(-0.5, 1, (scale.n_columns, 4))).to(dtype)
    plan = make_plan(tree)
    model = model.double()
    found = _value_and_gradients("gpu", model, states, theta, plan, scale.device)
    cpu = torch.device("cpu")
    wanted = _value_and_gradients("reference", model, states, theta.double(), plan, cpu)
    tolerance = 2e-5 if dtype == torch.float32 else 1e-9
    errors = []
    for ours, exact in zip(found, wanted, strict=True):
        size = 1 + exact.abs() if exact.dim() == 1 else 1 + exact.abs().amax()
        errors.append(((ours.double() - exact).abs() / size).max().item())
    assert len(errors) == 2 + len(list(model.parameters()))
    assert max(errors) < tolerance, f"relative errors {errors}"
    return f"relative error of values {errors[0]:.1e}, of gradients {max(errors[1:]):.1e}"


def _value_and_gradients(
    kernel: str,
    model: SubstitutionModel,
    states: Tensor,
    theta: Tensor,
    plan: object,
    device: torch.device,
) -> list[Tensor]:
    model = model.to(device)
    theta = theta.to(device).requires_grad_()
    value = column_log_likelihood(states.to(device), theta, plan, model, kernel=kernel)
    gradients = torch.autograd.grad(value.sum(), [theta, *model.parameters()])
    model.to("cpu")
    return [tensor.detach().cpu() for tensor in (value, *gradients)]


def _leaves_float32(scale: Scale) -> str:
    tree = parse_newick("(" + ",".join(f"t{i}:0.0001" for i in range(16)) + ");")
    states = torch.zeros(2, 16, dtype=torch.uint8)
    states[0, 8:] = 1
    theta = torch.tensor([[0.2, 0.0, -0.4, -1.0]] * 2) - 30
    plan = make_plan(tree)
    found = _value_and_gradients("gpu", F81(), states, theta, plan, scale.device)[0]
    cpu = torch.device("cpu")
    wanted = _value_and_gradients("reference", F81(), states, theta.double(), plan, cpu)[0]
    assert wanted[0] < -80
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    return f"log-likelihood {found[0]:.2f}"


def _likelihood_speed(tree: Tree, scale: Scale) -> str:
    import likelihood_gpu

    columns, models = 1 << 20, [F81(), HKY(), GTR(), MutationSelection()]
    if scale.is_dry:
        columns, models = 4, [F81()]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        rate, copied = likelihood_gpu.limits(scale.device)
        print(
            "  tips model                 10^6 col/s half absent      plain    ratio  "
            "instructions  memory  gradient"
        )
        for model in models:
            likelihood_gpu.measure(
                model.to(scale.device), tree, columns, scale.device, rate, copied
            )
    return text.getvalue()


# network


def network(recorder: Recorder, scale: Scale) -> None:
    for layout in LAYOUTS:
        norm, tied = layout
        spec = replace(scale.spec, norm=norm, tied_norm=tied)
        name = f"{norm} norm, {'tied' if tied else 'untied'}"
        made = random_network(spec, scale.device)
        exact = copy.deepcopy(made).double().freeze()
        tokens = random_tokens(2, scale.positions, spec).to(scale.device)
        with torch.no_grad():
            wanted = exact.dense(tokens)
        for precision in NARROW:
            check = partial(_network_agrees, made.freeze(), tokens, wanted, precision, scale)
            recorder.check(f"theta: {name}, {precision}", check)
        check = partial(_layers_agree, made, exact, tokens, scale)
        recorder.check(f"hidden layers: {name}", check)
        if norm == "layer":
            # Triton's interpreter cannot multiply bfloat16.
            kind = "float16" if scale.is_dry else "bfloat16"
            gathered = partial(_gathered_agrees, made, tokens, wanted, kind, scale)
            recorder.check(f"dilated products in one kernel: {name}, {kind}", gathered)
    recorder.check("a frozen network takes it, one in training does not", partial(_taken, scale))


def random_network(spec: ModelSpec, device: torch.device, seed: int = 0) -> ByteNet:
    """Norm scales and shifts random too, nothing symmetric; made on the device, which is faster."""
    torch.manual_seed(seed)
    with device:
        made = ByteNet(spec)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() < 3:
                parameter.add_(torch.randn_like(parameter) * 0.2)
        made.output.weight.mul_(10)
    return made


def random_tokens(windows: int, positions: int, spec: ModelSpec) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = windows, positions + spec.receptive_field - 1
    return torch.randint(0, 6, shape, generator=generator)


def _network_agrees(
    made: ByteNet, tokens: Tensor, wanted: Tensor, precision: str, scale: Scale
) -> str:
    with torch.inference_mode(), arithmetic(precision, scale.device):
        found = FusedNetwork(made).theta(tokens)
        dense = made.dense(tokens)
    ours, theirs = (_error(theta, wanted) for theta in (found, dense))
    assert ours < LARGEST_ERROR[precision], f"error {ours:.1e}, of the dense network {theirs:.1e}"
    assert ours < 2 * theirs + 1e-6, f"error {ours:.1e}, of the dense network {theirs:.1e}"
    return f"root mean square error / spread {ours:.1e} (dense {theirs:.1e})"


def _gathered_agrees(
    made: ByteNet, tokens: Tensor, wanted: Tensor, precision: str, scale: Scale
) -> str:
    before = steps.IS_GATHERED
    steps.IS_GATHERED = True
    try:
        return _network_agrees(made, tokens, wanted, precision, scale)
    finally:
        steps.IS_GATHERED = before


def _error(found: Tensor, wanted: Tensor) -> float:
    """Root mean square error relative to the standard deviation."""
    return ((found.double() - wanted).square().mean().sqrt() / wanted.std()).item()


def _layers_agree(made: ByteNet, exact: ByteNet, tokens: Tensor, scale: Scale) -> str:
    fused, errors = FusedNetwork(made), []
    n_blocks = len(made.spec.dilations)
    with torch.inference_mode(), arithmetic("float32", scale.device):
        for blocks, is_normed in ((0, False), (1, False), (n_blocks, False), (n_blocks, True)):
            found = fused.hidden(tokens, blocks, is_normed)
            errors.append(_error(found, exact.dense_hidden(tokens, blocks, is_normed)))
    assert max(errors) < LARGEST_ERROR["float32"], f"errors {errors}"
    return f"largest error / spread {max(errors):.1e}"


def _taken(scale: Scale) -> str:
    spec = ModelSpec(32, 16, 5, (1, 2))
    made, tokens = random_network(spec, scale.device), random_tokens(1, 9, spec)
    tokens = tokens.to(scale.device)
    assert torch.equal(made(tokens), made.dense(tokens)) or scale.is_dry
    made.freeze()(tokens)
    if scale.is_dry:
        return "on a CPU neither is fused"
    assert isinstance(made._kept_halves, FusedNetwork)
    return "as it should be"


# passes


def passes(recorder: Recorder, scale: Scale) -> None:
    made = random_network(scale.spec, scale.device).freeze()
    generator = np.random.default_rng(2)
    length = scale.positions + scale.spec.receptive_field - 1
    windows = list(generator.integers(0, 5, (scale.n_windows, length)).astype(np.uint8))
    for precision in NARROW:
        check = partial(_graphs_agree, made, windows, precision, scale)
        recorder.check(f"graphs and transfers change no bit: {precision}", check)
    recorder.check("shapes in turn", partial(_shapes_in_turn, made, windows, scale))
    recorder.check("memory that runs out", partial(_runs_out, made, windows, scale))
    recorder.check("a network that cannot be recorded", partial(_unrecorded, windows, scale))


def _device(scale: Scale) -> Device:
    if not scale.is_dry:
        return CudaDevice(scale.device)
    sys.path.insert(0, str(ROOT / "tests" / "scoring" / "gpu"))
    from stand_ins import EagerDevice

    return EagerDevice()


def computing(made: ByteNet, precision: str, device: torch.device, *, dense: bool = False):
    """What `GpuPasses` takes: theta of uint8 tokens."""
    forward = made.dense if dense else made

    def compute(tokens: Tensor) -> Tensor:
        with torch.inference_mode(), arithmetic(precision, device):
            theta: Tensor = forward(tokens.long())
            return theta.float()

    return compute


def _through(passes: GpuPasses, windows: list[np.ndarray], n_together: int) -> np.ndarray:
    return np.stack(list(passes.values(windows, n_together)))


def _gpu_passes(
    compute: Callable[[Tensor], Tensor], scale: Scale, *, has_graphs: bool = True
) -> GpuPasses:
    reach = scale.spec.receptive_field
    return GpuPasses(_device(scale), compute, reach, 4, has_graphs=has_graphs)


def _graphs_agree(made: ByteNet, windows: list[np.ndarray], precision: str, scale: Scale) -> str:
    compute = computing(made, precision, scale.device)
    recorded = _gpu_passes(compute, scale)
    found = _through(recorded, windows, 4)
    assert len(recorded.graphs) == 1, "no graph was recorded"
    np.testing.assert_array_equal(
        found, _through(_gpu_passes(compute, scale, has_graphs=False), windows, 4)
    )
    plain = []
    for start in range(0, len(windows), 4):
        batch = windows[start : start + 4]
        filled = np.stack([*batch, *[batch[-1]] * (4 - len(batch))])
        plain.append(compute(torch.from_numpy(filled).to(scale.device)).cpu().numpy()[: len(batch)])
    np.testing.assert_array_equal(found, np.concatenate(plain))
    return f"{len(windows)} windows of {len(windows[0])}"


def _shapes_in_turn(made: ByteNet, windows: list[np.ndarray], scale: Scale) -> str:
    compute = computing(made, "float32", scale.device)
    gpu, reach = _gpu_passes(compute, scale), scale.spec.receptive_field - 1
    whole = _through(gpu, windows, 4)
    for turn in range(3):
        for cut in range(6):
            shorter = [window[: reach + scale.positions - cut] for window in windows[:7]]
            found = _through(gpu, shorter, 2 + turn)
            np.testing.assert_allclose(found, whole[:7, : found.shape[1]], rtol=0, atol=2e-4)
    return "six lengths, three sizes of batches"


def _runs_out(made: ByteNet, windows: list[np.ndarray], scale: Scale) -> str:
    compute = computing(made, "float32", scale.device)
    expected = _through(_gpu_passes(compute, scale), windows, 1)
    if scale.is_dry:

        def short(tokens: Tensor) -> Tensor:
            if len(tokens) > 1:
                raise RuntimeError("dry run")
            return compute(tokens)

        gpu = _gpu_passes(short, scale)
        gpu._device.out_of_memory = RuntimeError
    else:
        # Room for a few windows beside the weights, by what one of them takes.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_reserved()
        compute(torch.from_numpy(windows[0][None]).to(scale.device))
        one = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
        # 128 MiB are for what the products' library keeps for a new stream.
        room = before + 10 * one + (128 << 20)
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(
            room / torch.cuda.get_device_properties(scale.device).total_memory
        )
        gpu = _gpu_passes(compute, scale)
    try:
        found = _through(gpu, windows, 128)
    finally:
        if not scale.is_dry:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert gpu.most_tokens is not None, "memory did not run out"
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)
    return f"batches of 128 became {gpu.most_tokens // len(windows[0])}"


def _unrecorded(windows: list[np.ndarray], scale: Scale) -> str:
    spec = scale.spec
    made = random_network(replace(spec, dilations=spec.dilations[:2]), scale.device).freeze()
    inner = computing(made, "float32", scale.device)

    def waits(tokens: Tensor) -> Tensor:
        # To look at a number ends a recording.
        return inner(tokens) * float(tokens.max() < 9)

    reach = made.spec.receptive_field
    gpu = GpuPasses(_device(scale), waits, reach, 4)
    found = _through(gpu, windows, 4)
    plain = GpuPasses(_device(scale), inner, reach, 4, has_graphs=False)
    np.testing.assert_array_equal(found, _through(plain, windows, 4))
    if not scale.is_dry:
        assert len(gpu.graphs) == 0, "it was recorded"
    return "goes on without"


# training


def training(recorder: Recorder, scale: Scale) -> None:
    whole = parse_newick(TREE.read_text()).with_minimum_branch_length(1e-6)
    tree = whole.prune(whole.tips[: min(scale.n_tips, 60)])
    for model in (F81(), MutationSelection()):
        check = partial(_gradients_agree, model, tree, scale)
        recorder.check(f"gradients of every weight, {model.name}", check)
    with tempfile.TemporaryDirectory() as name:
        recorder.check("phylotools train", partial(_train, Path(name), scale), needs=12)


def _gradients_agree(substitution: SubstitutionModel, tree: Tree, scale: Scale) -> str:
    """One step's, against the dense network and the plain likelihood in float64 on the CPU."""
    spec = ModelSpec(32, 16, 5, (1, 3, 9))
    rng = np.random.default_rng(4)
    tokens = random_tokens(4, 48, spec)
    states = torch.from_numpy(rng.integers(0, 5, (4 * 48, tree.n_tips)).astype(np.uint8))
    plan, gradients = make_plan(tree), []
    for device, kernel, dtype in (
        (scale.device, "gpu", torch.float32),
        (torch.device("cpu"), "reference", torch.float64),
    ):
        made = random_network(spec, torch.device("cpu")).to(device, dtype)
        shared = substitution.to(device, dtype)
        theta = made.dense(tokens.to(device)) if scale.is_dry else made(tokens.to(device))
        loss = column_log_likelihood(
            states.to(device), theta.flatten(0, 1), plan, shared, kernel=kernel
        ).mean()
        parameters = [*made.parameters(), *shared.parameters()]
        found = torch.autograd.grad(loss, parameters)
        gradients.append([gradient.cpu().double() for gradient in found])
    errors = [
        ((ours - exact).abs().max() / exact.abs().max()).item()
        for ours, exact in zip(*gradients, strict=True)
    ]
    assert max(errors) < 1e-3, f"relative errors up to {max(errors):.1e}"
    return f"{len(errors)} tensors, largest relative error {max(errors):.1e}"


def _train(folder: Path, scale: Scale) -> str:
    """A whole run of the command: losses fall, and it ends."""
    birds = ROOT / "tests" / "data" / "birds53"
    run_together(
        [
            (
                "preprocess", birds / "galGal6_cut.maf.gz", "--tree", birds / "53birds.nh",
                "--unknown-species", "drop", "-o", folder / "store",
            )
        ]
    )  # fmt: skip
    config = folder / "config.toml"
    config.write_text(
        f'[data]\nstores = ["{folder / "store"}"]\n'
        '[network]\npreset = "tiny"\n'
        f"[optimiser]\nsteps = {scale.steps}\nwindows_per_batch = 4\nwindow_length = 48\n"
        f"[run]\nlog_every = 1\nevaluate_every = {scale.steps}\n"
    )
    run_together([("train", config, "-o", folder / "run", "--device", scale.name)])
    header, *rows = (folder / "run" / "metrics.tsv").read_text().splitlines()
    column = header.split("\t").index("loss")
    losses = [float(row.split("\t")[column]) for row in rows]
    assert len(losses) == scale.steps
    assert losses[-1] < losses[0]
    return f"{scale.steps} steps, loss {losses[0]:.3f} to {losses[-1]:.3f}"


# verbs


def verbs(recorder: Recorder, scale: Scale) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorder.check("model verify", partial(_verify, scale))
        recorder.check("annotate", partial(_annotate, folder, scale), needs=8)
        recorder.check("tracks", partial(_tracks, folder, scale), needs=8)
        recorder.check("embed", partial(_embed, folder, scale), needs=8)
    recorder.figure("LLRs by precision", partial(_llr_errors, scale), needs=5)


def phylotools(*arguments: object) -> str:
    """Run a command; the last line that it says."""
    run_together([arguments])
    return "done"


def run_together(commands: list[tuple[object, ...]]) -> None:
    """Run commands side by side.

    Raises
    ------
    RuntimeError
        With the last line of one that fails.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "phylotools", *map(str, command)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    said = [process.communicate()[1] for process in processes]
    for command, process, text in zip(commands, processes, said, strict=True):
        if process.returncode:
            raise RuntimeError(f"{command[0]}: {text.strip().splitlines()[-1:]}")


def _verify(scale: Scale) -> str:
    return phylotools("model", "verify", "--device", scale.name)


def _on_both(folder: Path, suffix: str, scale: Scale, *command: object) -> list[Path]:
    outputs = [folder / f"{name}{suffix}" for name in ("on_cpu", "on_device")]
    devices = ("cpu", scale.name)
    run_together(
        [
            (*command, "--device", device, "-o", output)
            for device, output in zip(devices, outputs, strict=True)
        ]
    )
    return outputs


def _annotate(folder: Path, scale: Scale) -> str:
    outputs = _on_both(
        folder, ".vcf", scale, "annotate", MTDNA / "clinvar_20220525_chrM_snv.vcf.gz",
        "--sequence-only",
    )  # fmt: skip
    found = []
    for output in outputs:
        fields = [line.split("\t")[7] for line in output.read_text().splitlines() if line[0] != "#"]
        found.append(
            np.array(
                [
                    float(value.replace(".", "nan") if value == "." else value)
                    for text in fields
                    for key, _, values in (entry.partition("=") for entry in text.split(";"))
                    if key == "PHYLOGPN_LLR"
                    for value in values.split(",")
                ]
            )
        )
    return _agree(found[1], found[0], 1e-3)


def _agree(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> str:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    apart = np.abs(found - wanted)
    return (
        f"{wanted.size} numbers, at most {np.nanmax(apart):.1e} apart, "
        f"{np.nanmean(apart > 0):.1%} of them at all"
    )


def _tracks(folder: Path, scale: Scale) -> str:
    outputs = _on_both(
        folder, "", scale, "tracks", "--sequence-only", "-r", "chrM:1-3000", "--tracks", "llr_mean"
    )
    found = []
    for output in outputs:
        (table,) = output.glob("*.tsv.gz")
        with gzip.open(table, "rt") as file:
            rows = [line.rstrip("\n").split("\t") for line in file if line[0] != "#"]
        found.append(np.array([[float(value) for value in row[4:]] for row in rows]))
    return _agree(found[1], found[0], 1e-3)


def _embed(folder: Path, scale: Scale) -> str:
    bed = folder / "regions.bed"
    bed.write_text("chrM\t100\t400\nchrM\t5000\t6500\n")
    outputs = _on_both(folder, ".npz", scale, "embed", bed)
    found = []
    for output in outputs:
        with np.load(output) as arrays:
            name = max(arrays.files, key=lambda name: arrays[name].size)
            found.append(np.asarray(arrays[name], dtype=np.float64))
    return _agree(found[1], found[0], 1e-3)


def _llr_errors(scale: Scale) -> str:
    """How far LLRs of all SNVs of the mitochondrial genome are from those in float32."""
    from scipy.stats import spearmanr

    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import Region
    from phylotools.model.registry import load_model
    from phylotools.scoring.scorer import Scorer

    model = load_model("mammals671-mtdna", scale.name).from_sequence_alone()
    region = Region("chrM", 0, 600 if scale.is_dry else 16569)
    lines = ["precision  root mean square  largest  rank correlation"]
    with ReferenceGenome.open(MTDNA / "chrM.fa") as genome:
        bases = genome.bases(region)
        known = bases < 4
        found = {}
        for precision in NARROW[:1] if scale.is_dry else NARROW:
            theta = Scorer(model, genome, precision=precision).theta(region)[known]
            log_pi = model.substitution.cpu().log_equilibrium_frequencies(
                torch.from_numpy(theta).double()
            )
            own = log_pi.gather(1, torch.from_numpy(bases[known].astype(np.int64))[:, None])
            found[precision] = (log_pi - own).numpy()[log_pi.numpy() != own.numpy()]
    for precision, llr in found.items():
        apart = llr - found["float32"]
        rank = spearmanr(llr, found["float32"]).statistic
        lines.append(
            f"{precision:9s} {np.sqrt((apart**2).mean()):17.4f} {np.abs(apart).max():8.4f} "
            f"{rank:17.6f}"
        )
    return "\n".join(lines)
