"""Plan of a job of making a column store: inputs, partitions and settings, as JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from phylotools.errors import InputError, UsageError
from phylotools.io.alignment.blocks import DEFAULT_DUPLICATES, BlockResolver
from phylotools.io.alignment.formats import is_maf, open_tables
from phylotools.io.alignment.spans import Span, cut, open_span
from phylotools.io.region_weights import WeightTable
from phylotools.jobs.job import Job, file_identity, input_checksum
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.preprocess.wanted import Wanted
from phylotools.provenance import RunRecord
from phylotools.store.tree_file import read_tree

#: Bytes of MAF text of a partition: little is lost with one, and a thousand times the human genome
#: makes no more than a file system bears. Each costs some 0.05 s for making its files safe.
PARTITION_BYTES = 256 << 20
#: Smaller ones only cost.
SMALLEST_PARTITION = 16 << 20


@dataclass(frozen=True)
class Settings:
    """Options of `phylotools preprocess` that decide what is stored.

    Attributes
    ----------
    reference : str or None
        Reference species; by default that of the first row of the first alignment.
    drop_unknown : bool
        Leave out rows of species that are not in the tree, instead of an error.
    duplicates : str
        One of `phylotools.io.alignment.blocks.DUPLICATE_POLICIES`.
    species : tuple of str
        Species to keep; all tips unless given.
    minimum_species : int
        Columns with fewer species with A, C, G or T, the reference counted, are not stored.
    fasta : str or None
        Sequence of the reference.
    regions : tuple of str
    regions_file, exclude, weights : str or None
        BED files.
    """

    reference: str | None = None
    drop_unknown: bool = False
    duplicates: str = DEFAULT_DUPLICATES
    species: tuple[str, ...] = ()
    minimum_species: int = 0
    fasta: str | None = None
    regions: tuple[str, ...] = ()
    regions_file: str | None = None
    exclude: str | None = None
    weights: str | None = None

    @property
    def files(self) -> dict[str, str]:
        """Files that are read beside alignment and tree, by what they are."""
        named = {
            "fasta": self.fasta,
            "regions": self.regions_file,
            "exclude": self.exclude,
            "weights": self.weights,
        }
        return {name: path for name, path in named.items() if path is not None}

    def wanted(self) -> Wanted:
        """Positions that are stored."""
        return Wanted.read(self.regions, self.regions_file, self.exclude)

    def weight_table(self) -> WeightTable | None:
        """Weights of positions, if there are any."""
        return None if self.weights is None else WeightTable.read(self.weights)


@dataclass(frozen=True, kw_only=True)
class Plan(Job):
    """The job of making a column store; each partition is a span of an alignment.

    Attributes
    ----------
    settings : Settings
        With the reference, where it could be told.
    newick : str
        The tree of the store, pruned to the species that are kept.
    ignored : tuple of str
        Names whose rows are passed over in silence: ancestors, and tips that are not kept.
    extents : tuple of Span
        In the order in which blocks come first.
    is_guessed : bool
        Whether nobody named the reference.
    """

    verb: ClassVar[str] = "preprocess"
    version: ClassVar[int] = 2
    settings: Settings
    newick: str
    ignored: tuple[str, ...]
    extents: tuple[Span, ...]
    is_guessed: bool

    @property
    def tree(self) -> Tree:
        """The tree of the store."""
        return parse_newick(self.newick)

    @property
    def has_streams(self) -> bool:
        return any(span.path not in self.identities for span in self.extents)

    def output(self) -> tuple[Any, ...]:
        paths = list(dict.fromkeys(span.path for span in self.extents))
        return (
            paths, self.settings, self.newick, self.ignored, self.is_guessed, self.identities,
        )  # fmt: skip


def make_plan(
    alignments: list[str],
    tree_path: str,
    settings: Settings,
    *,
    partition_bytes: int = PARTITION_BYTES,
) -> Plan:
    """Plan a job: check what can be checked at once, and cut the inputs.

    Parameters
    ----------
    alignments : list of str
        Where two of them cover a position, the first counts; ``-`` is stdin.
    tree_path : str
        Newick with branch lengths; its tips are the species.
    settings : Settings
    partition_bytes : int
        Text of each partition.

    Raises
    ------
    InputError, UsageError
    """
    named = [*alignments, tree_path, *settings.files.values()]
    if named.count("-") > 1:
        raise UsageError("two inputs cannot both come from stdin")
    for path in {path for path in alignments if alignments.count(path) > 1}:
        raise UsageError(f"{path}: the alignment is named twice")
    whole = read_tree(tree_path)
    tree = whole
    if settings.species:
        tree = whole.prune(_kept(settings, whole, tree_path))
    if settings.reference is not None and settings.reference not in tree.tips:
        raise InputError(
            f"has no tip called {settings.reference}",
            path=tree_path,
            remedy="give --reference the name that the species has in the tree",
        )
    ignored = tuple(sorted(set(whole.names) - set(tree.tips) - {""}))
    spans = [
        span
        for path in alignments
        for span in (cut(path, partition_bytes) if is_maf(path) else [Span(path)])
    ]
    settings.wanted(), settings.weight_table()
    is_guessed = settings.reference is None
    if is_guessed:
        reference = _first_reference(spans, tree, ignored, settings)
        settings = dataclasses.replace(settings, reference=reference)
    files = {"tree": tree_path, **settings.files}
    if len(alignments) == 1:
        files["alignment"] = alignments[0]
    else:
        files |= {f"alignment_{n}": path for n, path in enumerate(alignments, start=1)}
    identities = {path: file_identity(path) for path in files.values()}
    return Plan(
        settings=settings,
        newick=tree.to_newick(),
        ignored=ignored,
        extents=tuple(spans),
        is_guessed=is_guessed,
        identities={path: found for path, found in identities.items() if found is not None},
        run=RunRecord(
            inputs={name: input_checksum(path) for name, path in sorted(files.items())},
            parameters=dataclasses.asdict(settings),
        ),
    )


def alignment_bytes(alignments: list[str]) -> int:
    """Bytes of the files among some alignments, as they lie on disk."""
    return sum((file_identity(path) or [0])[0] for path in alignments)


def _kept(settings: Settings, tree: Tree, path: str) -> list[str]:
    for name in settings.species:
        if name not in tree.tips:
            raise InputError(f"has no tip called {name}", path=path, remedy="check --species")
    if settings.reference is not None and settings.reference not in settings.species:
        raise UsageError(f"--species leaves out the reference {settings.reference}")
    return list(dict.fromkeys(settings.species))


def _first_reference(
    spans: list[Span], tree: Tree, ignored: tuple[str, ...], settings: Settings
) -> str | None:
    """Species of the first row; None where the first input is a stream, and it is told later."""
    span = spans[0]
    if file_identity(span.path) is None:
        if len(spans) > 1:
            raise UsageError("give --reference where the first of several inputs is a stream")
        return None
    resolver = BlockResolver(
        span.path, tree.tips, ignored=ignored, drop_unknown=settings.drop_unknown
    )
    with open_span(span) as handle:
        for table in open_tables(handle, span, first_only=True):
            resolver.resolve(table)
            break
    return resolver.reference
