"""A file of variants through a model: reader, annotator and writer put together.

Reading, judging, scoring and writing of lines each have a thread; the caller's own hands the lines
to the threads that compress them. Little waits between two of them, so memory is flat in the size
of the file.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from phylotools.annotate.allele_scores import BatchScores
from phylotools.annotate.fields import DEFAULT_TAG, InfoFields
from phylotools.annotate.judged_batch import JudgedBatch
from phylotools.annotate.judging import OnRefMismatch
from phylotools.annotate.lookup import ScoreTracks
from phylotools.annotate.variants import AnnotatedBatch, VariantAnnotator
from phylotools.errors import UsageError
from phylotools.io.files import refuse_same_file
from phylotools.io.pipeline import Pipeline
from phylotools.io.regions import RegionSet, choose_regions
from phylotools.io.spliced import SplicedGenome
from phylotools.io.variant_table import AddedColumns, RowSink
from phylotools.io.vcf.reader import VariantStream, open_variants
from phylotools.io.vcf.records import LineBlock
from phylotools.io.vcf.regions import RegionFilter, indexed_blocks
from phylotools.io.vcf.text import VcfHeader, quote
from phylotools.io.vcf.writer import VariantSink, choose_output_type, open_variant_output
from phylotools.model.tuned_head import HEAD, variant_head
from phylotools.provenance import command_line
from phylotools.scoring.context import TranscriptChoice, open_context
from phylotools.scoring.scorer import Scorer
from phylotools.threads import n_cores
from phylotools.version import __version__

if TYPE_CHECKING:
    from phylotools.model.registry import Model

logger = logging.getLogger("phylotools")


#: Tiles of a million bases: enough for sorted files, and those nearly sorted.
CACHE_BYTES = 16 << 20
#: Tiles of 128 million bases, for files in no order.
DISK_BYTES = 2 << 30


@dataclass(frozen=True)
class AnnotationSummary:
    """What a run did.

    Attributes
    ----------
    n_records, n_alleles, n_scored, n_looked_up : int
        Those looked up are single-nucleotide changes at sites that the tracks have.
    statuses : dict of str to int
        Alleles by status.
    skipped : dict of str to int
        Those without a number, most frequent first.
    n_ref_checked, n_ref_mismatches, n_contig_missing : int
        Records.
    reference : str
        The FASTA.
    scores : tuple of str
        That were written.
    default_score : str
        Of the model.
    """

    n_records: int
    n_alleles: int
    n_scored: int
    n_looked_up: int
    statuses: dict[str, int]
    skipped: dict[str, int]
    n_ref_checked: int
    n_ref_mismatches: int
    n_contig_missing: int
    reference: str
    scores: tuple[str, ...]
    default_score: str


@dataclass(frozen=True)
class AnnotationSettings:
    """What `annotate_file` may be told.

    Attributes
    ----------
    fasta : str, optional
        By default the model's own reference.
    output_type : {'v', 'z', 'b'}, optional
        By default from the output's suffix.
    write_index : bool, optional
        By default a compressed and sorted output is indexed.
    tag : str
        Prefix of the INFO keys.
    on_ref_mismatch : {'error', 'skip', 'warn'}
    regions : sequence of str
        Only records that overlap these: contig, contig:begin or contig:begin-end.
    regions_file : str, optional
        Or these: BED.
    extra_scores : sequence of str
        Scores to write beside the LLR and the model's default one.
    scores : str, optional
        Folder of this model's tracks to look into first.
    score_indels : bool
        Whether insertions and deletions are scored.
    force : bool
        Replace an existing output.
    transcripts : TranscriptChoice
        Whether alleles are scored in the context of transcripts, and of which.
    threads : int, optional
        That compute, and that compress; by default every core compresses.
    batch_size : int, optional
    precision : str
        As for `Scorer`.
    """

    fasta: str | None = None
    output_type: str | None = None
    write_index: bool | None = None
    tag: str = DEFAULT_TAG
    on_ref_mismatch: OnRefMismatch = "skip"
    regions: Sequence[str] = ()
    regions_file: str | None = None
    extra_scores: Sequence[str] = ()
    scores: str | None = None
    transcripts: TranscriptChoice = field(default_factory=TranscriptChoice)
    score_indels: bool = True
    force: bool = False
    threads: int | None = None
    batch_size: int | None = None
    precision: str = "auto"


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
    in_transcripts = settings.transcripts.applies_to(model)
    if in_transcripts and settings.scores is not None:
        raise UsageError(
            "--scores: no folder of tracks has the scores of single transcripts; leave it out, or "
            "score in the genome (--no-transcripts)"
        )
    substitution = model.mutation_process.substitution
    tuned = variant_head(model)
    fields = InfoFields(
        settings.tag,
        substitution,
        tuple(settings.extra_scores),
        in_transcripts,
        None if tuned is None else tuned.description,
    )
    reference = settings.transcripts.reference(model, settings.fasta)
    inputs = [
        source.path,
        reference,
        settings.regions_file,
        settings.scores,
        settings.transcripts.path,
    ]
    refuse_same_file(output, [name for name in inputs if name is not None])
    with contextlib.ExitStack() as stack:
        _check_output(output, source, settings)
        genome = stack.enter_context(open_context(model, settings.fasta, settings.transcripts))
        scorer = Scorer(
            model,
            genome,
            threads=settings.threads,
            batch_size=settings.batch_size,
            precision=settings.precision,
            cache_bytes=CACHE_BYTES,
            disk_bytes=DISK_BYTES,
        )
        tracks = None
        if settings.scores is not None:
            tracks = stack.enter_context(
                ScoreTracks.open(settings.scores, model, genome, precision=scorer.precision)
            )
        annotator = VariantAnnotator(
            scorer,
            source.header,
            source.path,
            fields=fields,
            on_ref_mismatch=settings.on_ref_mismatch,
            training_regions=model.training_regions,
            advice=_advice(),
            score_indels=settings.score_indels,
            tracks=tracks,
            scores_outside=settings.transcripts.scores_outside(model),
        )
        blocks = _wanted_blocks(source, annotator, settings)
        header = source.header.without_fields(fields.replaced_keys).with_lines(
            [*fields.header_lines(), _provenance_line(scorer, reference, fields)]
        )
        sink = stack.enter_context(_open_sink(output, source, fields, settings))
        with Pipeline(on_stop=source.cancel) as pipeline:
            _write(_annotated(pipeline, annotator, blocks), annotator, sink, header, on_batch)
    return _summarise(annotator, reference, fields)


def _output_type(output: str, source: VariantStream, settings: AnnotationSettings) -> str:
    choose = choose_output_type if source.rows is None else source.rows.output_type
    return choose(output, settings.output_type)


def _check_output(output: str, source: VariantStream, settings: AnnotationSettings) -> None:
    """Raise `UsageError`, before the work, if the output cannot be as it is asked for."""
    _output_type(output, source, settings)
    if source.rows is not None and settings.write_index:
        raise UsageError("--write-index: a table has no index; leave it out")


@contextlib.contextmanager
def _open_sink(
    output: str, source: VariantStream, fields: InfoFields, settings: AnnotationSettings
) -> Iterator[VariantSink | RowSink]:
    """Where the lines go: a VCF or BCF, or the table that they stand for."""
    with open_variant_output(
        output,
        _output_type(output, source, settings),
        write_index=settings.write_index if source.rows is None else False,
        force=settings.force,
        threads=settings.threads or n_cores(),
    ) as sink:
        if source.rows is None:
            yield sink
            return
        added = AddedColumns(fields.types, fields.replaced_keys)
        with source.rows.open_sink(sink.write_header, added) as rows:
            yield rows


def _annotated(
    pipeline: Pipeline, annotator: VariantAnnotator, blocks: Iterable[LineBlock]
) -> Iterable[AnnotatedBatch]:
    """The stages, each in its thread."""

    def score(judged: JudgedBatch) -> tuple[JudgedBatch, BatchScores]:
        return judged, annotator.score(judged, pipeline.check)

    read = pipeline.stage(blocks, "read")
    judged = pipeline.stage(map(annotator.judge, read), "judge")
    scored = pipeline.stage(map(score, judged), "score")
    return pipeline.stage((annotator.write(*each) for each in scored), "write")


def _write(
    batches: Iterable[AnnotatedBatch],
    annotator: VariantAnnotator,
    sink: VariantSink | RowSink,
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


def _wanted_blocks(
    source: VariantStream, annotator: VariantAnnotator, settings: AnnotationSettings
) -> Iterable[LineBlock]:
    """The blocks of the file, or only those that hold the regions asked for."""
    if not settings.regions and settings.regions_file is None:
        return source.blocks
    names = annotator.contig_names
    lengths = names.lengths(source.header.contigs)
    regions = choose_regions(settings.regions, settings.regions_file, lengths, path=source.path)
    wanted = RegionFilter(regions or RegionSet({}), names.name)
    annotator.regions = wanted
    header = source.header
    if source.rows is not None:
        return source.blocks
    found = indexed_blocks(source.path, wanted, list(header.contigs), header.line_end)
    return source.blocks if found is None else found


def _provenance_line(scorer: Scorer, reference: str, fields: InfoFields) -> bytes:
    model = scorer.model
    spliced = {}
    if isinstance(scorer.genome, SplicedGenome):
        spliced = {"Transcripts": Path(scorer.genome.transcripts.path).name}
    values = {
        "Version": __version__,
        **model.identity.header_facts(),
        "Reference": Path(reference).name,
        "DefaultScore": fields.default_score,
        **spliced,
        **({} if fields.tuned is None else {"Tuned": model.manifest["sha256"][HEAD]}),
        "Precision": scorer.precision,
        "Command": command_line(),
    }
    text = ",".join(f"{key}={quote(str(value))}" for key, value in values.items())
    return f"##phylotools_annotate=<ID={fields.tag},{text}>".encode("utf-8", "surrogateescape")


def _advice() -> str:
    """How to come by a model for other contigs."""
    from phylotools.model.registry import list_models

    models = []
    for summary in list_models():
        contigs = ", ".join(summary.contigs[:3]) + (" ..." if len(summary.contigs) > 3 else "")
        facts = " ".join(text for text in (summary.assembly, contigs) if text)
        models.append(summary.name + (f" ({facts})" if facts else ""))
    return (
        "where only the names differ, give --contig-aliases; models at hand: "
        f"{', '.join(models) or 'none'}; choose one with --model and its genome "
        "with --fasta, or train one on an alignment to this genome with `phylotools train`"
    )


def _summarise(
    annotator: VariantAnnotator, reference: str, fields: InfoFields
) -> AnnotationSummary:
    statuses = {str(status): count for status, count in annotator.statuses.most_common()}
    return AnnotationSummary(
        n_records=annotator.n_records,
        n_alleles=sum(statuses.values()),
        n_scored=annotator.n_scored,
        n_looked_up=annotator.n_looked_up,
        statuses=statuses,
        skipped={
            status: count
            for status, count in statuses.items()
            if status not in annotator.scored_statuses
        },
        n_ref_checked=annotator.assembly.n_checked,
        n_ref_mismatches=annotator.assembly.n_mismatches,
        n_contig_missing=sum(annotator.contig_names.n_records_missing.values()),
        reference=os.path.basename(reference),
        scores=fields.scores,
        default_score=fields.default_score,
    )
