"""A small folder of tracks of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyBigWig
import pysam

from phylotools.browser import Track
from phylotools.io.regions import Region

LENGTH = 3000
#: Two contigs; all tracks but one hold values of the first one alone.
CONTIGS = {"chrA": LENGTH, "chrB": 500}
VIEW = Region("chrA", 1000, 1080)
COLOURS = {"A": (0, 158, 115), "C": (0, 114, 178), "G": (230, 159, 0), "T": (213, 94, 0)}


def write_bigwig(path: Path, values: np.ndarray, contig: str = "chrA") -> None:
    handle = pyBigWig.open(str(path), "w")
    handle.addHeader(list(CONTIGS.items()))
    handle.addEntries(contig, 0, values=values.astype(np.float32), span=1, step=1)
    handle.close()


def make_tracks(folder: Path) -> list[Track]:
    """Every kind of track, with values that are seen at a glance."""
    position = np.arange(LENGTH)
    write_bigwig(folder / "llr.bw", -1.0 - 6 * (position % 5 == 0))
    write_bigwig(folder / "rate.bw", np.full(LENGTH, 2.0))
    write_bigwig(folder / "empty.bw", np.full(500, 2.0), "chrB")
    tracks = [
        Track("LLR", "llr.bw", "signal", "log-likelihood ratio", (31, 78, 121), (-10, 2), True),
        Track("Rate", "rate.bw", "signal", "site rate", (84, 39, 136), (0.0, 4.0)),
        Track("Empty", "empty.bw", "signal", "no value in view", (200, 0, 0), (0.0, 4.0)),
    ]
    for number, (base, colour) in enumerate(COLOURS.items()):
        write_bigwig(folder / f"log {base}.bw", np.where(position % 4 == number, -0.2, -6.0))
        write_bigwig(folder / f"logo_{base}.bw", np.where(position % 4 == number, 1.2, 0.2))
        log, logo = f"log {base}.bw", f"logo_{base}.bw"
        tracks += [
            Track(f"log P {base}", log, "signal", "nats", colour, (-7, 0), base=base, group="P"),
            Track(f"Logo {base}", logo, "signal", "bits", colour, (0, 2), base=base, group="Logo"),
        ]
    bed = folder / "parts.bed"
    bed.write_text("chrA\t900\t1040\tpart\t500\nchrA\t2000\t2100\tother\t500\n")
    pysam.tabix_index(str(bed), preset="bed", force=True)
    (folder / "table.tsv.gz").write_bytes(b"")
    tracks += [
        Track("Parts", "parts.bed.gz", "annotation", "parts </script><b>", (0, 90, 0)),
        Track("Table", "table.tsv.gz", "table", "all SNVs"),
    ]
    return tracks


def write_fasta(path: Path) -> None:
    rng = np.random.default_rng(7)
    with open(path, "w") as handle:
        for name, length in CONTIGS.items():
            handle.write(f">{name} description\n{''.join(rng.choice(list('ACGTacgtN'), length))}\n")
