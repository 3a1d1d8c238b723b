"""`phylotools interpret`: what each base of a sequence means to a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options
from phylotools.cli.groups import Parts

if TYPE_CHECKING:
    from phylotools.io.features import Feature
    from phylotools.io.regions import Region
    from phylotools.model.folder import Model
    from phylotools.scoring.scorer import Scorer

PARTS = {
    "mutagenesis": "What each single-nucleotide variant does to the model's predictions.",
    "dependencies": "Which base's prediction hangs on which other base: a map.",
    "influence": "How much its neighbourhood hangs on each base: a bigWig track.",
    "attributions": "What each base is worth, as files that modisco reads.",
    "motifs": "Patterns of what bases are worth, found and named.",
}
#: Options of the subcommands that run a model.
network_options = options.together(
    options.chosen_model_option,
    options.fasta_option,
    options.contig_aliases_option,
)
run_options = options.together(
    options.force_option,
    options.threads_option(help="CPU threads [default: every core]."),
    options.device_option,
    options.batch_size_option,
    options.precision_option,
    options.summary_option,
    options.logging_options,
    options.outputs_together,
)
annotation_options = options.together(
    click.option("--annotation", metavar="FILE", help="Features to show: BED, GFF3 or GTF."),
    click.option(
        "--annotation-type",
        multiple=True,
        metavar="TYPE[,TYPE]",
        help="Only such rows of a GFF3 or GTF, such as CDS,exon.",
    ),
)


@click.group(name="interpret", cls=Parts, parts=PARTS)
def interpret_command() -> None:
    """What each base of a sequence means to a model, by changing it and looking again.

    All of it is the network's: what was fitted to columns of an alignment says nothing of a
    sequence that was changed.
    """


@dataclass(frozen=True)
class Opened:
    """A model and the sequence that it reads.

    Attributes
    ----------
    model : Model
    scorer : Scorer
        Of the model, by the sequence alone.
    facts : dict
        What made the numbers, for headers.
    """

    model: Model
    scorer: Scorer
    facts: dict[str, str]


@contextlib.contextmanager
def opened(
    model: str | None,
    fasta: str | None,
    regions: Sequence[str],
    regions_file: str | None,
    *,
    threads: int | None,
    device: str,
    batch_size: int | None,
    precision: str,
) -> Iterator[Opened]:
    """The model that is named, or the one that the regions are for, and its sequence.

    A model that carries transcripts and no genome reads these, each as a contig.
    """
    from phylotools.interpret.changes import sequence_scorer
    from phylotools.io.genome import ReferenceGenome
    from phylotools.model.folder import read_model
    from phylotools.scoring.choice import model_folder
    from phylotools.scoring.evidence import region_evidence

    folder = model_folder(model, lambda: region_evidence(tuple(regions), regions_file, fasta=fasta))
    loaded = read_model(folder, device)
    path = fasta
    if path is None and loaded.transcripts is not None:
        path = str(loaded.transcripts[1])
    path = loaded.choose_reference(path)
    with ReferenceGenome.open(path) as genome:
        scorer = sequence_scorer(
            loaded, genome, threads=threads, batch_size=batch_size, precision=precision
        )
        identity = scorer.model.identity
        facts = {**identity.header_facts(), "Reference": path.rpartition("/")[2]}
        yield Opened(loaded, scorer, facts)


def shown_features(
    annotation: str | None, annotation_type: Sequence[str], region: Region, scorer: Scorer
) -> list[Feature] | None:
    """Features of a picture; None where no annotation is given."""
    if annotation is None:
        return None
    from phylotools.plots.features import features_within

    kinds = frozenset(part for text in annotation_type for part in text.split(",") if part)
    found = features_within(annotation, region, scorer.genome.contigs, kinds)
    if not found:
        options.logger.warning("%s: no feature overlaps %s", annotation, region)
    return found


def refuse_early(
    paths: Sequence[Any],
    summary_json: str | None,
    *,
    force: bool,
    inputs: Sequence[str | None],
) -> None:
    """Refuse, before the work, a summary that is one of the outputs or inputs, and two streams."""
    from phylotools.io.files import refuse_two_streams

    for path in paths:
        options.check_summary(summary_json, force=force, inputs=inputs, output=str(path))
    refuse_two_streams(*inputs)
