"""What a run of `annotate` may be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from phylotools.annotate.fields import DEFAULT_TAG
from phylotools.annotate.judging import OnRefMismatch
from phylotools.scoring.context import TranscriptChoice


@dataclass(frozen=True)
class AnnotationSettings:
    """What `annotate_file` may be told, and `annotate-init`.

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
    regions : tuple of str
        Only records that overlap these: contig, contig:begin or contig:begin-end.
    regions_file : str, optional
        Or these: BED.
    extra_scores : tuple of str
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
    regions: tuple[str, ...] = ()
    regions_file: str | None = None
    extra_scores: tuple[str, ...] = ()
    scores: str | None = None
    transcripts: TranscriptChoice = field(default_factory=TranscriptChoice)
    score_indels: bool = True
    force: bool = False
    threads: int | None = None
    batch_size: int | None = None
    precision: str = "auto"
