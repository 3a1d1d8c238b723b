"""The training loop: AdamW on sampled windows, evaluated, checkpointed and resumable.

Any number of workers run it side by side. All take the same steps and decide the same of the same
figures; the first alone writes files, and fits what is fitted once.
"""

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
from phylotools.model.folder import SITE_FITS
from phylotools.model.site_model import RateAssumption
from phylotools.model.training_pass import set_training_pass
from phylotools.training.batch import Batch
from phylotools.training.checkpoint import (
    Checkpoint,
    Progress,
    optimiser_tensors,
)
from phylotools.training.config import TrainingConfig
from phylotools.training.dataset import TrainingData
from phylotools.training.doubts import doubts_of_figures, doubts_of_substitution
from phylotools.training.evaluation import Evaluation, evaluate_model, steps_between
from phylotools.training.interruption import Interruption, Wish
from phylotools.training.keeping import checkpoint_to_resume, save_checkpoint
from phylotools.training.null_models import null_models
from phylotools.training.objectives import make_objective
from phylotools.training.rate_prior import fit_rate_prior
from phylotools.training.reporting import Report, Silence, check_sinks, in_words, say_end
from phylotools.training.resuming import (
    demand_same_run,
    facts_of_worker,
    fill_from_checkpoint,
    open_folder,
    parts_of_run,
    resumed,
)
from phylotools.training.run_folder import (
    CHECKPOINT,
    has_run,
    refuse_run,
)
from phylotools.training.schedule import FALL, judged, learning_rate_share
from phylotools.training.shared_prior import frequency_prior
from phylotools.training.site_fits import write_site_fits
from phylotools.training.start import fill_from_model, new_model
from phylotools.training.step import Average, Update
from phylotools.training.workers import ALONE, Workers

logger = logging.getLogger("phylotools")

#: Figures of a step that must be finite, as an error names them.
_FINITE = {
    "loss": "loss",
    "gradient_norm": "gradient",
    "shared_gradient_norm": "gradient",
    "weight_norm": "norm of the weights",
}


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
    workers : Workers
        Those that share the run.

    Raises
    ------
    OutputError
        If the folder already holds a run and `resume` is false, if another run is going on in
        it, or if the folder above it does not exist.
    InputError
        If the checkpoint belongs to another configuration, or there is nothing to extend.
    UsageError
        If there are more workers than parts of a batch, or TensorBoard is asked for and not
        installed.
    PhylotoolsError
        If the workers differ in what they train.

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
        workers: Workers = ALONE,
    ) -> None:
        self.folder, self.device, self.workers = folder, device, workers
        if workers.is_first:
            # Before anything is read, and before a run is deleted.
            check_sinks(config.run)
        refuse_existing(folder, force=True)
        resume = resume or extend
        refuse_run(folder, allowed=resume or force)
        self._lock = self._locked() if resume else contextlib.nullcontext()
        path, checkpoint = folder / CHECKPOINT, None
        if resume and has_run(folder):
            path, checkpoint = checkpoint_to_resume(folder)
        elif extend:
            raise InputError(
                "there is no run to extend here",
                path=folder,
                remedy="leave out --extend to begin one",
            )
        self.parts = parts_of_run(config, checkpoint, workers)
        self.config = config = config.with_parts(self.parts)
        self.data = TrainingData(config, self.parts)
        self.length = config.optimiser.length(self.data.steps_per_epoch)
        self._evaluate_every = steps_between(self.data, config)
        if not resume:
            self._lock = self._locked()
            # Again: another run may have ended while the data were read.
            refuse_run(folder, allowed=force)
        self._make_model()
        self.progress, self._interruption = Progress(), Interruption()
        self.best: dict[str, torch.Tensor] = {}
        self._origin: dict[str, str] | None = None
        if checkpoint is not None:
            self._restore(path, checkpoint, extend=extend)
        else:
            self._origin = fill_from_model(self.model, config)
        progress = dataclasses.asdict(self.progress)
        workers.demand_same(facts_of_worker(config, self.data, progress, self._origin))
        self.report: Report = Silence()
        if workers.is_first:
            self._data_facts = open_folder(folder, self.data, config, force=force)
            self.report = Report(folder, config.run, device, self.progress.step)

    def _locked(self) -> contextlib.AbstractContextManager[object]:
        """The folder, for this run alone."""
        return lock_folder(self.folder) if self.workers.is_first else contextlib.nullcontext()

    def _make_model(self) -> None:
        """Model, update and average, with new weights."""
        config = self.config
        torch.manual_seed(config.run.seed)
        self.model = new_model(config).to(self.device)
        optimiser = config.optimiser
        set_training_pass(
            self.model.network,
            (optimiser.windows_per_batch // self.parts, optimiser.window_length),
            precision=optimiser.precision,
            recomputes=config.run.recompute_activations,
            is_compiled=config.run.compile,
        )
        n_columns = sum(source.training.n_columns for source in self.data.stores)
        prior = frequency_prior(config, self.model, n_columns)
        objective = make_objective(config)
        self.update = Update(self.model, objective, prior, config, self.workers, self.parts)
        self.optimiser = self.update.optimiser
        self._rate_is_known = config.rate.assumption() is not None
        decay = optimiser.average
        self.average = Average(self.model, decay) if decay else None

    def _restore(self, path: Path, checkpoint: Checkpoint, *, extend: bool) -> None:
        demand_same_run(checkpoint, self.config, self.data, path, extend=extend)
        if not self._rate_is_known:
            self.model.rate, self._rate_is_known = checkpoint.spec.rate, True
        fill_from_checkpoint(self.model, self.optimiser, checkpoint, path)
        self.best = checkpoint.part("best.")
        if self.average is not None:
            self.average.begin_from(checkpoint.part("average."))
        self.progress = resumed(checkpoint.progress, self.length, path, extend=extend)
        if not self.progress.complete and self.workers.is_first:
            (self.folder / SITE_FITS).unlink(missing_ok=True)
        self._origin = checkpoint.facts.get("init_from")
        logger.info("resuming after step %d", self.progress.step)

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
        self._interruption = interruption = interruption or self._interruption
        with self._lock:
            if not self._rate_is_known:
                self._fit_rate()
            if self.progress.null_constants is None:
                self._fit_null_models()
            with interruption.patience():
                self._run(on_step)
            if self.workers.is_first:
                self._fit_sites()
            self.workers.wait()
            return self.progress

    def _fit_rate(self) -> None:
        """Fit the prior on the rate, and write it down for a run that resumes."""
        found = RateAssumption()
        if self.workers.is_first:
            found = fit_rate_prior(self.data, self.model.substitution, self.config, self.device)
        mean, sd = self.workers.from_first([found.mean or 0.0, found.sd or 0.0])
        self.model.rate, self._rate_is_known = RateAssumption("prior", mean, sd), True
        self._save()

    def _fit_null_models(self) -> None:
        nulls = None
        if self.workers.is_first:
            nulls = null_models(self.data, self.model, self.config, self.device)
        values = (None, None) if nulls is None else (nulls.constants, nulls.tree)
        found = self.workers.from_first([math.nan if value is None else value for value in values])
        constants, tree = (None if math.isnan(value) else value for value in found)
        self._advance(null_constants=constants, null_tree=tree)

    def _run(self, on_step: Callable[[float], None]) -> None:
        run, interruption = self.config.run, self._interruption
        logger.info(
            "training for %d steps at most, %d an epoch; an evaluation every %d",
            self.length, self.data.steps_per_epoch, self._evaluate_every,
        )  # fmt: skip
        began, evaluating = time.monotonic(), 0.0
        own = self.workers.share(self.parts)
        any_row = round(self.config.data.any_row_until * self.length)
        steps = self.data.stream(self.progress.step, own, any_row_steps=any_row)
        with contextlib.closing(steps) as batches:
            while not self.progress.complete:
                try:
                    with self.report.waiting():
                        parts = next(batches)
                except PhylotoolsError:
                    if interruption.wanted is not Wish.STOP:
                        raise
                    # The signal has reached the processes that read, too.
                    self._save()
                    raise interruption.stopped(self.progress.step) from None
                row = self._step(parts)
                self.report.count(round(row["columns"]))
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
                # Alone, a signal is heeded that came during the step.
                wish = interruption.wanted if self.workers.size == 1 else Wish(round(row["wish"]))
                if self.progress.complete or wish is Wish.STOP:
                    break
                if step % run.checkpoint_every == 0 or wish is Wish.SAVE:
                    self._save()
                    interruption.saved()
        self._save()
        if self.workers.highest(interruption.wanted) == Wish.STOP:
            raise interruption.stopped(self.progress.step)
        say_end(
            self.progress,
            self.config,
            self.data.steps_per_epoch,
            evaluating / max(time.monotonic() - began, 1e-9),
        )

    def _step(self, own: list[Batch]) -> dict[str, float]:
        """One update; its figures, and the largest wish of all workers."""
        step = self.progress.step + 1
        share = learning_rate_share(self.progress, self.config.optimiser, self.length)
        row = self.update(own, share, self._interruption.wanted)
        for name, what in _FINITE.items():
            self._demand_finite(what, row[name], step)
        if self.average is not None:
            self.average.follow(self.model, step)
        return row | {
            "epoch": step / self.data.steps_per_epoch,
            "learning_rate": self.config.optimiser.learning_rate * share,
        }

    def _demand_finite(self, what: str, value: float, step: int) -> None:
        """Stop before what is not a number reaches a checkpoint."""
        if math.isfinite(value):
            return
        path = self.folder / CHECKPOINT
        left = f"{path} stays as it was" if path.exists() else "no checkpoint was written yet"
        raise PhylotoolsError(
            f"the {what} is not finite at step {step}; "
            f"lower optimiser.learning_rate or raise data.minimum_branch_length; {left}"
        )

    def _evaluate(self, is_last: bool) -> dict[str, float]:
        """Score the samples, keep the best weights, and decide how training goes on."""
        falls = self.progress.falls
        with self._judged_weights():
            result = self._judge(is_last)
            doubts = doubts_of_substitution(self.model.substitution)
        has_fallen = self.progress.falls > falls
        self._warn(
            doubts_of_figures(
                self.progress,
                result.held_out_columns,
                is_settled=self.progress.complete or has_fallen,
                keeps_best=self.config.run.select_by == "held_out_columns",
            )
            | doubts
        )
        if has_fallen:
            logger.info(
                "no better since step %d: on from its weights at %.2g times the learning rate",
                self.progress.best_step, FALL**self.progress.falls,
            )  # fmt: skip
            self.model.load_state_dict(self.best)
            if self.average is not None:
                self.average.begin_from(self.best)
        return {f"evaluation_{name}": value for name, value in result.figures().items()} | {
            f"null_{name}": value
            for name in ("constants", "tree")
            if (value := getattr(self.progress, f"null_{name}")) is not None
        }

    def _judged_weights(self) -> contextlib.AbstractContextManager[None]:
        """The model with the weights that are evaluated and kept: their average, where there is."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.standing_in(self.model)

    def _judge(self, is_last: bool) -> Evaluation:
        """Score the samples with the model as it stands, and keep it if it is the best."""
        result = evaluate_model(self.model, self.data, self.config, self.device, self.workers)
        figures = result.figures()
        for name, value in figures.items():
            self._demand_finite(f"log-likelihood of {in_words(name)}", value, self.progress.step)
        logger.info(
            "step %d: %s",
            self.progress.step,
            ", ".join(f"{in_words(name)} {value:.4f}" for name, value in figures.items()),
        )
        logger.debug("shared: %s %s", self.model.substitution.settings(), self.model.rate)
        best, held_out = self.progress.best_held_out, result.held_out_columns
        if held_out is not None and (best is None or held_out > best):
            self._advance(best_held_out=held_out, best_held_out_step=self.progress.step)
        self._select(figures.get(str(self.config.run.select_by)))
        if is_last and not self.progress.complete:
            self._advance(complete=True, stopped="its length is reached")
        return result

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
        if not self.workers.is_first:
            return
        parts = {
            "model": self.model.state_dict(),
            "best": self.best,
            "average": {} if self.average is None else self.average.weights,
            "optimiser": optimiser_tensors(self.model, self.optimiser),
        }
        tensors = {f"{part}.{k}": v for part, found in parts.items() for k, v in found.items()}
        facts = self._data_facts | {"length": self.length}
        if self._origin is not None:
            facts["init_from"] = self._origin
        # The metrics must reach the disk first: a resumed run cuts them back to the checkpoint.
        self.report.flush()
        save_checkpoint(
            self.folder,
            Checkpoint(self.progress, self.config.to_dict(), self.model.spec, facts, tensors),
            keep=self.config.run.keep_checkpoints,
        )

    def _fit_sites(self) -> None:
        """Fit the training columns under a prior about what the kept weights say of them."""
        path = self.folder / SITE_FITS
        if not self.config.run.site_fits or path.exists():
            return
        logger.info("fitting the training columns one by one")
        kept = copy.deepcopy(self.model)
        chosen = self.best or ({} if self.average is None else self.average.weights)
        if chosen:
            kept.load_state_dict(chosen)
        write_site_fits(kept.freeze(), self.data.stores, path, self.device)
