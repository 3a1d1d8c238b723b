"""The training loop: AdamW on sampled windows, evaluated, checkpointed and resumable."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from phylotools.errors import InputError, PhylotoolsError
from phylotools.io.files import refuse_existing
from phylotools.io.locks import lock_folder
from phylotools.model.folder import SITE_FITS, TRAINING_REGIONS
from phylotools.model.site_model import SiteModel
from phylotools.model.weights import fill_module
from phylotools.provenance import sha256_file, sha256_text
from phylotools.threads import n_cores
from phylotools.threads import set_threads as set_likelihood_threads
from phylotools.training.batch import Batch
from phylotools.training.checkpoint import (
    Checkpoint,
    Progress,
    optimiser_tensors,
    restore_optimiser,
)
from phylotools.training.column_weights import refuse_other_weights
from phylotools.training.config import LENGTH_KEYS, TrainingConfig, changed_keys
from phylotools.training.dataset import TrainingData
from phylotools.training.doubts import doubts_of_figures, doubts_of_substitution
from phylotools.training.evaluation import evaluate_model, steps_between
from phylotools.training.interruption import Interruption, Wish
from phylotools.training.keeping import checkpoint_to_resume, save_checkpoint
from phylotools.training.null_models import null_models
from phylotools.training.objectives import LossTerms, make_objective
from phylotools.training.rate_prior import fit_rate_prior
from phylotools.training.reporting import Report
from phylotools.training.run_folder import (
    CHECKPOINT,
    HELD_OUT_REGIONS,
    has_run,
    refuse_run,
    start_anew,
)
from phylotools.training.schedule import FALL, judged, learning_rate_share
from phylotools.training.shared_prior import frequency_prior
from phylotools.training.site_fits import write_site_fits
from phylotools.training.start import fill_from_model, new_model
from phylotools.training.trained_regions import write_regions, write_trained_regions
from phylotools.training.trees import describe_trees, refuse_other_trees

logger = logging.getLogger("phylotools")

#: Of more regions that are held out, a checkpoint has the checksum alone.
_MOST_LISTED = 1000


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
    extend : bool
        Likewise, and train a complete run on, by a configuration that differs in length alone.
    force : bool
        Delete the run in the folder, once the configuration and its data are known to be good.

    Raises
    ------
    OutputError
        If the folder already holds a run and `resume` is false, if another run is going on in
        it, or if the folder above it does not exist.
    InputError
        If the checkpoint belongs to another configuration, or there is nothing to extend.

    Attributes
    ----------
    progress : Progress
    length : int
        Steps of the whole run, at most.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        device: torch.device,
        *,
        resume: bool = False,
        extend: bool = False,
        force: bool = False,
    ) -> None:
        self.config, self.folder, self.device = config, folder, device
        refuse_existing(folder, force=True)
        resume = resume or extend
        refuse_run(folder, allowed=resume or force)
        self.data = TrainingData(config)
        self.length = config.optimiser.length(self.data.steps_per_epoch)
        self._evaluate_every = steps_between(self.data, config)
        self._lock = lock_folder(folder)
        # Again: another run may have ended while the data were read.
        refuse_run(folder, allowed=resume or force)
        torch.manual_seed(config.run.seed)
        self.model = new_model(config).to(device)
        n_columns = sum(source.training.n_columns for source in self.data.stores)
        self._frequency_prior = frequency_prior(config, self.model, n_columns)
        self.objective = make_objective(config)
        self.optimiser = _make_optimiser(self.model, config)
        self._rate_is_known = config.rate.assumption() is not None
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] = {}
        self._origin: dict[str, str] | None = None
        if resume and has_run(folder):
            self._restore(*checkpoint_to_resume(folder), extend=extend)
        elif extend:
            raise InputError(
                "there is no run to extend here",
                path=folder,
                remedy="leave out --extend to begin one",
            )
        else:
            self._origin = fill_from_model(self.model, config)
            if force:
                start_anew(folder)
        if not (folder / TRAINING_REGIONS).exists():
            write_trained_regions(self.data.stores, folder / TRAINING_REGIONS)
        self._held_out_facts = self._write_held_out()
        self.report = Report(folder, config.run, device, keep_until_step=self.progress.step)

    def _write_held_out(self) -> dict[str, object]:
        """Write what is held out as BED; its checksum, and the regions where they are few."""
        regions = self.data.held_out
        if not regions:
            return {}
        path = self.folder / HELD_OUT_REGIONS
        write_regions(regions, path)
        facts: dict[str, object] = {"held_out_sha256": sha256_file(path)}
        if len(regions) <= _MOST_LISTED:
            facts["held_out_regions"] = [str(region) for region in regions]
        return facts

    def run(
        self,
        on_step: Callable[[float], None] = lambda loss: None,
        interruption: Interruption | None = None,
    ) -> Progress:
        """Train until the length is reached or nothing improves any more.

        Parameters
        ----------
        on_step : callable
            Gets the loss of every step.
        interruption : Interruption, optional
            What signals ask for, looked at after every step.

        Raises
        ------
        StoppedBySignal
            If a signal asked for it; the checkpoint is that of the last step.
        """
        interruption = interruption or Interruption()
        with self._lock:
            if not self._rate_is_known:
                self._fit_rate()
            if self.progress.null_constants is None:
                self._fit_null_models()
            with interruption.patience():
                progress = self._run(on_step, interruption)
            self._fit_sites()
            return progress

    def _fit_sites(self) -> None:
        """Fit the training columns under a prior about what the kept weights say of them."""
        path = self.folder / SITE_FITS
        if not self.config.run.site_fits or path.exists():
            return
        logger.info("fitting the training columns one by one")
        kept = copy.deepcopy(self.model)
        if self.best:
            kept.load_state_dict(self.best)
        write_site_fits(kept.freeze(), self.data.stores, path, self.device)

    def _fit_rate(self) -> None:
        """Fit the prior on the rate, and write it down for a run that resumes."""
        self.model.rate = fit_rate_prior(
            self.data, self.model.substitution, self.config, self.device
        )
        self._rate_is_known = True
        self._save()

    def _fit_null_models(self) -> None:
        nulls = null_models(self.data, self.model, self.config, self.device)
        if nulls is not None:
            self._advance(null_constants=nulls.constants, null_tree=nulls.tree)

    def _run(self, on_step: Callable[[float], None], interruption: Interruption) -> Progress:
        run = self.config.run
        logger.info(
            "training for %d steps at most, %d an epoch; an evaluation every %d",
            self.length, self.data.steps_per_epoch, self._evaluate_every,
        )  # fmt: skip
        began, evaluating = time.monotonic(), 0.0
        any_row = round(self.config.data.any_row_until * self.length)
        steps = self.data.stream(self.progress.step, any_row_steps=any_row)
        with contextlib.closing(steps) as batches:
            while not self.progress.complete:
                try:
                    with self.report.waiting():
                        (batch,) = next(batches)
                except PhylotoolsError:
                    # The signal may have reached the processes that read, too.
                    if interruption.wanted is Wish.STOP:
                        break
                    raise
                row = self._step(batch.to(self.device))
                self.report.count(len(batch.site))
                step = self.progress.step + 1
                self._advance(step=step)
                is_last = step >= self.length
                evaluated = step % self._evaluate_every == 0 or is_last
                if evaluated:
                    start = time.monotonic()
                    with self.report.evaluating():
                        row |= self._evaluate(is_last)
                    evaluating += time.monotonic() - start
                if evaluated or step % run.log_every == 0:
                    self.report.write(step, row)
                on_step(row["loss"])
                wish = interruption.wanted
                if self.progress.complete or wish is Wish.STOP:
                    break
                if step % run.checkpoint_every == 0 or wish is Wish.SAVE:
                    self._save()
                    interruption.saved()
        self._save()
        if interruption.wanted is Wish.STOP:
            raise interruption.stopped(self.progress.step)
        self._say_end(evaluating / max(time.monotonic() - began, 1e-9))
        return self.progress

    def _say_end(self, share: float) -> None:
        progress = self.progress
        best = progress.best_metric
        logger.info(
            "ended after step %d (epoch %.1f): %s; kept are the weights of step %d%s; evaluations "
            "took %.0f %% of the time",
            progress.step, progress.step / self.data.steps_per_epoch, progress.stopped,
            progress.selected_step,
            "" if best is None else f", {_in_words(self.config.run.select_by)} {best:.4f}",
            100 * share,
        )  # fmt: skip

    def _step(self, batch: Batch) -> dict[str, float]:
        """One update; its figures."""
        share = learning_rate_share(self.progress, self.config.optimiser, self.length)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * share
        self.optimiser.zero_grad(set_to_none=True)
        terms = self.objective.terms(self.model, batch)
        if self._frequency_prior is not None:
            shared = self._frequency_prior.penalty(self.model.substitution)
            terms = LossTerms(terms.log_likelihood, terms.penalty + shared)
        self._demand_finite("loss", terms.loss.isfinite())
        terms.loss.backward()
        norm = self._clip_gradients()
        self._demand_finite("gradient", math.isfinite(norm))
        self.optimiser.step()
        weights = torch.nn.utils.get_total_norm(self.model.parameters())
        self._demand_finite("norm of the weights", weights.isfinite())
        return {
            "epoch": (self.progress.step + 1) / self.data.steps_per_epoch,
            "loss": terms.loss.item(),
            "log_likelihood": terms.log_likelihood.item(),
            "gradient_norm": norm,
            "learning_rate": self.config.optimiser.learning_rate * share,
        }

    def _demand_finite(self, what: str, is_finite: bool | torch.Tensor) -> None:
        """Stop before what is not a number reaches a checkpoint."""
        if is_finite:
            return
        path = self.folder / CHECKPOINT
        left = f"{path} stays as it was" if path.exists() else "no checkpoint was written yet"
        raise PhylotoolsError(
            f"the {what} is not finite at step {self.progress.step + 1}; "
            f"lower optimiser.learning_rate or raise data.minimum_branch_length; {left}"
        )

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

    def _evaluate(self, is_last: bool) -> dict[str, float]:
        """Score the samples, keep the best weights, and decide how training goes on."""
        result = evaluate_model(self.model, self.data, self.config, self.device)
        figures = {
            name: value for name, value in dataclasses.asdict(result).items() if value is not None
        }
        for name, value in figures.items():
            self._demand_finite(f"log-likelihood of {_in_words(name)}", math.isfinite(value))
        logger.info(
            "step %d: %s",
            self.progress.step,
            ", ".join(f"{_in_words(name)} {value:.4f}" for name, value in figures.items()),
        )
        logger.debug("shared: %s %s", self.model.substitution.settings(), self.model.rate)
        best, held_out = self.progress.best_held_out, result.held_out_columns
        if held_out is not None and (best is None or held_out > best):
            self._advance(best_held_out=held_out, best_held_out_step=self.progress.step)
        falls = self.progress.falls
        self._select(figures.get(str(self.config.run.select_by)))
        if is_last and not self.progress.complete:
            self._advance(complete=True, stopped="its length is reached")
        is_settled = self.progress.complete or self.progress.falls > falls
        self._warn(
            doubts_of_figures(
                self.progress,
                held_out,
                is_settled=is_settled,
                keeps_best=self.config.run.select_by == "held_out_columns",
            )
            | doubts_of_substitution(self.model.substitution)
        )
        if self.progress.falls > falls:
            logger.info(
                "no better since step %d: on from its weights at %.2g times the learning rate",
                self.progress.best_step, FALL**self.progress.falls,
            )  # fmt: skip
            self.model.load_state_dict(self.best)
        return {f"evaluation_{name}": value for name, value in figures.items()} | {
            f"null_{name}": value
            for name in ("constants", "tree")
            if (value := getattr(self.progress, f"null_{name}")) is not None
        }

    def _select(self, metric: float | None) -> None:
        """Keep the weights if they are the best by the chosen figure, where there is one."""
        if metric is None:
            return
        self.progress = judged(self.progress, metric, self.config)
        if self.progress.best_step == self.progress.step:
            state = self.model.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}

    def _warn(self, doubts: dict[str, str]) -> None:
        """Say each kind of doubt once in a run."""
        known = self.progress.warnings
        for kind in doubts.keys() - known.keys():
            logger.warning("%s", doubts[kind])
        self._advance(warnings=doubts | known)

    def _advance(self, **changes: object) -> None:
        self.progress = dataclasses.replace(self.progress, **changes)  # type: ignore[arg-type]

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        moments = optimiser_tensors(self.model, self.optimiser)
        tensors |= {f"optimiser.{k}": v for k, v in moments.items()}
        # The metrics must reach the disk first: a resumed run cuts them back to the checkpoint.
        self.report.flush()
        save_checkpoint(
            self.folder,
            Checkpoint(
                self.progress, self.config.to_dict(), self.model.spec, self._facts(), tensors
            ),
            keep=self.config.run.keep_checkpoints,
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
                    **describe_trees(source.store),
                }
                for source in self.data.stores
            ],
            "contigs": sorted({c for source in self.data.stores for c in source.store.contigs}),
            "held_out_contigs": self.config.data.held_out_contigs,
            **self._held_out_facts,
            **self.data.weight_facts,
            "steps_per_epoch": self.data.steps_per_epoch,
            "length": self.length,
            **({} if self._origin is None else {"init_from": self._origin}),
        }

    def _restore(self, path: Path, checkpoint: Checkpoint, *, extend: bool) -> None:
        changed = set(changed_keys(checkpoint.config, self.config.to_dict()))
        if extend:
            changed -= LENGTH_KEYS
        if changed:
            raise InputError(
                f"the run here used another configuration ({', '.join(sorted(changed))} changed)",
                path=path,
                remedy=_remedy(path, extend=extend),
            )
        try:
            stored = [store["fingerprint"] for store in checkpoint.facts["training_stores"]]
            if stored != [source.store.fingerprint for source in self.data.stores]:
                raise InputError(
                    "the run here was trained on another column store",
                    path=path,
                    remedy=_remedy(path, extend=extend),
                )
            stores = [source.store for source in self.data.stores]
            refuse_other_trees(checkpoint.facts, stores, path)
            refuse_other_weights(checkpoint.facts, self.data.weight_facts, path)
            if checkpoint.spec.substitution != self.model.substitution.name:
                raise ValueError(f"its substitution model is {checkpoint.spec.substitution}")
            if not self._rate_is_known:
                self.model.rate, self._rate_is_known = checkpoint.spec.rate, True
            fill_module(self.model, checkpoint.part("model."), path)
            restore_optimiser(self.model, self.optimiser, checkpoint.part("optimiser."))
            self.best = checkpoint.part("best.")
            if bool(self.best) != bool(checkpoint.progress.best_step):
                raise ValueError("it has the weights or the step of its best evaluation alone")
            if self.best:
                fill_module(copy.deepcopy(self.model), self.best, path)
        except (KeyError, ValueError) as error:
            raise InputError(f"the checkpoint is damaged ({error})", path=path) from None
        self.progress = checkpoint.progress
        self._origin = checkpoint.facts.get("init_from")
        if extend and self.progress.complete:
            if self.progress.step >= self.length:
                raise InputError(
                    f"the run here is complete after {self.progress.step} steps",
                    path=path,
                    remedy="raise optimiser.epochs or optimiser.steps to extend it",
                )
            self._advance(complete=False, stopped="", stale=0)
            (self.folder / SITE_FITS).unlink(missing_ok=True)
        logger.info("resuming after step %d", self.progress.step)


def _remedy(checkpoint: Path, *, extend: bool) -> str:
    """What to do where a run cannot go on as asked."""
    if extend:
        return (
            "for other data, species or settings begin a run in another folder, with "
            f'run.init_from = "{checkpoint.absolute()}"'
        )
    return "restore the configuration, or give --force to start anew"


def _in_words(figure: str | None) -> str:
    return str(figure).replace("_", " ")


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

    By default the likelihood takes every core and the network one. Two threads in the dense
    products of a ``small`` network gain half on idle cores and lose half or more on busy ones; the
    likelihood's threads gain and never lose (benchmarks/RESULTS.md). It gives the same bits with
    any number, so that by default a run's losses do not depend on the machine's cores. The halved
    network shares out windows; its gradients are summed in another order with another number.
    """
    torch.set_num_threads(threads or 1)
    set_likelihood_threads(threads or n_cores())
