"""What a run needs before its first record: reference, scorer, annotator, and where lines go."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phylotools.annotate.fields import InfoFields
from phylotools.annotate.lookup import ScoreTracks
from phylotools.annotate.settings import AnnotationSettings
from phylotools.annotate.variants import VariantAnnotator
from phylotools.errors import UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import RegionSet, choose_regions
from phylotools.io.spliced import SplicedGenome
from phylotools.io.variant_table import AddedColumns, RowSink
from phylotools.io.vcf.reader import VariantStream
from phylotools.io.vcf.records import LineBlock
from phylotools.io.vcf.regions import RegionFilter, indexed_blocks
from phylotools.io.vcf.text import VcfHeader, quote
from phylotools.io.vcf.writer import VariantSink, choose_output_type, open_variant_output
from phylotools.model.tuned_head import HEAD, variant_head
from phylotools.provenance import command_line
from phylotools.scoring.context import open_context
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


def fields_of(model: Model, settings: AnnotationSettings) -> InfoFields:
    """The INFO fields that a run writes.

    Raises
    ------
    UsageError
        If the settings contradict each other or the model.
    """
    in_transcripts = settings.transcripts.applies_to(model)
    if in_transcripts and settings.scores is not None:
        raise UsageError(
            "--scores: no folder of tracks has the scores of single transcripts; leave it out, or "
            "score in the genome (--no-transcripts)"
        )
    tuned = variant_head(model)
    return InfoFields(
        settings.tag,
        model.mutation_process.substitution,
        tuple(settings.extra_scores),
        in_transcripts,
        None if tuned is None else tuned.description,
    )


@dataclass(frozen=True)
class Scoring:
    """What scores variants, whatever file they are of.

    Attributes
    ----------
    model : Model
    settings : AnnotationSettings
    genome : ReferenceGenome
    scorer : Scorer
    tracks : ScoreTracks or None
    fields : InfoFields
    reference : str
        The FASTA.
    """

    model: Model
    settings: AnnotationSettings
    genome: ReferenceGenome
    scorer: Scorer
    tracks: ScoreTracks | None
    fields: InfoFields
    reference: str

    def of(
        self, source: VariantStream, *, regions: RegionSet | None = None, is_start: bool = True
    ) -> Annotation:
        """A run over a file, or over a part of one.

        Parameters
        ----------
        source : VariantStream
        regions : RegionSet, optional
            Those that the settings ask for, where they were read already; the whole source is
            filtered then.
        is_start : bool
            As for `VariantAnnotator`.

        Raises
        ------
        InputError, UsageError
        """
        settings = self.settings
        annotator = VariantAnnotator(
            self.scorer,
            source.header,
            source.path,
            fields=self.fields,
            on_ref_mismatch=settings.on_ref_mismatch,
            training_regions=self.model.training_regions,
            advice=_advice(),
            score_indels=settings.score_indels,
            tracks=self.tracks,
            scores_outside=settings.transcripts.scores_outside(self.model),
            is_start=is_start,
        )
        blocks: Iterable[LineBlock] = source.blocks
        if regions is not None:
            annotator.regions = RegionFilter(regions, annotator.contig_names.name)
        else:
            blocks = _wanted_blocks(source, annotator, settings)
        return Annotation(source, blocks, annotator, self)


@dataclass(frozen=True)
class Annotation:
    """A run that is about to begin.

    Attributes
    ----------
    source : VariantStream
    blocks : iterable of LineBlock
        Of the source, those of the regions asked for if an index led to them.
    annotator : VariantAnnotator
    scoring : Scoring
    """

    source: VariantStream
    blocks: Iterable[LineBlock]
    annotator: VariantAnnotator
    scoring: Scoring

    def header(self, precision: str, command: str | None = None) -> VcfHeader:
        """The header of the output.

        Parameters
        ----------
        precision : str
            Arithmetic of the numbers.
        command : str, optional
            That made it; by default that of this process.
        """
        line = self._provenance_line(precision, command or command_line())
        header = self.source.header.without_fields(self.scoring.fields.replaced_keys)
        return header.with_lines([*self.scoring.fields.header_lines(), line])

    def _provenance_line(self, precision: str, command: str) -> bytes:
        model, fields = self.scoring.scorer.model, self.scoring.fields
        spliced = {}
        if isinstance(self.scoring.scorer.genome, SplicedGenome):
            spliced = {"Transcripts": Path(self.scoring.scorer.genome.transcripts.path).name}
        values = {
            "Version": __version__,
            **model.identity.header_facts(),
            **({"SiteFits": "yes"} if model.uses_site_fits else {}),
            "Reference": Path(self.scoring.reference).name,
            "DefaultScore": fields.default_score,
            **spliced,
            **({} if fields.tuned is None else {"Tuned": model.manifest["sha256"][HEAD]}),
            "Precision": precision,
            "Command": command,
        }
        text = ",".join(f"{key}={quote(str(value))}" for key, value in values.items())
        line = f"##phylotools_annotate=<ID={fields.tag},{text}>"
        return line.encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def open_scoring(model: Model, settings: AnnotationSettings) -> Iterator[Scoring]:
    """Open reference, network and tracks.

    Raises
    ------
    InputError, UsageError
    """
    fields = fields_of(model, settings)
    reference = settings.transcripts.reference(model, settings.fasta)
    with contextlib.ExitStack() as stack:
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
        yield Scoring(model, settings, genome, scorer, tracks, fields, reference)


def inputs_of(model: Model, variants: str, settings: AnnotationSettings) -> list[str]:
    """Paths of all that a run reads."""
    inputs = [
        variants,
        settings.transcripts.reference(model, settings.fasta),
        settings.regions_file,
        settings.scores,
        settings.transcripts.path,
    ]
    return [name for name in inputs if name is not None]


def output_type(output: str, source: VariantStream, requested: str | None) -> str:
    """``v``, ``z`` or ``b``: as asked for, else from the suffix of the output.

    Raises
    ------
    UsageError
        If it cannot be as it is asked for.
    """
    choose = choose_output_type if source.rows is None else source.rows.output_type
    return choose(output, requested)


def check_output(output: str, source: VariantStream, settings: AnnotationSettings) -> None:
    """Raise `UsageError`, before the work, if the output cannot be as it is asked for."""
    output_type(output, source, settings.output_type)
    if source.rows is not None and settings.write_index:
        raise UsageError("--write-index: a table has no index; leave it out")


def open_output(
    output: str, source: VariantStream, settings: AnnotationSettings
) -> contextlib.AbstractContextManager[VariantSink]:
    """The output: a VCF or BCF, or the bytes of a table."""
    return open_variant_output(
        output,
        output_type(output, source, settings.output_type),
        write_index=settings.write_index if source.rows is None else False,
        force=settings.force,
        threads=settings.threads or n_cores(),
    )


@contextlib.contextmanager
def open_sink(
    output: str, source: VariantStream, fields: InfoFields, settings: AnnotationSettings
) -> Iterator[VariantSink | RowSink]:
    """Where the lines go: a VCF or BCF, or the table that they stand for."""
    with open_output(output, source, settings) as sink:
        if source.rows is None:
            yield sink
            return
        with source.rows.open_sink(sink.write_header, added_columns(fields)) as rows:
            yield rows


def added_columns(fields: InfoFields) -> AddedColumns:
    """The columns that a table gains."""
    return AddedColumns(fields.types, fields.replaced_keys)


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


@contextlib.contextmanager
def told_already() -> Iterator[None]:
    """Log nothing of this thread: whoever made the plan has told it."""
    thread = threading.get_ident()

    def is_new(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)
