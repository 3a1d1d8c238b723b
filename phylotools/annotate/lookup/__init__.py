"""Scores of single-nucleotide variants looked up instead of computed."""

from __future__ import annotations

import os

from phylotools.annotate.lookup.checks import PrecomputedScores
from phylotools.annotate.lookup.table import ScoreTable
from phylotools.annotate.lookup.tracks import ScoreTracks
from phylotools.io.genome import ReferenceGenome
from phylotools.io.score_table import TABLE_NAME
from phylotools.io.track_folder import RECORD_NAME
from phylotools.model.registry import Model

__all__ = ["PrecomputedScores", "ScoreTable", "ScoreTracks", "open_precomputed"]


def open_precomputed(
    path: str | os.PathLike[str],
    model: Model,
    genome: ReferenceGenome,
    *,
    precision: str = "float32",
) -> PrecomputedScores:
    """Open scores made with a model, in whichever form they are.

    Parameters
    ----------
    path : str or PathLike
        A table of all single-nucleotide variants, or a folder that `phylotools tracks` wrote: of
        this the table if it has one, else the bigWigs.
    model : Model
    genome : ReferenceGenome
    precision : str
        Arithmetic of the numbers that those looked up stand beside.

    Raises
    ------
    InputError
        As for `ScoreTable` and `ScoreTracks`.
    """
    is_tracks = os.path.exists(os.path.join(path, RECORD_NAME)) and not os.path.exists(
        os.path.join(path, TABLE_NAME)
    )
    kind = ScoreTracks if is_tracks else ScoreTable
    return kind.open(path, model, genome, precision=precision)
