"""Whether coding sequences can be read: the check that transcripts and genome belong together.

A coding sequence has its first stop codon at its end. Where another assembly, another strand or
another genetic code is taken for the right one, one codon of twenty is a stop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown, shown_path
from phylotools.io.bases import base_codes, reverse_complement
from phylotools.io.contigs import contig_stem
from phylotools.io.genetic_code import (
    CODONS,
    GENETIC_CODES,
    STANDARD_CODE,
    VERTEBRATE_MITOCHONDRIAL_CODE,
    codon_indices,
    stop_codons,
)
from phylotools.io.transcripts import Transcripts

logger = logging.getLogger("phylotools")

#: Stop codons by NCBI's number of the genetic code; those whose meaning depends on the place
#: (tables 27, 28 and 31) count as sense codons.
STOP_CODONS = {number: stop_codons(number) for number in GENETIC_CODES}
#: Transcripts looked at where not all are, spread over the file: 500 of a human genome are read in
#: a second.
SAMPLE = 500
#: A sequence that is read wrongly has a stop in one of twenty codons. Fewer than one of a hundred,
#: or a single one, is a selenocysteine, a frameshift or an error of a gene's model. A sequence of
#: fifty codons or more tells the two apart in nine of ten cases.
_BROKEN_FRACTION, _FEWEST_STOPS, _FEWEST_CODONS = 0.01, 2, 50
#: By chance one codon of 64 is a given stop.
_READ_FRACTION = 0.002
_START = 14  # ATG


@dataclass(frozen=True)
class _Reading:
    """A coding sequence as codons.

    Attributes
    ----------
    number : int
        Of the transcript.
    codons : int64 array
        0 to 63; -1 where a base is unknown.
    others : int64 array
        The same of the other strand.
    genetic_code : int
    """

    number: int
    codons: NDArray[np.int64]
    others: NDArray[np.int64]
    genetic_code: int


def check_reading_frames(
    transcripts: Transcripts,
    sequence: Callable[[int], bytes],
    genome: str,
    *,
    genetic_code: int | None = None,
    sample: int | None = SAMPLE,
) -> None:
    """Look for stop codons within coding sequences, and warn of those that have one.

    Parameters
    ----------
    transcripts : Transcripts
        Others than coding ones are not looked at.
    sequence : callable
        Joined sequence of a transcript, by its number.
    genome : str
        Where the sequence comes from, for messages.
    genetic_code : int, optional
        NCBI's number; 0 to look at nothing. By default what the file says of a transcript, else
        2 on a vertebrate's mitochondrion (by the name of the contig), else 1.
    sample : int, optional
        Most transcripts to look at; None for all.

    Raises
    ------
    InputError
        If most of them are broken by stop codons.
    """
    if genetic_code == 0 or not transcripts.is_coding:
        return
    numbers = np.arange(len(transcripts))
    if sample is not None and len(numbers) > sample:
        numbers = numbers[np.linspace(0, len(numbers) - 1, sample).astype(np.int64)]
    readings = [_reading(transcripts, sequence, k, genetic_code) for k in numbers.tolist()]
    readings = [reading for reading in readings if len(reading.codons) > 1]
    if _is_broken(readings, lambda r: _n_stops(r.codons, r.genetic_code)):
        raise _broken(transcripts, readings, genome)
    stopped = [r for r in readings if _n_stops(r.codons, r.genetic_code)]
    if stopped:
        first = stopped[0].number
        logger.warning(
            "%s:%d: %d of %s looked at have a stop codon within, first %s",
            shown_path(transcripts.path), transcripts.lines[first], len(stopped),
            counted(len(readings), "transcript"), shown(transcripts.names[first]),
        )  # fmt: skip


def transcript_code(transcripts: Transcripts, k: int, genetic_code: int | None = None) -> int:
    """NCBI's number of the genetic code that a transcript is read by.

    That asked for, what the file says of it, 2 on a vertebrate's mitochondrion (by the name of the
    contig), or 1.
    """
    code = genetic_code or int(transcripts.genetic_codes[k])
    if code in STOP_CODONS:
        return code
    is_mitochondrial = contig_stem(transcripts.contigs[k]) == "MT"
    return VERTEBRATE_MITOCHONDRIAL_CODE if is_mitochondrial else STANDARD_CODE


def _reading(
    transcripts: Transcripts, sequence: Callable[[int], bytes], k: int, genetic_code: int | None
) -> _Reading:
    letters = sequence(k)
    code = transcript_code(transcripts, k, genetic_code)
    codons = _codons(letters[int(transcripts.phases[k]) :])
    return _Reading(k, codons, _codons(reverse_complement(letters)), code)


def _codons(letters: bytes) -> NDArray[np.int64]:
    return codon_indices(base_codes(np.frombuffer(letters, dtype=np.uint8)))


def _n_stops(codons: NDArray[np.int64], genetic_code: int) -> int:
    """Stop codons but the last codon."""
    stops = [CODONS.index(codon) for codon in STOP_CODONS[genetic_code]]
    return int(np.isin(codons[:-1], stops).sum())


def _is_broken(readings: list[_Reading], n_stops: Callable[[_Reading], int]) -> bool:
    """Whether stop codons break most of the readings that are long enough to tell."""
    long = [reading for reading in readings if len(reading.codons) >= _FEWEST_CODONS]
    counts = [n_stops(reading) for reading in long]
    n_broken = sum(
        n >= _FEWEST_STOPS and n > _BROKEN_FRACTION * len(reading.codons)
        for n, reading in zip(counts, long, strict=True)
    )
    return 2 * n_broken > len(long)


def _are_read(readings: list[_Reading], n_stops: Callable[[_Reading], int]) -> bool:
    """Whether there are next to no stop codons: none of the codes has as few by chance."""
    n_codons = sum(len(reading.codons) for reading in readings)
    return sum(map(n_stops, readings)) <= _READ_FRACTION * n_codons


def _broken(transcripts: Transcripts, readings: list[_Reading], genome: str) -> InputError:
    n_stopped = sum(_n_stops(r.codons, r.genetic_code) > 0 for r in readings)
    n_started = sum(int(r.codons[0]) == _START for r in readings)
    cause, remedy = _likely_cause(readings, genome)
    first = readings[0].number
    return InputError(
        f"{n_stopped} of {counted(len(readings), 'coding transcript')} have stop codons within and "
        f"{n_started} begin with ATG: {cause}",
        path=transcripts.path,
        line=int(transcripts.lines[first]),
        remedy=remedy,
    )


def _likely_cause(readings: list[_Reading], genome: str) -> tuple[str, str]:
    """Why sequences cannot be read, and what to do."""
    if _are_read(readings, lambda r: _n_stops(r.others, r.genetic_code)):
        return "their strand is the wrong one", "mend the seventh column"
    for code, stops in STOP_CODONS.items():
        if stops and _are_read(readings, lambda r, code=code: _n_stops(r.codons, code)):  # type: ignore[misc]
            return (
                f"genetic code {code} would read them",
                f"give --genetic-code {code} if that is the organism's",
            )
    return (
        f"this looks like another assembly than {shown_path(genome)}",
        "give the transcripts of this assembly, or the FASTA of these transcripts; "
        "--genetic-code 0 takes them as they are",
    )
