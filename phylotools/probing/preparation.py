"""Labels out of files on a genome: samples with their split, checked before a network is run."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionRows, RegionTable
from phylotools.errors import InputError, UsageError, counted
from phylotools.io.bed import bed_header, bed_rows
from phylotools.io.features import is_gff
from phylotools.io.genome import ReferenceGenome
from phylotools.io.gff import gff_rows
from phylotools.io.regions import RegionSet
from phylotools.probing.annotation import (
    GENE_CLASSES,
    base_classes,
    bin_labels,
    on_genome,
    read_annotation,
    windows,
)
from phylotools.probing.inputs import Sequences, read_sequences
from phylotools.probing.question import ProbeQuestion
from phylotools.probing.reading import (
    SampleFile,
    class_labels,
    read_samples,
    several_labels,
    stored_labels,
)
from phylotools.probing.samples import (
    SPLITS,
    TEST,
    TRAIN,
    UNLABELLED,
    Samples,
    cells_of,
)
from phylotools.probing.splits import (
    Leaks,
    drawn_by_contig,
    held_out_regions,
    leaks_of,
    require_parts,
    split_by_regions,
)
from phylotools.probing.tasks import BIN

logger = logging.getLogger("phylotools")

_UNKNOWN = 4
_DRAWN = "contigs drawn by --seed"


@dataclass(frozen=True)
class Prepared:
    """Samples that can be learned from and judged by.

    Attributes
    ----------
    samples : Samples
        Of the classes, or labels, that occur.
    sequences : Sequences
    leaks : Leaks
    split_by : str
        How the parts were chosen, for people.
    n_unknown : int
        Cells left out because their sequence is not known.
    """

    samples: Samples
    sequences: Sequences
    leaks: Leaks
    split_by: str
    n_unknown: int


def prepare(
    question: ProbeQuestion,
    genome: ReferenceGenome,
    *,
    reach: int,
    strand: str,
    seed: int,
) -> Prepared:
    """Read labels, and refuse what cannot be judged.

    Parameters
    ----------
    question : ProbeQuestion
    genome : ReferenceGenome
    reach : int
        Positions that the network sees on either side.
    strand : str
        ``bed`` reads samples of the reverse strand there.
    seed : int
        Of the contigs that are drawn.

    Raises
    ------
    InputError, UsageError
        Also where positions are in two parts, or a class is missing from one.
    """
    if strand == "bed" and question.task.cell != "region":
        raise UsageError("--strand bed is for tasks of regions: bases and bins have labels of both")
    held_out = held_out_regions(question.valid, question.test)
    if _is_annotation(question):
        samples, split_by = _of_annotation(question, genome, held_out, seed)
    else:
        samples, split_by = _of_samples(question, genome, held_out, seed)
    require_parts(samples.split, question.path)
    table = samples.regions
    sequences = read_sequences(table, genome, reach, by_strand=strand == "bed")
    texts = [sequences.of(row, 0).tobytes() for row in range(len(table))]
    leaks = leaks_of(table, samples.split, texts, reach, question.path)
    samples, n_unknown = _without_unknown(samples, sequences)
    samples = _occurring(samples, question)
    return Prepared(samples, sequences, leaks, split_by, n_unknown)


def _is_annotation(question: ProbeQuestion) -> bool:
    """Whether the file says where things lie; else it is a BED of samples."""
    if question.task.cell == "region" or question.hdf5 is not None:
        return False
    return is_gff(question.path) or bed_header(question.path) is None


def _of_annotation(
    question: ProbeQuestion,
    genome: ReferenceGenome,
    held_out: tuple[RegionSet, RegionSet] | None,
    seed: int,
) -> tuple[Samples, str]:
    path, task = question.path, question.task
    if task.cell == "bin" and question.window % BIN:
        raise UsageError(f"--window must be a multiple of {BIN}, the bases of a bin")
    painted, classes = read_annotation(
        path, finds_genes=task.name == "gene-finding", types=question.label_types
    )
    by_contig = on_genome(painted, genome, path)
    wanted = question.wanted
    if wanted is None:
        wanted = RegionSet.whole({name: genome.contigs[name] for name in by_contig})
    else:
        wanted = wanted.spelled_as(genome.contigs) & RegionSet.whole(genome.contigs)
    if not len(wanted):
        raise InputError("none of the regions asked for is on the reference", path=genome.path)
    if held_out is None:
        table = windows(wanted, question.window, genome)
        split, split_by = drawn_by_contig(table, seed, path), _DRAWN
    else:
        valid, test = (each.spelled_as(genome.contigs) & wanted for each in held_out)
        parts = (wanted - valid - test, valid, test)
        tables = [windows(part, question.window, genome) for part in parts]
        table, order = _joined(tables, genome)
        numbers = np.repeat(np.arange(3, dtype=np.int8), [len(each) for each in tables])
        split, split_by = numbers[order], "--valid and --test"
    labels = base_classes(table, by_contig, len(classes) - 1)
    lengths = table.end - table.start
    if task.cell == "bin":
        flags = bin_labels(labels != len(classes) - 1, lengths)
        return Samples(table, split, task.cell, (task.name,), flags), split_by
    return Samples(table, split, task.cell, classes, labels), split_by


def _joined(tables: list[RegionTable], genome: ReferenceGenome) -> tuple[RegionTable, np.ndarray]:
    """Windows of several tables in the order of the genome, and which of all each was."""
    places = [
        (each.targets[c], start, end)
        for each in tables
        for c, start, end in zip(
            each.contig.tolist(), each.start.tolist(), each.end.tolist(), strict=True
        )
    ]
    order = sorted(range(len(places)), key=lambda k: places[k])
    rows = RegionRows()
    for k in order:
        rows.append(*places[k])
    return rows.table(genome), np.array(order, dtype=np.int64)


def _of_samples(
    question: ProbeQuestion,
    genome: ReferenceGenome,
    held_out: tuple[RegionSet, RegionSet] | None,
    seed: int,
) -> tuple[Samples, str]:
    path = question.path
    file = read_samples(question, genome)
    table = file.regions
    labels, names = _labels_of(question, file)
    if held_out is not None:
        split, split_by = split_by_regions(table, *held_out, path), "--valid and --test"
    elif file.split is not None:
        split, split_by = file.split, f"column {question.split_column or 'split'}"
    else:
        split, split_by = drawn_by_contig(table, seed, path), _DRAWN
    return Samples(table, split, question.task.cell, names, labels), split_by


def _labels_of(
    question: ProbeQuestion, file: SampleFile
) -> tuple[NDArray[np.int16] | NDArray[np.int8], tuple[str, ...]]:
    """Labels of the cells of samples, and the names of the classes or labels."""
    task = question.task
    if question.hdf5 is not None:
        lengths = file.regions.end - file.regions.start
        found = stored_labels(question.hdf5, lengths, cells_of(lengths, task.cell))
        if task.kind == "classes":
            return found, _class_names(question, int(found.max()) + 1 if found.size else 0)
        if found.size and found.max() > 1:
            raise InputError("its labels are not 0 and 1", path=question.hdf5)
        return found.astype(np.int8)[:, None], (task.name,)
    if task.cell != "region":
        raise UsageError(
            f"a BED of samples has labels for --task {task.name} in an HDF5 file: name it with "
            "--hdf5, or give an annotation (GFF3, GTF, BED without a header)"
        )
    if task.kind == "classes":
        return class_labels(file, question.path)
    return several_labels(file, question.path)


def _class_names(question: ProbeQuestion, n_classes: int) -> tuple[str, ...]:
    if question.task.name == "gene-finding" and n_classes <= len(GENE_CLASSES):
        return GENE_CLASSES
    return tuple(str(k) for k in range(n_classes))


def _without_unknown(samples: Samples, sequences: Sequences) -> tuple[Samples, int]:
    """Cells without a known base lose their labels; how many there were.

    Raises
    ------
    InputError
        If nothing is left.
    """
    known = sequences.bases() < _UNKNOWN
    if samples.cell != "base":
        size = BIN if samples.cell == "bin" else int(samples.lengths.max())
        offsets = np.cumsum(samples.lengths) - samples.lengths
        places = zip(offsets.tolist(), samples.lengths.tolist(), strict=True)
        starts = np.concatenate([np.arange(first, first + n, size) for first, n in places])
        known = np.add.reduceat(known.astype(np.int64), starts) > 0
    lost = samples.is_known & ~known
    labels = samples.labels.copy()
    labels[~known] = UNLABELLED
    n_lost = int(lost.sum())
    if n_lost:
        logger.warning("%s left out: their sequence is N", counted(n_lost, samples.cell))
    return samples.with_labels(labels), n_lost


def _occurring(samples: Samples, question: ProbeQuestion) -> Samples:
    """Without classes, or labels, that cannot be learned or judged.

    Raises
    ------
    InputError
        If fewer than two classes, or no label of two kinds, are left.
    """
    split = samples.split[samples.sample_of]
    if samples.labels.ndim == 1:
        present = np.unique(samples.labels[samples.labels != UNLABELLED])
        if len(present) < 2:
            one = f"only {samples.names[int(present[0])]!r}" if len(present) else "nothing"
            raise InputError(
                f"{one} is labelled", path=question.path, remedy="two classes are needed"
            )
        for part in (TRAIN, TEST):
            if len(np.unique(samples.labels[(split == part) & samples.is_known])) < 2:
                raise InputError(
                    f"what is {SPLITS[part]} is all of one class",
                    path=question.path,
                    remedy="have two classes or more in each part",
                )
        number = np.full(len(samples.names) + 1, UNLABELLED, dtype=np.int16)
        number[present] = np.arange(len(present))
        names = tuple(samples.names[int(k)] for k in present)
        return replace(samples, names=names, labels=number[samples.labels])
    usable = [
        t
        for t in range(len(samples.names))
        if all(
            {0, 1} <= set(np.unique(samples.labels[split == part, t]).tolist())
            for part in (TRAIN, TEST)
        )
    ]
    if not usable:
        raise InputError(
            "no label has both kinds in what is learned from and in what is judged",
            path=question.path,
            remedy="have samples with and without it in train and test",
        )
    if len(usable) < len(samples.names):
        logger.warning(
            "%s of %s labels left out: all alike in what is learned from, or in what is judged",
            f"{len(samples.names) - len(usable):,}", f"{len(samples.names):,}",
        )  # fmt: skip
    names = tuple(samples.names[t] for t in usable)
    return replace(samples, names=names, labels=samples.labels[:, usable])


def uses_of(path: str) -> dict[str, tuple[int, int]]:
    """Of each contig of a file of labels, how many intervals there are, and the largest end.

    Raises
    ------
    InputError
        If it is neither BED nor GFF.
    """
    if is_gff(path):
        places = ((row.contig, row.end) for row in gff_rows(path))
    else:
        has_header = bed_header(path) is not None
        places = ((each.contig, each.end) for each, _, _ in bed_rows(path, has_header=has_header))
    found: dict[str, tuple[int, int]] = {}
    for contig, end in places:
        count, last = found.get(contig, (0, 0))
        found[contig] = count + 1, max(last, end)
    return found
