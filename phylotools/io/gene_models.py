"""Genes of GFF3 and GTF files: the exons of each transcript, and what of them is translated."""

from __future__ import annotations

import logging
import os
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown, shown_path
from phylotools.io.contigs import contig_stem
from phylotools.io.gff import GffRow, gff_rows
from phylotools.io.intervals import Intervals, merge_intervals
from phylotools.io.memory import require_memory
from phylotools.io.reading_frame import STANDARD_CODE, VERTEBRATE_MITOCHONDRIAL_CODE
from phylotools.io.transcripts import CODING, GENES, LONGEST_SLIP, Transcripts, without_prefix

logger = logging.getLogger("phylotools")

_PARTS = {"exon": 0, "CDS": 1, "cds": 1, "stop_codon": 1}
#: Rows that are parts of parts, or whole sequences.
_SKIPPED = frozenset(
    {"five_prime_UTR", "three_prime_UTR", "UTR", "start_codon", "intron", "region", "chromosome",
     "scaffold", "contig", "Selenocysteine", "stop_codon_redefined_as_selenocysteine"}
)  # fmt: skip
_PARENT = re.compile(r"(?:^|;)\s*Parent=([^;]+)")
_OF_GTF = re.compile(r'(?:^|;)\s*transcript_id "([^"]+)"')
_CODE = re.compile(r'(?:^|;)\s*transl_table[= ]"?(\d{1,2})\b')
_GENE_KEYS = ("gene_name", "gene", "gene_symbol")
_OWN_KEYS = ("Name", *_GENE_KEYS, "locus_tag", "gene_id", "ID", "product")
_ROWS_CHECKED, _ROW_BYTES = 1 << 20, 400
#: Steps from a transcript up to its gene.
_MOST_STEPS = 4


@dataclass(frozen=True)
class GeneModel:
    """A transcript.

    Attributes
    ----------
    name, gene, contig : str
    is_reverse : bool
    exons : int64 array [E, 2]
        0-based, half-open, sorted and disjoint; coding parts are among them.
    coding : int64 array [C, 2]
        What is translated, by rising start; none of a non-coding transcript. Two may overlap where
        a ribosome slips.
    phase : int
        Bases before the first whole codon.
    genetic_code : int
        NCBI's number.
    line : int
        1-based, of its first row.
    """

    name: str
    gene: str
    contig: str
    is_reverse: bool
    exons: Intervals
    coding: Intervals
    phase: int
    genetic_code: int
    line: int

    @property
    def start(self) -> int:
        return int(self.exons[0, 0])

    @property
    def end(self) -> int:
        return int(self.exons[-1, 1])


def read_gene_models(
    path: str | os.PathLike[str],
    contig_of: Callable[[str], str | None] = lambda name: name,
    genetic_code: int | None = None,
) -> list[GeneModel]:
    """Transcripts of a GFF3 or GTF file, in the order of the file.

    The forms of Ensembl, GENCODE, NCBI, UCSC and `Transcripts.to_gff3` are understood. In a file
    without CDS, genes of which it says where codons start (``codon_start``) are coding ones.

    Parameters
    ----------
    path : str or PathLike
        Plain, gzip or bgzip.
    contig_of : callable
        Gets a contig of the file and gives the name it is to have; None to leave its rows out.
    genetic_code : int, optional
        NCBI's number, of all [default: what the file says of a transcript, else 2 on a vertebrate's
        mitochondrion (by the contig's name), else 1].

    Raises
    ------
    InputError
        If a line is no row, or there is neither an exon nor a coding part in the whole file.
    """
    name = os.fspath(path)
    rows = _Rows(name, contig_of)
    for row in gff_rows(name):
        rows.add(row)
    if not rows.n_parts:
        raise InputError(
            "has no rows of type CDS or exon",
            path=name,
            remedy="give the annotation of genes (GFF3 or GTF) of this assembly",
        )
    models = rows.models(genetic_code)
    if rows.n_faulty:
        logger.warning(
            "%s: %s left out: on two contigs or strands, without a strand, or with parts that "
            "overlap", shown_path(name), counted(rows.n_faulty, "transcript"),
        )  # fmt: skip
    return models


class _Owner(NamedTuple):
    """A row that has others below it: its parent, and what it says its gene is called."""

    parent: str
    gene: str
    is_gene: bool


@dataclass
class _Rows:
    """Parts of transcripts as they come, by the transcript that they belong to."""

    path: str
    contig_of: Callable[[str], str | None]
    n_parts: int = 0
    n_faulty: int = 0
    owners: dict[str, _Owner] = field(default_factory=dict)
    numbers: array[int] = field(default_factory=lambda: array("q"))
    keys: dict[str, int] = field(default_factory=dict)
    #: Name and gene that a transcript's first part says.
    labels: list[tuple[str, str]] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)
    contigs: dict[str, int] = field(default_factory=dict)
    #: Genes that stand for their coding sequence: key -> row.
    simple: list[GffRow] = field(default_factory=list)
    has_coding: bool = False

    def add(self, row: GffRow) -> None:
        part = _PARTS.get(row.kind)
        self.n_parts += part is not None
        self.has_coding = self.has_coding or part == 1
        if row.kind in _SKIPPED or self.contig_of(row.contig) is None:
            # Genes that stand for their coding sequence are none the less there.
            self.n_parts += "codon_start" in row.text
        elif part is not None:
            for key in self._keys_of(row):
                self._add_part(key, row, part)
        elif "ID=" in row.text or "codon_start" in row.text:
            self._add_owner(row)

    def _add_owner(self, row: GffRow) -> None:
        found = row.attributes
        is_gene = row.kind in GENES or row.kind.endswith("gene")
        named = next((found[key] for key in _GENE_KEYS if found.get(key)), "")
        if is_gene:
            named = next((found[key] for key in _OWN_KEYS if found.get(key)), "")
            if "codon_start" in found and not self.has_coding:
                self.simple.append(row)
                self.n_parts += 1
        if "ID" in found:
            self.owners[found["ID"]] = _Owner(found.get("Parent", ""), named, is_gene)

    def _keys_of(self, row: GffRow) -> list[str]:
        """Names of the transcripts that a part belongs to."""
        if parents := _PARENT.search(row.text):
            keys = parents[1].split(",")
            owner = self.owners.get(keys[0])
            if owner is None or not owner.is_gene:
                return keys
            # Below a gene itself, parts with one ID are one transcript.
            return [row.attributes.get("ID") or keys[0]]
        if transcript := _OF_GTF.search(row.text):
            return [transcript[1]]
        found = row.attributes
        names = (found.get(key) for key in ("ID", *_OWN_KEYS))
        return [next((n for n in names if n), f"{row.contig}:{row.start + 1}-{row.end}")]

    def _add_part(self, key: str, row: GffRow, part: int) -> None:
        number = self.keys.setdefault(key, len(self.keys))
        if number == len(self.labels):
            found = row.attributes
            gene = next((found[k] for k in (*_GENE_KEYS, "gene_id") if found.get(k)), "")
            if not gene and (parent := found.get("Parent", "").split(",")[0]) in self.owners:
                gene = self._gene_above(parent)
            name = found.get("transcript_id") or without_prefix(key)
            self.labels.append((name, gene or self._gene_above(key) or name))
        if "transl_table" in row.text and (code := _CODE.search(row.text)):
            self.codes.setdefault(number, int(code[1]))
        contig = self.contigs.setdefault(str(self.contig_of(row.contig)), len(self.contigs))
        phase = int(row.phase) if row.phase in ("0", "1", "2") else 0
        strand = "+-.".index(row.strand)
        is_stop = row.kind == "stop_codon"
        kind = 2 if is_stop else part
        self.numbers.extend((number, kind, row.start, row.end, contig, strand, phase, row.line))
        if len(self.numbers) % (8 * _ROWS_CHECKED) == 0:
            remedy = "give the rows of fewer contigs"
            require_memory(_ROWS_CHECKED * _ROW_BYTES, self.path, remedy=remedy)

    def _gene_above(self, key: str) -> str:
        gene = ""
        for _ in range(_MOST_STEPS):
            owner = self.owners.get(key.split(",")[0])
            if owner is None:
                break
            gene = owner.gene or gene
            key = owner.parent
        return gene

    def models(self, genetic_code: int | None) -> list[GeneModel]:
        """The transcripts; those that make no sense are counted in `n_faulty`."""
        if not self.has_coding:
            for row in self.simple:
                found = row.attributes
                key = next((found[k] for k in _OWN_KEYS if found.get(k)), str(row.line))
                self._add_part(key, row, _PARTS["CDS"])
        table = np.frombuffer(self.numbers, dtype=np.int64).reshape(-1, 8)
        table = table[np.lexsort((table[:, 2], table[:, 0]))]
        firsts = np.flatnonzero(np.diff(table[:, 0], prepend=-1))
        names = list(self.contigs)
        models = []
        for rows in np.split(table, firsts[1:]) if len(table) else ():
            model = self._model(rows, names, genetic_code)
            if model is None:
                self.n_faulty += 1
            else:
                models.append(model)
        return sorted(models, key=lambda model: model.line)

    def _model(
        self, rows: NDArray[np.int64], contigs: list[str], genetic_code: int | None
    ) -> GeneModel | None:
        number = int(rows[0, 0])
        kind, strand = rows[:, 1], int(rows[0, 5])
        if strand == 2 or np.ptp(rows[:, 4]) or np.ptp(rows[:, 5]):
            return None
        coding = rows[kind == 1]
        stops = rows[kind == 2, 2:4]
        parts = coding[:, 2:4]
        slips = len(parts) > 1 and (parts[1:, 0] < parts[:-1, 1])
        if np.any(slips):
            if (parts[:-1, 1] - parts[1:, 0]).max() > LONGEST_SLIP:
                return None
        elif len(stops):
            parts = merge_intervals(np.concatenate([parts, stops]))
        contig = contigs[int(rows[0, 4])]
        is_mitochondrial = contig_stem(contig) == "MT"
        code = VERTEBRATE_MITOCHONDRIAL_CODE if is_mitochondrial else STANDARD_CODE
        name, gene = self.labels[number]
        return GeneModel(
            name=name,
            gene=gene,
            contig=contig,
            is_reverse=strand == 1,
            exons=merge_intervals(rows[:, 2:4]),
            coding=parts,
            phase=int(coding[-1 if strand else 0, 6]) if len(coding) else 0,
            genetic_code=genetic_code or self.codes.get(number, code),
            line=int(rows[:, 7].min()),
        )


def coding_transcripts(models: list[GeneModel], path: str) -> Transcripts:
    """The coding sequences of transcripts that have one, all of them in this order."""
    models = [model for model in models if len(model.coding)]
    parts = [np.empty((0, 2), dtype=np.int64), *(model.coding for model in models)]
    bounds = np.concatenate(parts)
    return Transcripts(
        path=path,
        part=CODING,
        names=tuple(f"{shown(model.name)} ({k})" for k, model in enumerate(models)),
        contigs=tuple(model.contig for model in models),
        is_reverse=np.array([model.is_reverse for model in models], dtype=bool),
        first_exon=np.append(0, np.cumsum([len(m.coding) for m in models])).astype(np.int64),
        exon_starts=bounds[:, 0].copy(),
        exon_ends=bounds[:, 1].copy(),
        lines=np.array([model.line for model in models], dtype=np.int64),
        phases=np.array([model.phase for model in models], dtype=np.int64),
        genetic_codes=np.array([model.genetic_code for model in models], dtype=np.int64),
    )
