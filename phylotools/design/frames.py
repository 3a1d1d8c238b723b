"""Reading frames of sequences to be designed: said by a number, or by transcripts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phylotools.design.constraints import CodingFrame
from phylotools.design.starts import Start
from phylotools.errors import InputError, UsageError, shown
from phylotools.io.contigs import contig_stem, resolve_contigs
from phylotools.io.genetic_code import GENETIC_CODES, STANDARD_CODE, VERTEBRATE_MITOCHONDRIAL_CODE
from phylotools.io.transcripts import read_transcripts

#: First base of the first codon, 1-based; negative on the other strand, from its end on.
NUMBERS = ("1", "2", "3", "-1", "-2", "-3")


def coding_frames(
    start: Start, text: str, genetic_code: int | None
) -> tuple[list[CodingFrame], np.ndarray]:
    """Frames whose proteins are to be kept, and positions of codons that are not whole in it.

    Parameters
    ----------
    start : Start
    text : str
        One of `NUMBERS`, or a GFF3 or GTF whose CDS rows are read on the start's region.
    genetic_code : int, optional
        By default what the file says, else 2 on a mitochondrion, else 1.

    Raises
    ------
    InputError
        If the file is none, has no CDS there, or a frame has stop codons within.
    UsageError
        If it is neither a number nor a file.
    """
    if text in NUMBERS:
        frames, torn = _numbered(start, int(text), genetic_code or _usual_code(start))
    else:
        frames, torn = _annotated(start, text, genetic_code)
    for frame in frames:
        protein = frame.amino_acids(start.codes[None])[0]
        stops = np.flatnonzero(protein[:-1] == ord("*"))
        if len(stops):
            place = start.place.start + int(frame.positions[stops[0]].min()) + 1
            raise InputError(
                f"{shown(start.name)} has {len(stops)} stop codons within the frame, the first at "
                f"{place}",
                remedy="check --keep-protein and --genetic-code",
            )
    return frames, torn


def _usual_code(start: Start) -> int:
    is_mitochondrial = contig_stem(start.place.contig) == "MT"
    return VERTEBRATE_MITOCHONDRIAL_CODE if is_mitochondrial else STANDARD_CODE


def _numbered(start: Start, number: int, code: int) -> tuple[list[CodingFrame], np.ndarray]:
    length, first = len(start), abs(number) - 1
    n_codons = (length - first) // 3
    if n_codons < 1:
        raise UsageError(f"{shown(start.name)}: {length} bases have no codon in frame {number}")
    positions = first + np.arange(3 * n_codons)
    if number < 0:
        positions = length - 1 - positions
    torn = np.setdiff1d(np.arange(length), positions)
    return [CodingFrame(positions.reshape(-1, 3), number < 0, code)], torn


def _annotated(
    start: Start, path: str, genetic_code: int | None
) -> tuple[list[CodingFrame], np.ndarray]:
    transcripts = read_transcripts(path)
    place = start.place
    names = resolve_contigs(set(transcripts.contigs), [place.contig])
    frames: list[CodingFrame] = []
    torn: list[np.ndarray] = []
    for k in range(len(transcripts)):
        if names.get(transcripts.contigs[k]) != place.contig:
            continue
        exons = transcripts.exons(k)
        joined = np.concatenate([np.arange(*exon) for exon in exons.tolist()])
        is_reverse = bool(transcripts.is_reverse[k])
        read = (joined[::-1] if is_reverse else joined)[int(transcripts.phases[k]) :]
        codons = read[: len(read) // 3 * 3].reshape(-1, 3) - place.start
        inside = (codons >= 0) & (codons < len(start))
        whole = inside.all(axis=1)
        ends = np.setdiff1d(joined - place.start, codons)
        torn += [codons[~whole][inside[~whole]], ends[(ends >= 0) & (ends < len(start))]]
        if whole.any():
            code = genetic_code or int(transcripts.genetic_codes[k])
            code = code if code in GENETIC_CODES else _usual_code(start)
            frames.append(CodingFrame(codons[whole], is_reverse, code))
    if not frames:
        raise InputError(
            f"no CDS has a whole codon in {shown(start.name)}",
            path=path,
            remedy="give a frame, 1, 2 or 3, or leave --keep-protein out",
        )
    return _distinct(frames), np.unique(np.concatenate(torn))


def _distinct(frames: Sequence[CodingFrame]) -> list[CodingFrame]:
    """Frames without those of transcripts that read the same codons."""
    kept = {(f.positions.tobytes(), f.is_reverse, f.genetic_code): f for f in frames}
    return list(kept.values())
