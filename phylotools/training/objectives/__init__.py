"""What training maximises: one interface, and the objective of each kind.

`make_objective` makes the one that a configuration names.
"""

from phylotools.training.objectives.base import (
    Figures,
    LossSums,
    LossTerms,
    Objective,
    column_theta,
    spans_of_columns,
)
from phylotools.training.objectives.both import BothObjective
from phylotools.training.objectives.making import make_objective
from phylotools.training.objectives.masked import MaskedObjective
from phylotools.training.objectives.phylogenetic import PhylogeneticObjective

__all__ = [
    "BothObjective",
    "Figures",
    "LossSums",
    "LossTerms",
    "MaskedObjective",
    "Objective",
    "PhylogeneticObjective",
    "column_theta",
    "make_objective",
    "spans_of_columns",
]
