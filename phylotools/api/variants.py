"""Scores of variants given from Python, as `phylotools annotate` has them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.fields import InfoFields
from phylotools.annotate.judged_batch import STATUSES
from phylotools.annotate.variants import VariantAnnotator
from phylotools.api.inputs import (
    Reference,
    column_names,
    columns_of,
    is_row,
    listed,
    reference_genome,
    require_model,
    whole_number,
)
from phylotools.errors import UsageError
from phylotools.io.delimited import VariantColumns, parse_variant
from phylotools.io.transcripts import CODING
from phylotools.io.vcf.records import LineBlock
from phylotools.io.vcf.text import VcfHeader
from phylotools.model.tuned_head import variant_head
from phylotools.phylogeny.score_meaning import LLR, score_key
from phylotools.scoring.context import TranscriptChoice
from phylotools.scoring.scorer import Scorer

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: What other formats and data frames write where bases are missing.
_NO_ALLELES = ("-", "None", "nan", "<NA>", "NaN", "null")
_HEADER = VcfHeader((b"##fileformat=VCFv4.3",), b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
_BATCH = 8192


@dataclass(frozen=True)
class VariantScores:
    """Scores of K variants, in the order given.

    Attributes
    ----------
    scores : dict of str to float64 array [K]
        By name: ``llr``, the model's default score, those asked for, and ``tuned`` where the model
        has a head that was fitted to labels. NaN where there is none.
    status : list of str
        Why, in the words of docs/annotate.md; ``ok`` where all is well.
    rate, entropy : float64 array [K]
        Of the site at `pos`; NaN where it was not scored.
    default_score : str
        Name of the model's default score: the one to take where nothing speaks for another.
    transcript : list of str, optional
        Where variants were scored in transcripts: the one whose score it is, empty for none.
    """

    scores: dict[str, NDArray[np.float64]]
    status: list[str]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]
    default_score: str = LLR
    transcript: list[str] | None = None

    def __len__(self) -> int:
        return len(self.status)

    @property
    def llr(self) -> NDArray[np.float64]:
        """log pi_alt - log pi_ref, [K]; NaN where there is none."""
        return self.scores[LLR]

    @property
    def default(self) -> NDArray[np.float64]:
        """The model's default score, [K]; NaN where there is none."""
        return self.scores[self.default_score]

    def to_dict(self) -> dict[str, Any]:
        """Columns, as ``pandas.DataFrame`` takes them."""
        sites: dict[str, Any] = {"status": self.status, "rate": self.rate, "entropy": self.entropy}
        if self.transcript is not None:
            sites["transcript"] = self.transcript
        others = {score_key(name): found for name, found in self.scores.items() if name != LLR}
        return {LLR: self.llr, **sites, **others}


def score_variants(
    model: Model,
    variants: Any,
    *,
    scores: Sequence[str] = (),
    fasta: Reference | None = None,
    transcripts: str | os.PathLike[str] | Literal[False] | None = None,
    transcript_part: str = CODING,
    genetic_code: int | None = None,
    outside_transcripts: Literal["skip", "genome"] | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    precision: str = "auto",
) -> VariantScores:
    """Score variants.

    Parameters
    ----------
    model : Model
        From `load_model`.
    variants
        A tuple (contig, pos, ref, alt) or a text ``chr:pos:ref:alt``, or a sequence of such; or a
        data frame or mapping with these columns in one of their usual spellings. `pos` is 1-based,
        and each has one ALT, as in a VCF.
    scores : sequence of str
        Scores beside the LLR and the model's default one, by the names of `annotate --score`.
    fasta : path or ReferenceGenome, optional
        By default the model's own reference.
    transcripts : path or False, optional
        GFF3 or GTF of transcripts to score in. By default those that the model carries, if it
        does; False for the genome in any case.
    transcript_part, genetic_code, outside_transcripts
        As for `phylotools annotate`.
    threads, batch_size, precision
        As for `phylotools annotate`.

    Raises
    ------
    UsageError
        If a variant is none, or a score.
    InputError
        If the variants are plainly of another assembly.
    """
    require_model(model)
    asked = (scores,) if isinstance(scores, str) else tuple(scores)
    tuned = variant_head(model)
    fields = InfoFields(
        substitution=model.mutation_process.substitution,
        asked=asked,
        tuned=None if tuned is None else tuned.description,
    )
    choice = TranscriptChoice(
        None if transcripts in (None, False) else os.fspath(transcripts),  # type: ignore[arg-type]
        transcript_part,
        genetic_code,
        outside_transcripts,
        is_off=transcripts is False,
    )
    lines = list(_lines(_rows(variants)))
    if not lines:
        raise UsageError("no variant was given")
    parts: list[VariantScores] = []
    with reference_genome(model, fasta, choice) as genome:
        annotator = VariantAnnotator(
            Scorer(model, genome, threads=threads, batch_size=batch_size, precision=precision),
            _HEADER,
            "<variants>",
            fields=fields,
            training_regions=model.training_regions,
            advice="give the reference that they belong to as fasta=",
            scores_outside=choice.scores_outside(model),
        )
        for begin in range(0, len(lines), _BATCH):
            judged = annotator.judge(LineBlock(b"".join(lines[begin : begin + _BATCH]), begin + 1))
            found = annotator.score(judged)
            judged = annotator.worst_kept(judged, found)
            values = [_chosen(row, judged.score_rows) for row in found.scores]
            parts.append(
                VariantScores(
                    dict(zip(fields.scores, values, strict=True)),
                    [str(STATUSES[code]) for code in judged.statuses.tolist()],
                    _chosen(found.rate, judged.sites),
                    _chosen(found.entropy, judged.sites),
                    transcript=annotator.transcripts_of(judged),
                )
            )
        annotator.finish()
    return VariantScores(
        {name: np.concatenate([part.scores[name] for part in parts]) for name in fields.scores},
        [status for part in parts for status in part.status],
        np.concatenate([part.rate for part in parts]),
        np.concatenate([part.entropy for part in parts]),
        fields.default_score,
        [name for part in parts for name in part.transcript or ()]
        if choice.applies_to(model)
        else None,
    )


def _chosen(values: NDArray[np.float64], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values by index; NaN where it is negative."""
    chosen = np.full(len(indices), np.nan)
    known = indices >= 0
    chosen[known] = values[indices[known]]
    return chosen


def _rows(variants: Any) -> list[Any]:
    """Variants one by one: tuples, or texts."""
    names = column_names(variants)
    if names is None:
        is_one = isinstance(variants, str) or is_row(variants)
        return [variants] if is_one else listed(variants, "variants")
    found = VariantColumns.find(names)
    if found is None:
        raise UsageError(
            "the variants have no columns contig, pos, ref and alt, nor one of chr:pos:ref:alt; "
            f"they have {', '.join(names[:8])}"
        )
    rows = columns_of(variants, [names[index] for index in found.indices], "variants")
    return [row[0] if len(row) == 1 else row for row in rows]


def _lines(rows: Sequence[Any]) -> Iterator[bytes]:
    """Variants as lines of a VCF."""
    for k, row in enumerate(rows):
        contig, pos, ref, alt = _parts(row, k)
        for name, allele in (("REF", ref), ("ALT", alt)):
            if allele in _NO_ALLELES:
                raise UsageError(
                    f"variant {k}: {name} is {allele}, which is no allele of a VCF; write the base "
                    "before it too, as in ('chrM', 3308, 'TA', 'T')"
                )
        texts = (contig, str(pos), ref, alt)
        if any(not text or not text.isprintable() or " " in text for text in texts):
            raise UsageError(f"variant {k} has an empty or unprintable part: {row!r:.80}")
        if "," in alt:
            raise UsageError(f"variant {k} has several ALTs; give each by itself")
        yield "\t".join((contig, str(pos), ".", ref, alt, ".", ".", ".")).encode() + b"\n"


def _parts(row: Any, k: int) -> tuple[str, int, str, str]:
    try:
        if isinstance(row, str):
            return parse_variant(row)
        contig, pos, ref, alt = row
        return _text(contig), whole_number(pos), _text(ref), _text(alt)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"variant {k} is not (contig, pos, ref, alt) or a text chr:pos:ref:alt: {row!r:.80}"
        ) from None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
