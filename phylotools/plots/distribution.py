"""Distributions of a score by class of variant."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.selection import listing
from phylotools.io.contigs import contig_resolver
from phylotools.io.features import OverlapIndex, holds_intervals, read_features
from phylotools.io.files import refuse_two_streams
from phylotools.io.regions import Region
from phylotools.io.scored import Allele, ScoredFile, open_scored
from phylotools.plots.alleles import (
    AlleleQuery,
    OnAlleles,
    no_progress,
    open_alleles,
    require_column,
    told,
)
from phylotools.plots.output import PlotTable
from phylotools.plots.sampling import KEPT, SUMMARY, Tally

#: Bound on the classes of a column, and so on memory: 0.4 MB each.
MOST_CLASSES = 256
_ONE_CLASS = "all"
#: What an allele outside every interval of a BED belongs to.
OUTSIDE = "outside"

#: Class of an allele, by itself or by what its file has in a column of classes.
ClassOf = Callable[[Allele, str | None], str | None]


@dataclass(frozen=True)
class ClassDistributions:
    """A score by class.

    Attributes
    ----------
    score : str
        Its column.
    class_source : str
        What the classes come from, for people.
    tallies : dict
        Class name -> `Tally`, in the order in which they are shown.
    made_by : dict
        What the file says of the model.
    counts : dict
        Alleles read, and why some are in no class.
    """

    score: str
    class_source: str
    tallies: dict[str, Tally]
    made_by: dict[str, str]
    counts: dict[str, int]


def distributions_by_class(
    query: AlleleQuery,
    classes: str | None,
    *,
    only: Sequence[str] = (),
    seed: int = 1,
    on_alleles: OnAlleles = no_progress,
) -> ClassDistributions:
    """Read a scored file and gather the scores of each class.

    Memory does not grow with the file: of each class `KEPT` scores are kept, drawn evenly. It
    grows with a file of classes, if one is given.

    Parameters
    ----------
    query : AlleleQuery
    classes : str, optional
        A column of the scored file; or a table of variants, ``FILE`` or ``FILE:COLUMN``; or a
        BED, GFF or GTF, whose names are classes. None for one class.
    only : sequence of str
        Classes to keep, in the order to show them in.
    seed : int
        Of the sample. That of a class depends on it and on the class's name alone.
    on_alleles : callable
        Gets the number of alleles read since its last call.

    Returns
    -------
    ClassDistributions
        The lowest median first, unless `only` gives the order.

    Raises
    ------
    InputError
        If a file cannot be understood, nothing has both score and class, or the column has more
        values than classes can have.
    """
    with open_alleles(query, on_alleles) as alleles:
        column = [classes] if classes in alleles.file.columns else []
        class_of, source = _classifier(alleles.file, classes)
        tallies: dict[str, Tally] = {name: _tally(seed, name) for name in only}
        counts = alleles.counts
        for allele, value, texts in alleles.read(column):
            name = class_of(allele, *texts or (None,))
            if name is None:
                counts["without_class"] += 1
                continue
            if name not in tallies:
                if only:
                    counts["of_other_classes"] += 1
                    continue
                _refuse_too_many(tallies, classes, query.path)
                tallies[name] = _tally(seed, name)
            tallies[name].add(value)
    filled = {name: tally for name, tally in tallies.items() if tally.n}
    if not filled:
        raise InputError(
            f"no allele has a score and a class ({source}): {told(counts)}",
            path=query.path,
            remedy="check --only, --where and the columns" if only else "check the columns",
        )
    if not only:
        ranked = sorted(filled, key=lambda name: (filled[name].median, name))
        filled = {name: filled[name] for name in ranked}
    return ClassDistributions(alleles.score, source, filled, alleles.made_by, dict(counts))


def _tally(seed: int, name: str) -> Tally:
    return Tally([seed, zlib.crc32(name.encode("utf-8", "replace"))])


def _refuse_too_many(tallies: dict[str, Tally], classes: str | None, path: str) -> None:
    if len(tallies) >= MOST_CLASSES:
        raise InputError(
            f"{classes} gives more than {MOST_CLASSES} classes: {listing(list(tallies)[:5])} and "
            "others",
            path=path,
            remedy="name a column of few values, or choose classes with --only",
        )


def _classifier(file: ScoredFile, classes: str | None) -> tuple[ClassOf, str]:
    """A function that gives an allele its class, and the name of its source."""
    if classes is None:
        return (lambda _, __: _ONE_CLASS), "no classes"
    if classes in file.columns:
        return (lambda _, text: text), classes
    path, _, column = classes.rpartition(":")
    if os.path.exists(classes) or classes == "-" or not path:
        path, column = classes, ""
    if path != "-" and not os.path.exists(path):
        raise InputError(
            f"--classes {classes!r} is neither a column of the file nor another file",
            path=file.path,
            remedy=f"it has {listing(file.columns)}",
        )
    refuse_two_streams(file.path, path)
    if not column and path != "-" and holds_intervals(path):
        return _by_interval(path), os.path.basename(path)
    return _by_table(path, column)


def _by_interval(path: str) -> ClassOf:
    features = list(read_features(path))
    index = OverlapIndex(features, lambda contig: contig)
    resolve = contig_resolver(dict.fromkeys(feature.region.contig for feature in features))

    def class_of(allele: Allele, _: str | None) -> str | None:
        contig = resolve(allele.contig)
        if contig is None:
            return OUTSIDE
        end = max(allele.position + len(allele.ref), allele.position + 1)
        name = index.name_of(Region(contig, allele.position, end))
        return OUTSIDE if name is None else name or "unnamed"

    return class_of


def _by_table(path: str, column: str) -> tuple[ClassOf, str]:
    names: dict[str, str] = {}
    rows: dict[tuple[str, int, str, str], str] = {}
    with open_scored(path) as file:
        column = column or _class_column(file)
        require_column(file, column, "name the column of classes")
        for allele in file.alleles([column]):
            text = allele.values[0]
            if text is not None:
                key = (allele.contig, allele.position, allele.ref, allele.alt)
                # One string object a class, however many variants it has.
                rows.setdefault(key, names.setdefault(text, text))
    resolve = contig_resolver(dict.fromkeys(key[0] for key in rows))

    def class_of(allele: Allele, _: str | None) -> str | None:
        contig = resolve(allele.contig)
        if contig is None:
            return None
        return rows.get((contig, allele.position, allele.ref, allele.alt))

    return class_of, f"{column} of {os.path.basename(path)}"


def _class_column(file: ScoredFile) -> str:
    """The column that holds classes, where none was named."""
    named = [name for name in file.columns if name.lower() == "class"]
    candidates = named or list(file.columns)
    if len(candidates) == 1:
        return candidates[0]
    raise UsageError(
        f"{file.path} has several columns ({listing(file.columns)}): name the one with the "
        f"classes, --classes {file.path}:COLUMN"
    )


def distribution_table(found: ClassDistributions, facts: dict[str, Any]) -> PlotTable:
    """The table: a row for each class, with all of its counts."""
    rows = ([name, *tally.summary()] for name, tally in found.tallies.items())
    return PlotTable(facts | {"KeptPerClass": KEPT}, ["class", *SUMMARY], rows)
