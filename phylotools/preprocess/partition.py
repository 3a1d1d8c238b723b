"""One partition: a span of the alignment -> a piece of the store."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.alignment.blocks import BlockResolver
from phylotools.io.alignment.formats import open_tables
from phylotools.io.alignment.spans import Span, lines_before, open_span
from phylotools.io.pipeline import Stopped
from phylotools.jobs.job import Partition
from phylotools.jobs.piece import PieceWriter
from phylotools.jobs.work_folder import WorkFolder
from phylotools.preprocess.plan import Plan
from phylotools.preprocess.projection import BUFFER_BYTES, ENTRY, Projector
from phylotools.preprocess.reference import CheckedReference
from phylotools.preprocess.wanted import Wanted
from phylotools.store.assemble import check_species


def run_partition(
    work: WorkFolder[Plan],
    plan: Plan,
    partition: Partition,
    *,
    on_columns: Callable[[int], None] = lambda n_columns: None,
    genome: CheckedReference | None = None,
    executor: Executor | None = None,
    buffer_bytes: int = BUFFER_BYTES,
    stop: threading.Event | None = None,
) -> None:
    """Read one span of the alignment into a piece; nothing is done if the piece is there.

    Parameters
    ----------
    work : WorkFolder
    plan : Plan
    partition : Partition
    on_columns : callable
        Gets the number of reference positions of the blocks added.
    genome : CheckedReference, optional
        What the alignment must agree with; partitions share one.
    executor : Executor, optional
        Compresses; see `Projector`.
    buffer_bytes : int
        See `Projector`.
    stop : Event, optional
        Makes the partition end with `Stopped`.

    Raises
    ------
    InputError
        With file and line, if the alignment cannot be right.
    """
    span: Span = partition.extent
    if work.is_done(partition.index):
        return
    with work.writing(partition, ENTRY) as writer, _lines_of_file(span):
        projecting = functools.partial(Projector, executor=executor, buffer_bytes=buffer_bytes)
        _Reading(plan, span, writer, genome, projecting).run(on_columns, stop or threading.Event())


@contextlib.contextmanager
def _lines_of_file(span: Span) -> Any:
    """Count lines in messages from the start of the file, not of the span."""
    try:
        yield
    except InputError as error:
        if error.line is None or span.start == 0 or error.path != span.path:
            raise
        raise InputError(
            error.problem,
            path=error.path,
            line=error.line + lines_before(span),
            remedy=error.remedy,
        ) from error


class _Reading:
    """A span of the alignment on its way into a piece."""

    def __init__(
        self,
        plan: Plan,
        span: Span,
        writer: PieceWriter,
        genome: CheckedReference | None,
        projecting: Callable[..., Projector],
    ) -> None:
        settings, self._tree = plan.settings, plan.tree
        self._span = span
        self._wanted: Wanted = settings.wanted()
        self._writer = writer
        self._resolver = BlockResolver(
            span.path,
            self._tree.tips,
            reference=settings.reference,
            ignored=plan.ignored,
            drop_unknown=settings.drop_unknown,
            duplicates=settings.duplicates,
        )
        self._genome = genome
        self._projecting = projecting
        self._contigs: list[str] = []

    def run(self, on_columns: Callable[[int], None], stop: threading.Event) -> None:
        """Read the span, and finish the piece."""
        projector = None
        resolver = self._resolver
        with open_span(self._span) as handle:
            reader = open_tables(handle, self._span)
            for table in reader:
                if stop.is_set():
                    raise Stopped
                batch = resolver.resolve(table)
                self._add_contigs()
                if self._wanted.is_restricted:
                    batch = batch.select(self._wanted.touches(batch, self._contigs))
                if projector is None:
                    projector = self._projector()
                projector.add(batch)
                on_columns(int(batch.length.sum()))
        if projector is not None:
            projector.finish()
        self._writer.finish(
            {
                "reference": resolver.reference,
                "contigs": list(resolver.contigs.items()),
                "text_bytes": reader.n_bytes,
                "overlapping_positions": 0 if projector is None else projector.n_overlapping,
                "counts": resolver.counts.to_dict(),
            }
        )

    def _projector(self) -> Projector:
        reference = self._resolver.reference
        assert reference is not None
        check_species(self._tree, reference)
        needs_check = self._genome is not None or self._wanted.is_restricted
        return self._projecting(
            self._writer,
            self._tree.n_tips,
            self._tree.tips.index(reference),
            check=self._check if needs_check else None,
        )

    def _add_contigs(self) -> None:
        """List contigs that the input named for the first time, and add them to the genome."""
        if len(self._contigs) == len(self._resolver.contigs):
            return
        new = list(self._resolver.contigs)[len(self._contigs) :]
        for name in new:
            if self._genome is not None:
                self._genome.add_contig(name, self._resolver.contigs[name])
        self._contigs += new

    def _check(self, contig: int, chunk: int, bases: NDArray[np.uint8]) -> None:
        name = self._contigs[contig]
        self._wanted.mask(name, chunk, bases)
        if self._genome is not None:
            reference = self._resolver.reference
            assert reference is not None
            row = bases[self._tree.tips.index(reference)]
            self._genome.check(name, chunk, row, self._span.path)
