"""The objective that a configuration names."""

from __future__ import annotations

from phylotools.training.config import TrainingConfig
from phylotools.training.objectives.base import Objective
from phylotools.training.objectives.both import BothObjective
from phylotools.training.objectives.masked import MaskedObjective
from phylotools.training.objectives.phylogenetic import PhylogeneticObjective


def make_objective(config: TrainingConfig) -> Objective:
    """The objective of a configuration."""
    objective, width = config.objective, config.optimiser.window_length
    if objective.kind == "masked":
        return MaskedObjective(width, objective.fraction)
    if objective.kind == "both":
        return BothObjective(width, objective.fraction, objective.weight)
    return PhylogeneticObjective()
