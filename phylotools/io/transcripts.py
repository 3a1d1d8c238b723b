"""Transcripts of GFF3 and GTF files: which parts of a contig make one, in order.

A transcript's own sequence is that of its parts joined, on the strand of the gene. By default the
parts are those that are translated: CDS rows, and the stop codon, which GTF leaves out of them.
"""

from __future__ import annotations

import logging
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown, shown_path
from phylotools.io.gff import GffRow, gff_rows
from phylotools.io.intervals import Intervals, within
from phylotools.io.memory import require_memory
from phylotools.io.regions import RegionSet

logger = logging.getLogger("phylotools")

#: Type of the rows that are joined, unless another is asked for.
CODING = "CDS"
_STOP_CODON = "stop_codon"
#: Rows whose children are no parts of one transcript.
GENES = frozenset({"gene", "protein_coding_gene", "pseudogene"})
#: What a ribosome that slips back reads twice: parts that overlap by more are no transcript.
LONGEST_SLIP = 2
#: What some annotations put before a transcript's accession.
_PREFIXES = ("transcript:", "rna-", "mRNA:", "gene:", "gene-", "CDS:", "cds-")
#: What names a row that has neither a parent nor an ID.
_NAME_KEYS = ("Name", "gene_name", "gene", "product", "locus_tag", "gene_id")
#: Rows between two looks at the memory, and bytes that each may take.
_ROWS_CHECKED, _ROW_BYTES = 1 << 20, 400
_NO_PHASE = 0
_DEFECTS = {
    "contigs": "with parts on two contigs",
    "strands": "with parts on two strands",
    "strand": "without a strand",
    "overlap": "whose parts overlap",
}


@dataclass(frozen=True)
class Transcripts:
    """N transcripts of E parts (exons) in all.

    Attributes
    ----------
    path : str
        Where they come from.
    part : str
        Type of the rows that were joined.
    names : tuple of str
        Distinct, in the order of the file.
    contigs : tuple of str
        Of each transcript, as the file names them.
    is_reverse : bool array [N]
        Whether the gene lies on the reverse strand.
    first_exon : int64 array [N + 1]
        Where the exons of each transcript begin.
    exon_starts, exon_ends : int64 array [E]
        0-based and half-open, those of a transcript by rising start.
    lines : int64 array [N]
        1-based line of each transcript's first row.
    phases : int64 array [N]
        Bases before the first whole codon.
    genetic_codes : int64 array [N]
        NCBI's number of the genetic code that the file says; 0 where it does not.
    contig_lengths : dict of str to int
        Lengths of contigs that the file says.
    """

    path: str
    part: str
    names: tuple[str, ...]
    contigs: tuple[str, ...]
    is_reverse: NDArray[np.bool_]
    first_exon: NDArray[np.int64]
    exon_starts: NDArray[np.int64]
    exon_ends: NDArray[np.int64]
    lines: NDArray[np.int64]
    phases: NDArray[np.int64]
    genetic_codes: NDArray[np.int64]
    contig_lengths: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_coding(self) -> bool:
        """Whether the parts are translated, so that a reading frame can be looked for."""
        return self.part == CODING

    @property
    def transcript_of(self) -> NDArray[np.int64]:
        """Transcript of each exon, int64 [E]."""
        return np.repeat(np.arange(len(self)), np.diff(self.first_exon))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bases of each joined sequence, int64 [N]."""
        sizes = self.exon_ends - self.exon_starts
        return np.bincount(self.transcript_of, sizes, minlength=len(self)).astype(np.int64)

    def exons(self, k: int) -> Intervals:
        """Parts of one transcript by rising start, int64 [K, 2]; two may overlap, see above."""
        rows = slice(*self.first_exon[k : k + 2].tolist())
        return np.stack([self.exon_starts[rows], self.exon_ends[rows]], axis=1)

    @property
    def regions(self) -> RegionSet:
        """The positions of all parts."""
        bounds = np.stack([self.exon_starts, self.exon_ends], axis=1)
        numbers = {contig: k for k, contig in enumerate(sorted(set(self.contigs)))}
        contig_of = np.array([numbers[contig] for contig in self.contigs], dtype=np.int64)
        order = np.argsort(contig_of[self.transcript_of], kind="stable")
        counts = np.bincount(contig_of[self.transcript_of], minlength=len(numbers))
        parts = np.split(bounds[order], np.cumsum(counts)[:-1])
        return RegionSet(dict(zip(numbers, parts, strict=True)))

    def in_genome(self, regions: RegionSet) -> RegionSet:
        """Regions of transcripts, by their names, as regions of the contigs that they lie on.

        Those on other names are left out.
        """
        found: dict[str, list[Intervals]] = {}
        names = set(regions.contigs)
        for k in (k for k, name in enumerate(self.names) if name in names):
            exons, wanted = self.exons(k), regions.on(self.names[k])
            if self.is_reverse[k]:
                wanted = (int(np.diff(exons).sum()) - wanted)[::-1, ::-1]
            sizes = np.diff(exons)[:, 0]
            offsets = np.cumsum(sizes) - sizes
            for (start, end), offset in zip(exons.tolist(), offsets.tolist(), strict=True):
                inside = within(wanted, offset, offset + end - start)
                found.setdefault(self.contigs[k], []).append(inside - offset + start)
        return RegionSet({contig: np.concatenate(parts) for contig, parts in found.items()})

    @property
    def exon_offsets(self) -> NDArray[np.int64]:
        """Where each exon begins in its joined sequence, on the strand of the gene, int64 [E]."""
        sizes = self.exon_ends - self.exon_starts
        before = np.cumsum(sizes) - sizes
        owners = self.transcript_of
        forward = before - before[self.first_exon[:-1]][owners]
        backward = self.lengths[owners] - forward - sizes
        return np.where(self.is_reverse[owners], backward, forward)

    def subset(self, chosen: NDArray[np.bool_]) -> Transcripts:
        """Some of the transcripts.

        Parameters
        ----------
        chosen : bool array [N]
        """
        if chosen.all():
            return self
        kept = np.flatnonzero(chosen).tolist()
        exons = chosen[self.transcript_of]
        return replace(
            self,
            names=tuple(self.names[k] for k in kept),
            contigs=tuple(self.contigs[k] for k in kept),
            is_reverse=self.is_reverse[chosen],
            first_exon=np.append(0, np.cumsum(np.diff(self.first_exon)[chosen])),
            exon_starts=self.exon_starts[exons],
            exon_ends=self.exon_ends[exons],
            lines=self.lines[chosen],
            phases=self.phases[chosen],
            genetic_codes=self.genetic_codes[chosen],
        )

    def renamed(self, names: Mapping[str, str]) -> Transcripts:
        """The transcripts by other names of their contigs, all of which have one."""
        return replace(self, contigs=tuple(names[contig] for contig in self.contigs))

    def to_gff3(self) -> str:
        """The transcripts as GFF3, which `read_transcripts` reads back as they are."""
        lines = ["##gff-version 3"]
        lines += [f"##sequence-region {c} 1 {n}" for c, n in self.contig_lengths.items()]
        for k, name in enumerate(self.names):
            strand = "-" if self.is_reverse[k] else "+"
            phases = self._phases(k)
            label = f"ID={_escaped(name)}"
            code = int(self.genetic_codes[k])
            label += f";transl_table={code}" if code else ""
            for (start, end), phase in zip(self.exons(k).tolist(), phases, strict=True):
                lines.append(
                    f"{self.contigs[k]}\tphylotools\t{self.part}\t{start + 1}\t{end}\t.\t{strand}\t"
                    f"{phase}\t{label}"
                )
        return "\n".join(lines) + "\n"

    def _phases(self, k: int) -> list[str]:
        """Eighth column of the exons of a transcript."""
        sizes = np.diff(self.exons(k))[:, 0]
        if not self.is_coding:
            return ["."] * len(sizes)
        before = np.cumsum(sizes) - sizes
        offsets = sizes.sum() - before - sizes if self.is_reverse[k] else before
        return [str(phase) for phase in ((self.phases[k] - offsets) % 3).tolist()]


def read_transcripts(path: str | os.PathLike[str], part: str | None = CODING) -> Transcripts:
    """Read the transcripts of a GFF3 or GTF file.

    Rows of one type are joined that have the same parent; those whose parent is a gene, as in
    viruses and bacteria, that have the same ID. Of transcripts with the same parts the first is
    kept. Those that cannot be joined are left out and counted in a warning.

    Parameters
    ----------
    path : str or PathLike
        Plain, gzip or bgzip; ``-`` is stdin.
    part : str
        Type of the rows to join (third column): ``CDS``, ``exon`` or another; a stop codon belongs
        to ``CDS``. None for the type of the first row, which a file of `Transcripts.to_gff3` has.

    Raises
    ------
    InputError
        If a line is no row, there is no such row, or most transcripts cannot be joined.
    """
    name = os.fspath(path)
    if part is None:
        part = next(gff_rows(name)).kind
    part = CODING if part.lower() == "cds" else part
    rows = _Rows(name, part)
    parts = {part, _STOP_CODON} if part == CODING else {part}
    lengths: dict[str, int] = {}
    for row in gff_rows(name, kinds=GENES | parts, lengths=lengths):
        if row.kind in parts:
            rows.add(row)
        else:
            rows.add_gene(row)
    if not len(rows):
        raise _no_rows(name, part)
    return _without_copies(_sound(rows, name, part, lengths))


def _no_rows(path: str, part: str) -> InputError:
    kinds = Counter(row.kind for row in gff_rows(path))
    others = ", ".join(f"{count} {shown(kind)}" for kind, count in kinds.most_common(5))
    return InputError(
        f"has no row of type {part}; it has {others}",
        path=path,
        remedy="choose the type of the rows to join with --transcript-part",
    )


class _Rows:
    """The rows that are joined, as they come."""

    def __init__(self, path: str, part: str) -> None:
        self._path, self._part = path, part
        self._contigs: dict[str, int] = {}
        #: (parent, own ID) -> number.
        self._keys: dict[tuple[str, str], int] = {}
        self._genes: set[str] = set()
        self._accessions: dict[int, str] = {}
        self._codes: dict[int, int] = {}
        #: Key, contig, start, end, strand, phase, line, whether it is a stop codon.
        self._numbers = array("q")

    def __len__(self) -> int:
        return len(self._numbers) // 8

    def add_gene(self, row: GffRow) -> None:
        """Note that children of this row are no parts of one transcript."""
        if "ID=" in row.text:
            self._genes.add(row.attributes.get("ID", ""))

    def add(self, row: GffRow) -> None:
        """Take a part, for each of its parents."""
        found = row.attributes
        own = found.get("ID", "")
        # GTF has no parents but names the transcript in each row.
        is_gtf = not own and "Parent" not in found
        parents = [found.get("transcript_id", "")] if is_gtf else found.get("Parent", "").split(",")
        if not any(parents) and not own:
            own = next((found[key] for key in _NAME_KEYS if found.get(key)), "")
            own = own or f"{row.contig}:{row.start + 1}-{row.end}"
        contig = self._contigs.setdefault(row.contig, len(self._contigs))
        strand = "+-.".index(row.strand)
        phase = int(row.phase) if row.phase in ("0", "1", "2") else _NO_PHASE
        is_stop = row.kind != self._part
        n_checked = len(self) // _ROWS_CHECKED
        for parent in parents:
            key = self._keys.setdefault((parent, own), len(self._keys))
            if "transcript_id" in found:
                self._accessions.setdefault(key, found["transcript_id"])
            if found.get("transl_table", "").isdecimal():
                self._codes.setdefault(key, int(found["transl_table"][:3]))
            self._numbers.extend(
                (key, contig, row.start, row.end, strand, phase, row.line, is_stop)
            )
        if len(self) // _ROWS_CHECKED > n_checked:
            require_memory(
                _ROWS_CHECKED * _ROW_BYTES, self._path, remedy="give the rows of fewer contigs"
            )

    def table(self) -> NDArray[np.int64]:
        """The rows, int64 [R, 8], with the transcript's number in place of the key."""
        table = np.frombuffer(self._numbers, dtype=np.int64).reshape(-1, 8).copy()
        group_of_key, _ = self._groups
        table[:, 0] = group_of_key[table[:, 0]]
        return table

    @property
    def _groups(self) -> tuple[NDArray[np.int64], list[int]]:
        """Transcript of each key, and the first key of each transcript."""
        numbers: dict[str, int] = {}
        firsts: list[int] = []
        of_key = np.empty(len(self._keys), dtype=np.int64)
        for key, (parent, own) in enumerate(self._keys):
            # A stop codon beside the CDS of a gene has an ID of its own, and is in the CDS.
            label = "\0" + own if own and (not parent or parent in self._genes) else parent
            if label not in numbers:
                numbers[label] = len(numbers)
                firsts.append(key)
            of_key[key] = numbers[label]
        return of_key, firsts

    def names(self) -> list[str]:
        """Name of each transcript: its accession if that is of one transcript alone."""
        _, firsts = self._groups
        keys = list(self._keys)
        plain = []
        for first in firsts:
            parent, own = keys[first]
            label = own if own and (not parent or parent in self._genes) else parent
            plain.append(label)
        short = [
            self._accessions.get(first, without_prefix(label))
            for first, label in zip(firsts, plain, strict=True)
        ]
        counts = Counter(short)
        names = [s if counts[s] == 1 else p for s, p in zip(short, plain, strict=True)]
        names = names if len(set(names)) == len(names) else plain
        # As a contig of a FASTA it must have no blanks, and something.
        return _distinct("_".join(name.split()) or "unnamed" for name in names)

    def contig_names(self) -> list[str]:
        return list(self._contigs)

    def genetic_codes(self) -> NDArray[np.int64]:
        """Number of the genetic code of each transcript, 0 where the file does not say it."""
        of_key, firsts = self._groups
        codes = np.zeros(len(firsts), dtype=np.int64)
        for key, code in self._codes.items():
            codes[of_key[key]] = code
        return codes


def _distinct(names: Iterable[str]) -> list[str]:
    """Names, those met before with a number behind them."""
    found: dict[str, None] = {}
    numbers: Counter[str] = Counter()
    for name in names:
        own = name
        while own in found:
            numbers[name] += 1
            own = f"{name}_{numbers[name] + 1}"
        found[own] = None
    return list(found)


def without_prefix(label: str) -> str:
    """An ID without what some annotations put before an accession."""
    for prefix in _PREFIXES:
        if label.startswith(prefix) and len(label) > len(prefix):
            return label.removeprefix(prefix)
    return label


def _sound(rows: _Rows, path: str, part: str, lengths: dict[str, int]) -> Transcripts:
    """The transcripts that can be joined; `InputError` if most cannot."""
    table, names = rows.table(), rows.names()
    lines = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(lines, table[:, 0], table[:, 6])
    table = _joined(table[np.lexsort((table[:, 7], table[:, 2], table[:, 0]))])
    group, contig, start, end, strand, phase = table[:, :6].T
    first = np.flatnonzero(np.diff(group, prepend=-1))
    last = np.append(first[1:], len(group)) - 1
    follows = np.ones(len(group), dtype=bool)
    follows[first] = False
    defects = {
        "contigs": _any_of(group, contig != contig[first][group], len(names)),
        "strands": _any_of(group, strand != strand[first][group], len(names)),
        "strand": _any_of(group, strand == 2, len(names)),
        "overlap": _any_of(
            group, follows & (start < np.append(0, end[:-1]) - LONGEST_SLIP), len(names)
        ),
    }
    # Parts on two contigs overlap in number only.
    defects["overlap"] &= ~defects["contigs"]
    faulty = np.logical_or.reduce(list(defects.values()))
    is_reverse = strand[first] == 1
    contig_names = rows.contig_names()
    found = Transcripts(
        path,
        part,
        tuple(names),
        tuple(contig_names[k] for k in contig[first].tolist()),
        is_reverse,
        np.append(first, len(group)),
        start,
        end,
        lines,
        phase[np.where(is_reverse, last, first)],
        rows.genetic_codes(),
        lengths,
    )
    if faulty.any():
        _report(found, defects, faulty)
    return found.subset(~faulty)


def _joined(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted rows, stop codons joined to the parts that they touch or lie in.

    The result has the first six columns of the rows.
    """
    kept = table.copy()
    drop = np.zeros(len(kept), dtype=bool)
    for row in np.flatnonzero(kept[:, 7]).tolist():
        begin, end = kept[row, 2:4].tolist()
        for other in (row - 1, row + 1):
            if not 0 <= other < len(kept) or (kept[other, :2] != kept[row, :2]).any():
                continue
            if drop[other] or kept[other, 7]:
                continue
            if kept[other, 2] <= begin and end <= kept[other, 3]:
                drop[row] = True
            elif kept[other, 3] == begin:
                kept[other, 3] = end
                drop[row] = True
            elif kept[other, 2] == end:
                kept[other, 2], kept[other, 5] = begin, kept[row, 5]
                drop[row] = True
            if drop[row]:
                break
    return kept[~drop][:, :6]


def _any_of(
    group: NDArray[np.int64], is_wrong: NDArray[np.bool_], n_groups: int
) -> NDArray[np.bool_]:
    return np.bincount(group[is_wrong], minlength=n_groups) > 0


def _report(
    found: Transcripts, defects: dict[str, NDArray[np.bool_]], faulty: NDArray[np.bool_]
) -> None:
    """Warn of transcripts that are left out; `InputError` if they are more than half."""
    for key, wrong in defects.items():
        if not wrong.any():
            continue
        k = int(np.flatnonzero(wrong)[np.argmin(found.lines[wrong])])
        n_wrong = int(wrong.sum())
        if 2 * faulty.sum() > len(found):
            raise InputError(
                f"{n_wrong} of {counted(len(found), 'transcript')} are ones {_DEFECTS[key]}, first "
                f"{shown(found.names[k])}",
                path=found.path,
                line=int(found.lines[k]),
                remedy="give each transcript an ID of its own, and its parts one contig and strand",
            )
        logger.warning(
            "%s:%d: %s %s left out, first %s",
            shown_path(found.path), found.lines[k], counted(n_wrong, "transcript"), _DEFECTS[key],
            shown(found.names[k]),
        )  # fmt: skip


def _without_copies(found: Transcripts) -> Transcripts:
    """One of all transcripts with the same parts, the first of the file."""
    seen: set[tuple[str, bool, bytes]] = set()
    chosen = np.zeros(len(found), dtype=bool)
    for k in np.argsort(found.lines, kind="stable").tolist():
        place = (found.contigs[k], bool(found.is_reverse[k]), found.exons(k).tobytes())
        chosen[k] = place not in seen
        seen.add(place)
    if not chosen.all():
        logger.info(
            "%s: %d transcripts have the parts of an earlier one, which stands for them",
            shown_path(found.path), int((~chosen).sum()),
        )  # fmt: skip
    return found.subset(chosen)


def _escaped(text: str) -> str:
    """A value of GFF3's ninth column."""
    return "".join(c if c not in "%;=,&\t\n\r" else f"%{ord(c):02X}" for c in text)
