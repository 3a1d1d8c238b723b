"""What variants are scored in: a genome, or its transcripts, as a user and a model say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from phylotools.errors import UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.spliced import SplicedGenome, spliced_genome
from phylotools.io.transcripts import CODING

if TYPE_CHECKING:
    from phylotools.model.folder import Model


@dataclass(frozen=True)
class TranscriptChoice:
    """What a user says of transcripts.

    Attributes
    ----------
    path : str, optional
        GFF3 or GTF; by default what the model carries.
    part : str
        Type of the rows of `path` that are joined.
    genetic_code : int, optional
        As for `check_reading_frames`.
    outside : {'skip', 'genome'}, optional
        Whether alleles outside all transcripts get no score, or that of the genome. By default
        none from a model that carries transcripts: it was made for them.
    is_off : bool
        The genome is the context, whatever the model carries.
    """

    path: str | None = None
    part: str = CODING
    genetic_code: int | None = None
    outside: Literal["skip", "genome"] | None = None
    is_off: bool = False

    def __post_init__(self) -> None:
        if self.is_off and self.path is not None:
            raise UsageError("--transcripts and --no-transcripts exclude each other")

    def applies_to(self, model: Model) -> bool:
        """Whether scores are those of transcripts."""
        return self.file(model) is not None

    def file(self, model: Model) -> str | None:
        """GFF3 or GTF of the transcripts; None where the genome is the context."""
        if self.is_off or self.path is not None or model.transcripts is None:
            return self.path
        return str(model.transcripts[0])

    def scores_outside(self, model: Model) -> bool:
        """Whether alleles outside all transcripts are scored in the genome."""
        return self.outside == "genome" or (self.outside is None and model.transcripts is None)

    def reference(self, model: Model, fasta: str | None) -> str:
        """The FASTA that is read: of the genome, or of the model's transcripts.

        Raises
        ------
        InputError
            If there is none.
        UsageError
            If a genome is needed, and there are transcripts alone.
        """
        if fasta is not None or self.path is not None or not self.applies_to(model):
            return model.choose_reference(fasta)
        assert model.transcripts is not None
        if self.outside == "genome":
            raise UsageError(
                f"--outside-transcripts genome: model {model.name} carries transcripts alone; give "
                "the assembly with --fasta"
            )
        return str(model.transcripts[1])


@contextlib.contextmanager
def open_context(
    model: Model, fasta: str | ReferenceGenome | None, choice: TranscriptChoice
) -> Iterator[ReferenceGenome]:
    """The genome, or a `SplicedGenome` where scores are those of transcripts.

    Parameters
    ----------
    model : Model
    fasta : str or ReferenceGenome, optional
        By default the model's own reference, or that of its transcripts. A genome given stays open.
    choice : TranscriptChoice

    Raises
    ------
    InputError
        If a file cannot be read, or transcripts are plainly of another assembly.
    UsageError
        As for `TranscriptChoice.reference`.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(fasta, ReferenceGenome):
            genome = fasta
        else:
            path = choice.reference(model, fasta)
            genome = stack.enter_context(ReferenceGenome.open(path))
        yield in_transcripts(model, genome, choice) if choice.applies_to(model) else genome


def in_transcripts(
    model: Model, genome: ReferenceGenome, choice: TranscriptChoice
) -> SplicedGenome:
    """A genome with the transcripts that a user gives, else those that the model carries."""
    if choice.path is not None:
        return spliced_genome(genome, choice.path, choice.part, genetic_code=choice.genetic_code)
    assert model.transcripts is not None
    # What was exported was checked then, by the part and the genetic code that were named.
    return spliced_genome(genome, str(model.transcripts[0]), None)
