"""The whole way from an alignment file, a tree and perhaps a FASTA to a column store."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.io.alignments import AlignmentBlock, MafReader
from phylotools.io.files import atomic_folder, open_input
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, resolve_contigs
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.provenance import RunRecord, sha256_file
from phylotools.store import schema
from phylotools.store.build import StoreWriter

logger = logging.getLogger("phylotools")

#: How a .mod file of phyloFit begins.
_PHAST_MODEL = re.compile(r"\s*ALPHABET:")
#: A tree of ten thousand species takes less than a megabyte.
_LARGEST_TREE = 1 << 28


@dataclass(frozen=True)
class BuildSummary:
    """What was put into a store."""

    blocks: int
    covered_positions: int
    overlapping_positions: int
    contigs: int
    species: int
    species_with_rows: int
    mean_species_per_column: float
    reference_species: str
    alignment_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


def build_store(
    alignment: str | os.PathLike[str],
    tree: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fasta: str | os.PathLike[str] | None = None,
    reference: str | None = None,
    drop_unknown: bool = False,
    force: bool = False,
    on_block: Callable[[int], None] = lambda n_columns: None,
) -> BuildSummary:
    """Build a column store; it appears whole or not at all.

    Parameters
    ----------
    alignment : str or PathLike
        MAF; ``-`` is stdin.
    tree : str or PathLike
        Newick with branch lengths; its tips are the species.
    output : str or PathLike
        Folder to make.
    fasta : str or PathLike, optional
        Sequence of the reference: the alignment must agree with it, and it becomes the reference
        of the store, outside the blocks too.
    reference : str, optional
        Reference species; by default that of the first row of the alignment.
    drop_unknown : bool
        Leave out rows of species that are not in the tree, instead of an error.
    force : bool
        Replace an existing output.
    on_block : callable
        Gets the number of reference positions of every block added.

    Returns
    -------
    BuildSummary

    Raises
    ------
    InputError
        If an input is damaged, or the inputs contradict each other.
    OutputError
        If `output` exists and `force` is false.
    """
    if os.fspath(alignment) == "-" and os.fspath(tree) == "-":
        raise UsageError("alignment and tree cannot both come from stdin")
    with atomic_folder(output, force=force, contents=schema.FOLDER) as folder:
        species_tree = read_tree(tree)
        if reference is not None and reference not in species_tree.tips:
            raise InputError(
                f"has no tip called {reference}",
                path=tree,
                remedy="give --reference the name that the species has in the tree",
            )
        reader = MafReader(
            alignment,
            species_tree.tips,
            reference=reference,
            ancestors=set(species_tree.names) - set(species_tree.tips),
            drop_unknown=drop_unknown,
        )
        checked = None if fasta is None else _CheckedReference(fasta, os.fspath(alignment))
        writer = _write_blocks(reader, species_tree, folder, checked, on_block)
        reader.log_warnings()
        if writer.n_overlapping:
            logger.warning(
                "%d reference positions lie in more than one block: the first block in the file "
                "was kept",
                writer.n_overlapping,
            )
        _check_species(reader, species_tree)
        inputs = {"alignment": _checksum(alignment), "tree": _checksum(tree)}
        if fasta is not None:
            inputs["fasta"] = _checksum(fasta)
        parameters = {
            "reference": reference,
            "unknown_species": "drop" if drop_unknown else "error",
        }
        statistics = writer.finish(
            RunRecord(inputs=inputs, parameters=parameters),
            None if checked is None else checked.codes,
        )
    return BuildSummary(
        blocks=statistics["blocks"],
        covered_positions=statistics["covered_positions"],
        overlapping_positions=writer.n_overlapping,
        contigs=len(reader.contigs),
        species=species_tree.n_tips,
        species_with_rows=len(reader.species_found),
        mean_species_per_column=statistics["mean_species_per_column"],
        reference_species=writer.reference_species,
        alignment_bytes=reader.n_bytes,
    )


def read_tree(path: str | os.PathLike[str]) -> Tree:
    """Read one Newick tree with branch lengths; plain, gzip or bgzip, ``-`` is stdin."""
    with open_input(path) as handle:
        data = handle.read(_LARGEST_TREE)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError("is no text", path=path, remedy="give a Newick tree") from None
    if _PHAST_MODEL.match(text):
        raise InputError(
            "is a PHAST model, not a tree",
            path=path,
            remedy="give the tree in it: sed -n 's/^TREE: *//p' MODEL.mod > tree.nh",
        )
    return parse_newick(text, path=os.fspath(path))


class _CheckedReference:
    """The reference genome, under the contig names of the alignment."""

    def __init__(self, fasta: str | os.PathLike[str], alignment: str) -> None:
        self._fasta = os.fspath(fasta)
        self._alignment = alignment
        self._genome = ReferenceGenome.open(fasta)
        self._names: dict[str, str] = {}

    def codes(self, region: Region) -> NDArray[np.uint8]:
        """Reference codes of a region that is named as in the alignment; uint8 [L]."""
        return self._genome.fetch(Region(self._names[region.contig], region.start, region.end))

    def check(self, block: AlignmentBlock, reference_row: int) -> None:
        """Raise `InputError` if the block's reference bases contradict the FASTA."""
        region = block.region
        if region.contig not in self._names:
            self._add_contig(block)
        expected = self.codes(region) & schema.CODE_MASK
        found = block.bases[reference_row] & schema.CODE_MASK
        differs = (expected != found) & (expected < schema.N) & (found < schema.N)
        if differs.any():
            offset = int(differs.argmax())
            raise InputError(
                f"{region.contig}:{region.start + offset + 1} is {'ACGT'[found[offset]]} in the "
                f"alignment but {'ACGT'[expected[offset]]} in {self._fasta}",
                path=self._alignment,
                line=block.line,
                remedy="give the FASTA of the assembly that the alignment was made with",
            )

    def _add_contig(self, block: AlignmentBlock) -> None:
        name = block.region.contig
        resolved = resolve_contigs([name], self._genome.contigs)
        # Never two contigs of the alignment (1 and chr1) on one contig of the FASTA.
        if name not in resolved or resolved[name] in self._names.values():
            raise InputError(
                f"contig {name} of the alignment is not in it",
                path=self._fasta,
                remedy="give the FASTA of the assembly that the alignment was made with",
            )
        length = self._genome.contigs[resolved[name]]
        if length != block.contig_length:
            raise InputError(
                f"contig {resolved[name]} has {length} bases, but {block.contig_length} in the "
                "alignment",
                path=self._fasta,
                remedy="give the FASTA of the assembly that the alignment was made with",
            )
        if resolved[name] != name:
            logger.info("contig %s of the alignment is %s of the FASTA", name, resolved[name])
        self._names[name] = resolved[name]


def _write_blocks(
    reader: MafReader,
    tree: Tree,
    folder: str | os.PathLike[str],
    reference: _CheckedReference | None,
    on_block: Callable[[int], None],
) -> StoreWriter:
    writer = None
    for block in reader:
        if writer is None:
            assert reader.reference is not None
            writer = StoreWriter(folder, tree, reader.reference)
        if reference is not None:
            reference.check(block, block.species.index(writer.reference_species))
        writer.add(block)
        on_block(len(block.region))
    if writer is None:
        raise InputError(
            f"no block has bases of the reference {reader.reference}",
            path=reader.path,
            remedy="give --reference a species that the alignment is projected on",
        )
    return writer


def _check_species(reader: MafReader, tree: Tree) -> None:
    missing = [name for name in tree.tips if name not in reader.species_found]
    if len(missing) == tree.n_tips - 1:
        raise InputError(
            f"of the tree's tips only the reference {reader.reference} has rows",
            path=reader.path,
            remedy="check that tree and alignment name their species alike",
        )
    if missing:
        logger.warning(
            "%d of the tree's %d tips have no row in the alignment (first: %s)",
            len(missing),
            tree.n_tips,
            missing[0],
        )


def _checksum(path: str | os.PathLike[str]) -> str | None:
    """SHA-256 of a file; None for a stream, which cannot be read twice."""
    if os.fspath(path) == "-" or not stat.S_ISREG(os.stat(path).st_mode):
        return None
    return sha256_file(path)
