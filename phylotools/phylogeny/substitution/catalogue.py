"""Substitution models by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from phylotools.errors import InputError
from phylotools.phylogeny.substitution.base import (
    COMPLEMENT_BASE,
    COMPLEMENT_PAIR,
    LARGEST_LOG_RATIO,
    SubstitutionModel,
)
from phylotools.phylogeny.substitution.exchangeability import F81, GTR, HKY
from phylotools.phylogeny.substitution.mutation_selection import MutationSelection

#: Every model, by the name that configuration files and options use.
SUBSTITUTION_MODELS: dict[str, type[SubstitutionModel]] = {
    model.name: model for model in (F81, HKY, GTR, MutationSelection)
}
_LENGTHS = {"exchangeabilities": 6, "background": 4, "mutation_frequencies": 4}
#: Lists that a strand-symmetric model needs to be equal to their complement.
_COMPLEMENT = {
    "exchangeabilities": COMPLEMENT_PAIR,
    "background": COMPLEMENT_BASE,
    "mutation_frequencies": COMPLEMENT_BASE,
}
_LARGEST_RATIO = math.exp(LARGEST_LOG_RATIO)
#: A number, of which float32 still holds the sum of six and the inverse.
_LARGEST = 1e30
#: Relative error that rounding to float32 may leave.
_ROUNDING = 1e-5


def make_substitution_model(name: str, /, **settings: Any) -> SubstitutionModel:
    """A model by name, its shared parameters as given or at their defaults.

    Parameters
    ----------
    name : {'f81', 'hky', 'gtr', 'mutation-selection'}
    **settings
        Shared parameters, as the model's constructor takes them.

    Raises
    ------
    InputError
        If there is no such model or parameter, or a value is not positive and finite.
    """
    if name not in SUBSTITUTION_MODELS:
        raise InputError(
            f"no substitution model is called {name!r}",
            remedy=f"choose one of {', '.join(SUBSTITUTION_MODELS)}",
        )
    problems = setting_problems(name, settings)
    if problems:
        raise InputError("; ".join(f"{name}: {problem}" for problem in problems))
    return SUBSTITUTION_MODELS[name](**settings)


def parameters_of(name: str) -> list[str]:
    """Names of the settings that a model takes."""
    parameters = inspect.signature(SUBSTITUTION_MODELS[name]).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def setting_problems(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with the settings of a model that exists, a line each."""
    known = parameters_of(name)
    problems = []
    for key, value in settings.items():
        if key not in known:
            has = ", ".join(known) if known else "none"
            problems.append(f"{key} is no parameter of {name}, which has {has}")
        elif key == "strand_symmetric":
            if type(value) is not bool:
                problems.append(f"{key} must be true or false")
        else:
            problems += _number_problems(key, value, settings.get("strand_symmetric") is True)
    return problems


def _number_problems(key: str, value: Any, strand_symmetric: bool) -> list[str]:
    length = _LENGTHS.get(key)
    numbers = value if length else [value]
    wrong = isinstance(value, list | tuple) is not bool(length)
    if wrong or len(numbers) != (length or 1):
        return [f"{key} must be {f'{length} numbers' if length else 'a number'}"]
    if not all(type(n) in (int, float) and 1 / _LARGEST <= n <= _LARGEST for n in numbers):
        return [f"{key} must be positive and finite, from {1 / _LARGEST:g} to {_LARGEST:g}"]
    largest, smallest = (max(numbers), min(numbers)) if length else (max(value, 1 / value), 1)
    if not largest / smallest <= _LARGEST_RATIO * (1 + _ROUNDING):
        return [f"{key}: a ratio above {_LARGEST_RATIO:,.0f} is beyond what can be told apart"]
    if strand_symmetric and key in _COMPLEMENT:
        pairs = zip(numbers, (numbers[index] for index in _COMPLEMENT[key]), strict=True)
        if any(abs(a - b) > _ROUNDING * a for a, b in pairs):
            return [f"{key} differ between the strands, but strand_symmetric is true"]
    return []
