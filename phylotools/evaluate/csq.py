"""Consequences of variants whose file does not say them: `bcftools csq` on a GFF and a FASTA.

bcftools wants annotation as Ensembl writes it, one genetic code, and a FASTA that it may index. So
what it gets are files made here, in a folder of their own: the stretches of the genome that have
genes and variants, each as a contig, and the transcripts on them. Every variant stands for itself
(``--local-csq``), whatever lies beside it.
"""

from __future__ import annotations

import logging
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown, shown_path
from phylotools.evaluate.consequence_terms import NO_CONSEQUENCE, class_of, severity
from phylotools.evaluate.consequences import AnnotationColumn, bcftools_column
from phylotools.evaluate.labelled import Factor
from phylotools.evaluate.reference_alleles import contig_names, disagreeing
from phylotools.io.bases import BASES
from phylotools.io.bcftools import last_complaint, start_bcftools
from phylotools.io.contigs import contig_resolver
from phylotools.io.gene_models import GeneModel, coding_transcripts, read_gene_models
from phylotools.io.genome import ReferenceGenome
from phylotools.io.intervals import Intervals, contains, merge_intervals, subtract_intervals
from phylotools.io.reading_frame import STANDARD_CODE, check_reading_frames
from phylotools.io.regions import Region
from phylotools.io.spliced import SplicedGenome

if TYPE_CHECKING:
    from phylotools.evaluate.labelled import Variants

logger = logging.getLogger("phylotools")

#: What a variant has that no transcript reaches.
INTERGENIC = "intergenic"
#: Longest allele that is asked about: beyond, a variant is a structural one.
_LONGEST_ALLELE = 1000
#: Bases around the genes that bcftools gets.
_MARGIN = _LONGEST_ALLELE
#: Seconds that bcftools may take: it needs one for a hundred thousand variants.
LONGEST_RUN = 1800.0
_LINE = 1 << 16
_INCOMPLETE = "coding_sequence_variant"
_BASES = frozenset(BASES)


@dataclass(frozen=True)
class _Stretches:
    """Parts of the genome that are contigs of their own for bcftools.

    Attributes
    ----------
    regions : list of Region
        By contig and position.
    starts : dict
        Contig -> int64 array, rising; and, in `numbers`, the number of the first.
    """

    regions: list[Region]
    starts: dict[str, NDArray[np.int64]]
    numbers: dict[str, int]

    @classmethod
    def around(cls, models: Sequence[GeneModel], lengths: dict[str, int]) -> _Stretches:
        spans: dict[str, list[tuple[int, int]]] = {}
        for model in models:
            span = (max(model.start - _MARGIN, 0), min(model.end + _MARGIN, lengths[model.contig]))
            spans.setdefault(model.contig, []).append(span)
        regions: list[Region] = []
        starts, numbers = {}, {}
        for contig, pairs in spans.items():
            merged = merge_intervals(np.array(pairs, dtype=np.int64))
            starts[contig], numbers[contig] = merged[:, 0].copy(), len(regions)
            regions += [Region(contig, start, end) for start, end in merged.tolist()]
        return cls(regions, starts, numbers)

    def at(self, contig: str, position: int) -> int | None:
        """Number of the stretch that a position lies in; None if in none."""
        if contig not in self.starts:
            return None
        place = int(np.searchsorted(self.starts[contig], position, side="right")) - 1
        number = self.numbers[contig] + place
        return number if place >= 0 and position < self.regions[number].end else None


def csq_factors(
    variants: Variants,
    gff: str,
    fasta: str,
    *,
    genetic_code: int | None = None,
    timeout: float = LONGEST_RUN,
) -> tuple[Factor, Factor]:
    """Consequence and gene of variants, the most severe of all transcripts.

    Parameters
    ----------
    variants : Variants
    gff : str
        GFF3 or GTF of their assembly, in whatever form `read_gene_models` takes.
    fasta : str
        Their assembly.
    genetic_code : int, optional
        NCBI's number  [default: what the file says of a transcript, else 2 on a vertebrate's
        mitochondrion, by its name, else 1].
    timeout : float
        Seconds that bcftools may take.

    Returns
    -------
    consequence, gene : Factor
        ``.`` for variants that are no change of bases, whose REF is not the genome's, or whose
        contig it does not have.

    Raises
    ------
    InputError
        If the FASTA or the GFF is of another assembly, or coding sequences cannot be read.
    """
    names = [NO_CONSEQUENCE] * len(variants)
    genes = [NO_CONSEQUENCE] * len(variants)
    with ReferenceGenome.open(fasta) as genome:
        contigs = contig_names(variants, genome.contigs, fasta)
        wrong = disagreeing(variants, contigs, genome)
        models = _models(gff, genome, {c for c in contigs if c is not None}, genetic_code)
        rows = [row for row in _askable(variants, contigs).tolist() if not wrong[row]]
        touched = _touched(models, variants, contigs)
        for row in rows:
            names[row] = INTERGENIC
        ranks = [severity("intergenic_variant")] * len(variants)
        for code in sorted({model.genetic_code for model in touched}):
            own = [model for model in touched if model.genetic_code == code]
            n_coding = sum(len(model.coding) > 0 for model in own)
            if code != STANDARD_CODE and n_coding:
                read = counted(n_coding, "transcript")
                logger.info("%s: %s read by genetic code %d", shown_path(gff), read, code)
            asked = _Asked(variants, contigs, genome, own, code)
            for row, term, model in asked.answers(rows, timeout):
                rank = severity(term)
                if rank < ranks[row]:
                    ranks[row], names[row], genes[row] = rank, class_of(term), model.gene
    if wrong.any():
        n_wrong = counted(int(wrong.sum()), "variant")
        logger.warning("%s: REF of %s is not what stands there", shown_path(fasta), n_wrong)
    return Factor.of("consequence", names), Factor.of("gene", genes)


def _models(
    gff: str, genome: ReferenceGenome, wanted: set[str], genetic_code: int | None
) -> list[GeneModel]:
    """Transcripts on the variants' contigs, checked against the genome."""
    resolve = contig_resolver(genome.contigs)
    seen: dict[str, None] = {}

    def contig_of(name: str) -> str | None:
        seen.setdefault(name)
        found = resolve(name)
        return found if found in wanted else None

    models = read_gene_models(gff, contig_of, genetic_code)
    if not models:
        raise InputError(
            f"has no transcript on a contig of the variants; it has {', '.join(list(seen)[:5])}",
            path=gff,
            remedy="give the annotation of this assembly; where only names differ, "
            "--contig-aliases",
        )
    for model in models:
        length = genome.contigs[model.contig]
        if model.end > length:
            raise InputError(
                f"transcript {shown(model.name)} reaches to {model.contig}:{model.end}, beyond the "
                f"end of that contig in {shown_path(genome.path)} ({length})",
                path=gff,
                line=model.line,
                remedy="give the annotation of this assembly",
            )
    # By code, so that the few of a mitochondrion are not lost among those of the nucleus.
    for code in sorted({model.genetic_code for model in models}):
        own = coding_transcripts([m for m in models if m.genetic_code == code], gff)
        if len(own):
            joined = SplicedGenome(genome, own).joined
            check_reading_frames(own, joined, genome.path, genetic_code=genetic_code)
    return models


def _askable(variants: Variants, contigs: list[str | None]) -> NDArray[np.int64]:
    """Rows of changes of bases, on contigs that have a name."""
    found = [
        row
        for row, (ref, alt) in enumerate(zip(variants.refs, variants.alts, strict=True))
        if contigs[variants.contig_index[row]] is not None
        and ref != alt
        and max(len(ref), len(alt)) <= _LONGEST_ALLELE
        and _BASES.issuperset(ref)
        and _BASES.issuperset(alt)
    ]
    return np.array(found, dtype=np.int64)


def _touched(
    models: list[GeneModel], variants: Variants, contigs: list[str | None]
) -> list[GeneModel]:
    """Transcripts that a variant begins in, or just before."""
    positions: dict[str, list[NDArray[np.int64]]] = {}
    for index, contig in enumerate(contigs):
        if contig is not None:
            own = variants.positions[variants.contig_index == index]
            positions.setdefault(contig, []).append(own)
    on = {contig: np.sort(np.concatenate(parts)) for contig, parts in positions.items()}
    found = []
    for model in models:
        bounds = (model.start - _LONGEST_ALLELE, model.end)
        first, last = np.searchsorted(on[model.contig], bounds)
        if first < last:
            found.append(model)
    return found


@dataclass(frozen=True)
class _Asked:
    """One run of bcftools: transcripts of one genetic code."""

    variants: Variants
    contigs: list[str | None]
    genome: ReferenceGenome
    models: list[GeneModel]
    code: int

    def answers(self, rows: Sequence[int], timeout: float) -> Iterator[tuple[int, str, GeneModel]]:
        """Row, term and transcript of each variant that a transcript reaches."""
        stretches = _Stretches.around(self.models, self.genome.contigs)
        column = bcftools_column()
        with tempfile.TemporaryDirectory(prefix="phylotools-") as folder:
            self._write(Path(folder), stretches, rows)
            _run(folder, self.code, timeout)
            with open(Path(folder) / "out.vcf", encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if not line.startswith("#"):
                        yield from self._answer(line, column)

    def _answer(self, line: str, column: AnnotationColumn) -> Iterator[tuple[int, str, GeneModel]]:
        cells = line.rstrip("\n").split("\t")
        text = next((f[5:] for f in cells[7].split(";") if f.startswith("BCSQ=")), None)
        found = column.classify(text, cells[4], cells[3])
        if found.gene != NO_CONSEQUENCE:
            row, model = int(cells[2]), self.models[int(found.gene)]
            changed = int(self.variants.positions[row]) + (len(cells[3]) > 1)
            yield row, _within(model, found.term, changed), model

    def _write(self, folder: Path, stretches: _Stretches, rows: Sequence[int]) -> None:
        with open(folder / "genome.fa", "w", encoding="ascii") as file:
            for number, region in enumerate(stretches.regions):
                file.write(f">s{number}\n")
                for start in range(region.start, region.end, _LINE):
                    part = Region(region.contig, start, min(start + _LINE, region.end))
                    file.write(self.genome.letters(part).decode() + "\n")
        with open(folder / "genes.gff3", "w", encoding="ascii") as file:
            file.write("##gff-version 3\n")
            for number, model in enumerate(self.models):
                stretch = stretches.at(model.contig, model.start)
                assert stretch is not None
                region = stretches.regions[stretch]
                _write_model(file, model, number, f"s{stretch}", region.start)
        with open(folder / "in.vcf", "w", encoding="ascii") as file:
            file.write("##fileformat=VCFv4.2\n")
            for number, region in enumerate(stretches.regions):
                file.write(f"##contig=<ID=s{number},length={len(region)}>\n")
            file.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
            placed = []
            for row in rows:
                position = int(self.variants.positions[row])
                contig = self.contigs[self.variants.contig_index[row]]
                assert contig is not None
                stretch = stretches.at(contig, position)
                if stretch is not None:
                    region = stretches.regions[stretch]
                    if position + len(self.variants.refs[row]) <= region.end:
                        placed.append((stretch, position - region.start + 1, row))
            for stretch, position, row in sorted(placed):
                ref, alt = self.variants.refs[row], self.variants.alts[row]
                file.write(f"s{stretch}\t{position}\t{row}\t{ref}\t{alt}\t.\t.\t.\n")


def _within(model: GeneModel, term: str, position: int) -> str:
    """What bcftools says of a transcript, as Ensembl would say it.

    It leaves the bases out that are no whole codon at the end of a coding sequence, and makes no
    difference between exons and introns of a transcript that is not translated.
    """
    name, is_in_exon = class_of(term), bool(contains(model.exons, [position])[0])
    if name == "intron" and is_in_exon:
        return _INCOMPLETE
    return "intron" if name == "non_coding_exon" and not is_in_exon else term


def _run(folder: str, code: int, timeout: float) -> None:
    """Run bcftools in a folder that has its inputs."""
    arguments = ["-l", "-s", "-", "-f", "genome.fa", "-g", "genes.gff3", "-O", "v", "-o", "out.vcf"]
    if code != STANDARD_CODE:
        arguments += ["-C", str(code)]
    with tempfile.TemporaryFile() as complaints:
        child = start_bcftools(
            "csq", "--no-version", "--force", *arguments, "in.vcf",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints, folder=folder,
        )  # fmt: skip
        try:
            status = child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise InputError(
                f"bcftools csq took more than {timeout:g} seconds",
                remedy="annotate the variants with bcftools csq, and give that file",
            ) from None
        finally:
            child.kill()
            child.wait()
        if status:
            complaint = last_complaint(complaints)
            if code != STANDARD_CODE and ("invalid option" in complaint or "Usage" in complaint):
                raise InputError(
                    f"the bcftools in this pysam does not know genetic code {code}",
                    remedy="pip install -U pysam",
                )
            raise InputError(f"bcftools csq failed: {shown(complaint)}")


def _write_model(file: TextIO, model: GeneModel, number: int, contig: str, start: int) -> None:
    """A transcript as Ensembl writes it; its names are numbers, as bcftools gives names back."""
    strand = "-" if model.is_reverse else "+"
    biotype = "protein_coding" if len(model.coding) else "misc_RNA"

    def row(kind: str, begin: int, end: int, phase: object, label: str) -> None:
        bounds = f"{begin - start + 1}\t{end - start}"
        file.write(f"{contig}\tx\t{kind}\t{bounds}\t.\t{strand}\t{phase}\t{label}\n")

    own = f"biotype={biotype}"
    row("gene", model.start, model.end, ".", f"ID=gene:{number};Name={number};{own}")
    label = f"ID=transcript:{number};Parent=gene:{number};{own}"
    row("mRNA" if len(model.coding) else "ncRNA", model.start, model.end, ".", label)
    parent = f"Parent=transcript:{number}"
    for begin, end in model.exons.tolist():
        row("exon", begin, end, ".", parent)
    if not len(model.coding):
        return
    for kind, begin, end in _untranslated(model):
        row(kind, begin, end, ".", parent)
    for (begin, end), phase in zip(model.coding.tolist(), _phases(model), strict=True):
        row("CDS", begin, end, phase, f"ID=CDS:{number};{parent}")


def _untranslated(model: GeneModel) -> Iterator[tuple[str, int, int]]:
    left: Intervals = subtract_intervals(model.exons, merge_intervals(model.coding))
    first = int(model.coding[0, 0])
    for begin, end in left.tolist():
        is_five_prime = (begin < first) != model.is_reverse
        yield "five_prime_UTR" if is_five_prime else "three_prime_UTR", begin, end


def _phases(model: GeneModel) -> list[int]:
    """Bases before the first whole codon of each coding part."""
    sizes = np.diff(model.coding)[:, 0]
    before = np.cumsum(sizes) - sizes
    offsets = sizes.sum() - before - sizes if model.is_reverse else before
    return [int(phase) for phase in (model.phase - offsets) % 3]
