"""What a variant does to genes, as the annotation of its file says it.

VEP (``CSQ``, ``vep``: parts in the order that the header says), SnpEff (``ANN``: sixteen parts),
bcftools (``BCSQ``) and ClinVar (``MC``) write one entry for each transcript, with commas between.
Of the entries of an allele those count that the annotator picked; else those of MANE transcripts,
else of canonical ones, else all; and of these the most severe.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from phylotools.errors import InputError
from phylotools.evaluate.consequence_terms import (
    NO_CONSEQUENCE,
    UNRANKED,
    class_of,
    severity,
    worst_term,
)

#: Longest name of a gene, a transcript or a change that is kept.
_LONGEST = 100
#: Records of a BCSQ that later ones may point back to.
_REMEMBERED = 10_000
_SNPEFF_PARTS = ("allele", "consequence", "", "symbol", "gene", "", "feature", "", "", "", "hgvsp")
_BCFTOOLS_PARTS = ("consequence", "symbol", "feature", "biotype", "strand", "protein", "dna")
_CLINVAR_PARTS = ("", "consequence")
_FORMAT = re.compile(r"Format:\s*['\"]?\s*([^'\"]+)")
_LONGEST_TERMS = 1000
_TERM = re.compile(r"[\w'+-]+")
_SUBSTITUTION = re.compile(r"(\d+)([A-Z*])>\1([A-Z*])")
_FIRST_CHANGE = re.compile(r"(\d+)([ACGTN]+)>(?:\d+)?([ACGTN]+)", re.IGNORECASE)


class Consequence(NamedTuple):
    """What one allele does, in the transcript that counts; ``.`` where nothing is said.

    Attributes
    ----------
    name : str
        The class, as ``missense``: what strata are made of.
    gene : str
        Symbol, else the annotation's own ID.
    transcript : str
    protein_change : str
        As ``R10G`` where it is one amino acid for another, else as the annotation writes it.
    term : str
        The most severe term of the Sequence Ontology, as the annotation writes it.
    """

    name: str
    gene: str = NO_CONSEQUENCE
    transcript: str = NO_CONSEQUENCE
    protein_change: str = NO_CONSEQUENCE
    term: str = NO_CONSEQUENCE


#: What an allele has of which the annotation says nothing.
NOTHING_SAID = Consequence(NO_CONSEQUENCE)


class _HasColumns(Protocol):
    path: str
    columns: tuple[str, ...]

    @property
    def descriptions(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class AnnotationColumn:
    """A column of consequences.

    Attributes
    ----------
    column : str
        INFO key, or column of a table.
    program : {'VEP', 'SnpEff', 'bcftools csq', 'ClinVar'}
        Whose form it has.
    parts : dict of str to int
        Place of each part of an entry that is known here.
    """

    column: str
    program: str
    parts: Mapping[str, int]
    _earlier: dict[int, Consequence] = field(default_factory=dict, repr=False, compare=False)

    @property
    def choice(self) -> str:
        """Which transcript counts, for a report."""
        flags = [name for name in ("pick", "mane", "canonical") if name in self.parts]
        names = {"pick": "the one that VEP picked", "mane": "MANE", "canonical": "canonical"}
        return ", else ".join([*(names[flag] for flag in flags), "the most severe of all"])

    def classify(self, text: str | None, alt: str, ref: str = "") -> Consequence:
        """The consequence of one allele.

        Parameters
        ----------
        text : str or None
            What the column holds.
        alt : str
            As the file spells it; trimmed, where that is not known.
        ref : str
            Likewise, or its first base: if ALT has the same, VEP may have left that out.
        """
        ref, alt = ref.upper(), alt.upper()
        if text is None or text == NO_CONSEQUENCE:
            return NOTHING_SAID
        last = max(self.parts.values()) + 1
        entries = [entry.split("|", last) for entry in text.split(",")]
        if self.program == "bcftools csq":
            return self._of_bcftools(entries, ref, alt)
        entries = self._of_allele(entries, ref, alt)
        return self._worst(self._preferred(entries))

    def _part(self, entry: list[str], name: str) -> str:
        place = self.parts.get(name, -1)
        return entry[place].strip() if 0 <= place < len(entry) else ""

    def _of_allele(self, entries: list[list[str]], ref: str, alt: str) -> list[list[str]]:
        """Entries of an allele; all if there is no telling them apart, none if none is its own."""
        if "allele" not in self.parts:
            return entries
        spelled = {self._part(entry, "allele").upper() for entry in entries} - {""}
        if len(spelled) < 2:
            return entries
        wanted = _spelling(spelled, ref, alt, strips=self.program == "VEP")
        return [entry for entry in entries if self._part(entry, "allele").upper() == wanted]

    def _preferred(self, entries: list[list[str]]) -> list[list[str]]:
        for flag in ("pick", "mane", "canonical"):
            if flag in self.parts:
                chosen = [e for e in entries if self._part(e, flag) not in ("", "-", "NO", "0")]
                if chosen:
                    return chosen
        return entries

    def _worst(self, entries: Iterable[list[str]]) -> Consequence:
        best, lowest = NOTHING_SAID, UNRANKED + 1
        for entry in entries:
            term, rank = _ranked(self._part(entry, "consequence")[:_LONGEST_TERMS])
            if rank < lowest:
                best, lowest = self._consequence(entry, term), rank
        return best

    def _consequence(self, entry: list[str], term: str) -> Consequence:
        gene = self._part(entry, "symbol") or self._part(entry, "gene")
        texts = (gene, self._part(entry, "feature"), self._protein_change(entry), term)
        return Consequence(class_of(term), *(t[:_LONGEST] or NO_CONSEQUENCE for t in texts))

    def _protein_change(self, entry: list[str]) -> str:
        if hgvs := self._part(entry, "hgvsp"):
            return hgvs.rpartition(":")[2]
        if change := self._part(entry, "protein"):
            simple = _SUBSTITUTION.fullmatch(change)
            return f"{simple[2]}{simple[1]}{simple[3]}" if simple else change
        acids, place = self._part(entry, "amino_acids"), self._part(entry, "protein_position")
        before, slash, after = acids.partition("/")
        return f"{before}{place.partition('/')[0]}{after}" if slash and place else ""

    def _of_bcftools(self, entries: list[list[str]], ref: str, alt: str) -> Consequence:
        """As `_worst`; ``@POS`` means what was said at an earlier record of the same haplotype."""
        plain = [entry for entry in entries if not entry[0].startswith("@")]
        own = self._worst(_of_change(plain, self.parts["dna"], ref, alt))
        for entry in entries:
            if entry[0].startswith("@") and entry[0][1:].isdecimal() and len(entry[0]) < 20:
                there = self._earlier.get(int(entry[0][1:]), NOTHING_SAID)
                if severity(there.term) < severity(own.term):
                    own = there
        for entry in plain:
            if change := _FIRST_CHANGE.match(self._part(entry, "dna")):
                if len(self._earlier) >= _REMEMBERED:
                    self._earlier.clear()
                self._earlier[int(change[1][:18])] = own
        return own


def bcftools_column() -> AnnotationColumn:
    """The ``BCSQ`` of `bcftools csq`."""
    return _fixed("BCSQ", "bcftools csq", _BCFTOOLS_PARTS)


def _fixed(column: str, program: str, names: Sequence[str]) -> AnnotationColumn:
    parts = {name: place for place, name in enumerate(names) if name}
    return AnnotationColumn(column, program, parts)


def find_annotation(file: _HasColumns) -> AnnotationColumn | None:
    """The column of a file that says consequences; None if it has none.

    VEP's is taken before SnpEff's, bcftools' and ClinVar's.

    Parameters
    ----------
    file : ScoredFile

    Raises
    ------
    InputError
        If there is a ``CSQ`` of which the header does not say the order of the parts.
    """
    descriptions = file.descriptions
    for column in sorted(file.columns, key=lambda name: name not in ("CSQ", "vep")):
        if parts := _vep_parts(descriptions.get(column, "")):
            return AnnotationColumn(column, "VEP", parts)
    for column, program, names in (
        ("ANN", "SnpEff", _SNPEFF_PARTS),
        ("BCSQ", "bcftools csq", _BCFTOOLS_PARTS),
        ("MC", "ClinVar", _CLINVAR_PARTS),
    ):
        if column in file.columns:
            return _fixed(column, program, names)
    if "CSQ" in file.columns:
        raise InputError(
            "its header does not say which part of CSQ is the consequence (Format: Allele|...)",
            path=file.path,
            remedy="keep the header line that VEP wrote",
        )
    return None


@functools.lru_cache(maxsize=4096)
def _ranked(terms: str) -> tuple[str, int]:
    """Give the most severe term of an entry, and its rank; what is no term has the last of all.

    ``*`` stands before what bcftools finds behind a stop codon of the same haplotype.
    """
    term = worst_term(terms.lstrip("*"))
    if term == "start_lost" and "synonymous" in terms.split("&"):
        # bcftools says so of any change of the first codon, such as ATG to ATA in mitochondria.
        term = "start_retained_variant"
    # An entry cut short, or of another form, has blanks or other signs where a term is to be.
    return term, severity(term) if _TERM.fullmatch(term) else UNRANKED + 1


def _vep_parts(description: str) -> dict[str, int]:
    """Places of parts by VEP's ``Format:``; empty where the description has none."""
    found = _FORMAT.search(description)
    names = [name.strip().lower() for name in found[1].split("|")] if found else []
    if "allele" not in names or "consequence" not in names:
        return {}
    known = {
        "allele": "allele", "consequence": "consequence", "symbol": "symbol", "gene": "gene",
        "feature": "feature", "hgvsp": "hgvsp", "amino_acids": "amino_acids",
        "protein_position": "protein_position", "pick": "pick", "mane_select": "mane",
        "canonical": "canonical",
    }  # fmt: skip
    parts = {known[name]: place for place, name in enumerate(names) if name in known}
    if "mane" in names:
        parts.setdefault("mane", names.index("mane"))
    return parts


def _spelling(spelled: set[str], ref: str, alt: str, *, strips: bool) -> str | None:
    """Which of the alleles in an annotation is ALT; None if none is, or several may be."""
    without_first = alt[1:] or "-"
    candidates = [alt]
    if strips and (not ref or ref[0] == alt[:1]):
        # A record of one base for another keeps its bases; an indel's first one is left out.
        candidates = [without_first, alt] if ref else [alt, without_first]
    for candidate in candidates:
        if candidate in spelled:
            return candidate
    # A trimmed allele of a record whose other alleles are longer.
    around = [each for each in spelled if without_first in each or alt in each]
    return around[0] if len(around) == 1 else None


def _of_change(entries: list[list[str]], place: int, ref: str, alt: str) -> list[list[str]]:
    """Entries whose change of DNA is that of the alleles, of several alleles; else all."""
    changes = [_FIRST_CHANGE.match(e[place]) if len(e) > place else None for e in entries]
    spelled = {(c[2].upper(), c[3].upper()) for c in changes if c}
    if len(spelled) < 2:
        return entries
    wanted = {pair for pair in spelled if pair[1] == alt}
    wanted = {pair for pair in wanted if pair[0] == ref} or wanted or spelled
    return [
        entry
        for entry, change in zip(entries, changes, strict=True)
        if change is None or (change[2].upper(), change[3].upper()) in wanted
    ]
