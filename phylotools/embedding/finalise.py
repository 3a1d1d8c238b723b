"""Pieces -> the table of vectors, and the track of components, which appear whole or not at all."""

from __future__ import annotations

import os
from dataclasses import replace

from phylotools.embedding.partition import read_rows
from phylotools.embedding.plan import Plan
from phylotools.embedding.run import (
    EmbedOutputs,
    EmbedSummary,
    describe,
    staged_beside,
    write_outputs,
)
from phylotools.embedding.sweep import row_starts
from phylotools.io.genome import ReferenceGenome
from phylotools.io.staging import outputs_together
from phylotools.jobs.work_folder import WorkFolder


def finalise(
    work: WorkFolder[Plan],
    plan: Plan,
    outputs: EmbedOutputs,
    *,
    dtype: str = "float32",
    n_components: int = 3,
) -> EmbedSummary:
    """Put the vectors of a plan together whose partitions are finished.

    Parameters
    ----------
    work : WorkFolder
        Nothing in it changes.
    plan : Plan
    outputs : EmbedOutputs
    dtype : {'float32', 'float16'}
        Of the vectors written.
    n_components : int
        Of the track of principal components.

    Raises
    ------
    PhylotoolsError
        If partitions are missing or damaged.
    InputError
        If the reference or the BED have changed.
    OutputError, UsageError
    """
    kind = outputs.refuse([plan.fasta, *([plan.bed] if plan.bed else [])])
    work.require_all(plan)
    plan.check_inputs()
    settings = replace(plan.settings, dtype=dtype, n_components=n_components)
    command = plan.run.command
    metadata = describe(plan.model.identity, plan.layer, settings, plan.fasta, command)
    n_tiles = 0
    with ReferenceGenome.open(plan.fasta) as genome:
        table = plan.table(genome)
        with outputs_together(), staged_beside(outputs.table, plan.width) as staged:
            for index in range(plan.n_partitions):
                piece = work.open_piece(index)
                n_tiles += int(piece.summary["tiles"])
                for rows, vectors in read_rows(piece, plan.width):
                    staged.write(rows, vectors)
            components = write_outputs(
                outputs, table, genome, staged, settings, plan.width, metadata
            )
    return EmbedSummary(
        len(table), table.n_left_out, int(row_starts(table, settings.pool)[-1]), table.n_bases,
        n_tiles, plan.width, plan.layer, kind, os.path.basename(plan.fasta),
        None if components is None else components.explained.tolist(), plan.n_outside_training,
    )  # fmt: skip
