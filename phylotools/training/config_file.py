"""A training configuration from a TOML file; all errors of a file are reported together."""

from __future__ import annotations

import os
import typing
from pathlib import Path
from typing import Any

from phylotools.errors import InputError, UsageError
from phylotools.io.toml_tables import checked_values, read_toml, unknown
from phylotools.model.presets import LARGEST_LOG_RATE, PRESETS
from phylotools.model.site_model import LARGEST_RATE_SD, RATE_TREATMENTS
from phylotools.model.training_pass import TRAINING_PRECISIONS
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS
from phylotools.phylogeny.substitution.catalogue import parameters_of, setting_problems
from phylotools.training.config import (
    LEARNED,
    OBJECTIVES,
    SCHEDULES,
    DataConfig,
    NetworkConfig,
    ObjectiveConfig,
    OptimiserConfig,
    RateConfig,
    RunConfig,
    SubstitutionConfig,
    TrainingConfig,
)

_TABLES = {
    "data": DataConfig,
    "network": NetworkConfig,
    "objective": ObjectiveConfig,
    "substitution": SubstitutionConfig,
    "rate": RateConfig,
    "optimiser": OptimiserConfig,
    "run": RunConfig,
}
#: So often may an epoch take a contig.
LARGEST_CONTIG_WEIGHT = 100
#: Positions of sequence in one step, context included: memory grows with them.
_MOST_POSITIONS = 10_000_000


def read_config(path: str | os.PathLike[str]) -> TrainingConfig:
    """Read a TOML training configuration.

    Raises
    ------
    InputError
        With every error of the file, separated by semicolons.
    """
    path = Path(path)
    _, values = read_toml(path)
    config, errors = parse_config(values, path.absolute().parent)
    if config is None:
        raise InputError("; ".join(errors), path=path)
    return config


def parse_config(values: dict[str, Any], folder: Path) -> tuple[TrainingConfig | None, list[str]]:
    """Check every table and key; the configuration, defaults filled in, or ``None`` and errors."""
    errors: list[str] = []
    tables: dict[str, Any] = {}
    values = _with_settings_of_masked(values)
    for name in values:
        if name not in _TABLES:
            errors.append(unknown("table", f"[{name}]", name, list(_TABLES)))
    for name, kind in _TABLES.items():
        table = values.get(name, {})
        if not isinstance(table, dict):
            errors.append(f"{name} must be a table, [{name}]")
            table = {}
        tables[name] = _parse_table(name, kind, table, errors)
    config = TrainingConfig(**tables, folder=folder)
    errors += check_values(config)
    return (None, errors) if errors else (config.with_defaults(), [])


#: What a model of masked bases is: its pi is their distribution, and it knows no rate.
_OF_MASKED = {
    "substitution": {"model": "f81"},
    "rate": {"treatment": "fixed"},
    "run": {"site_fits": False},
}


def _with_settings_of_masked(values: dict[str, Any]) -> dict[str, Any]:
    """The file's values, with those that masked language modelling asks for where they are open."""
    objective = values.get("objective")
    if not isinstance(objective, dict) or objective.get("kind") != "masked":
        return values
    tables = {name: values.get(name, {}) for name in _OF_MASKED}
    return values | {
        name: own | tables[name] if isinstance(tables[name], dict) else tables[name]
        for name, own in _OF_MASKED.items()
    }


def _parse_table(name: str, kind: type, table: dict[str, Any], errors: list[str]) -> Any:
    hints = typing.get_type_hints(kind)
    # Keys with errors keep their defaults, so that the other values are still checked.
    values: dict[str, Any] = {} if kind is not DataConfig else {"stores": []}
    values |= checked_values(hints, table, lambda key: f"{name}.{key}", errors)
    return kind(**values)


def check_values(config: TrainingConfig) -> list[str]:
    """Errors in the values of a configuration whose types are right."""
    return [
        *_check_ranges(config),
        *_check_choices(config),
        *_check_objective(config),
        *_check_substitution(config),
        *_check_rate(config),
        *_check_network(config),
    ]


def _check_ranges(config: TrainingConfig) -> list[str]:
    data, optimiser, run = config.data, config.optimiser, config.run
    positive = {
        "data.minimum_species": data.minimum_species,
        "data.buffer_bytes": data.buffer,
        "optimiser.steps": optimiser.steps,
        "optimiser.epochs": optimiser.epochs,
        "optimiser.windows_per_batch": optimiser.windows_per_batch,
        "optimiser.window_length": optimiser.window_length,
        "optimiser.learning_rate": optimiser.learning_rate,
        "optimiser.gradient_clip": optimiser.gradient_clip,
        "optimiser.parts": optimiser.parts,
        "substitution.learning_rate": config.substitution.learning_rate,
        "substitution.frequency_prior_sd": config.substitution.frequency_prior_sd,
        "objective.mask_fraction": config.objective.mask_fraction,
        "objective.masked_weight": config.objective.masked_weight,
        "run.log_every": run.log_every,
        "run.evaluate_every": run.evaluate_every,
        "run.checkpoint_every": run.checkpoint_every,
        "run.evaluation_columns": run.evaluation_columns,
    }
    not_negative = {
        "data.minimum_branch_length": data.minimum_branch_length,
        "data.soft_mask_weight": data.soft_mask_weight,
        "data.workers": data.workers or 0,
        "data.any_row_weight": data.any_row_weight,
        "data.any_row_until": data.any_row_until,
        "optimiser.weight_decay": optimiser.weight_decay,
        "optimiser.warmup_steps": optimiser.warmup_steps,
        "optimiser.final_fraction": optimiser.final_fraction,
        "run.seed": run.seed,
        "run.patience": run.patience,
        "run.keep_checkpoints": run.keep_checkpoints,
    }
    # Far beyond any use, and where the arithmetic of a step still holds.
    limited = {
        "data.minimum_branch_length": (data.minimum_branch_length, 10),
        "data.soft_mask_weight": (data.soft_mask_weight, 1000),
        "data.buffer_bytes": (data.buffer, 1 << 50),
        "data.workers": (data.workers or 0, 256),
        "data.any_row_weight": (data.any_row_weight, 1),
        "data.any_row_until": (data.any_row_until, 1),
        "optimiser.steps": (optimiser.steps, 10**9),
        "optimiser.epochs": (optimiser.epochs, 10**6),
        "optimiser.warmup_steps": (optimiser.warmup_steps, 10**9),
        "optimiser.learning_rate": (optimiser.learning_rate, 10),
        "optimiser.weight_decay": (optimiser.weight_decay, 10),
        "substitution.learning_rate": (config.substitution.learning_rate, 1),
        "optimiser.final_fraction": (optimiser.final_fraction, 1),
        "objective.mask_fraction": (config.objective.mask_fraction, 1),
        "objective.masked_weight": (config.objective.masked_weight, 1000),
        "run.keep_checkpoints": (run.keep_checkpoints, 10_000),
    }
    # None stands for a default.
    errors = [
        f"{key} must be above 0"
        for key, value in positive.items()
        if value is not None and not value > 0
    ]
    errors += [
        f"{key} must not be negative"
        for key, value in not_negative.items()
        if value is not None and not value >= 0
    ]
    errors += [
        f"{key} must not exceed {limit:,}"
        for key, (value, limit) in limited.items()
        if value is not None and value > limit
    ]
    fractions = {
        "data.held_out_fraction": data.drawn_fraction,
        "data.held_out_species_fraction": data.held_out_species_fraction,
        "optimiser.average": optimiser.average,
    }
    if optimiser.parts and optimiser.windows_per_batch % optimiser.parts:
        errors.append("optimiser.windows_per_batch must be a multiple of optimiser.parts")
    errors += [
        f"{key} must be at least 0 and below 1"
        for key, value in fractions.items()
        if not 0 <= value < 1
    ]
    return errors


def _check_choices(config: TrainingConfig) -> list[str]:
    data, run = config.data, config.run
    errors = [] if data.stores else ["data.stores must name a column store"]
    errors += [
        f"data.stores: there is no {path}" for path in config.store_paths() if not path.exists()
    ]
    if len(data.weights) != len(data.stores):
        errors.append("data.store_weights must have a number for each of data.stores")
    if len(data.tables_of_trees) != len(data.stores):
        errors.append("data.trees must be one table, or one for each of data.stores")
    errors += [
        f"data.trees: there is no {config.folder / table}"
        for table in dict.fromkeys(data.tables_of_trees)
        if table and not (config.folder / table).is_file()
    ]
    if not all(0 < weight <= 1 for weight in data.weights):
        errors.append("data.store_weights must be above 0 and not exceed 1")
    if not all(0 <= weight <= LARGEST_CONTIG_WEIGHT for weight in data.contig_weights.values()):
        errors.append(f"data.contig_weights must lie between 0 and {LARGEST_CONTIG_WEIGHT:g}")
    choices = {
        "network.preset": (config.network.preset, tuple(PRESETS)),
        "objective.kind": (config.objective.kind, OBJECTIVES),
        "substitution.model": (config.substitution.model, tuple(SUBSTITUTION_MODELS)),
        "rate.treatment": (config.rate.treatment, RATE_TREATMENTS),
        "substitution.learn": (config.substitution.learn, (*LEARNED, True, False)),
        "optimiser.schedule": (config.optimiser.schedule, (*SCHEDULES, None)),
        "optimiser.precision": (config.optimiser.precision, TRAINING_PRECISIONS),
        "run.select_by": (
            run.select_by,
            ("held_out_columns", "held_out_species", "last", None),
        ),
    }
    errors += [
        f"{key} must be one of {', '.join(k for k in known if isinstance(k, str))}, not {value!r}"
        for key, (value, known) in choices.items()
        if value not in known
    ]
    return errors + _check_held_out(config)


def _check_held_out(config: TrainingConfig) -> list[str]:
    data, run = config.data, config.run
    errors = []
    if data.names_columns and data.drawn_fraction > 0:
        errors.append(
            "data.held_out_fraction draws what is held out, but data names it: leave one out"
        )
    if run.select_by == "held_out_species" and not data.holds_species:
        errors.append("run.select_by is held_out_species, but data holds out no species")
    if run.select_by == "held_out_columns" and not data.holds_columns:
        errors.append("run.select_by is held_out_columns, but data holds out no columns")
    is_last = run.select_by == "last" or (run.select_by is None and not data.holds_columns)
    if is_last and config.optimiser.schedule == "plateau":
        errors.append(
            "optimiser.schedule is plateau, which needs a held-out figure: hold something out, or "
            "take cosine"
        )
    if is_last and run.patience:
        errors.append("run.patience needs a held-out figure, but run.select_by is last")
    return errors


def _check_objective(config: TrainingConfig) -> list[str]:
    objective = config.objective
    errors = []
    if objective.kind == "phylogenetic" and objective.mask_fraction is not None:
        errors.append("objective.mask_fraction has no effect where objective.kind is phylogenetic")
    if objective.kind in ("phylogenetic", "masked") and objective.masked_weight is not None:
        errors.append(f"objective.masked_weight has no effect where kind is {objective.kind}")
    if objective.kind != "masked":
        return errors
    asked = "objective.kind is masked, which predicts bases and no substitution: "
    if config.substitution.model != "f81":
        errors.append(f"{asked}substitution.model must be f81, or left out")
    if config.rate.treatment != "fixed" or config.rate.learn:
        errors.append(f"{asked}rate.treatment must be fixed, and not learned, or left out")
    if config.run.site_fits:
        errors.append(f"{asked}run.site_fits must be false, or left out")
    if config.run.select_by == "held_out_species":
        errors.append(f"{asked}run.select_by cannot be held_out_species")
    return errors


def _check_substitution(config: TrainingConfig) -> list[str]:
    if config.substitution.model not in SUBSTITUTION_MODELS:
        return []
    substitution = config.with_defaults().substitution
    problems = setting_problems(substitution.model, substitution.settings())
    if substitution.frequency_prior_sd is not None and "mutation_frequencies" not in parameters_of(
        substitution.model
    ):
        problems.append(f"frequency_prior_sd: {substitution.model} has no mutation frequencies")
    elif substitution.frequency_prior_sd is not None and substitution.learn != "all":
        problems.append(
            f"frequency_prior_sd has no effect where learn is {substitution.learn}: leave it out"
        )
    return [f"substitution.{problem}" for problem in problems]


def _check_rate(config: TrainingConfig) -> list[str]:
    rate = config.rate
    errors = []
    if rate.mean is not None and not abs(rate.mean) <= LARGEST_LOG_RATE:
        errors.append(f"rate.mean must lie between -{LARGEST_LOG_RATE:g} and {LARGEST_LOG_RATE:g}")
    if rate.sd is not None and not rate.sd > 0:
        errors.append("rate.sd must be above 0")
    if rate.sd is not None and rate.sd > LARGEST_RATE_SD:
        errors.append(f"rate.sd must not exceed {LARGEST_RATE_SD:,.0f}")
    if rate.learn and rate.treatment == "free":
        errors.append("rate.learn has nothing to learn where rate.treatment is free")
    if rate.learn and rate.treatment == "prior" and (rate.mean is not None or rate.sd is not None):
        errors.append("rate.learn fits rate.mean and rate.sd of a prior: leave them out")
    return errors


def _check_network(config: TrainingConfig) -> list[str]:
    errors = []
    context = 0
    if config.network.preset in PRESETS:
        try:
            context = config.model_spec().receptive_field - 1
        except UsageError as error:
            errors.append(str(error))
    optimiser = config.optimiser
    if optimiser.windows_per_batch * (optimiser.window_length + context) > _MOST_POSITIONS:
        errors.append(
            "optimiser.windows_per_batch windows of optimiser.window_length and the network's "
            f"context hold more than {_MOST_POSITIONS:,} positions"
        )
    return errors
