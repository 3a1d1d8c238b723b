"""Pieces -> the table of fitted sites and its tracks, which appear whole or not at all."""

from __future__ import annotations

from dataclasses import replace

from phylotools.jobs.signals import read_signal
from phylotools.jobs.work_folder import WorkFolder
from phylotools.sites.fits import header
from phylotools.sites.partition import lines_of
from phylotools.sites.plan import Plan
from phylotools.sites.preparation import store_plans
from phylotools.sites.run import TRACKS, FitOutputs, open_outputs, track_contigs
from phylotools.sites.tally import FitSummary, Tally


def finalise(work: WorkFolder[Plan], plan: Plan, outputs: FitOutputs) -> FitSummary:
    """Put the files of a plan together whose partitions are finished.

    Parameters
    ----------
    work : WorkFolder
        Nothing in it changes.
    plan : Plan
    outputs : FitOutputs
        Whether lines are of alleles, the plan says.

    Raises
    ------
    PhylotoolsError
        If partitions are missing or damaged.
    InputError
        If the store has changed.
    OutputError
    """
    outputs = replace(outputs, per_allele=plan.per_allele)
    work.require_all(plan)
    plan.check_inputs()
    store = plan.opened_store()
    predictor = None if plan.model is None else plan.model.identity
    prepared = plan.known.preparation(store_plans(store, plan.settings), None, predictor)
    number = {name: track for track, name in enumerate(TRACKS)}
    tally, n_outside = Tally(), 0
    with open_outputs(outputs, track_contigs(store)) as (table, tracks):
        command = plan.run.command
        table.write(header(store, prepared, per_allele=plan.per_allele, command=command))
        for index in range(plan.n_partitions):
            piece = work.open_piece(index)
            table.write(lines_of(piece))
            for name, track in tracks.items():
                for encoded in read_signal(piece, number[name]):
                    track.add_blocks(encoded)
            tally.add_counts(piece.summary)
            n_outside += int(piece.summary["outside_training"])
    return tally.summary(prepared, n_outside)
