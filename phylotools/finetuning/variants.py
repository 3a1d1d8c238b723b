"""Features of labelled variants: what annotate says of them, and embeddings of REF and ALT."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phylotools.annotate.allele_scores import BatchScores
from phylotools.annotate.fields import InfoFields
from phylotools.annotate.judged_batch import STATUSES, JudgedBatch
from phylotools.annotate.tuned import score_features, single_changes, windows_of
from phylotools.annotate.variants import VariantAnnotator
from phylotools.errors import InputError
from phylotools.finetuning.features import FeatureTable, RowFile
from phylotools.finetuning.items import LabelledItems
from phylotools.io.vcf.records import LineBlock
from phylotools.io.vcf.text import VcfHeader
from phylotools.model.tuned_head import N_SCORES, VARIANTS, n_features
from phylotools.phylogeny.score_meaning import LLR
from phylotools.scoring.change_features import ChangeFeatures
from phylotools.scoring.context import TranscriptChoice, open_context
from phylotools.scoring.scorer import Scorer

if TYPE_CHECKING:
    from phylotools.model.folder import Model

logger = logging.getLogger("phylotools")

_HEADER = VcfHeader((b"##fileformat=VCFv4.3",), b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
_BATCH = 2048


@dataclass(frozen=True)
class ItemFeatures:
    """Features of what could be read of the labelled items.

    Attributes
    ----------
    items : LabelledItems
        Those with features, in order.
    table : FeatureTable
    zero_shot : dict of str to float64 array [N]
        The model's own scores by name, the one to beat first; low where ALT is less viable, or the
        region conserved.
    windows : uint8 array or None
        Sequences, as in `LabelledWindows`, where they are to be read again.
    reference : str
    in_transcripts : bool
    """

    items: LabelledItems
    table: FeatureTable
    zero_shot: dict[str, NDArray[np.float64]]
    windows: NDArray[np.uint8] | None
    reference: str
    in_transcripts: bool


@dataclass(frozen=True)
class NetworkSettings:
    """How items are read and networks run.

    Attributes
    ----------
    fasta : str, optional
    transcripts : TranscriptChoice
    threads, batch_size, precision
        As for `Scorer`.
    output : str
        What is to be made: beside it temporary files lie, for it a full disk is reported.
    """

    fasta: str | None = None
    transcripts: TranscriptChoice = field(default_factory=TranscriptChoice)
    threads: int | None = None
    batch_size: int | None = None
    precision: str = "auto"
    output: str = "tuned"

    def row_file(self, shape: tuple[int, ...], kind: DTypeLike) -> RowFile:
        """A temporary file of rows."""
        return RowFile(self.folder, shape, kind, self.output)

    @property
    def folder(self) -> str:
        """Where temporary files lie."""
        return str(Path(self.output).absolute().parent)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "threads": self.threads,
            "batch_size": self.batch_size,
            "precision": self.precision,
        }


@contextlib.contextmanager
def variant_features(
    model: Model,
    items: LabelledItems,
    path: str,
    settings: NetworkSettings,
    *,
    keeps_windows: bool,
    on_done: Callable[[int], None] = lambda n_variants: None,
) -> Iterator[ItemFeatures]:
    """Features of labelled variants; temporary files hold them while the context is open.

    Parameters
    ----------
    model : Model
    items : LabelledItems
    path : str
        The labels, for messages.
    settings : NetworkSettings
    keeps_windows : bool
        Whether sequences are kept, to train adapters on.
    on_done : callable
        Gets the number of variants finished since its last call.

    Raises
    ------
    InputError
        If no variant can be scored, or they are plainly of another assembly.
    """
    substitution = model.mutation_process.substitution
    fields = InfoFields(substitution=substitution)
    in_transcripts = settings.transcripts.applies_to(model)
    width = n_features(model, VARIANTS)
    with contextlib.ExitStack() as stack:
        genome = stack.enter_context(open_context(model, settings.fasta, settings.transcripts))
        annotator = VariantAnnotator(
            Scorer(model, genome, **settings.options),
            _HEADER,
            path,
            fields=fields,
            training_regions=model.training_regions,
            scores_outside=settings.transcripts.scores_outside(model),
        )
        changes = ChangeFeatures(model, genome, **settings.options)
        table = stack.enter_context(settings.row_file((width,), np.float32))
        windows = stack.enter_context(settings.row_file((2, model.receptive_field), np.uint8))
        statuses: Counter[str] = Counter()
        kept = np.zeros(len(items), dtype=bool)
        for begin in range(0, len(items), _BATCH):
            rows = np.arange(begin, min(begin + _BATCH, len(items)))
            judged = annotator.judge(LineBlock(_lines(items, rows), begin + 1))
            found = annotator.score(judged)
            judged = annotator.worst_kept(judged, found)
            of_row = _term_of_each(judged)
            known = of_row >= 0
            kept[rows] = known
            statuses.update(str(STATUSES[code]) for code in judged.statuses[~known].tolist())
            if known.any():
                sequences = windows_of(judged, of_row[known], changes)
                own = _numbers(judged, found, of_row[known], fields)
                table.append(np.concatenate([own, changes.of(*sequences)], axis=1))
                if keeps_windows:
                    windows.append(np.stack(sequences, axis=1))
            on_done(len(rows))
        annotator.finish()
        _warn(statuses, path, kept)
        features = table.rows()
        names = (fields.default_score, LLR)
        yield ItemFeatures(
            items.chosen(kept),
            FeatureTable(features, N_SCORES[VARIANTS]),
            {name: features[:, k].astype(np.float64) for k, name in enumerate(names)},
            windows.rows() if keeps_windows else None,
            settings.transcripts.reference(model, settings.fasta),
            in_transcripts,
        )


def _lines(items: LabelledItems, rows: NDArray[np.int64]) -> bytes:
    """Variants as lines of a VCF."""
    assert items.refs is not None
    assert items.alts is not None
    columns = items.contig[rows], items.start[rows] + 1, items.refs[rows], items.alts[rows]
    return b"".join(
        b"%s\t%d\t.\t%c\t%c\t.\t.\t.\n"
        % (items.contigs[contig].encode("utf-8", "surrogateescape"), pos, ref, alt)
        for contig, pos, ref, alt in zip(*(column.tolist() for column in columns), strict=True)
    )


def _term_of_each(judged: JudgedBatch) -> NDArray[np.int64]:
    """The change at a site that is all of each variant; -1 where it is not scored."""
    terms = single_changes(judged)
    of_column = np.full(judged.n_scored + 1, -1, dtype=np.int64)
    of_column[judged.terms.owners[terms]] = terms
    # The column of those that are not scored is -1 too: the last.
    found: NDArray[np.int64] = of_column[judged.score_rows]
    return found


def _numbers(
    judged: JudgedBatch, found: BatchScores, terms: NDArray[np.int64], fields: InfoFields
) -> NDArray[np.float32]:
    columns, sites = judged.terms.owners[terms], judged.terms.sites[terms]
    default, llr = (
        found.scores[fields.scores.index(name), columns] for name in (fields.default_score, LLR)
    )
    return score_features(default, llr, found.rate[sites], found.entropy[sites])


def _warn(statuses: Counter[str], path: str, kept: NDArray[np.bool_]) -> None:
    reasons = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    if not kept.any():
        raise InputError(
            f"none of the labelled variants can be scored ({reasons})",
            path=path,
            remedy="give the model and the reference (--fasta) of their assembly",
        )
    if statuses:
        logger.warning("%s: left out because they have no score: %s", path, reasons)
