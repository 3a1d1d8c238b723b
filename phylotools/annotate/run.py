"""A file of variants through a model: reader, annotator and writer put together.

Reading, judging, scoring and writing of lines each have a thread; the caller's own hands the lines
to the threads that compress them. Little waits between two of them, so memory is flat in the size
of the file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from phylotools.annotate.allele_scores import BatchScores
from phylotools.annotate.judged_batch import JudgedBatch
from phylotools.annotate.opening import check_output, inputs_of, open_scoring, open_sink
from phylotools.annotate.settings import AnnotationSettings
from phylotools.annotate.tally import AnnotationSummary, summarise
from phylotools.annotate.variants import AnnotatedBatch, VariantAnnotator
from phylotools.io.files import refuse_same_file
from phylotools.io.pipeline import Pipeline
from phylotools.io.vcf.reader import VariantStream, open_variants
from phylotools.io.vcf.records import LineBlock, RecordTable
from phylotools.io.vcf.text import VcfHeader

if TYPE_CHECKING:
    from phylotools.model.registry import Model

__all__ = ["AnnotationSettings", "AnnotationSummary", "annotate_file", "annotate_stream"]


class LineSink(Protocol):
    """Where annotated lines go."""

    def write_header(self, data: bytes) -> None:
        """Write the header of the lines."""

    def write_records(self, text: bytes | memoryview, records: RecordTable) -> None:
        """Write lines."""


def annotate_file(
    model: Model,
    variants: str,
    output: str,
    settings: AnnotationSettings | None = None,
    *,
    on_batch: Callable[[int], None] = lambda n_records: None,
) -> AnnotationSummary:
    """Annotate a VCF, a BCF or a table of variants.

    Parameters
    ----------
    model : Model
    variants, output : str
        ``-`` is stdin, stdout.
    settings : AnnotationSettings, optional
    on_batch : callable
        Gets the number of records of every finished batch.

    Returns
    -------
    AnnotationSummary

    Raises
    ------
    InputError, OutputError, UsageError
        No output is left behind.
    """
    with open_variants(variants) as source:
        return annotate_stream(model, source, output, settings, on_batch=on_batch)


def annotate_stream(
    model: Model,
    source: VariantStream,
    output: str,
    settings: AnnotationSettings | None = None,
    *,
    on_batch: Callable[[int], None] = lambda n_records: None,
) -> AnnotationSummary:
    """`annotate_file` of variants that are open already."""
    settings = settings or AnnotationSettings()
    refuse_same_file(output, inputs_of(model, source.path, settings))
    check_output(output, source, settings)
    with (
        open_scoring(model, settings) as scoring,
        contextlib.ExitStack() as stack,
    ):
        annotation = scoring.of(source)
        annotator = annotation.annotator
        sink = stack.enter_context(open_sink(output, source, scoring.fields, settings))
        with Pipeline(on_stop=source.cancel) as pipeline:
            batches = annotated(pipeline, annotator, annotation.blocks)
            header = annotation.header(scoring.scorer.precision)
            _write(batches, annotator, sink, header, on_batch)
    return summarise(
        annotator.tally(),
        os.path.basename(scoring.reference),
        scoring.fields,
        annotator.scored_statuses,
    )


def annotated(
    pipeline: Pipeline, annotator: VariantAnnotator, blocks: Iterable[LineBlock]
) -> Iterable[AnnotatedBatch]:
    """The lines of blocks, by stages that each have a thread."""

    def score(judged: JudgedBatch) -> tuple[JudgedBatch, BatchScores]:
        return judged, annotator.score(judged, pipeline.check)

    read = pipeline.stage(blocks, "read")
    judged = pipeline.stage(map(annotator.judge, read), "judge")
    scored = pipeline.stage(map(score, judged), "score")
    return pipeline.stage((annotator.write(*each) for each in scored), "write")


def _write(
    batches: Iterable[AnnotatedBatch],
    annotator: VariantAnnotator,
    sink: LineSink,
    header: VcfHeader,
    on_batch: Callable[[int], None],
) -> None:
    # One batch is held back, so that a small file that turns out to be bad writes nothing.
    held: AnnotatedBatch | None = None
    is_first = True
    for batch in batches:
        if held is not None:
            if is_first:
                sink.write_header(header.to_bytes())
                is_first = False
            sink.write_records(held.text, held.records)
        held = batch
        on_batch(len(batch.records))
    annotator.finish()
    if is_first:
        sink.write_header(header.to_bytes())
    if held is not None:
        sink.write_records(held.text, held.records)
