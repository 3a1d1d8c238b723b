"""Contig names that are spelled differently: the one place that matches them.

Tried in turn: the same name; with or without ``chr``; the names of the mitochondrial genome; a
table of aliases that the user gives; RefSeq and GenBank accessions of the human chromosomes and
plink's numbers for them. An accession names an assembly too: it means a contig only if that has
the length which the chromosome has there.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Mapping

from phylotools.errors import InputError, shown
from phylotools.io.chromosomes import (
    BY_NAME,
    HUMAN_CHROMOSOMES,
    HUMAN_MITOCHONDRION_LENGTH,
)
from phylotools.io.files import numbered_lines, open_input

logger = logging.getLogger("phylotools")

#: Contigs whose other name is spelled out in one line of the log: chromosomes, X, Y and chrM.
_MOST_SHOWN = 25

_MITOCHONDRION = ("chrM", "MT", "M", "chrMT")
#: Assemblies whose accessions are known here.
_HUMAN_LENGTHS = {BY_NAME[name].other_name: BY_NAME[name].lengths for name in ("hg19", "hg38")}
#: Of the RefSeq accessions of GRCh38; those of GRCh37 are one less.
_REFSEQ_VERSIONS = (11, 12, 12, 12, 10, 12, 14, 11, 12, 11, 10, 12, 11, 9, 10, 10, 11, 10, 10, 11,
                    9, 11, 11, 10)  # fmt: skip
_FIRST_GENBANK = 663
_HUMAN_MITOCHONDRION = ("NC_012920.1", "J01415.2")
_PLINK_NUMBERS = {"23": "X", "24": "Y", "25": "X", "XY": "X", "26": "MT"}
#: What stands in the third column of UCSC's older tables of aliases: no contigs.
_SOURCES = {"ucsc", "assembly", "ensembl", "genbank", "refseq", "ncbi", "flybase", "source"}
_ALIAS_REMEDY = "give the names of one contig in each line, separated by tabs, as UCSC's chromAlias"

#: Name -> all names of the same contig, as the user says (`use_aliases`).
_aliases: dict[str, tuple[str, ...]] = {}
_alias_tables: list[str] = []
_logged: set[tuple[str, str]] = set()


def resolve_contigs(names: Iterable[str], available: Iterable[str]) -> dict[str, str]:
    """Match contig names that may be spelled differently.

    A name that another one matches exactly is not given away again, so that ``1`` and ``chr1`` of
    one file never end on the same contig.

    Parameters
    ----------
    names : iterable of str
        Names to resolve.
    available : iterable of str, or mapping of str to int
        Names to resolve them to, and their lengths where they are known.

    Returns
    -------
    dict of str to str
        Only resolved names appear as keys.
    """
    wanted = list(dict.fromkeys(names))
    free = dict.fromkeys(available)
    resolved = {name: name for name in wanted if name in free}
    for name in resolved:
        del free[name]
    lengths = available if isinstance(available, Mapping) else {}
    all_contigs = frozenset(resolved) | frozenset(free)
    human = functools.cache(lambda: _by_chromosome(free))
    for others in (
        _chr_spellings,
        _mitochondrial_spellings,
        lambda name: _alias_spellings(name, all_contigs),
        lambda name: _human_spellings(name, human(), lengths),
    ):
        for name in wanted:
            if name in resolved:
                continue
            found = next((spelling for spelling in others(name) if spelling in free), None)
            if found is not None:
                resolved[name] = found
                del free[found]
                if found not in spellings(name) and (name, found) not in _logged:
                    _logged.add((name, found))
                    logger.info("contig %s is taken for %s", name, found)
    return {name: resolved[name] for name in wanted if name in resolved}


def contig_resolver(available: Iterable[str]) -> Callable[[str], str | None]:
    """Resolve contig names one by one, as they turn up in a stream, to the available ones."""
    alike: dict[str, list[str]] = {}
    for name in available:
        alike.setdefault(contig_stem(name), []).append(name)
    known: dict[str, str | None] = {}
    taken: set[str] = set()

    def resolve(name: str) -> str | None:
        if name not in known:
            # Only names alike are looked at: a file may have a million contigs.
            found = resolve_contigs([name], alike.get(contig_stem(name), ())).get(name)
            if found != name and found in taken:
                found = None
            if found is not None:
                taken.add(found)
            known[name] = found
            if found not in (None, name):
                logger.info("contig %s is taken for %s", shown(name), shown(str(found)))
        return known[name]

    return resolve


def one_spelling() -> Callable[[str], str]:
    """Make a function that gives all names of a contig the one that was seen first.

    For what must not lie twice in one file: ``chrM`` and ``MT`` are one contig there.
    """
    known: dict[str, str] = {}
    first: dict[str, str] = {}

    def spelled(name: str) -> str:
        if name not in known:
            known[name] = first.setdefault(contig_stem(name), name)
            if known[name] != name:
                logger.info("contig %s is taken for %s", shown(name), shown(known[name]))
        return known[name]

    return spelled


def spellings(name: str) -> tuple[str, ...]:
    """The plain spellings that may mean the same contig, the name itself first."""
    return tuple(dict.fromkeys((name, *_chr_spellings(name), *_mitochondrial_spellings(name))))


def contig_stem(name: str) -> str:
    """What all names of a contig have in common, whichever way they are spelled."""
    if name in _aliases:
        name = min(map(_stem, _aliases[name]))
    return _accessions().get(name, (_stem(name), None))[0]


def chromosome_stem(name: str) -> str:
    """`contig_stem`, with plink's numbers as the human chromosomes that they stand for."""
    stem = contig_stem(name)
    return _PLINK_NUMBERS.get(stem, stem)


def assembly_of_accession(name: str) -> str | None:
    """The assembly that a name of a human chromosome means: GRCh38 or GRCh37, for accessions."""
    return _accessions().get(name, (None, None))[1]


def _stem(name: str) -> str:
    stem = name.removeprefix("chr")
    return "MT" if stem == "M" else stem


def use_aliases(path: str | os.PathLike[str] | None) -> None:
    """Take names that stand in one line of a table for names of one contig, from now on.

    Parameters
    ----------
    path : str or PathLike, optional
        Two or more columns, as UCSC's ``chromAlias.txt``; None for no table.

    Raises
    ------
    InputError
        If it cannot be read, or holds no two names of a contig.
    """
    _logged.clear()
    _aliases.clear()
    _alias_tables.clear()
    if path is not None:
        _aliases.update(_read_aliases(os.fspath(path)))
        _alias_tables.append(os.path.abspath(path))


def alias_table() -> str | None:
    """Path of the table that `use_aliases` was given last, for processes that shall use it too."""
    return next(iter(_alias_tables), None)


def _read_aliases(path: str) -> dict[str, tuple[str, ...]]:
    groups: dict[str, set[str]] = {}
    with open_input(path) as handle:
        for number, line in numbered_lines(handle, path):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
            except UnicodeDecodeError:
                raise InputError(
                    "is no text", path=path, line=number, remedy=_ALIAS_REMEDY
                ) from None
            if text.startswith("#"):
                continue
            cells = [cell.strip() for cell in (text.split("\t") if "\t" in text else text.split())]
            names = {cell for cell in cells if cell and not set(cell.split(",")) <= _SOURCES}
            # Lines that share a name are of one contig.
            for group in [groups[name] for name in names if name in groups]:
                names |= group
            groups.update(dict.fromkeys(names, names))
    if all(len(group) < 2 for group in groups.values()):
        raise InputError("names no contig twice", path=path, remedy=_ALIAS_REMEDY)
    for group in [*{id(group): group for group in groups.values()}.values()]:
        # What is spelled otherwise in a file (chrX for X) is the same contig.
        for other in {other for name in group for other in spellings(name)} - groups.keys():
            groups[other] = group
            group.add(other)
    return {name: tuple(sorted(group)) for name, group in groups.items()}


def _chr_spellings(name: str) -> tuple[str, ...]:
    return (name[3:],) if name.startswith("chr") else (f"chr{name}",)


def _mitochondrial_spellings(name: str) -> tuple[str, ...]:
    return _MITOCHONDRION if name in _MITOCHONDRION else ()


def _alias_spellings(name: str, contigs: frozenset[str]) -> list[str]:
    """The contig that the user's table has for a name.

    None if it has several, as a table does in which a cell such as ``na`` stands in many lines.
    """
    found = [alias for alias in _aliases.get(name, ()) if alias in contigs]
    if len(found) < 2:
        return found
    pair = (found[0], found[1])
    if pair not in _logged:
        _logged.add(pair)
        logger.warning(
            "by the table of aliases %s and %s would be one contig (%s): it is used for neither; "
            "leave columns out of it that are no names of contigs",
            *pair,
            name,
        )
    return []


@functools.cache
def _accessions() -> dict[str, tuple[str, str | None]]:
    """Accession -> human chromosome and assembly; the mitochondrion is that of both."""
    found: dict[str, tuple[str, str | None]] = dict.fromkeys(_HUMAN_MITOCHONDRION, ("MT", None))
    for index, (chromosome, version) in enumerate(
        zip(HUMAN_CHROMOSOMES, _REFSEQ_VERSIONS, strict=True)
    ):
        for assembly, older in (("GRCh38", 0), ("GRCh37", 1)):
            found[f"NC_{index + 1:06d}.{version - older}"] = (chromosome, assembly)
            found[f"CM{index + _FIRST_GENBANK:06d}.{2 - older}"] = (chromosome, assembly)
    return found


def _human_name(name: str) -> tuple[str | None, str | None]:
    """The human chromosome that a name means, and the assembly if it names one."""
    if name in _accessions():
        return _accessions()[name]
    stem = _stem(name)
    if stem == "MT":
        return "MT", None
    return (stem if stem in HUMAN_CHROMOSOMES else _PLINK_NUMBERS.get(stem)), None


def _by_chromosome(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        chromosome, _ = _human_name(name)
        if chromosome is not None:
            found.setdefault(chromosome, []).append(name)
    return found


def _human_spellings(
    name: str, available: Mapping[str, list[str]], lengths: Mapping[str, int]
) -> list[str]:
    """Contigs that are the human chromosome which a name means, as their lengths confirm."""
    chromosome, assembly = _human_name(name)
    found = []
    for contig in available.get(chromosome or "", ()):
        named = {assembly, _human_name(contig)[1]} - {None}
        length = lengths.get(contig)
        if length is None:  # numbers beyond 22 may be chromosomes of another species
            fits = not {_stem(name), _stem(contig)} & set(_PLINK_NUMBERS)
        else:
            fits = length in _human_lengths(chromosome, named)
        if fits and len(named) < 2:
            found.append(contig)
        elif assembly and (name, contig) not in _logged:
            _logged.add((name, contig))
            logger.warning(
                "contig %s is chromosome %s of %s, and is not taken for %s of another assembly",
                name,
                chromosome,
                assembly,
                contig,
            )
    return found


def _human_lengths(chromosome: str | None, assemblies: Iterable[str | None]) -> set[int]:
    if chromosome not in HUMAN_CHROMOSOMES:
        return {HUMAN_MITOCHONDRION_LENGTH}
    names = list(assemblies) or _HUMAN_LENGTHS
    return {_HUMAN_LENGTHS[name][chromosome] for name in names if name is not None}


def log_other_names(names: Mapping[str, str]) -> None:
    """Log, in one line, what contigs of a file are called in the reference.

    Parameters
    ----------
    names : mapping of str to str
        The file's name of each contig whose name differs -> the reference's.
    """
    pairs = [f"{shown(name)} is {shown(contig)}" for name, contig in names.items()]
    if pairs:
        more = f" and {len(pairs) - _MOST_SHOWN:,} more" if len(pairs) > _MOST_SHOWN else ""
        logger.info("contigs in the reference: %s%s", ", ".join(pairs[:_MOST_SHOWN]), more)
