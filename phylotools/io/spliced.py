"""Transcripts as sequences of their own: exons joined, on the strand of the gene.

A `SplicedGenome` has a genome's contigs and, beside them, one contig for each transcript, so that
tiles, padding and cache are those of any contig: a site of a transcript has the numbers that it
would have in a FASTA of joined exons.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown, shown_path
from phylotools.io.bases import reverse_complement
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import UNKNOWN_LENGTH, ReferenceGenome
from phylotools.io.intervals import Intervals, merge_intervals, overlapping
from phylotools.io.reading_frame import SAMPLE, check_reading_frames
from phylotools.io.regions import Region
from phylotools.io.transcripts import CODING, Transcripts, read_transcripts

logger = logging.getLogger("phylotools")

#: Before a transcript's name where it stands among contigs. No contig of a FASTA has a blank.
_MARK = "transcript "
#: Joined sequences kept: as many as overlap one place, and more; of the longest (coding ones are
#: 100 kb at most, but a file may join whole chromosomes) no more than so many bytes.
_SEQUENCES_KEPT, _BYTES_KEPT = 256, 64 << 20
#: Bases of a line of FASTA.
_LINE = 80
_WRONG_ASSEMBLY = "give the transcripts of this assembly, or the FASTA of these transcripts"


def transcript_contig(name: str) -> str:
    """What a transcript is called among the contigs of a `SplicedGenome`."""
    return _MARK + name


def placed_transcripts(transcripts: Transcripts, genome: ReferenceGenome) -> Transcripts:
    """Transcripts by the contig names of a genome; those on other contigs are left out.

    Raises
    ------
    InputError
        If none is on a contig of the genome, or one reaches beyond its contig.
    """
    names = resolve_contigs(transcripts.contigs, genome.contigs)
    is_known = np.array([contig in names for contig in transcripts.contigs], dtype=bool)
    missing = sorted({contig for contig in transcripts.contigs if contig not in names})
    some = ", ".join(map(shown, missing[:5])) + (" ..." if len(missing) > 5 else "")
    if not is_known.any():
        have = ", ".join(map(shown, list(genome.contigs)[:5]))
        raise InputError(
            f"no transcript is on a contig of {shown_path(genome.path)}, which has {have}; they "
            f"are on {some}",
            path=transcripts.path,
            remedy="where only the names differ, give --contig-aliases",
        )
    if missing:
        logger.warning(
            "%s: %s left out: on contigs that %s does not have (%s)",
            shown_path(transcripts.path), counted(int((~is_known).sum()), "transcript"),
            shown_path(genome.path), some,
        )  # fmt: skip
    placed = transcripts.subset(is_known).renamed(names)
    _check_bounds(placed, genome)
    return placed


def _check_bounds(placed: Transcripts, genome: ReferenceGenome) -> None:
    lengths = np.array([genome.contigs[contig] for contig in placed.contigs], dtype=np.int64)
    # Exons rise, but one may lie within another where a ribosome slips.
    ends = np.maximum.reduceat(placed.exon_ends, placed.first_exon[:-1])
    beyond = np.flatnonzero(ends > lengths)
    if len(beyond):
        k = int(beyond[np.argmin(placed.lines[beyond])])
        raise InputError(
            f"transcript {shown(placed.names[k])} reaches to {placed.contigs[k]}:{ends[k]}, beyond "
            f"the end of that contig in {shown_path(genome.path)} ({lengths[k]})",
            path=placed.path,
            line=int(placed.lines[k]),
            remedy=_WRONG_ASSEMBLY,
        )


class JoinedPart(NamedTuple):
    """A stretch of a transcript's joined sequence that is one of the genome.

    Attributes
    ----------
    begin, end : int
        In the joined sequence, 0-based, half-open.
    region : Region
        In the genome.
    is_reverse : bool
        Whether it stands on the reverse strand there.
    """

    begin: int
    end: int
    region: Region
    is_reverse: bool


class SplicedGenome(ReferenceGenome):
    """The contigs of a genome, and its transcripts as further contigs.

    Parameters
    ----------
    genome : ReferenceGenome
        Is not closed with this one.
    transcripts : Transcripts
        From `placed_transcripts`.

    Attributes
    ----------
    genome : ReferenceGenome
    transcripts : Transcripts
    """

    def __init__(self, genome: ReferenceGenome, transcripts: Transcripts) -> None:
        super().__init__(_SplicedSource(genome, transcripts), genome.path)
        self.genome = genome
        self.transcripts = transcripts

    def parts(self, contig: str, begin: int, end: int) -> list[JoinedPart]:
        """Where positions of a transcript lie in the genome; nothing of other contigs."""
        number = self._number_of.get(contig)
        if number is None:
            return []
        found, parts = self.transcripts, []
        is_reverse, name = bool(found.is_reverse[number]), found.contigs[number]
        for exon in range(*found.first_exon[number : number + 2].tolist()):
            start, stop = int(found.exon_starts[exon]), int(found.exon_ends[exon])
            offset = int(self._exon_offsets[exon])
            first, last = max(begin, offset), min(end, offset + stop - start)
            if first < last:
                low, high = first - offset, last - offset
                span = (stop - high, stop - low) if is_reverse else (start + low, start + high)
                parts.append(JoinedPart(first, last, Region(name, *span), is_reverse))
        return parts

    @functools.cached_property
    def _number_of(self) -> dict[str, int]:
        return {transcript_contig(name): k for k, name in enumerate(self.transcripts.names)}

    @functools.cached_property
    def _exon_offsets(self) -> NDArray[np.int64]:
        return self.transcripts.exon_offsets

    def joined(self, number: int) -> bytes:
        """Sequence of a transcript by its number, letters A, C, G, T and N."""
        contig = transcript_contig(self.transcripts.names[number])
        return self.letters(Region(contig, 0, self.contigs[contig]))


def spliced_genome(
    genome: ReferenceGenome,
    path: str,
    part: str | None = CODING,
    *,
    genetic_code: int | None = None,
    sample: int | None = SAMPLE,
) -> SplicedGenome:
    """A genome and the transcripts of a file.

    Parameters
    ----------
    genome : ReferenceGenome
        Or the transcripts' own sequences, each a contig of the transcript's name.
    path : str
        GFF3 or GTF.
    part : str
        As for `read_transcripts`.
    genetic_code, sample : int, optional
        As for `check_reading_frames`.

    Raises
    ------
    InputError
        If the file is none, or plainly of another assembly.
    """
    transcripts = read_transcripts(path, part)
    if _are_sequences_of(genome, transcripts):
        genome = PartialGenome(genome, transcripts)
    spliced = SplicedGenome(genome, placed_transcripts(transcripts, genome))
    check_reading_frames(
        spliced.transcripts,
        spliced.joined,
        genome.path,
        genetic_code=genetic_code,
        sample=sample,
    )
    return spliced


def _are_sequences_of(genome: ReferenceGenome, transcripts: Transcripts) -> bool:
    """Whether the contigs are transcripts, and none is one that transcripts lie on."""
    is_known = any(name in genome.contigs for name in transcripts.names)
    return is_known and not resolve_contigs(set(transcripts.contigs), genome.contigs)


class _SplicedSource:
    """Letters of a genome's contigs, and of exons joined."""

    def __init__(self, genome: ReferenceGenome, transcripts: Transcripts) -> None:
        self._genome = genome
        self._transcripts = transcripts
        contigs = map(transcript_contig, transcripts.names)
        lengths = dict(zip(contigs, transcripts.lengths.tolist(), strict=True))
        self._number_of = {contig: k for k, contig in enumerate(lengths)}
        self.contigs = genome.contigs | lengths
        n_kept = min(_SEQUENCES_KEPT, max(1, _BYTES_KEPT // max(lengths.values(), default=1)))
        self._joined = functools.lru_cache(maxsize=n_kept)(self._join)

    def letters(self, contig: str, start: int, end: int) -> bytes:
        number = self._number_of.get(contig)
        if number is None:
            return self._genome.letters(Region(contig, start, end))
        return self._joined(number)[start:end]

    def _join(self, k: int) -> bytes:
        found = self._transcripts
        contig = found.contigs[k]
        joined = b"".join(
            self._genome.letters(Region(contig, start, end))
            for start, end in found.exons(k).tolist()
        )
        return reverse_complement(joined) if found.is_reverse[k] else joined

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Places:
    """Where positions of a genome lie in transcripts, P places.

    Attributes
    ----------
    rows : int64 array [P]
        Which position, rising.
    transcripts : int64 array [P]
        Rising for each position.
    positions : int64 array [P]
        0-based, in the joined sequence.
    exons : int64 array [P]
    """

    rows: NDArray[np.int64]
    transcripts: NDArray[np.int64]
    positions: NDArray[np.int64]
    exons: NDArray[np.int64]


class ExonIndex:
    """Finds the places of positions in transcripts.

    Contigs are cut where an exon begins or ends; between two cuts all positions lie in the same
    exons, whose list is kept.

    Parameters
    ----------
    transcripts : Transcripts
    contigs : sequence of str
        Those that positions are on, by index.

    Attributes
    ----------
    owner : int64 array [E]
        Transcript of each exon.
    """

    def __init__(self, transcripts: Transcripts, contigs: tuple[str, ...]) -> None:
        self._transcripts = transcripts
        number_of = {contig: k for k, contig in enumerate(contigs)}
        owner = transcripts.transcript_of
        on = np.array([number_of[contig] for contig in transcripts.contigs], dtype=np.int64)[owner]
        self.owner, self._offsets = owner, transcripts.exon_offsets
        self._merged: dict[int, Intervals] = {}
        self._cuts: dict[int, NDArray[np.int64]] = {}
        self._first: dict[int, NDArray[np.int64]] = {}
        self._exons: dict[int, NDArray[np.int64]] = {}
        for contig in np.unique(on).tolist():
            self._add(contig, np.flatnonzero(on == contig))

    def _add(self, contig: int, exons: NDArray[np.int64]) -> None:
        starts, ends = self._transcripts.exon_starts[exons], self._transcripts.exon_ends[exons]
        cuts = np.unique(np.concatenate([starts, ends]))
        first, last = np.searchsorted(cuts, starts), np.searchsorted(cuts, ends)
        counts = last - first
        pieces = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        members = np.repeat(exons, counts)
        order = np.lexsort((members, self.owner[members], pieces))
        pieces, members = pieces[order], members[order]
        # A base that is read twice, where a ribosome slips back, has its first place alone.
        again = (np.diff(pieces, prepend=-1) == 0) & (np.diff(self.owner[members], prepend=-1) == 0)
        pieces, members = pieces[~again], members[~again]
        self._merged[contig] = merge_intervals(np.stack([starts, ends], axis=1))
        self._cuts[contig] = cuts
        self._first[contig] = np.searchsorted(pieces, np.arange(len(cuts) + 1))
        self._exons[contig] = members

    def places(self, contigs: NDArray[np.int64], positions: NDArray[np.int64]) -> Places:
        """Places of positions in all transcripts.

        Parameters
        ----------
        contigs : int64 array [K]
            Indices into the contigs given; others have no place.
        positions : int64 array [K]
            0-based.
        """
        found_rows, found_exons = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for contig in np.unique(contigs).tolist():
            if contig not in self._cuts:
                continue
            rows = np.flatnonzero(contigs == contig)
            pieces = np.searchsorted(self._cuts[contig], positions[rows], side="right") - 1
            rows, pieces = rows[pieces >= 0], pieces[pieces >= 0]
            first = self._first[contig]
            counts = first[pieces + 1] - first[pieces]
            members = np.repeat(first[pieces] - (np.cumsum(counts) - counts), counts)
            members += np.arange(len(members))
            found_rows.append(np.repeat(rows, counts))
            found_exons.append(self._exons[contig][members])
        rows, exons = np.concatenate(found_rows), np.concatenate(found_exons)
        order = np.argsort(rows, kind="stable")
        rows, exons = rows[order], exons[order]
        transcripts = self.owner[exons]
        return Places(rows, transcripts, self.positions_in(exons, positions[rows]), exons)

    def positions_in(
        self, exons: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Positions in joined sequences of positions in exons, int64 [P].

        Parameters
        ----------
        exons, positions : int64 array [P]
            Each position lies in its exon.
        """
        all_exons = self._transcripts
        forward = positions - all_exons.exon_starts[exons]
        backward = all_exons.exon_ends[exons] - 1 - positions
        is_reverse = all_exons.is_reverse[self.owner[exons]]
        return self._offsets[exons] + np.where(is_reverse, backward, forward)

    def overlaps(
        self, contigs: NDArray[np.int64], begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which spans, 0-based and half-open, hold a position of a transcript; bool array [K].

        Parameters
        ----------
        contigs, begins, ends : int64 array [K]
        """
        found = np.zeros(len(contigs), dtype=bool)
        for contig in np.unique(contigs).tolist():
            if contig in self._merged:
                rows = np.flatnonzero(contigs == contig)
                first, last = overlapping(self._merged[contig], begins[rows], ends[rows])
                found[rows] = first < last
        return found


class PartialGenome(ReferenceGenome):
    """The parts of a genome that are known from the joined sequences of transcripts.

    All other letters are N.

    Parameters
    ----------
    sequences : ReferenceGenome
        Its contigs are the transcripts, by their names.
    transcripts : Transcripts

    Attributes
    ----------
    known : RegionSet
        Where the letters are known.

    Raises
    ------
    InputError
        If a sequence is missing, is not as long as its parts, or disagrees with another one.
    """

    def __init__(self, sequences: ReferenceGenome, transcripts: Transcripts) -> None:
        source = _PartialSource(sequences, transcripts)
        super().__init__(source, sequences.path)
        self.known = source.known


class _PartialSource:
    """Letters of exons, by their place in the genome."""

    def __init__(self, sequences: ReferenceGenome, transcripts: Transcripts) -> None:
        # Before room is made for the parts: a row may say that one has gigabases.
        for name, length in zip(transcripts.names, transcripts.lengths.tolist(), strict=True):
            _require_length(name, length, sequences, transcripts)
        self.known = transcripts.regions
        lengths = transcripts.contig_lengths
        self.contigs = lengths | {
            contig: lengths.get(contig, UNKNOWN_LENGTH) for contig in self.known.contigs
        }
        self._runs = {
            contig: [bytearray(b"\0" * (end - start)) for start, end in self.known.on(contig)]
            for contig in self.known.contigs
        }
        for k in range(len(transcripts)):
            self._put(k, sequences, transcripts)

    def _put(self, k: int, sequences: ReferenceGenome, transcripts: Transcripts) -> None:
        """Write the letters of a transcript into the runs that its exons lie in."""
        name, contig = transcripts.names[k], transcripts.contigs[k]
        exons = transcripts.exons(k)
        letters = sequences.letters(Region(name, 0, sequences.contigs[name]))
        if transcripts.is_reverse[k]:
            letters = reverse_complement(letters)
        at = 0
        known = self.known.on(contig)
        for start, end in exons.tolist():
            part = letters[at : at + end - start]
            at += end - start
            row = int(np.searchsorted(known[:, 0], start, side="right")) - 1
            run, first = self._runs[contig][row], start - int(known[row, 0])
            there = run[first : first + len(part)]
            if there.strip(b"\0") and any(
                a not in (0, b) for a, b in zip(there, part, strict=True)
            ):
                raise InputError(
                    f"transcript {shown(name)} disagrees with an earlier one on {contig}:"
                    f"{start + 1}-{end}",
                    path=sequences.path,
                    remedy=f"give the sequences that belong to {shown_path(transcripts.path)}",
                )
            run[first : first + len(part)] = part

    def letters(self, contig: str, start: int, end: int) -> bytes:
        found = bytearray(b"N" * (end - start))
        known = self.known.on(contig)
        for row in range(*overlapping(known, start, end)):
            low, high = max(start, int(known[row, 0])), min(end, int(known[row, 1]))
            first = int(known[row, 0])
            found[low - start : high - start] = self._runs[contig][row][low - first : high - first]
        return bytes(found)

    def close(self) -> None:
        pass


def _require_length(
    name: str, length: int, sequences: ReferenceGenome, transcripts: Transcripts
) -> None:
    found = sequences.contigs.get(name)
    if found != length:
        raise InputError(
            f"has no sequence of transcript {shown(name)}"
            if found is None
            else f"transcript {shown(name)} has {found} bases, its parts {length}",
            path=sequences.path,
            remedy=f"give the sequences that belong to {shown_path(transcripts.path)}",
        )


def packed(spliced: SplicedGenome) -> tuple[str, str]:
    """Transcripts and their joined sequences as GFF3 and FASTA, which `PartialGenome` takes."""
    genome = spliced.genome
    known = {name: n for name, n in genome.contigs.items() if n != UNKNOWN_LENGTH}
    placed = replace(spliced.transcripts, contig_lengths=known)
    records = []
    for k, name in enumerate(placed.names):
        letters = spliced.joined(k).decode()
        lines = (letters[at : at + _LINE] for at in range(0, len(letters), _LINE))
        records.append(f">{name}\n" + "".join(f"{line}\n" for line in lines))
    return placed.to_gff3(), "".join(records)
