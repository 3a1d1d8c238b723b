"""Pieces -> the annotated file: header once, lines in order, checks of the whole file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.opening import (
    Annotation,
    added_columns,
    open_output,
    open_scoring,
    told_already,
)
from phylotools.annotate.partition import stored_rows
from phylotools.annotate.plan import Plan
from phylotools.annotate.settings import AnnotationSettings
from phylotools.annotate.tally import AnnotationSummary, Tally, summarise
from phylotools.io.documents import decode
from phylotools.io.seamed_text import stored_runs
from phylotools.io.variant_table import ParquetRows, RowSink
from phylotools.io.vcf.reader import open_variants
from phylotools.io.vcf.writer import RecordOrder, VariantSink
from phylotools.jobs.piece import Piece
from phylotools.jobs.work_folder import WorkFolder

if TYPE_CHECKING:
    from phylotools.model.folder import Model


def finalise(
    work: WorkFolder[Plan],
    plan: Plan,
    model: Model,
    output: str,
    settings: AnnotationSettings,
) -> AnnotationSummary:
    """Put the lines of all partitions together, as if one process had read the file.

    Parameters
    ----------
    work : WorkFolder
        Nothing in it changes.
    plan : Plan
    model : Model
        That of the plan.
    output : str
        ``-`` is stdout.
    settings : AnnotationSettings
        The plan's, with what concerns the output alone: `write_index`, `force`, `threads`.

    Raises
    ------
    PhylotoolsError
        If partitions are missing or damaged.
    InputError
        As the whole file.
    OutputError, UsageError
    """
    work.require_all(plan)
    with contextlib.ExitStack() as stack:
        with told_already():
            source = stack.enter_context(open_variants(plan.variants))
            scoring = stack.enter_context(open_scoring(model, settings))
            annotation = scoring.of(source, regions=plan.region_set, is_start=False)
        tally, precisions = Tally(), set()
        for piece in _pieces(work, plan):
            tally += decode(Tally, piece.summary["tally"])
            precisions.add(piece.summary["precision"])
        source.blank_lines.add(tally.n_blank_lines)
        annotation.annotator.finish(tally)
        source.blank_lines.tell()
        header = annotation.header(",".join(sorted(precisions)), plan.run.command)
        with open_output(output, source, settings) as sink:
            _write(sink, header.to_bytes(), work, plan, annotation)
        return summarise(
            tally,
            os.path.basename(scoring.reference),
            scoring.fields,
            annotation.annotator.scored_statuses,
        )


def _pieces(work: WorkFolder[Plan], plan: Plan) -> Iterator[Piece]:
    """All pieces; opened one at a time, as there may be many."""
    return map(work.open_piece, range(plan.n_partitions))


def _write(
    sink: VariantSink, header: bytes, work: WorkFolder[Plan], plan: Plan, annotation: Annotation
) -> None:
    rows = annotation.source.rows
    if rows is None:
        sink.write_header(header)
        _write_parts(sink, work, plan)
        return
    added = added_columns(annotation.scoring.fields)
    with rows.open_sink(sink.write_header, added) as row_sink:
        row_sink.write_header(header)
        if isinstance(rows, ParquetRows):
            _write_rows(row_sink, rows, work, plan)
        else:
            _write_parts(sink, work, plan)


def _write_parts(sink: VariantSink, work: WorkFolder[Plan], plan: Plan) -> None:
    for piece in _pieces(work, plan):
        order = decode(RecordOrder, piece.summary["order"])
        sink.write_part(stored_runs(piece.data_path, piece.index), order)


def _write_rows(sink: RowSink, rows: ParquetRows, work: WorkFolder[Plan], plan: Plan) -> None:
    """Put annotated lines beside the rows of a Parquet, which are read once more."""
    stored = (item for piece in _pieces(work, plan) for item in stored_rows(piece))
    numbers: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    lines: list[bytes] = []
    for first, batch in rows.batches():
        end = first - 1 + batch.num_rows
        while not len(numbers) or numbers[-1] < end:
            more = next(stored, None)
            if more is None:
                break
            numbers = np.append(numbers, more[0])
            lines += more[1]
        n = int(np.searchsorted(numbers, end))
        sink.write_rows(batch, numbers[:n] - (first - 1), lines[:n])
        numbers, lines = numbers[n:], lines[n:]
