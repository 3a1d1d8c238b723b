"""The track of influence scores: a bigWig, alone or in a folder that browsers open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylotools.browser import FILE_NAMES, Track, write_browser_files
from phylotools.errors import InputError, UsageError
from phylotools.interpret.changes import Measure
from phylotools.io.bigwig.writer import open_bigwig
from phylotools.io.files import (
    atomic_folder,
    refuse_existing_file,
    refuse_existing_folder,
    refuse_same_file,
)
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import RegionSet
from phylotools.version import __version__

TRACK, RECORD = "influence.bw", "influence.json"
CONTENTS = frozenset({TRACK, RECORD, *FILE_NAMES})
_SUFFIXES = (".bw", ".bigwig")
_COLOUR = (84, 39, 136)

Blocks = Iterable[tuple[str, NDArray[np.int64], NDArray[np.float32]]]


@dataclass(frozen=True)
class TrackSummary:
    """What was written.

    Attributes
    ----------
    files : list of str
    n_sites : int
        Positions with a score.
    mean : float
        Of the scores.
    notes : tuple of str
        What browsers do not get, and why.
    """

    files: list[str]
    n_sites: int
    mean: float
    notes: tuple[str, ...] = ()


def is_track_file(output: str) -> bool:
    """Whether an ``-o`` names a bigWig, and not a folder."""
    return output.lower().endswith(_SUFFIXES)


def refuse_track(output: str, *, force: bool, inputs: Sequence[str | None]) -> None:
    """Refuse, before the work, what may not be written.

    Raises
    ------
    UsageError, OutputError
    """
    if output == "-":
        raise UsageError("a bigWig cannot go to stdout; give -o NAME.bw, or a folder")
    if is_track_file(output):
        refuse_existing_file(output, force)
        refuse_same_file(output, [name for name in inputs if name is not None])
    else:
        refuse_existing_folder(output, force, CONTENTS)


def write_track(
    output: str,
    blocks: Blocks,
    facts: Mapping[str, str],
    measure: Measure,
    genome: ReferenceGenome,
    *,
    regions: RegionSet | None,
    assembly: str,
    force: bool,
) -> TrackSummary:
    """Write scores as they come; memory does not grow with them.

    Parameters
    ----------
    output : str
        A bigWig by its suffix, else a folder.
    blocks : iterable of (str, int64 array, float32 array)
        As of `influence_blocks`.
    facts : mapping of str to str
        What made them.
    measure : str
    genome : ReferenceGenome
    regions : RegionSet, optional
        Where the scores lie; None for the whole genome.
    assembly : str
        What browsers call the genome.
    force : bool

    Raises
    ------
    InputError
        If there is no score.
    OutputError
    """
    if is_track_file(output):
        n_sites, mean = _write_bigwig(output, blocks, genome, force=force)
        return TrackSummary([output], n_sites, mean)
    with atomic_folder(output, force=force, contents=CONTENTS) as folder:
        n_sites, mean = _write_bigwig(str(folder / TRACK), blocks, genome, force=False)
        what = "log odds" if measure == "log-odds" else "log probability"
        track = Track(
            name="Influence",
            file=TRACK,
            kind="signal",
            description=f"Mean largest change of the neighbours' {what} (nats)",
            colour=_COLOUR,
            limits=(0.0, max(4 * mean, 1e-3)),
        )
        title = " on ".join(dict.fromkeys((facts.get("Model", "model"), assembly)))
        written = write_browser_files(
            folder,
            [track],
            assembly=assembly,
            contigs=genome.contigs,
            fasta=genome.path,
            regions=regions,
            title=title,
        )
        record = {**facts, "Measure": measure, "Version": __version__, "sites": n_sites}
        (folder / RECORD).write_text(json.dumps(record | {"mean": mean}, indent=2) + "\n")
        files = sorted([TRACK, RECORD, *written.files])
    return TrackSummary([str(Path(output) / name) for name in files], n_sites, mean, written.notes)


def _write_bigwig(
    path: str, blocks: Blocks, genome: ReferenceGenome, *, force: bool
) -> tuple[int, float]:
    """Write a bigWig; how many scores there are, and their mean."""
    total = 0.0
    contigs = {name: genome.contigs[name] for name in sorted(genome.contigs)}
    with open_bigwig(path, contigs, force=force) as writer:
        for contig, positions, scores in blocks:
            writer.add(contig, positions, scores)
            total += float(scores.sum(dtype=np.float64))
        n_sites = writer.n_positions
        if not n_sites:
            raise InputError(
                "no position of the regions has A, C, G or T, and others within reach",
                path=genome.path,
                remedy="check them",
            )
    return n_sites, total / n_sites
