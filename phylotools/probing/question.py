"""What is asked of embeddings, and how a network is run for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from phylotools.embedding.source import NetworkOptions
from phylotools.io.regions import RegionSet
from phylotools.probing.tasks import Task

#: What the embedding stands beside, by name; each is a sequence without a trained network.
ONE_HOT, WINDOW, KMERS, GC, UNTRAINED = "one-hot", "window", "k-mers", "gc", "untrained"
BASELINES = (UNTRAINED, ONE_HOT, WINDOW, KMERS, GC)
HEADS = ("cnn", "linear")


@dataclass(frozen=True)
class ProbeQuestion:
    """Which labels, of what, and which of them are held out.

    Attributes
    ----------
    path : str
        BED of labelled samples; for tasks of bases and bins also an annotation (BED, GFF3, GTF).
    task : Task
    label_columns : tuple of str
        Of a BED of samples, by name or number; none for its column ``label``, else the fourth.
    split_column : str or None
        None for its column ``split``, if it has one.
    hdf5 : str or None
        Labels beside the samples, as BEND has them.
    label_types : frozenset of str
        Rows of a GFF that count; empty for all.
    wanted : RegionSet or None
        Where annotated windows lie [default: whole contigs that have a label].
    window : int
        Bases of a window of annotation.
    valid, test : RegionSet or None
        Held out, in place of a split column; both None to draw contigs.
    """

    path: str
    task: Task
    label_columns: tuple[str, ...] = ()
    split_column: str | None = None
    hdf5: str | None = None
    label_types: frozenset[str] = frozenset()
    wanted: RegionSet | None = None
    window: int = 2048
    valid: RegionSet | None = None
    test: RegionSet | None = None


@dataclass(frozen=True)
class ProbeSettings:
    """How embeddings are read and heads trained.

    Attributes
    ----------
    fasta : str or None
    layer, strand : str
        As for `embed`.
    head : {'cnn', 'linear'}
    baselines : tuple of str
        Out of `BASELINES`.
    epochs, patience : int
        Of a trained head at most, and how many in a row may bring nothing.
    replicates, seed : int
    network : NetworkOptions
    output : str
        What is to be made: temporary files lie beside it.
    """

    fasta: str | None = None
    layer: str = "last"
    strand: str = "forward"
    head: str = "cnn"
    baselines: tuple[str, ...] = BASELINES
    epochs: int = 100
    patience: int = 10
    replicates: int = 2000
    seed: int = 1
    network: NetworkOptions = field(default_factory=NetworkOptions)
    output: str = "judged"

    @property
    def folder(self) -> str:
        """Where temporary files lie."""
        return str(Path(self.output).absolute().parent)
