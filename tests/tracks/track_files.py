"""Folders of tracks read back, and what they should hold by an independent route."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pybigtools
import pyBigWig

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer
from phylotools.tracks.catalogue import SIGNALS
from phylotools.tracks.values import rounded, site_values


def files_of(folder: Path) -> dict[str, object]:
    """Every file of a folder of tracks; of the record, all but the run."""
    found: dict[str, object] = {path.name: path.read_bytes() for path in folder.iterdir()}
    record = json.loads(found["tracks.json"])  # type: ignore[arg-type]
    del record["run"]
    found["tracks.json"] = record
    return found


def without_command(data: bytes) -> str:
    """Text of the table but for the command in its header."""
    text = gzip.decompress(data).decode()
    return "\n".join(line for line in text.splitlines() if not line.startswith("##"))


def expected(model, fasta) -> dict[str, dict[tuple[str, int], float]]:
    """Track -> contig and position -> value, contig by contig in one go."""
    values: dict[str, dict[tuple[str, int], float]] = {signal.name: {} for signal in SIGNALS}
    with ReferenceGenome.open(fasta) as genome:
        scorer = Scorer(model, genome, threads=1)
        for contig, length in genome.contigs.items():
            whole = Region(contig, 0, length)
            codes = genome.fetch(whole) & 7
            known = np.flatnonzero(codes < 4)
            if not len(known):
                continue
            theta = scorer.theta(whole)[known]
            sites = site_values(model.substitution, theta, codes[known].astype(np.uint8))
            for track in SIGNALS:
                numbers = rounded(sites.signal(track)).tolist()
                places = ((contig, at) for at in known.tolist())
                values[track.name] |= dict(zip(places, numbers, strict=True))
    return values


def written(path: Path) -> dict[tuple[str, int], float]:
    with pyBigWig.open(str(path)) as track:
        return {
            (contig, at): value
            for contig in track.chroms()
            for start, end, value in track.intervals(contig) or ()
            for at in range(start, end)
        }


def written_by_another(path: Path) -> dict[tuple[str, int], float]:
    with pybigtools.open(str(path)) as track:
        return {
            (contig, at): value
            for contig in track.chroms()
            for start, end, value in track.records(contig)
            for at in range(start, end)
        }
