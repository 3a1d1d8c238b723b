"""A file of variants through a model: reader, annotator and writer put together."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from phylotools import __version__
from phylotools.errors import InputError
from phylotools.io.files import refuse_same_file
from phylotools.io.genome import ReferenceGenome
from phylotools.io.variant_output import (
    choose_output_type,
    open_variant_output,
)
from phylotools.io.variants import VariantStream, open_variants
from phylotools.io.vcf_text import quote
from phylotools.predict.info_fields import DEFAULT_TAG, InfoFields
from phylotools.predict.scorer import Scorer
from phylotools.predict.variants import AnnotatedBatch, OnRefMismatch, VariantAnnotator
from phylotools.provenance import command_line

if TYPE_CHECKING:
    from phylotools.model.registry import Model

logger = logging.getLogger("phylotools")

#: Enough records for the network to get whole tiles, few enough to be held in memory.
BATCH_RECORDS = 8192
#: Wide records (thousands of samples) end a batch sooner.
BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class AnnotationSummary:
    """What a run did.

    Attributes
    ----------
    n_records, n_alleles, n_scored : int
    statuses : dict of str to int
        Alleles by status.
    skipped : dict of str to int
        Those without a number, most frequent first.
    n_ref_checked, n_ref_mismatches, n_contig_missing : int
        Records.
    reference : str
        The FASTA.
    """

    n_records: int
    n_alleles: int
    n_scored: int
    statuses: dict[str, int]
    skipped: dict[str, int]
    n_ref_checked: int
    n_ref_mismatches: int
    n_contig_missing: int
    reference: str


def annotate_file(
    model: Model,
    variants: str,
    output: str,
    *,
    fasta: str | None = None,
    output_type: str | None = None,
    write_index: bool | None = None,
    tag: str = DEFAULT_TAG,
    on_ref_mismatch: OnRefMismatch = "skip",
    force: bool = False,
    threads: int | None = None,
    batch_size: int | None = None,
    on_batch: Callable[[int], None] = lambda n_records: None,
) -> AnnotationSummary:
    """Annotate a VCF or BCF.

    Parameters
    ----------
    model : Model
    variants, output : str
        ``-`` is stdin, stdout.
    fasta : str, optional
        By default the model's own reference.
    output_type : {'v', 'z', 'b'}, optional
        By default from the output's suffix.
    write_index : bool, optional
        By default a compressed and sorted output is indexed.
    tag : str
        Prefix of the INFO keys.
    on_ref_mismatch : {'error', 'skip', 'warn'}
    force : bool
        Replace an existing output.
    threads, batch_size : int, optional
        As for `Scorer`.
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
    fields = InfoFields(tag)
    kind = choose_output_type(output, output_type)
    reference = _reference_path(model, fasta)
    refuse_same_file(output, [variants, reference])
    with (
        open_variants(variants) as source,
        ReferenceGenome.open(reference) as genome,
        open_variant_output(output, kind, write_index=write_index, force=force) as sink,
    ):
        annotator = VariantAnnotator(
            Scorer(model, genome, threads=threads, batch_size=batch_size),
            source.header,
            source.path,
            fields=fields,
            on_ref_mismatch=on_ref_mismatch,
            training_regions=model.training_regions,
            advice=_advice(),
        )
        header = source.header.with_lines(
            [
                *fields.header_lines(model.substitution.score_meaning),
                _provenance_line(model, reference, tag),
            ]
        )
        # One batch is held back, so that a small file that turns out to be bad writes nothing.
        held: AnnotatedBatch | None = None
        is_first = True
        for batch in _batches(source):
            finished = annotator.annotate(batch)
            if held is not None:
                if is_first:
                    sink.write_header(header.to_bytes())
                    is_first = False
                sink.write_records(held.lines, held.places)
            held = finished
            on_batch(len(batch))
        annotator.finish()
        if is_first:
            sink.write_header(header.to_bytes())
        if held is not None:
            sink.write_records(held.lines, held.places)
    return _summarise(annotator, reference)


def _reference_path(model: Model, fasta: str | None) -> str:
    if fasta is not None:
        return fasta
    if model.reference_fasta is None:
        raise InputError(
            f"model {model.name} does not ship its reference sequence",
            remedy="give the assembly of the variants with --fasta",
        )
    return str(model.reference_fasta)


def _batches(source: VariantStream) -> Iterator[list[tuple[int, bytes]]]:
    while True:
        batch: list[tuple[int, bytes]] = []
        n_bytes = 0
        for item in islice(source.records, BATCH_RECORDS):
            batch.append(item)
            n_bytes += len(item[1])
            if n_bytes >= BATCH_BYTES:
                break
        if not batch:
            return
        yield batch


def _provenance_line(model: Model, reference: str, tag: str) -> bytes:
    values = {
        "Version": __version__,
        "Model": model.name,
        "Revision": model.revision,
        "Sha256": model.sha256,
        "Reference": Path(reference).name,
        "Command": command_line(),
    }
    text = ",".join(f"{key}={quote(str(value))}" for key, value in values.items())
    return f"##phylotools_annotate=<ID={tag},{text}>".encode("utf-8", "surrogateescape")


def _advice() -> str:
    """How to come by a model for other contigs."""
    from phylotools.model.registry import list_models

    models = []
    for summary in list_models():
        contigs = ", ".join(summary.contigs[:3]) + (" ..." if len(summary.contigs) > 3 else "")
        facts = " ".join(text for text in (summary.assembly, contigs) if text)
        models.append(summary.name + (f" ({facts})" if facts else ""))
    return (
        f"models at hand: {', '.join(models) or 'none'}; choose one with --model and its genome "
        "with --fasta, or train one on an alignment to this genome with `phylotools train`"
    )


def _summarise(annotator: VariantAnnotator, reference: str) -> AnnotationSummary:
    n_scored = annotator.n_scored
    statuses = {str(status): count for status, count in annotator.statuses.most_common()}
    return AnnotationSummary(
        n_records=annotator.n_records,
        n_alleles=sum(statuses.values()),
        n_scored=n_scored,
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
    )
