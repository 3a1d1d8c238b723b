"""Pieces -> the folder of tracks, which appears whole or not at all."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phylotools.browser import FILE_NAMES, Track, write_browser_files
from phylotools.errors import InputError
from phylotools.io.bigwig.writer import open_bigwig
from phylotools.io.files import atomic_folder
from phylotools.io.indexes import POSITION_INDEXES
from phylotools.io.position_table import open_position_table
from phylotools.io.regions import RegionSet
from phylotools.io.track_folder import RECORD_FORMAT, RECORD_NAME
from phylotools.jobs.piece import Piece
from phylotools.jobs.signals import read_blocks, read_notes, read_signal
from phylotools.jobs.work_folder import WorkFolder
from phylotools.phylogeny.score_meaning import DEFAULT_SCORES, score_meaning
from phylotools.tracks.catalogue import ALL_SIGNALS, Signal, signals_of
from phylotools.tracks.plan import Plan
from phylotools.tracks.table import TABLE_NAME, write_table
from phylotools.tracks.values import ROUNDING
from phylotools.version import __version__

logger = logging.getLogger("phylotools")

TRAINED = "trained_regions.bed.gz"
#: 2: the LLR is log pi_alt - log pi_ref of every substitution model.
_RECORD_VERSION = 2
#: Names that such a folder may hold.
CONTENTS = {
    *(signal.file for signal in ALL_SIGNALS),
    *(name + suffix for name in (TABLE_NAME, TRAINED) for suffix in ("", *POSITION_INDEXES)),
    *FILE_NAMES,
    RECORD_NAME,
}


@dataclass(frozen=True)
class TrackSummary:
    """What was made, for the log and `--summary-json`.

    Attributes
    ----------
    files : list of str
    n_positions : int
        Of the regions.
    n_sites : int
        Those with A, C, G or T: all that files have values of.
    n_outside : int or None
        Positions outside the training regions; None if the model does not say which they are.
    model, assembly : str
    """

    files: list[str]
    n_positions: int
    n_sites: int
    n_outside: int | None
    model: str
    assembly: str


def finalise(
    work: WorkFolder[Plan],
    plan: Plan,
    output: str | os.PathLike[str],
    *,
    assembly: str | None = None,
    threads: int = 1,
    force: bool = False,
) -> TrackSummary:
    """Put the tracks of a plan together whose partitions are finished.

    Parameters
    ----------
    work : WorkFolder
        Nothing in it changes.
    plan : Plan
    output : str or PathLike
        Folder to make.
    assembly : str, optional
        What browsers call the reference; by default as the plan says.
    threads : int
        Tracks at a time.
    force : bool
        Replace an existing output.

    Raises
    ------
    PhylotoolsError
        If partitions are missing or damaged.
    InputError
        If no position of the regions has A, C, G or T.
    OutputError
    """
    work.require_all(plan)
    pieces = _Pieces(work, plan.n_partitions)
    if not pieces.counts["sites"]:
        raise InputError(
            "no position of the regions has A, C, G or T", path=plan.fasta, remedy="check them"
        )
    assembly = assembly or plan.assembly
    signals = signals_of(plan.settings.tracks or ())
    with atomic_folder(output, force=force, contents=CONTENTS) as folder:
        with ThreadPoolExecutor(max(1, threads), thread_name_prefix="finalise") as pool:
            jobs = [
                pool.submit(_write_signal, folder / signal.file, plan, pieces, index)
                for index, signal in enumerate(signals)
            ]
            if plan.settings.snv_table:
                # First of all, as it takes longest; the queue is in order, so it is in time.
                jobs.append(pool.submit(_write_snv_table, folder / TABLE_NAME, plan, pieces))
            for job in jobs:
                job.result()
        _write_trained_regions(folder, plan)
        _write_browser_files(folder, plan, signals, assembly)
        files = sorted({*os.listdir(folder), RECORD_NAME})
        summary = _summary(plan, pieces, assembly, files)
        record = _record(plan, pieces, summary, signals)
        (folder / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n")
    return summary


class _Pieces:
    """All pieces of a job; opened one at a time, as there may be many."""

    def __init__(self, work: WorkFolder[Plan], n_partitions: int) -> None:
        self._work, self._n_partitions = work, n_partitions
        self.counts: Counter[str] = Counter()
        self.facts: list[dict[str, str]] = []
        for piece in self:
            self.counts += Counter(piece.summary["counts"])
            if piece.summary["facts"] not in self.facts:
                self.facts.append(piece.summary["facts"])

    def __iter__(self) -> Iterator[Piece]:
        return map(self._work.open_piece, range(self._n_partitions))


def _write_signal(path: Path, plan: Plan, pieces: _Pieces, signal: int) -> None:
    with open_bigwig(str(path), plan.contigs) as writer:
        for piece in pieces:
            for encoded in read_signal(piece, signal):
                writer.add_blocks(encoded)


def _write_snv_table(path: Path, plan: Plan, pieces: _Pieces) -> None:
    facts = {
        **plan.model.identity.header_facts(),
        "Reference": Path(plan.fasta).name,
        **({} if plan.transcripts is None else {"Transcripts": Path(plan.transcripts).name}),
        "DefaultScore": DEFAULT_SCORES[plan.substitution],
        "Precision": ",".join(sorted({facts["precision"] for facts in pieces.facts})),
        "Version": __version__,
        "Command": plan.run.command,
    }
    parts = ((read_blocks(piece), read_notes(piece)) for piece in pieces)
    write_table(path, facts, plan.settings.scores, parts, max(plan.contigs.values()))


def _write_trained_regions(folder: Path, plan: Plan) -> None:
    trained = plan.trained_regions
    shown = None if trained is None else plan.regions & trained
    if not shown:
        return
    with open_position_table(
        str(folder / TRAINED), longest_contig=max(plan.contigs.values()), is_bed=True
    ) as table:
        for region in shown:
            table.write(f"{region.contig}\t{region.start}\t{region.end}\n".encode())


def _write_browser_files(folder: Path, plan: Plan, signals: list[Signal], assembly: str) -> None:
    regions = _regions(plan)
    written = write_browser_files(
        folder,
        _browser_tracks(folder, signals),
        assembly=assembly,
        contigs=plan.contigs,
        fasta=None if plan.is_partial else plan.fasta,
        regions=regions,
        title=" on ".join(dict.fromkeys((plan.model.name, assembly))),
    )
    for note in written.notes:
        logger.info("%s", note)


def _browser_tracks(folder: Path, signals: list[Signal]) -> list[Track]:
    """Tracks for browsers; logarithms are off at first where there is a logo."""
    by_base = {"logo": "Logo", "log_probability": "log P"}
    has_logo = any(signal.group == "logo" for signal in signals)
    tracks = [
        Track(
            name=signal.title,
            file=signal.file,
            kind="signal",
            description=f"{signal.description} ({signal.unit})",
            colour=signal.colour,
            limits=signal.limits,
            letters=signal.group == "llr_mean",
            base=signal.name[-1] if signal.group in by_base else None,
            group=by_base.get(signal.group, ""),
            is_shown=signal.group != "log_probability" or not has_logo,
        )
        for signal in signals
    ]
    if (folder / TRAINED).exists():
        about = "Regions that the model was trained on"
        tracks.append(Track("Trained regions", TRAINED, "annotation", about))
    if (folder / TABLE_NAME).exists():
        about = "Scores of all single-nucleotide variants"
        tracks.append(Track("Variant scores", TABLE_NAME, "table", about, is_shown=False))
    return tracks


def _regions(plan: Plan) -> RegionSet | None:
    """Regions asked for; None for the whole genome."""
    settings = plan.settings
    is_whole = not (settings.regions or settings.regions_file or settings.trained_only)
    is_whole &= plan.transcripts is None
    return None if is_whole else plan.regions


def _summary(plan: Plan, pieces: _Pieces, assembly: str, files: list[str]) -> TrackSummary:
    n_outside = None
    trained = plan.trained_regions
    if trained is not None:
        n_outside = (plan.regions - trained).n_positions
    return TrackSummary(
        files, plan.n_positions, pieces.counts["sites"], n_outside, plan.model.name, assembly
    )


def _record(
    plan: Plan, pieces: _Pieces, summary: TrackSummary, signals: list[Signal]
) -> dict[str, Any]:
    regions = _regions(plan)
    return {
        "format": RECORD_FORMAT,
        "version": _RECORD_VERSION,
        "model": plan.model.identity.to_dict(),
        "reference": {
            "file": Path(plan.fasta).name,
            "sha256": plan.run.inputs.get("reference"),
            "assembly": summary.assembly,
        },
        "transcripts": None if plan.transcripts is None else Path(plan.transcripts).name,
        "scores": {name: score_meaning(plan.substitution, name) for name in plan.settings.scores},
        "default_score": DEFAULT_SCORES[plan.substitution],
        "computed_on": pieces.facts,
        "regions": None if regions is None else [str(region) for region in regions],
        "positions": summary.n_positions,
        "sites": summary.n_sites,
        "positions_outside_training": summary.n_outside,
        "rounding": ROUNDING,
        "tracks": [
            {
                "file": signal.file,
                "name": signal.name,
                "description": signal.description,
                "unit": signal.unit,
                "view_limits": list(signal.limits),
            }
            for signal in signals
        ],
        "files": summary.files,
        "run": plan.run.to_dict(),
    }
