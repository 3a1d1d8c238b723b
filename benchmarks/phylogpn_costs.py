"""What the published network costs beside its arithmetic: start, memory, room of its tracks.

    python benchmarks/phylogpn_costs.py [--positions 2000000] [--records 64] [--runs 3]

1. `annotate` of one record, of isolated ones and of ones scattered as densely as those of a genome,
   and `tracks` of a stretch, through 83 million random weights, as processes of their own: seconds,
   and the most memory they held. Beside it `import torch`.
2. Bytes a position of every track and of the table under the network's substitution model, with
   numbers at random in place of the network's: those that `annotate --scores` reads, then all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bases import BASES
from phylotools.jobs.stages import Resources
from phylotools.model.folder import ModelDraft, write_model
from phylotools.model.presets import PRESETS, ModelSpec
from phylotools.model.registry import load_model
from phylotools.tracks.plan import TrackSettings

SPACING = 10_000
#: Bases for each variant of a human genome: 4.5 million in 2.94 billion.
GENOME_SPACING = 650
STRETCH = 16_384
#: What `annotate --scores` reads.
LOOKED_UP = ("log_probability", "rate", "llr_mean")
_HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length={}>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--positions", type=int, default=2_000_000)
    parser.add_argument("--records", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare:
        prepare(given.prepare, given.positions)
        return
    with tempfile.TemporaryDirectory() as name:
        # A child is charged with the memory of the process that it began as: keep this one small.
        command = [__file__, "--prepare", name, "--positions", str(given.positions)]
        subprocess.run([sys.executable, *command], check=True)
        letters = Path(name, "genome.fa").read_text().splitlines()[1]
        processes(Path(name), letters, given.records, given.runs)


def prepare(folder: Path, n_positions: int) -> None:
    """Make genome and model, and print the room of tracks."""
    letters = np.random.default_rng(1).choice(list(BASES), n_positions)
    (folder / "genome.fa").write_text(">chr1\n" + "".join(letters) + "\n")
    write_random_model(folder / "model", PRESETS["phylogpn"])
    write_random_model(folder / "small", ModelSpec(2, 2, dilations=(1,)))
    room_of_tracks(folder, n_positions)


def write_random_model(path: Path, spec: ModelSpec) -> None:
    """Make a model folder of a network with random weights."""
    import torch

    from phylotools.model.network import ByteNet
    from phylotools.model.site_model import SiteModel

    torch.manual_seed(1)
    model = SiteModel(ByteNet(spec)).freeze()
    write_model(ModelDraft("random", "1", model, {}, {}, "Random.\n"), path)


def processes(folder: Path, letters: str, n_records: int, runs: int) -> None:
    """Print seconds and memory of whole commands, in turn."""
    ways = {"import torch": [sys.executable, "-c", "import torch"]}
    for number, (name, places) in enumerate(inputs(letters, n_records).items()):
        path = folder / f"{number}.vcf"
        path.write_text(_HEADER.format(len(letters)) + "".join(_records(letters, places)))
        ways |= both_ways(f"annotate {name}", ["annotate", str(path), "-o", "out.vcf"])
    tracks = ["--tracks", ",".join(LOOKED_UP), "--no-snv-table", "-o", "tracks"]
    ways |= both_ways(
        f"tracks of {STRETCH:,} positions", ["tracks", "-r", f"chr1:1-{STRETCH}", *tracks]
    )
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    for _ in range(runs + 1):
        for way, command in ways.items():
            found[way].append(measured(command, folder))
    print(f"whole processes, {runs} runs in turn: median [min, max]")
    for way, each in found.items():
        wall, cpu, memory = np.median(each[1:], axis=0)
        walls, cpus = (sorted(row[column] for row in each[1:]) for column in (0, 1))
        print(
            f"  {way:44s} {wall:6.2f} s [{walls[0]:.2f}, {walls[-1]:.2f}], "
            f"CPU {cpu:6.2f} s [{cpus[0]:.2f}, {cpus[-1]:.2f}], {memory:5,.0f} MiB"
        )


def inputs(letters: str, n_records: int) -> dict[str, NDArray[np.int64]]:
    """Places of variants."""
    isolated = SPACING * (1 + np.arange(min(n_records, len(letters) // SPACING - 1)))
    n_scattered = 4 * n_records
    reach = n_scattered * GENOME_SPACING
    scattered = np.unique(np.random.default_rng(2).integers(0, reach, n_scattered))
    return {
        "of one record": isolated[:1],
        f"of {len(isolated)} isolated records": isolated,
        f"of {len(scattered)} scattered records": scattered,
    }


def both_ways(name: str, arguments: list[str]) -> dict[str, list[str]]:
    """A command with the random model on one thread and on two."""
    program = [sys.executable, "-m", "phylotools", *arguments, "-m", "model", "-f", "genome.fa"]
    return {
        f"{name}, {threads} thread(s)": [*program, "--force", "-q", "-@", str(threads)]
        for threads in (1, 2)
    }


def _records(letters: str, places: NDArray[np.int64]) -> list[str]:
    bases = [(place, letters[place]) for place in places.tolist()]
    return [
        f"chr1\t{place + 1}\t.\t{base}\t{BASES[BASES.index(base) - 1]}\t.\t.\t.\n"
        for place, base in bases
    ]


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds of a command, and the most memory it held, MiB."""
    start = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""}
    )
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"error: {' '.join(command)}: exit code {child.returncode}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def room_of_tracks(folder: Path, n_positions: int) -> None:
    """Print the bytes of every file of tracks, under the substitution model of the network."""
    from tracks import Random

    from phylotools.tracks import stages

    model = load_model(str(folder / "small"))
    scorer, stages.Scorer = stages.Scorer, Random  # type: ignore[assignment, misc]
    try:
        for name, settings in {
            "for annotate --scores": TrackSettings(LOOKED_UP, snv_table=False),
            "all tracks and the table": TrackSettings(),
        }.items():
            output, fasta = folder / "out", str(folder / "genome.fa")
            stages.make_tracks(
                model, output, settings, fasta=fasta, resources=Resources(2), force=True
            )
            sizes = {
                path.name: path.stat().st_size / n_positions
                for path in sorted(output.iterdir())
                if path.suffix in (".bw", ".gz")
            }
            print(f"{name}: {sum(sizes.values()):.1f} bytes a position")
            print("  " + ", ".join(f"{file} {size:.2f}" for file, size in sizes.items()))
    finally:
        stages.Scorer = scorer  # type: ignore[misc]


if __name__ == "__main__":
    main()
