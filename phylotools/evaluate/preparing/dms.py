"""Deep mutational scanning: protein changes made into the base changes that make them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from phylotools.errors import InputError, UsageError, counted, shown, shown_path
from phylotools.evaluate.preparing.codons import CodingSequence, coding_sequence
from phylotools.evaluate.preparing.protein_changes import ProteinChange, parse_change
from phylotools.evaluate.preparing.records import (
    NUMBER,
    TEXT,
    Field,
    Prepared,
    PreparedVariant,
    in_order,
    read_number,
)
from phylotools.evaluate.preparing.tables import open_table, wanted_columns
from phylotools.evaluate.protocols.protocol import Protocol
from phylotools.io.genetic_code import STOP
from phylotools.io.spliced import SplicedGenome

SCORE, CHANGE, CLASS, CODON, TRANSCRIPT = (
    "DMS_SCORE", "PROTEIN_CHANGE", "DMS_CLASS", "DMS_CODON", "DMS_TRANSCRIPT"
)  # fmt: skip
FIELDS = (
    Field(SCORE, NUMBER, "Measured effect of the protein change, as the table gives it"),
    Field(
        CHANGE, TEXT, "Change of one amino acid, as the table counts; the same twice: synonymous"
    ),
    Field(CLASS, TEXT, "missense, synonymous, nonsense, start_lost or stop_lost"),
    Field(CODON, TEXT, "Transcript and amino acid: what is resampled together"),
    Field(TRANSCRIPT, TEXT, "Transcript whose codons were changed"),
)
#: A few amino acids of a target may differ from the assembly's; more are another protein.
_AGREEING = 0.9
#: How far the first amino acid of a target is looked for.
_LARGEST_SHIFT = 20_000
_MOST_NAMED = 5
#: So many transcripts are translated, whatever their length.
_FEW_TRANSCRIPTS = 1000


@dataclass
class _Table:
    """The changes of a table, each with the sum and number of its measurements."""

    sums: dict[ProteinChange, list[float]] = field(default_factory=dict)
    lines: dict[ProteinChange, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def residues(self) -> dict[int, str]:
        """Amino acid of the target at each position that is changed."""
        return {change.position: change.wild for change in self.sums}


def prepare_dms(
    protocol: Protocol,
    path: str,
    spliced: SplicedGenome,
    *,
    transcript: str | None = None,
    genetic_code: int | None = None,
    first_residue: int = 1,
    columns: Mapping[str, str | None] | None = None,
) -> Prepared:
    """Every change of one base that makes a change of the table.

    A change that several base changes make becomes several variants, with its score each; they lie
    in one codon, and codons are what `evaluate` resamples. Changes that no single base makes are
    counted. Of several rows of one change the mean counts.

    Parameters
    ----------
    protocol : Protocol
    path : str
        MaveDB or ProteinGym, TSV or CSV.
    spliced : SplicedGenome
    transcript : str, optional
        By default the one whose protein is the table's.
    genetic_code : int, optional
        NCBI's number [default: as for `check_reading_frames`].
    first_residue : int
        Amino acid of the protein that the table calls 1.
    columns : mapping of str to (str or None), optional
        Other columns for ``change`` and ``score``.

    Raises
    ------
    InputError
        If the table is another one, or no transcript has its protein.
    UsageError
        If there is no such transcript, or several fit and differ.
    """
    table = _read(protocol, path, columns or {})
    coding = _fitting(table, path, spliced, transcript, genetic_code, first_residue)
    prepared = Prepared(FIELDS, counts=table.counts)
    prepared.notes.append(
        f"transcript {coding.name} on {coding.contig}, genetic code {coding.genetic_code}"
    )
    protein = coding.protein
    for change, (total, number) in table.sums.items():
        residue = change.position - 1 + first_residue - 1
        if not _is_residue(protein, residue, change.wild):
            prepared.counts["amino_acid_differs"] += 1
            continue
        made = [each for each in coding.base_changes(residue) if each.mutant == change.mutant]
        prepared.counts["changes_of_one_base" if made else "changes_of_more_bases"] += 1
        values = (
            total / number, str(change), _class_of(change, residue),
            f"{coding.name}:{residue + 1}", coding.name,
        )  # fmt: skip
        prepared.variants += [
            PreparedVariant(coding.contig, each.position, each.ref, each.alt, values)
            for each in made
        ]
    if not prepared.variants:
        raise InputError(
            f"none of its {counted(len(table.sums), 'protein change')} is made by one base of "
            f"transcript {shown(coding.name)}",
            path=path,
        )
    prepared.variants = in_order(prepared.variants, [coding.contig])
    return prepared


def _read(protocol: Protocol, path: str, asked: Mapping[str, str | None]) -> _Table:
    found = _Table()
    with open_table(path) as table:
        columns = wanted_columns(protocol, table.names, path, asked)
        where = {what: table.names.index(name) for what, name in columns.items()}
        example = ""
        for row in table.rows():
            texts = table.texts(row)
            found.counts["rows"] += 1
            change = parse_change(texts[where["change"]])
            if isinstance(change, str):
                found.counts[change] += 1
                example = example or texts[where["change"]]
                continue
            score = read_number(texts[where["score"]], columns["score"], path, row.line)
            if score != score:
                found.counts["no_score"] += 1
                continue
            known = found.sums.setdefault(change, [0.0, 0])
            known[0] += score
            known[1] += 1
            found.counts["repeated"] += known[1] > 1
            found.lines.setdefault(change, row.line)
    if not found.sums:
        raise InputError(
            f"no row has a change of one amino acid and a score in columns {columns['change']!r} "
            f"and {columns['score']!r}" + (f" (one says {shown(example)!r})" if example else ""),
            path=path,
            remedy=f"it expects {protocol.data.file}",
        )
    return found


def _fitting(
    table: _Table,
    path: str,
    spliced: SplicedGenome,
    name: str | None,
    genetic_code: int | None,
    first_residue: int,
) -> CodingSequence:
    """The transcript whose protein has the amino acids of the table."""
    names = spliced.transcripts.names
    if name is not None and name not in names:
        have = ", ".join(map(shown, names[:_MOST_NAMED])) + (" ..." if len(names) > 5 else "")
        raise UsageError(
            f"{shown_path(spliced.transcripts.path)} has no transcript {shown(name)}; it has {have}"
        )
    residues = table.residues
    last = max(residues) + first_residue - 1
    numbers = [names.index(name)] if name is not None else _long_enough(spliced, last)
    best: list[CodingSequence] = []
    most = -1
    for k in numbers:
        coding = coding_sequence(spliced, k, genetic_code)
        protein = coding.protein
        agreeing = _n_agreeing(protein, residues, first_residue)
        if agreeing >= most:
            best = [*(best if agreeing == most else []), coding]
            most = agreeing
    if most < _AGREEING * len(residues):
        raise _wrong_transcript(table, path, spliced, best, most, first_residue, name)
    _require_one(best, residues, first_residue)
    return best[0]


def _long_enough(spliced: SplicedGenome, last: int) -> list[int]:
    """Numbers of the transcripts that have the last amino acid, of a genome's many; else all."""
    found = spliced.transcripts
    is_long = found.lengths - found.phases >= 3 * last
    if len(found) <= _FEW_TRANSCRIPTS or not is_long.any():
        # The message about a wrong protein names the closest of some.
        return list(range(min(len(found), _FEW_TRANSCRIPTS)))
    return np.flatnonzero(is_long).tolist()


def _n_agreeing(protein: str, residues: Mapping[int, str], first_residue: int) -> int:
    return sum(
        _is_residue(protein, position + first_residue - 2, wild)
        for position, wild in residues.items()
    )


def _is_residue(protein: str, residue: int, wild: str) -> bool:
    """Whether a protein has an amino acid there; the first is M whatever its codon means else."""
    if not 0 <= residue < len(protein):
        return False
    return protein[residue] == wild or (residue == 0 and wild == "M")


def _wrong_transcript(
    table: _Table,
    path: str,
    spliced: SplicedGenome,
    best: Sequence[CodingSequence],
    most: int,
    first_residue: int,
    name: str | None,
) -> InputError:
    residues = table.residues
    closest = best[0]
    protein = closest.protein
    position, wild = next(
        (place, wild)
        for place, wild in sorted(residues.items())
        if not _is_residue(protein, place + first_residue - 2, wild)
    )
    residue = position + first_residue - 2
    there = protein[residue] if 0 <= residue < len(protein) else "nothing"
    line = min(line for change, line in table.lines.items() if change.position == position)
    which = f"transcript {shown(closest.name)}" if name else "the closest transcript"
    shift = _shift(protein, residues)
    remedy = (
        f"its amino acid 1 would be {shift} of {shown(closest.name)}: give --first-residue {shift}"
        if shift is not None
        else "give the transcript of the table's target, with --transcript or another --transcripts"
    )
    return InputError(
        f"{which}{'' if name else f', {shown(closest.name)},'} has {most} of the table's "
        f"{counted(len(residues), 'amino acid')}; at {position} it has {there}, the table {wild}",
        path=path,
        line=line,
        remedy=remedy,
    )


def _shift(protein: str, residues: Mapping[int, str]) -> int | None:
    """Amino acid of a protein that a table calls 1, if there is one place where all agree."""
    places = np.array(sorted(residues), dtype=np.int64)
    wilds = np.frombuffer("".join(residues[k] for k in places.tolist()).encode(), dtype=np.uint8)
    letters = np.frombuffer(protein.encode(), dtype=np.uint8)
    last = min(len(letters) - int(places[-1]), _LARGEST_SHIFT)
    fitting = [
        shift
        for shift in range(1 - int(places[0]), last + 1)
        if (letters[places - 1 + shift] == wilds).all()
    ]
    return fitting[0] + 1 if len(fitting) == 1 and len(places) > 2 else None


def _require_one(
    found: Sequence[CodingSequence], residues: Mapping[int, str], first_residue: int
) -> None:
    """Refuse transcripts that fit equally well and lie elsewhere."""
    places = [position + first_residue - 2 for position in residues]

    def codons(coding: CodingSequence) -> tuple[str, bytes]:
        index = np.array([place for place in places if 0 <= 3 * place < len(coding.positions)])
        return coding.contig, coding.positions[3 * index].tobytes()

    if len({codons(each) for each in found}) > 1:
        some = ", ".join(shown(each.name) for each in found[:_MOST_NAMED])
        raise UsageError(
            f"the table's amino acids fit {len(found)} transcripts equally well ({some}"
            f"{' ...' if len(found) > _MOST_NAMED else ''}); choose one with --transcript"
        )


def _class_of(change: ProteinChange, residue: int) -> str:
    if change.mutant == change.wild:
        return "synonymous"
    if change.mutant == STOP:
        return "nonsense"
    if change.wild == STOP:
        return "stop_lost"
    return "start_lost" if residue == 0 else "missense"
