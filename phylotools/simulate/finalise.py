"""Pieces -> the files of a simulation, which appear whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from phylotools.io.staging import outputs_together
from phylotools.jobs.work_folder import WorkFolder
from phylotools.simulate.outputs import (
    FinishedPiece,
    SimulationOutputs,
    SimulationSummary,
    SimulationWriter,
    encoded_again,
    is_compressed,
)
from phylotools.simulate.partition import finished_pieces
from phylotools.simulate.plan import Plan, refuse_outputs_of


def finalise(work: WorkFolder[Plan], plan: Plan, outputs: SimulationOutputs) -> SimulationSummary:
    """Put the files of a plan together whose partitions are finished.

    Parameters
    ----------
    work : WorkFolder
        Nothing in it changes.
    plan : Plan
    outputs : SimulationOutputs

    Raises
    ------
    PhylotoolsError
        If partitions are missing or damaged.
    UsageError, OutputError
    """
    outputs.refuse_streams()
    refuse_outputs_of(plan, outputs.truth, outputs.fasta)
    work.require_all(plan)
    with outputs_together(), contextlib.ExitStack() as stack:
        writer = SimulationWriter(stack, outputs, plan.header, max(plan.contigs.values()))
        for piece in _pieces(work, plan, outputs):
            writer.write(piece)
        writer.finish()
    return writer.summary(plan.n_species, str(plan.settings.reference))


def _pieces(
    work: WorkFolder[Plan], plan: Plan, outputs: SimulationOutputs
) -> Iterator[FinishedPiece]:
    """All pieces in order, encoded as the outputs are."""
    packs_alignment = is_compressed(outputs.alignment)
    packs_truth = outputs.truth is not None and is_compressed(outputs.truth)
    contigs = list(plan.contigs)
    for index in range(plan.n_partitions):
        for piece in finished_pieces(work.open_piece(index), contigs):
            alignment = encoded_again(piece.alignment, packs_alignment)
            truth = b"" if outputs.truth is None else encoded_again(piece.truth, packs_truth)
            yield replace(piece, alignment=alignment, truth=truth)
