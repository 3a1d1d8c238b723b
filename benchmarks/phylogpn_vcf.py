"""A VCF through the published network, 83 million parameters: `annotate` against its authors' way.

    python benchmarks/phylogpn_vcf.py --original CHECKOUT [--threads 2] [--isolated 64] [--runs 5]

CHECKOUT is one of https://github.com/songlab-cal/phylogpn; both sides have the same random weights.
With one thread processor time counts, which other work on the machine hardly moves.

1. Isolated variants: one SNV every 10 kb. The original, as published and with its parametrisations
   removed, gets a window of the receptive field around each, 16 a pass; `bare windows` is our
   network on the same windows; `annotate` is the whole way from a VCF to an indexed VCF.
2. Clustered variants: every SNV of a stretch. The original is timed on the first of them.

Ratios are to the first line, run by run, and then of `annotate` to others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from paired import compare
from phylogpn_original import baked, imported_model, original_network

from phylotools.annotate.run import AnnotationSettings, annotate_file
from phylotools.io.bases import BASES
from phylotools.io.bgzf import BgzfWriter
from phylotools.model.folder import Model

SPACING = 10_000
TOGETHER = 16
_LETTERS = np.frombuffer(BASES.encode(), dtype=np.uint8)
_HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length={}>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


def write_fasta(path: Path, codes: NDArray[np.uint8]) -> None:
    lines = [_LETTERS[codes[k : k + 60]].tobytes() for k in range(0, len(codes), 60)]
    path.write_bytes(b">chr1\n" + b"\n".join(lines) + b"\n")


def write_variants(
    path: Path, codes: NDArray[np.uint8], places: NDArray[np.int64], n_alts: int
) -> None:
    """Write SNVs of each place, a record each."""
    records = [
        f"chr1\t{place + 1}\t.\t{BASES[codes[place]]}\t{BASES[(codes[place] + k) % 4]}\t.\t.\t.\n"
        for place in places.tolist()
        for k in range(1, n_alts + 1)
    ]
    with open(path, "wb") as handle:
        packed = BgzfWriter(handle)
        packed.write(_HEADER.format(len(codes)).encode() + "".join(records).encode())
        packed.finish()


def windows_of(codes: NDArray[np.uint8], places: NDArray[np.int64], half: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([codes[p - half : p + half + 1] for p in places])).long()


def theta_of(
    network: Callable[[torch.Tensor], torch.Tensor], windows: torch.Tensor
) -> torch.Tensor:
    """What a network says of the middle of each window, `TOGETHER` a pass."""
    with torch.inference_mode():
        return torch.cat([network(part)[:, 0] for part in windows.split(TOGETHER)])


def annotate(model: Model, fasta: Path, variants: Path, threads: int) -> None:
    settings = AnnotationSettings(fasta=str(fasta), threads=threads, force=True)
    annotate_file(model, str(variants), str(variants.parent / "out.vcf.gz"), settings)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--original", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isolated", type=int, default=64, help="positions with variants")
    parser.add_argument("--clustered", type=int, default=4096, help="bases of the stretch")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), arguments)


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    checkout = arguments.original
    model = imported_model(original_network(checkout), folder)
    ours, half = model.site_model, (model.receptive_field - 1) // 2
    random = np.random.default_rng(1)
    n_bases = max(4 << 20, SPACING * (arguments.isolated + 2))
    codes = random.integers(0, 4, n_bases, dtype=np.uint8)
    fasta = folder / "genome.fa"
    write_fasta(fasta, codes)
    published, stripped = original_network(checkout), baked(original_network(checkout))

    places = SPACING * np.arange(1, arguments.isolated + 1)
    windows = windows_of(codes, places, half)
    newer = baked(original_network(checkout, norm="layer"))
    gap = (theta_of(newer, windows[:TOGETHER]) - theta_of(ours, windows[:TOGETHER])).abs().max()
    print(f"largest difference from the original with the norm of its newer release: {gap:.1e}")
    del newer

    n_threads = arguments.threads
    clock = time.process_time if n_threads == 1 else time.perf_counter
    print(f"\n{len(places)} SNVs, {SPACING:,} bases apart; {n_threads} threads")
    variants = folder / "isolated.vcf.gz"
    write_variants(variants, codes, places, 1)
    speeds = compare(
        {
            "original": partial(theta_of, published, windows),
            "original, baked": partial(theta_of, stripped, windows),
            "bare windows": partial(theta_of, ours, windows),
            "annotate": partial(annotate, model, fasta, variants, n_threads),
        },
        work=len(places),
        unit="SNVs/s",
        runs=arguments.runs,
        clock=clock,
    )
    print_ratio("annotate to bare windows", speeds["annotate"] / speeds["bare windows"])
    print_ratio("annotate to original, baked", speeds["annotate"] / speeds["original, baked"])

    stretch = n_bases // 2 + np.arange(arguments.clustered)
    first = stretch[: len(places)]
    windows = windows_of(codes, first, half)
    print(f"\nevery SNV of {len(stretch):,} bases; {n_threads} threads")
    variants = folder / "clustered.vcf.gz"
    write_variants(variants, codes, stretch, 3)
    # A window serves no more than one record in a script that goes through a file.
    speeds = compare(
        {
            "original": partial(theta_of, published, windows),
            "original, baked": partial(theta_of, stripped, windows),
            "annotate": partial(annotate, model, fasta, variants, n_threads),
        },
        work={
            "original": len(first), "original, baked": len(first), "annotate": 3 * len(stretch)
        },
        unit="SNVs/s",
        runs=arguments.runs,
        clock=clock,
    )  # fmt: skip
    print_ratio("annotate to original, baked", speeds["annotate"] / speeds["original, baked"])


def print_ratio(name: str, ratio: NDArray[np.float64]) -> None:
    print(f"  {name}: {np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}]")


if __name__ == "__main__":
    main()
