"""What large jobs take on many cores and GPUs, from rates that were measured on one machine.

python benchmarks/scale.py [--gpu-hour 3] [--core-hour 0.05] [--disk 2000]

Prints the tables of docs/scale.md. Every rate names the section of RESULTS.md that it stands in;
prices and the speed of a shared disk are assumptions, and can be given.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Measured(NamedTuple):
    """A figure of RESULTS.md.

    Attributes
    ----------
    value : float
    says : str
        What it is, with its unit.
    section : str
        Anchor of the section.
    quote : str
        As it stands there.
    """

    value: float
    says: str
    section: str
    quote: str


ROW = Measured(
    413e-6, "core seconds of a position of the 83 M network", "the-published-network-on-a-vcf",
    "413 us each on one core",
)  # fmt: skip
MARGIN = Measured(1.06, "times that in tiles of 4,096", "gpu", "6 % more than the position alone")
GPU_ROOF = Measured(
    3.5e6, "positions/s of an H200, at most: **counted, not measured**", "gpu",
    "| halved, bfloat16 | 1.3 MB | 3,500,000 |",
)  # fmt: skip
ONE_BIGWIG = Measured(
    14_182_002, "values/s of one core into one bigWig", "tracks", "14,182,002 bases/s"
)
SIX_BYTES = Measured(
    21.3, "bytes a position in the six bigWigs that `annotate --scores` reads",
    "the-published-network-start-memory-tracks", "21.3 in the six",
)  # fmt: skip
LOADING = Measured(
    3.2, "seconds until a process has the network, on a core",
    "the-published-network-start-memory-tracks", "| `annotate`, one record | 3.16, 3.27 |",
)  # fmt: skip
PROCESS_MEMORY = Measured(
    1.0, "GiB of a process with the network", "the-published-network-start-memory-tracks",
    "| `tracks`, 16,384 positions; on two threads | 10.90, 14.78; 11.24, 11.36 | 960 and 1,001 MiB",
)  # fmt: skip
PARTITION_SECONDS = Measured(
    3.6, "core seconds of the partitions of 1 GB of MAF text", "two-workers-against-one",
    "a further GB takes 3.6 s of processor time in the partitions",
)  # fmt: skip
MERGE_SECONDS = Measured(
    0.49, "seconds of one core that merge the pieces of 1 GB of MAF text",
    "two-workers-against-one", "0.49 s that are serial",
)  # fmt: skip
MAF_BYTES = Measured(
    512.7, "bytes of MAF text a reference base, 447 species (simulated)", "447-mammals-and-31-gb",
    "--maf-per-base 512.7",
)  # fmt: skip
PACKED_BYTES = Measured(
    57.6, "the same, bgzipped", "size-of-the-store",
    "| 447 mammals, simulated with absent blocks | 57.6",
)  # fmt: skip
STORE_BYTES = Measured(
    21.6, "the same in a column store", "size-of-the-store", "| 24.1 (0.42) | 21.6 (0.37) |"
)
FIT_RATE = Measured(
    15_200, "sites/s of a core, `fit-sites` under F81, 671 species", "per-site-fits", "F81 15,200"
)
LOOKUP = Measured(
    172_210, "records/s of two cores, `annotate --scores`, whole processes", "scores-looked-up",
    "| `annotate --scores` | 172,210 |",
)  # fmt: skip
CONTRACT = Measured(
    0.1, "% of the time of 1,000 parts of a minute that is not the parts'", "jobs-in-parts",
    "| by the clock, of parts of a minute | 0.10 % [0.10, 0.12] |",
)  # fmt: skip
WIDE = Measured(
    37, "MB/s of one core, `annotate` of lines with 20,000 genotypes, text", "jobs-in-parts",
    "| lines with 20,000 genotypes, text, MB/s of a core | 37 |",
)  # fmt: skip
RECORD_BYTES = Measured(42, "bytes of a record, bgzipped", "annotation", "42 MB of bgzip")
ANNOTATE_MEMORY = Measured(
    407, "MiB of `annotate`, at 10,000 records and at a million", "annotation",
    "| sorted | 366 MiB | 388 MiB | 407 MiB |",
)  # fmt: skip
MEASURED = (
    ROW, MARGIN, GPU_ROOF, ONE_BIGWIG, SIX_BYTES, LOADING, PROCESS_MEMORY,
    PARTITION_SECONDS, MERGE_SECONDS, MAF_BYTES, PACKED_BYTES, STORE_BYTES, FIT_RATE, LOOKUP,
    RECORD_BYTES, WIDE, ANNOTATE_MEMORY, CONTRACT,
)  # fmt: skip

#: Positions of hg38 on chromosomes 1 to 22, X and Y that have a base (docs/hg38-tracks.md).
HG38_BASES = 2.94e9
PARTITION = 1 << 20
GENOME = 3.1e9
WEIGHTS = 333e6
GPUS, CORES = (1, 8, 64), (64, 256, 1024)
SPECIES = (447, 1000)


@dataclass(frozen=True)
class Prices:
    """What is assumed; nothing of it was measured.

    Attributes
    ----------
    gpu_hour, core_hour : float
        Dollars.
    disk : float
        MB/s of the shared disk, all readers and writers together.
    """

    gpu_hour: float = 3.0
    core_hour: float = 0.05
    disk: float = 2000.0

    def disk_seconds(self, n_bytes: float) -> float:
        return n_bytes / 1e6 / self.disk


class Step(NamedTuple):
    """Something that takes time; of steps that run together the longest counts."""

    name: str
    seconds: float


def longest(*steps: Step) -> Step:
    """What the others wait for."""
    return max(steps, key=lambda step: step.seconds)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def amount(n_bytes: float) -> str:
    """Bytes in decimal units, as disks are sold."""
    for size, unit in ((1e12, "TB"), (1e9, "GB")):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes / 1e6:.0f} MB"


def dollars(money: float) -> str:
    return f"${money:,.0f}" if money >= 10 else f"${money:.2f}"


def tracks_bytes() -> float:
    """The six bigWigs of hg38; pieces take as much until the end."""
    return HG38_BASES * SIX_BYTES.value


def tracks_step(rate: float, n: int, prices: Prices) -> Step:
    """All partitions by `n` devices of `rate` positions a second, network and files together.

    A device has the cores at its side that its files need; the disk is shared.
    """
    return longest(
        Step("network", HG38_BASES / rate / n),
        Step("shared disk", prices.disk_seconds(tracks_bytes())),
    )


def tracks_finalise(prices: Prices) -> float:
    """Pieces are read and files written, by one process."""
    return prices.disk_seconds(2 * tracks_bytes())


def gpu_table(prices: Prices) -> Iterator[str]:
    """hg38 with the 83 M network on GPUs, at the roof and below it."""
    n_parts = HG38_BASES / PARTITION
    yield (
        "| positions/s of a GPU | GPUs | network | a process a part would add | in all | waits for "
        "| GPU cost |"
    )
    yield "|---|---|---|---|---|---|---|"
    for share, name in ((1.0, "the roof"), (0.3, "30 % of it"), (0.1, "10 % of it")):
        rate = GPU_ROOF.value * share
        for n in GPUS:
            step = tracks_step(rate, n, prices)
            total = LOADING.value + step.seconds
            starting = (n_parts / n - 1) * LOADING.value
            yield (
                f"| {rate:,.0f} ({name}) | {n} | {duration(HG38_BASES / rate / n)} "
                f"| {duration(starting)} | {duration(total)} | {step.name} "
                f"| {dollars(total * n / 3600 * prices.gpu_hour)} |"
            )


def cpu_tracks_table(prices: Prices) -> Iterator[str]:
    """The same on CPUs."""
    yield "| cores | in all | core hours | cost | memory, a process a core |"
    yield "|---|---|---|---|---|"
    rate = 1 / (ROW.value * MARGIN.value)
    for n in (1, 8, *CORES):
        seconds = LOADING.value + tracks_step(rate, n, prices).seconds
        hours = n * seconds / 3600
        yield (
            f"| {n:,} | {duration(seconds)} | {hours:,.0f} | {dollars(hours * prices.core_hour)} "
            f"| {n * PROCESS_MEMORY.value:,.0f} GiB |"
        )


def preprocess_steps(species: int, cores: int, prices: Prices) -> tuple[Step, Step]:
    """Partitions and merge; text, packed text and store are taken to grow with the species."""
    share = species / SPECIES[0]
    text = GENOME * MAF_BYTES.value * share
    packed, store = (GENOME * each.value * share for each in (PACKED_BYTES, STORE_BYTES))
    partitions = longest(
        Step("cores", text / 1e9 * PARTITION_SECONDS.value / cores),
        Step("shared disk", prices.disk_seconds(packed + store)),
    )
    merge = longest(
        Step("one core", text / 1e9 * MERGE_SECONDS.value),
        Step("shared disk", prices.disk_seconds(2 * store)),
    )
    return partitions, merge


def preprocess_table(prices: Prices) -> Iterator[str]:
    """Alignments of many species into a store."""
    yield "| species | cores | partitions | wait for | merge | waits for | in all | cost |"
    yield "|---|---|---|---|---|---|---|---|"
    for species in SPECIES:
        for cores in CORES:
            parts, merge = preprocess_steps(species, cores, prices)
            # Whoever merges lets the other cores go.
            money = (parts.seconds * cores + merge.seconds) / 3600 * prices.core_hour
            yield (
                f"| {species:,} | {cores:,} | {duration(parts.seconds)} | {parts.name} "
                f"| {duration(merge.seconds)} | {merge.name} "
                f"| {duration(parts.seconds + merge.seconds)} | {dollars(money)} |"
            )


def disk_table() -> Iterator[str]:
    """What lies on disk."""
    yield "| | 447 species | 1,000 species |"
    yield "|---|---|---|"
    rows = {
        "MAF text (never on disk)": MAF_BYTES.value,
        "bgzipped MAF": PACKED_BYTES.value,
        "pieces, until the end": STORE_BYTES.value,
        "column store": STORE_BYTES.value,
    }
    for name, each in rows.items():
        sizes = [amount(GENOME * each * species / SPECIES[0]) for species in SPECIES]
        yield f"| {name} | {' | '.join(sizes)} |"


def fit_table(prices: Prices) -> Iterator[str]:
    """Per-site fits of every base; time is taken to grow with the species."""
    yield "| species | cores | fits | core hours | cost |"
    yield "|---|---|---|---|---|"
    for species in SPECIES:
        core_seconds = HG38_BASES / FIT_RATE.value * species / 671
        for cores in CORES:
            yield (
                f"| {species:,} | {cores:,} | {duration(core_seconds / cores)} "
                f"| {core_seconds / 3600:,.0f} | "
                f"{dollars(core_seconds / 3600 * prices.core_hour)} |"
            )


def biobank_table(prices: Prices, records: float = 1e9) -> Iterator[str]:
    """A VCF without genotypes: looked up in tracks, and by the network."""
    yield "| cores | looked up | waits for | cost | by the network | cost |"
    yield "|---|---|---|---|---|---|"
    n_bytes = records * RECORD_BYTES.value
    for cores in (2, 16, *CORES):
        found = longest(
            Step("cores", records / (LOOKUP.value / 2) / cores),
            # Read; written as pieces; read and written again when they are joined.
            Step("shared disk", prices.disk_seconds(4 * n_bytes)),
        )
        # A variant in every third position: every tile is computed, as for tracks.
        network = HG38_BASES * ROW.value * MARGIN.value / cores + found.seconds
        yield (
            f"| {cores:,} | {duration(found.seconds)} | {found.name} "
            f"| {dollars(found.seconds * cores / 3600 * prices.core_hour)} "
            f"| {duration(network)} | {dollars(network * cores / 3600 * prices.core_hour)} |"
        )


def measured_table() -> Iterator[str]:
    """What it all follows from."""
    yield "| figure | what | measured in |"
    yield "|---|---|---|"
    for one in MEASURED:
        section = f"[RESULTS](../benchmarks/RESULTS.md#{one.section})"
        yield f"| {one.value:,.10g} | {one.says} | {section} |"


def tables(prices: Prices) -> dict[str, list[str]]:
    """Name -> lines of Markdown."""
    return {
        "measured": list(measured_table()),
        "gpus": list(gpu_table(prices)),
        "cpus": list(cpu_tracks_table(prices)),
        "preprocess": list(preprocess_table(prices)),
        "disk": list(disk_table()),
        "fits": list(fit_table(prices)),
        "biobank": list(biobank_table(prices)),
    }


def filled(page: str, prices: Prices) -> str:
    """A page with its tables anew: each stands below a comment with its name."""
    for name, lines in tables(prices).items():
        before, head, after = page.partition(f"<!-- {name} -->\n")
        rest = re.sub(r"\A(\|.*\n)*\n*", "", after)
        page = before + head + "\n".join(lines) + "\n\n" + rest
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gpu-hour", type=float, default=Prices.gpu_hour, help="dollars")
    parser.add_argument("--core-hour", type=float, default=Prices.core_hour, help="dollars")
    parser.add_argument("--disk", type=float, default=Prices.disk, help="MB/s")
    parser.add_argument("--page", type=Path, help="fill the tables of this page anew")
    given = parser.parse_args()
    if given.page is not None:
        given.page.write_text(filled(given.page.read_text(), Prices()))
        return
    for name, lines in tables(Prices(given.gpu_hour, given.core_hour, given.disk)).items():
        print(f"{name}:", "", *lines, "", sep="\n")


if __name__ == "__main__":
    main()
