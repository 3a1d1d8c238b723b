"""Time and disk of preprocessing 447 mammals on the human genome, from measured rates.

python benchmarks/genome_estimate.py --rate 120 --maf-per-base 500 --store-per-base 80 ...

The rates come from `preprocess.py` (MB of MAF text a second and core, and two workers over one) and
`store_size.py` (bytes of text, bgzipped text and store a reference base).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

GENOME, SPECIES = 3.1e9, 447


@dataclass(frozen=True)
class Rates:
    """What was measured.

    Attributes
    ----------
    maf_rate : float
        MB of MAF text a second on one core, end to end.
    two_workers : float
        Speed with two workers over that with one.
    maf_per_base, packed_per_base, store_per_base : float
        Bytes a reference base: of MAF text, of bgzipped MAF, of the store.
    """

    maf_rate: float
    two_workers: float
    maf_per_base: float
    packed_per_base: float
    store_per_base: float


@dataclass(frozen=True)
class Estimate:
    """What follows for a genome; bytes, hours."""

    maf: float
    packed: float
    store: float
    pieces: float
    core_hours: float
    hours: float
    read_rate: float


def estimate(rates: Rates, *, cores: int = 64, genome: float = GENOME) -> Estimate:
    """Extrapolate.

    text = genome x bytes a base; core hours = text / rate; hours = core hours / (cores x
    efficiency). The efficiency of n workers is taken as (two workers / 2) ** log2(n): each doubling
    costs what the measured one did. Pieces, which are merged into the store at the end, are as
    large as the store.
    """
    text = genome * rates.maf_per_base
    core_seconds = text / 1e6 / rates.maf_rate
    efficiency = min(1.0, rates.two_workers / 2) ** (cores - 1).bit_length()
    seconds = core_seconds / (cores * efficiency)
    packed = genome * rates.packed_per_base
    store = genome * rates.store_per_base
    return Estimate(
        text, packed, store, store, core_seconds / 3600, seconds / 3600, packed / 1e6 / seconds
    )


def table(rates: Rates, *, genome: float = GENOME, species: int = SPECIES) -> str:
    """The estimate for some machines, as Markdown."""
    lines = [
        f"{species} species, {genome / 1e9:.1f} Gb of reference; measured: "
        f"{rates.maf_rate:.0f} MB of MAF/s and core, two workers {rates.two_workers:.2f} times "
        f"one, {rates.maf_per_base:.0f} bytes of MAF, {rates.packed_per_base:.0f} of bgzipped "
        f"MAF and {rates.store_per_base:.1f} of store a reference base.",
        "",
        "| cores | hours | bgzipped MAF read, MB/s |",
        "|---|---|---|",
    ]
    for cores in (1, 16, 64):
        found = estimate(rates, cores=cores, genome=genome)
        lines.append(f"| {cores} | {found.hours:.2f} | {found.read_rate:,.0f} |")
    lines += [
        "",
        "| | TB |",
        "|---|---|",
        f"| MAF text (never on disk) | {found.maf / 1e12:.3f} |",
        f"| bgzipped MAF | {found.packed / 1e12:.3f} |",
        f"| pieces, until the end | {found.pieces / 1e12:.3f} |",
        f"| column store | {found.store / 1e12:.3f} |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--two-workers", type=float, required=True)
    parser.add_argument("--maf-per-base", type=float, required=True)
    parser.add_argument("--packed-per-base", type=float, required=True)
    parser.add_argument("--store-per-base", type=float, required=True)
    parser.add_argument("--genome", type=float, default=GENOME)
    a = parser.parse_args()
    rates = Rates(a.rate, a.two_workers, a.maf_per_base, a.packed_per_base, a.store_per_base)
    print(table(rates, genome=a.genome))


if __name__ == "__main__":
    main()
