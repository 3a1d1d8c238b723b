"""Whether a run can go on from a checkpoint, and what its checkpoints say of it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from phylotools.errors import InputError, UsageError, counted
from phylotools.model.folder import TRAINING_REGIONS
from phylotools.model.site_model import SiteModel
from phylotools.model.weights import fill_module
from phylotools.provenance import sha256_file, sha256_text
from phylotools.training.checkpoint import Checkpoint, Progress, restore_optimiser
from phylotools.training.column_weights import refuse_other_weights
from phylotools.training.config import LENGTH_KEYS, TrainingConfig, changed_keys
from phylotools.training.dataset import TrainingData
from phylotools.training.run_folder import HELD_OUT_REGIONS, start_anew
from phylotools.training.trained_regions import write_regions, write_trained_regions
from phylotools.training.trees import describe_trees, refuse_other_trees
from phylotools.training.workers import Workers

#: Of more regions that are held out, a checkpoint has the checksum alone.
_MOST_LISTED = 1000


def parts_of_run(config: TrainingConfig, checkpoint: Checkpoint | None, workers: Workers) -> int:
    """Parts of every batch: as the configuration says, as the run had them, or one a worker.

    Raises
    ------
    UsageError
        If there are more workers than parts.
    """
    recorded = None if checkpoint is None else _recorded(checkpoint)["optimiser"]["parts"]
    parts: int = config.optimiser.parts or recorded or workers.size
    if parts < workers.size:
        known = "of the run here are" if recorded else "are"
        raise UsageError(
            f"the batches {known} in {counted(parts, 'part')} (optimiser.parts), for as many "
            f"workers at most: start no more of them than that, not {workers.size}"
        )
    return parts


def _recorded(checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration of a run; older ones had no parts."""
    optimiser = {"parts": 1} | checkpoint.config.get("optimiser", {})
    return checkpoint.config | {"optimiser": optimiser}


def demand_same_run(
    checkpoint: Checkpoint, config: TrainingConfig, data: TrainingData, path: Path, *, extend: bool
) -> None:
    """Refuse a checkpoint of another configuration or of other data.

    Parameters
    ----------
    checkpoint : Checkpoint
    config : TrainingConfig
    data : TrainingData
    path : Path
        Of the checkpoint.
    extend : bool
        The length may differ.

    Raises
    ------
    InputError
    """
    changed = set(changed_keys(_recorded(checkpoint), config.to_dict()))
    if extend:
        changed -= LENGTH_KEYS
    if changed:
        raise InputError(
            f"the run here used another configuration ({', '.join(sorted(changed))} changed)",
            path=path,
            remedy=_remedy(path, extend=extend),
        )
    stored = [store["fingerprint"] for store in checkpoint.facts["training_stores"]]
    if stored != [source.store.fingerprint for source in data.stores]:
        raise InputError(
            f"the run here was trained on another column store{_difference(checkpoint, data)}",
            path=path,
            remedy=_remedy(path, extend=extend),
        )
    refuse_other_trees(checkpoint.facts, [source.store for source in data.stores], path)
    refuse_other_weights(checkpoint.facts, data.weight_facts, path)


def _difference(checkpoint: Checkpoint, data: TrainingData) -> str:
    """Which store differs from the checkpoint's, and in what."""
    for then, source in zip(checkpoint.facts["training_stores"], data.stores, strict=False):
        store = source.store
        if then["fingerprint"] != store.fingerprint:
            tree = sha256_text(store.tree.to_newick())
            what = "columns" if then.get("tree_sha256") == tree else "species or another tree"
            return f": {store.path} has other {what}"
    return ""


def _remedy(checkpoint: Path, *, extend: bool) -> str:
    """What to do where a run cannot go on as asked."""
    if extend:
        return (
            "for other data, species or settings begin a run in another folder, with "
            f'run.init_from = "{checkpoint.absolute()}"'
        )
    return "restore the configuration, or give --force to start anew"


def fill_from_checkpoint(
    model: SiteModel,
    optimiser: torch.optim.Optimizer,
    checkpoint: Checkpoint,
    path: Path,
) -> None:
    """Give model and optimiser what a checkpoint has, once all of it is known to be good.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        if checkpoint.spec.substitution != model.substitution.name:
            raise ValueError(f"its substitution model is {checkpoint.spec.substitution}")
        fill_module(model, checkpoint.part("model."), path)
        restore_optimiser(model, optimiser, checkpoint.part("optimiser."))
        best = checkpoint.part("best.")
        if bool(best) != bool(checkpoint.progress.best_step):
            raise ValueError("it has the weights or the step of its best evaluation alone")
        for weights in (best, checkpoint.part("average.")):
            if weights:
                fill_module(copy.deepcopy(model), weights, path)
    except (KeyError, ValueError) as error:
        raise InputError(f"the checkpoint is damaged ({error})", path=path) from None


def resumed(progress: Progress, length: int, path: Path, *, extend: bool) -> Progress:
    """Where a run goes on from; an extended one is complete no more.

    Parameters
    ----------
    progress : Progress
        Of its checkpoint.
    length : int
        Steps of the run, as it is configured now.
    path : Path
        Of the checkpoint.
    extend : bool

    Raises
    ------
    InputError
        If it is to be extended, and to no more steps than it has done, or is not complete after
        as many steps as there are.
    """
    if progress.complete and not extend:
        return progress
    if progress.step >= length:
        if not extend:
            # No run stands there, and to look for its batch could take for ever.
            raise InputError(
                f"the checkpoint is damaged (step {progress.step} of {length})", path=path
            )
        done = "is complete after" if progress.complete else "has taken"
        raise InputError(
            f"the run here {done} {progress.step} steps",
            path=path,
            remedy="raise optimiser.epochs or optimiser.steps to extend it",
        )
    if not progress.complete:
        return progress
    return dataclasses.replace(progress, complete=False, stopped="", stale=0)


def open_folder(
    folder: Path, data: TrainingData, config: TrainingConfig, *, force: bool
) -> dict[str, object]:
    """Write what is known of the data into a run's folder; after `force` there is nothing else.

    Returns
    -------
    dict
        As `facts_of_data`.
    """
    if force:
        start_anew(folder)
    if not (folder / TRAINING_REGIONS).exists():
        write_trained_regions(data.stores, folder / TRAINING_REGIONS)
    if data.held_out:
        write_regions(data.held_out, folder / HELD_OUT_REGIONS)
    return facts_of_data(data, config, folder)


def facts_of_data(data: TrainingData, config: TrainingConfig, folder: Path) -> dict[str, object]:
    """What the manifest of a model will say of its training data.

    Parameters
    ----------
    data : TrainingData
    config : TrainingConfig
    folder : Path
        Of the run: its BED file has what is held out.
    """
    facts: dict[str, object] = {
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
            for source in data.stores
        ],
        "contigs": sorted({c for source in data.stores for c in source.store.contigs}),
        "held_out_contigs": config.data.held_out_contigs,
    }
    if data.held_out:
        facts["held_out_sha256"] = sha256_file(folder / HELD_OUT_REGIONS)
        if len(data.held_out) <= _MOST_LISTED:
            facts["held_out_regions"] = [str(region) for region in data.held_out]
    return facts | data.weight_facts | {"steps_per_epoch": data.steps_per_epoch}


def facts_of_worker(
    config: TrainingConfig,
    data: TrainingData,
    progress: Mapping[str, Any],
    origin: Mapping[str, str] | None,
) -> dict[str, str]:
    """Texts that all workers of a run must share, each by what it is of.

    A path may lead to another file on another machine: what was read is compared, not its name.
    """
    stores = [
        f"{source.store.fingerprint} {source.training.n_columns} {source.held_out.n_columns}"
        for source in data.stores
    ]
    return {
        "configuration": sha256_text(repr(sorted(config.to_dict().items()))),
        "column store": sha256_text(
            "\n".join([*stores, *map(str, data.held_out), *data.weight_facts.values()])
        ),
        "table of trees": sha256_text(
            repr([describe_trees(source.store) for source in data.stores])
        ),
        "checkpoint": sha256_text(repr(dict(progress))),
        "model of run.init_from": sha256_text(repr(sorted((origin or {}).items()))),
    }
