"""A part of a file of variants -> a piece: its annotated lines, and what was counted."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.opening import Annotation, Scoring, added_columns, told_already
from phylotools.annotate.plan import Plan
from phylotools.annotate.run import annotated
from phylotools.io.pipeline import Pipeline
from phylotools.io.position_index.lines import LineKind
from phylotools.io.seamed_text import ENTRY, SeamedText
from phylotools.io.variant_table import ParquetRows
from phylotools.io.vcf.parts import open_part
from phylotools.io.vcf.records import RecordTable
from phylotools.io.vcf.writer import RecordOrder
from phylotools.jobs.job import Partition
from phylotools.jobs.piece import Piece, PieceWriter
from phylotools.jobs.work_folder import WorkFolder
from phylotools.threads import n_cores

#: An item of a Parquet's piece: numbers of rows, int64, and behind them their lines.
ROWS_ENTRY: np.dtype[Any] = np.dtype([("offset", "<i8"), ("size", "<i8"), ("n_rows", "<i8")])


class PartAnnotator:
    """Runs partitions one after the other, with the same network.

    Parameters
    ----------
    plan : Plan
    scoring : Scoring
    on_records : callable
        Gets the number of records of every finished batch.
    """

    def __init__(self, plan: Plan, scoring: Scoring, on_records: Callable[[int], None]) -> None:
        self._plan, self._scoring, self._on_records = plan, scoring, on_records

    def run(self, folder: WorkFolder[Plan], partition: Partition) -> None:
        """Leave the piece of a partition.

        Raises
        ------
        InputError, OutputError
        """
        plan = self._plan
        with contextlib.ExitStack() as stack:
            with told_already():
                source = stack.enter_context(
                    open_part(plan.variants, plan.layout, partition.extent)
                )
                source.blank_lines.is_told = False
                annotation = self._scoring.of(source, regions=plan.region_set, is_start=False)
            entry = ROWS_ENTRY if isinstance(source.rows, ParquetRows) else ENTRY
            piece = stack.enter_context(folder.writing(partition, entry))
            order = RecordOrder()
            with (
                self._open_sink(annotation, piece, order) as sink,
                Pipeline(on_stop=source.cancel) as pipeline,
            ):
                for batch in annotated(pipeline, annotation.annotator, annotation.blocks):
                    sink.write_records(batch.text, batch.records)
                    self._on_records(len(batch.records))
            piece.finish(
                {
                    "tally": dataclasses.asdict(annotation.annotator.tally(source.blank_lines.n)),
                    "order": dataclasses.asdict(order),
                    "precision": self._scoring.scorer.precision,
                }
            )

    @contextlib.contextmanager
    def _open_sink(
        self, annotation: Annotation, piece: PieceWriter, order: RecordOrder
    ) -> Iterator[_Sink]:
        """Where annotated lines go; leaving it puts what waits into the piece."""
        rows = annotation.source.rows
        if isinstance(rows, ParquetRows):
            yield _RowsSink(piece)
            return
        text = SeamedText(
            lambda data, kind: piece.add(data, size=len(data), kind=kind),
            is_compressed=self._plan.settings.output_type == "z",
            lines=LineKind.VCF if rows is None else None,
            threads=self._scoring.settings.threads or n_cores(),
        )
        with contextlib.closing(text):
            if rows is None:
                yield _LinesSink(text, order)
            else:
                with rows.open_sink(text.write, added_columns(self._scoring.fields)) as sink:
                    yield sink
            text.finish()


class _Sink(Protocol):
    def write_records(self, text: bytes | memoryview, records: RecordTable) -> None: ...


class _LinesSink:
    """Lines of a VCF, and whether they are sorted."""

    def __init__(self, text: SeamedText, order: RecordOrder) -> None:
        self._text, self._order = text, order

    def write_records(self, text: bytes | memoryview, records: RecordTable) -> None:
        self._text.write(text)
        self._order.add(records)


class _RowsSink:
    """Lines that rows of a Parquet have become, to be put beside the rows once all are there."""

    def __init__(self, piece: PieceWriter) -> None:
        self._piece = piece

    def write_records(self, text: bytes | memoryview, records: RecordTable) -> None:
        if len(records):
            numbers = records.block.first_line - 1 + records.line_index
            data = numbers.astype("<i8").tobytes() + bytes(text)
            self._piece.add(data, size=len(data), n_rows=len(records))


def stored_rows(piece: Piece) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
    """Numbers of rows of a Parquet, 0-based, and their annotated lines, some at once."""
    for entry in piece.index:
        data = piece.read(int(entry["offset"]), int(entry["size"]))
        end = 8 * int(entry["n_rows"])
        yield np.frombuffer(data[:end], dtype="<i8"), data[end:].split(b"\n")[:-1]
