"""Which model scores an input where none is named: the one whose sequence the input is on.

The model is the one that PHYLOTOOLS_MODEL names, else the one of ``phylotools model use``, else
the one that has the contigs which most of the input is on, with the lengths that a header or a
FASTA gives them; of several, the one with the smallest sequence. Where lengths leave a doubt, REF
alleles must agree with the model's reference. Only where no model is for a whole file do the
regions decide that are asked for. Two models that fit alike, and none that fits, are
errors that say what to do. A model that carries transcripts is for those alone, and is used where
it is named.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from phylotools.errors import InputError, shown
from phylotools.io.assemblies import assembly_of_text, has_nuclear_chromosome, recognise
from phylotools.io.chromosomes import BY_NAME, Assembly
from phylotools.io.contigs import assembly_of_accession, chromosome_stem
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import MAX_COORDINATE, Region
from phylotools.model.folder import REFERENCE, TRANSCRIPTS
from phylotools.model.published.catalogue import KNOWN
from phylotools.model.registry import DEFAULT_MODEL, ModelSummary, find_model, list_models
from phylotools.model.settings import default_model, model_key, reference_of
from phylotools.scoring.evidence import Evidence
from phylotools.scoring.reference import (
    FEWEST_CHECKED,
    FEWEST_CHECKED_SMALL,
    MISMATCH_LIMIT,
    MISMATCH_LIMIT_SMALL,
    ref_agrees,
)

logger = logging.getLogger("phylotools")

#: What the chromosomes of a file that says no more are most often those of.
_LIKELY = "hg38"
_NAME_ONE = "name a model with --model"
_LIFT_OVER = "lift it over to {} first (bcftools +liftover, CrossMap or Picard LiftoverVcf)"


@dataclass(frozen=True)
class Candidate:
    """A model that may be chosen.

    Attributes
    ----------
    name : str
    assembly : str
        As its manifest has it.
    folder : Path
    """

    name: str
    assembly: str
    folder: Path
    trained_contigs: tuple[str, ...] = ()

    @classmethod
    def of(cls, summary: ModelSummary) -> Candidate:
        """A model of `list_models`."""
        return cls(summary.name, summary.assembly, summary.folder, summary.contigs)

    @property
    def carries_transcripts(self) -> bool:
        return (self.folder / TRANSCRIPTS).is_file()

    @cached_property
    def known_assembly(self) -> Assembly | None:
        return assembly_of_text(self.assembly)

    @cached_property
    def reference(self) -> Path | None:
        """The FASTA that it is read with; None if there is none that can be read."""
        shipped = self.folder / REFERENCE
        try:
            return shipped if shipped.is_file() else reference_of(model_key(self.folder))
        except InputError:  # Who chooses this model is told.
            return None

    @cached_property
    def contigs(self) -> Mapping[str, tuple[int, ...]]:
        """Chromosomes of its sequence by `chromosome_stem`, and the lengths that each may have.

        Those of its assembly if that is well known, else of its FASTA; where its manifest names
        the contigs that it was trained on, these alone. No length is known of contigs that the
        manifest alone names.
        """
        trained = {chromosome_stem(name): () for name in self.trained_contigs}
        found = self._sequence() or trained
        return {stem: found[stem] for stem in found if stem in trained} or found

    def _sequence(self) -> dict[str, tuple[int, ...]]:
        assembly = self.known_assembly
        if assembly is not None and not (self.folder / REFERENCE).is_file():
            nuclear = {name: (length,) for name, length in assembly.lengths.items()}
            return nuclear | {"MT": assembly.mitochondrion_lengths}
        if self.reference is None:
            return {}
        try:
            with ReferenceGenome.open(self.reference) as genome:
                return {chromosome_stem(name): (n,) for name, n in genome.contigs.items()}
        except InputError:  # One damaged model keeps no other from being used.
            return {}

    def has_all_of(self, assembly: Assembly) -> bool:
        """Whether it is made for every chromosome of an assembly."""
        return self.known_assembly is assembly and self.contigs.keys() >= assembly.lengths.keys()

    @property
    def size(self) -> int:
        """Bases of its sequence; a contig whose length is not known counts as a very long one."""
        return sum(max(lengths, default=MAX_COORDINATE) for lengths in self.contigs.values())


class Fit(NamedTuple):
    """How much of an input a model has.

    Attributes
    ----------
    candidate : Candidate
    weight : int
        Records, regions or bases on contigs of its sequence.
    is_proven : bool
        Whether each of these contigs was declared with its length.
    """

    candidate: Candidate
    weight: int
    is_proven: bool


class RefCount(NamedTuple):
    """REF alleles that were compared with a FASTA, and those that differ."""

    n_checked: int
    n_different: int

    @property
    def is_other_assembly(self) -> bool:
        """By the same limits as a whole file (`scoring.reference`)."""
        limit = MISMATCH_LIMIT if self.n_checked >= FEWEST_CHECKED else MISMATCH_LIMIT_SMALL
        return self.n_checked >= FEWEST_CHECKED_SMALL and self.n_different > limit * self.n_checked


class Chosen(NamedTuple):
    """A model, and why it is the one."""

    folder: Path
    why: str


def model_folder(name: str | None, gather: Callable[[], Evidence]) -> Path:
    """Folder of the model that is named, else of the one that is chosen, which is logged.

    Parameters
    ----------
    name : str, optional
        Name or path.
    gather : callable
        Gives the evidence; asked only where it is needed.

    Raises
    ------
    InputError
        If there is no such model, none fits, or more than one does.
    """
    if name is not None:
        return find_model(name)
    default = default_model()
    if default is None:
        chosen = choose_model(gather(), map(Candidate.of, list_models()))
    else:
        chosen = Chosen(find_model(None), f"{default[1]} names it")
    logger.info("model %s is used: %s", model_key(chosen.folder), chosen.why)
    return chosen.folder


def choose_model(evidence: Evidence, models: Iterable[Candidate]) -> Chosen:
    """The model whose sequence an input is on.

    Parameters
    ----------
    evidence : Evidence
    models : iterable of Candidate

    Raises
    ------
    InputError
        If none fits, or more than one does.
    """
    if not evidence.uses:
        return Chosen(find_model(DEFAULT_MODEL), "nothing says which contigs are meant")
    models = list(models)
    genomic = [model for model in models if not model.carries_transcripts]
    fits = [fit_of(model, evidence) for model in genomic]
    fits = [fit for fit in fits if 2 * fit.weight > evidence.weight]
    if not evidence.has_records:
        fits = [fit for fit in fits if fit.candidate.reference is not None]
    # Where no model has all positions, the run says which of them lies beyond an end.
    fits = [fit for fit in fits if _holds(fit.candidate, evidence)] or fits
    refused: list[tuple[Fit, RefCount]] = []
    for _, alike in itertools.groupby(sorted(fits, key=_rank), key=_rank):
        best = _agreeing(list(alike), evidence, refused)
        if len(best) > 1:
            raise _too_many(best, evidence)
        if best:
            return Chosen(best[0].candidate.folder, _why(best[0], evidence))
    if not evidence.has_records:
        return Chosen(find_model(DEFAULT_MODEL), "there is no record")
    if evidence.part is not None:
        with contextlib.suppress(InputError):
            return choose_model(evidence.part, models)
    raise _none_fits(evidence, models, refused)


def fit_of(model: Candidate, evidence: Evidence) -> Fit:
    """How much of an input lies on a model's contigs, by their names and lengths."""
    lengths = {chromosome_stem(name): length for name, length in evidence.lengths.items()}
    assembly = model.known_assembly
    weight, is_proven = 0, True
    for name, use in evidence.uses.items():
        stem = chromosome_stem(name)
        possible = model.contigs.get(stem)
        if possible is None:
            continue
        declared = lengths.get(stem)
        named = assembly_of_accession(name)
        if possible and (
            (declared is not None and declared not in possible)
            or (assembly is not None and named not in (None, assembly.other_name))
        ):
            continue
        weight += use.weight
        is_proven = is_proven and declared in possible
    return Fit(model, weight, is_proven and weight > 0)


def _rank(fit: Fit) -> tuple[int, int]:
    return -fit.weight, fit.candidate.size


def _agreeing(
    fits: list[Fit], evidence: Evidence, refused: list[tuple[Fit, RefCount]]
) -> list[Fit]:
    """Those of models that fit alike whose reference agrees with REF, where that is in doubt."""
    kept = []
    for fit in fits:
        in_doubt = not fit.is_proven or len(fits) > 1
        count = _compare_refs(fit.candidate, evidence) if in_doubt else RefCount(0, 0)
        if count.is_other_assembly:
            refused.append((fit, count))
        else:
            kept.append(fit)
    return kept


def _holds(model: Candidate, evidence: Evidence) -> bool:
    """Whether no position lies beyond the end of a model's contig."""
    ends = ((chromosome_stem(name), use.end) for name, use in evidence.uses.items())
    return all(end <= max(model.contigs.get(stem, ()), default=end) for stem, end in ends)


def _compare_refs(model: Candidate, evidence: Evidence) -> RefCount:
    """Compare REF alleles with the reference of a model; none if it has no reference."""
    if model.reference is None or not evidence.ref_alleles:
        return RefCount(0, 0)
    n_checked = n_different = 0
    with ReferenceGenome.open(model.reference) as genome:
        names = {chromosome_stem(name): name for name in genome.contigs}
        for allele in evidence.ref_alleles:
            contig = names.get(chromosome_stem(allele.contig))
            end = allele.start + len(allele.letters)
            if contig is None or end > genome.contigs[contig]:
                continue
            n_checked += 1
            letters = genome.letters(Region(contig, allele.start, end))
            n_different += not ref_agrees(allele.letters, letters)
    return RefCount(n_checked, n_different)


def _why(fit: Fit, evidence: Evidence) -> str:
    what = evidence.subject
    if not evidence.has_records:
        return f"{what} has no record, and declares contigs of its sequence"
    if fit.weight < evidence.weight:
        share = f"{fit.weight:,} of {evidence.weight:,} {evidence.unit} looked at"
        return f"{share} in {what} are on contigs of its sequence ({evidence.contig_names})"
    verb = "has" if evidence.unit == "bases" else "is on"
    return f"{what} {verb} {evidence.contig_names}, which it is made for"


def _too_many(fits: Sequence[Fit], evidence: Evidence) -> InputError:
    names = [model_key(fit.candidate.folder) for fit in fits]
    shown_names = " and ".join(map(shown, names))
    return InputError(
        f"models {shown_names} fit it equally well",
        path=evidence.subject,
        remedy=f"name one with --model, or once and for all: `phylotools model use "
        f"{shlex.quote(names[0])}`",
    )


def _none_fits(
    evidence: Evidence, models: Sequence[Candidate], refused: Sequence[tuple[Fit, RefCount]]
) -> InputError:
    """The error of an input that no model at hand is for: what it is, and what to do."""
    path = evidence.subject
    if refused:
        fit, count = refused[0]
        return InputError(
            f"REF disagrees with {fit.candidate.reference}, the reference of model "
            f"{fit.candidate.name}, in {count.n_different} of {count.n_checked} records: this is "
            "another assembly",
            path=path,
            remedy=f"{_LIFT_OVER.format('that one')}, or {_NAME_ONE} and its own with --fasta",
        )
    genomic = [model for model in models if not model.carries_transcripts]
    problem = f"no model at hand is made for {evidence.contig_names}{_near_miss(evidence, genomic)}"
    used = {name: evidence.lengths.get(name) for name in evidence.uses}
    found = recognise(used) or recognise(evidence.lengths)
    if found is None or any(model.has_all_of(found.assembly) for model in genomic):
        return InputError(problem, path=path, remedy=_remedy_unknown(evidence, models))
    problem = f"is on {found.assembly}, and {problem}"
    return InputError(problem, path=path, remedy=_remedy(found.assembly, models))


def _near_miss(evidence: Evidence, models: Sequence[Candidate]) -> str:
    """That a model has such a contig with another length, if one does."""
    for name in evidence.uses:
        for model in models:
            has = model.contigs.get(chromosome_stem(name))
            if has and evidence.lengths.get(name, has[0]) not in has:
                return f": model {model.name} has {shown(name)} with {has[0]:,} bases"
    return ""


def _remedy(assembly: Assembly, models: Sequence[Candidate]) -> str:
    """What to do about an input on a well-known assembly."""
    ways = [_NAME_ONE + f" and {assembly.name} with --fasta"]
    if fetch := _fetch(assembly.name):
        ways = [fetch]
    elif assembly.species == "human":
        ways.insert(0, _LIFT_OVER.format("hg38"))
    else:
        ways.append("train one on an alignment to it (`phylotools train`)")
    ways += [
        f"`--model {shlex.quote(model.name)}` scores the transcripts that it carries"
        for model in models
        if model.carries_transcripts and model.known_assembly is assembly
    ]
    return ", or ".join(ways)


def _remedy_unknown(evidence: Evidence, models: Sequence[Candidate]) -> str:
    """What to do about an input of which only the names of contigs are known."""
    at_hand = ", ".join(shown(model.name) for model in models) or "none"
    way = f"{_NAME_ONE} (at hand: {at_hand}) and its sequence with --fasta"
    if not has_nuclear_chromosome(evidence.uses):
        return f"where only the names differ, give --contig-aliases; else {way}"
    if any(model.has_all_of(BY_NAME[_LIKELY]) for model in models):
        return way
    # Lengths that are stated would have been recognised.
    if has_nuclear_chromosome(name for name in evidence.uses if evidence.lengths.get(name)):
        return f"these lengths are of no assembly that is known here: {way}"
    return f"if they are those of {_LIKELY}, {_fetch(_LIKELY)}; else {way}"


def _fetch(assembly: str) -> str | None:
    """The command that brings a model for an assembly; None if there is none."""
    names = [known.name for known in KNOWN.values() if known.assembly == assembly]
    if not names:
        return None
    return f"`phylotools model fetch {names[0]} --fasta {assembly}.fa` brings one"
