"""The training loop: AdamW on sampled windows, evaluated, checkpointed and resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from phylotools.errors import InputError, PhylotoolsError
from phylotools.io.files import refuse_existing
from phylotools.io.locks import lock_folder
from phylotools.model.folder import TRAINING_REGIONS
from phylotools.model.site_model import SiteModel
from phylotools.model.weights import fill_module
from phylotools.provenance import sha256_text
from phylotools.threads import n_cores
from phylotools.threads import set_threads as set_likelihood_threads
from phylotools.training.batch import Batch
from phylotools.training.checkpoint import (
    Checkpoint,
    Progress,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from phylotools.training.config import OptimiserConfig, TrainingConfig
from phylotools.training.dataset import TrainingData
from phylotools.training.objective import conditional_log_likelihoods, loss_terms
from phylotools.training.rate_prior import fit_rate_prior
from phylotools.training.run_folder import (
    CHECKPOINT,
    METRICS,
    MetricsFile,
    refuse_run,
    start_anew,
)
from phylotools.training.trained_regions import write_trained_regions

logger = logging.getLogger("phylotools")


@dataclass(frozen=True)
class Evaluation:
    """Mean log-likelihoods in nats a column; ``None`` where nothing is held out.

    Attributes
    ----------
    training : float
        Species in the loss at the training columns, given the reference base.
    held_out_species : float or None
        Held-out species at the training columns, given all others.
    held_out_columns : float or None
        Species in the loss at the held-out columns, given the reference base.
    """

    training: float
    held_out_species: float | None
    held_out_columns: float | None


class Trainer:
    """One training run in a folder.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path
        Holds ``checkpoint.safetensors`` and ``metrics.tsv``.
    device : torch.device
    resume : bool
        Go on from the folder's checkpoint.
    force : bool
        Delete the run in the folder, once the configuration and its data are known to be good.

    Raises
    ------
    OutputError
        If the folder already holds a run and `resume` is false, if another run is going on in
        it, or if the folder above it does not exist.
    InputError
        If the checkpoint belongs to another configuration.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        device: torch.device,
        *,
        resume: bool = False,
        force: bool = False,
    ) -> None:
        self.config, self.folder, self.device = config, folder, device
        refuse_existing(folder, force=True)
        refuse_run(folder, allowed=resume or force)
        self.data = TrainingData(config)
        self._lock = lock_folder(folder)
        # Again: another run may have ended while the data were read.
        refuse_run(folder, allowed=resume or force)
        torch.manual_seed(config.run.seed)
        self.model = new_model(config).to(device)
        self.optimiser = _make_optimiser(self.model, config)
        self._rate_is_known = config.rate.assumption() is not None
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        if resume and (folder / CHECKPOINT).exists():
            self._restore(folder / CHECKPOINT)
        elif force:
            start_anew(folder)
        if not (folder / TRAINING_REGIONS).exists():
            write_trained_regions(self.data.stores, folder / TRAINING_REGIONS)
        self.metrics = MetricsFile(folder / METRICS, keep_until_step=self.progress.step)

    def run(self, on_step: Callable[[float], None] = lambda loss: None) -> Progress:
        """Train to the last step.

        Parameters
        ----------
        on_step : callable
            Gets the loss of every step.
        """
        with self._lock:
            if not self._rate_is_known:
                self._fit_rate()
            return self._run(on_step)

    def _fit_rate(self) -> None:
        """Fit the prior on the rate, and write it down for a run that resumes."""
        self.model.rate = fit_rate_prior(
            self.data, self.model.substitution, self.config, self.device
        )
        self._rate_is_known = True
        self._save()

    def _run(self, on_step: Callable[[float], None]) -> Progress:
        run, last = self.config.run, self.config.optimiser.steps
        place = self.progress.epoch, self.progress.batch
        any_row = round(self.config.data.any_row_until * last) - self.progress.step
        with contextlib.closing(self.data.stream(*place, any_row_batches=any_row)) as batches:
            while self.progress.step < last:
                (epoch, number), batch = next(batches)
                row = self._step(batch.to(self.device))
                step = self.progress.step + 1
                self._advance(step=step, epoch=epoch, batch=number + 1)
                evaluated = step % run.evaluate_every == 0 or step == last
                if evaluated:
                    row |= self._evaluate()
                if evaluated or step % run.log_every == 0:
                    self.metrics.write(step, row)
                if step % run.checkpoint_every == 0 and step < last:
                    self._save()
                on_step(row["loss"])
        self._advance(complete=True)
        self._save()
        return self.progress

    def _step(self, batch: Batch) -> dict[str, float]:
        """One update; its figures."""
        share = learning_rate_share(self.progress.step, self.config.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * share
        self.optimiser.zero_grad(set_to_none=True)
        terms = loss_terms(self.model, batch)
        terms.loss.backward()
        norm = self._clip_gradients()
        if not math.isfinite(norm):
            raise PhylotoolsError(
                f"the gradient is not finite at step {self.progress.step + 1}; "
                "lower optimiser.learning_rate or raise data.minimum_branch_length"
            )
        self.optimiser.step()
        return {
            "loss": terms.loss.item(),
            "log_likelihood": terms.log_likelihood.item(),
            "gradient_norm": norm,
            "learning_rate": self.config.optimiser.learning_rate * share,
        }

    def _clip_gradients(self) -> float:
        """Norm of the network's gradient before clipping; not finite if any gradient is not."""
        largest = self.config.optimiser.gradient_clip
        norm = torch.nn.utils.clip_grad_norm_(self.model.network.parameters(), largest).item()
        # Apart: every column pulls at the shared parameters, so that their gradient would decide
        # how much is left of the network's.
        shared = self.model.shared_parameters()
        if shared and not torch.nn.utils.clip_grad_norm_(shared, largest).isfinite():
            return math.nan
        return norm

    def _evaluate(self) -> dict[str, float]:
        """Score the samples and keep the weights if they are the best by the chosen figure."""
        result = evaluate_model(self.model, self.data, self.config, self.device)
        by = self.config.run.select_by
        metric = None if by == "last" else getattr(result, by)
        if metric is not None:
            best = self.progress.best_metric
            if best is None or metric > best:
                self._advance(best_metric=metric, best_step=self.progress.step)
                self.best = {
                    name: tensor.detach().clone()
                    for name, tensor in self.model.state_dict().items()
                }
        figures = {
            f"evaluation_{name}": value
            for name, value in dataclasses.asdict(result).items()
            if value is not None
        }
        logger.info(
            "step %d: %s",
            self.progress.step,
            ", ".join(f"{name[11:]} {value:.4f}" for name, value in figures.items()),
        )
        logger.debug("shared: %s %s", self.model.substitution.settings(), self.model.rate)
        return figures

    def _advance(self, **changes: object) -> None:
        self.progress = dataclasses.replace(self.progress, **changes)  # type: ignore[arg-type]

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        moments = optimiser_tensors(self.model, self.optimiser)
        tensors |= {f"optimiser.{k}": v for k, v in moments.items()}
        # The metrics must reach the disk first: a resumed run cuts them back to the checkpoint.
        self.metrics.flush()
        write_checkpoint(
            self.folder / CHECKPOINT,
            Checkpoint(
                self.progress, self.config.to_dict(), self.model.spec, self._facts(), tensors
            ),
        )

    def _facts(self) -> dict[str, object]:
        return {
            "training_stores": [
                {
                    "fingerprint": source.store.fingerprint,
                    "tree_sha256": sha256_text(source.store.tree.to_newick()),
                    "reference_species": source.store.reference_species,
                    "species": len(source.store.species),
                    "held_out_species": [source.store.species[i] for i in source.held_out_species],
                    "training_columns": source.training.n_columns,
                    "held_out_columns": source.held_out.n_columns,
                }
                for source in self.data.stores
            ],
            "contigs": sorted({c for source in self.data.stores for c in source.store.contigs}),
            "held_out_contigs": self.config.data.held_out_contigs,
        }

    def _restore(self, path: Path) -> None:
        checkpoint = read_checkpoint(path)
        if checkpoint.config != self.config.to_dict():
            changed = sorted(
                f"{table}.{key}"
                for table, values in self.config.to_dict().items()
                for key in values.keys() | checkpoint.config.get(table, {}).keys()
                if values.get(key) != checkpoint.config.get(table, {}).get(key)
            )
            raise InputError(
                f"the run here used another configuration ({', '.join(changed)} changed)",
                path=path,
                remedy="restore the configuration, or give --force to start anew",
            )
        try:
            stored = [store["fingerprint"] for store in checkpoint.facts["training_stores"]]
            if stored != [source.store.fingerprint for source in self.data.stores]:
                raise InputError("the run here was trained on another column store", path=path)
            if checkpoint.spec.substitution != self.model.substitution.name:
                raise ValueError(f"its substitution model is {checkpoint.spec.substitution}")
            if not self._rate_is_known:
                self.model.rate, self._rate_is_known = checkpoint.spec.rate, True
            fill_module(self.model, checkpoint.part("model."), path)
            restore_optimiser(self.model, self.optimiser, checkpoint.part("optimiser."))
        except (KeyError, ValueError) as error:
            raise InputError(f"the checkpoint is damaged ({error})", path=path) from None
        self.best = checkpoint.part("best.")
        self.progress = checkpoint.progress
        logger.info("resuming after step %d", self.progress.step)


def new_model(config: TrainingConfig) -> SiteModel:
    """The model that a configuration describes, at its start."""
    model = config.site_model_spec().build()
    model.start_at_neutral_rate()
    model.substitution.requires_grad_(config.substitution.learn)
    if model.fixed_log_rate is not None:
        model.fixed_log_rate.requires_grad_(config.rate.learn)
    return model


def evaluate_model(
    model: SiteModel, data: TrainingData, config: TrainingConfig, device: torch.device
) -> Evaluation:
    """Score fixed samples of training and held-out columns."""

    def mean(held_out: bool) -> tuple[float | None, float | None]:
        shown = hidden = 0.0
        columns = 0
        for batch in data.evaluation(held_out, config.run.evaluation_columns):
            a, b = conditional_log_likelihoods(model, batch.to(device))
            shown, hidden = shown + a.double().sum().item(), hidden + b.double().sum().item()
            columns += len(a)
        return (shown / columns, hidden / columns) if columns else (None, None)

    training, hidden = mean(held_out=False)
    columns, _ = mean(held_out=True)
    holds_species = any(len(source.held_out_species) for source in data.stores)
    assert training is not None
    return Evaluation(training, hidden if holds_species else None, columns)


def learning_rate_share(step: int, optimiser: OptimiserConfig) -> float:
    """Linear warm-up, and half a cosine from the full learning rate down to its final fraction."""
    warm = min(1.0, (step + 1) / max(optimiser.warmup_steps, 1))
    cosine = (1 + math.cos(math.pi * step / optimiser.steps)) / 2
    final = optimiser.final_fraction
    return warm * (final + (1 - final) * cosine)


def _make_optimiser(model: SiteModel, config: TrainingConfig) -> torch.optim.AdamW:
    """Weight decay on convolution weights alone, not on norms, biases, embeddings.

    The parameters shared by all sites form a group with a learning rate of their own.
    """
    decayed = [p for p in model.network.parameters() if p.dim() == 3]
    others = [p for p in model.network.parameters() if p.dim() != 3]
    shared = model.shared_parameters()
    groups = [
        {"params": decayed, "weight_decay": config.optimiser.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if shared:
        rate = config.substitution.learning_rate
        groups.append({"params": shared, "weight_decay": 0.0, "lr": rate})
    # In one pass over each tensor: 0.4 ms a step of `small` instead of 2.3. On a GPU it would keep
    # the step counts there.
    is_fused = model.network.output.bias.device.type == "cpu"
    optimiser = torch.optim.AdamW(groups, lr=config.optimiser.learning_rate, fused=is_fused)
    for group in optimiser.param_groups:
        group["initial_lr"] = group["lr"]
    return optimiser


def set_threads(threads: int | None) -> None:
    """Use so many threads in the network and in the likelihood.

    By default the likelihood takes every core and the network one. Two threads in a ``small``
    network gain half on idle cores and lose half or more on busy ones; the likelihood's threads
    gain and never lose (benchmarks/RESULTS.md). It gives the same bits with any number, so that
    by default a run's losses do not depend on the machine's cores.
    """
    torch.set_num_threads(threads or 1)
    set_likelihood_threads(threads or n_cores())
