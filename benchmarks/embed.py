"""Embeddings of overlapping regions: one walk along the genome against one window a region.

python benchmarks/embed.py [REGIONS]

A random genome of 200 kb, windows of 1 kb every 10 bases, the shipped model's shape, one thread.
Both sides use the same network and mean pooling; the window's is what one writes without a tool.
Then everything but the network: many more regions on a network of one block of two channels, with
the peak memory of the whole command for 10,000 regions and for REGIONS (1,000,000).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from paired import compare

from phylotools.api.vectors import embed
from phylotools.io.genome import ReferenceGenome
from phylotools.model.folder import ModelDraft, write_model
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.registry import load_model
from phylotools.model.site_model import SiteModel

WIDTH, STEP, N_WINDOWS = 1000, 10, 300
CONTIG = 200_000


def main() -> None:
    n_regions = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    torch.set_num_threads(1)
    letters = np.random.default_rng(1).choice(list(b"ACGT"), size=CONTIG).astype(np.uint8).tobytes()
    overlapping(letters)
    with tempfile.TemporaryDirectory() as name:
        everything_else(Path(name), letters, n_regions)


def overlapping(letters: bytes) -> None:
    """Regions a second, both ways."""
    model = load_model("mammals671-mtdna")
    genome = ReferenceGenome.from_sequences({"c": letters})
    regions = [("c", 5000 + STEP * k, 5000 + STEP * k + WIDTH) for k in range(N_WINDOWS)]
    half = (model.receptive_field - 1) // 2
    codes = np.frombuffer(letters, dtype=np.uint8)
    tokens = torch.from_numpy(np.searchsorted(np.frombuffer(b"ACGT", dtype=np.uint8), codes))

    def one_window_each() -> object:
        with torch.inference_mode():
            return np.stack(
                [
                    model.network.embed(tokens[None, start - half : end + half])[0].mean(dim=0)
                    for _, start, end in regions
                ]
            )

    def one_walk() -> object:
        return embed(model, regions=regions, fasta=genome, threads=1)

    np.testing.assert_allclose(one_walk(), one_window_each(), atol=1e-4)
    print(f"{N_WINDOWS} regions of {WIDTH} bases, one every {STEP}")
    ways = {"one window a region": one_window_each, "one walk": one_walk}
    compare(ways, work=N_WINDOWS, unit="regions/s", runs=3)


def everything_else(folder: Path, letters: bytes, n_regions: int) -> None:
    """The command with a network that costs next to nothing."""
    spec = ModelSpec(channels=128, bottleneck=2, kernel_size=1, dilations=(1,))
    draft = ModelDraft("thin", "1", SiteModel(ByteNet(spec)).freeze(), {}, {}, "# Thin\n")
    write_model(draft, folder / "model")
    (folder / "genome.fa").write_bytes(b">c\n" + letters + b"\n")
    for n, order in ((10_000, "sorted"), (n_regions, "sorted"), (n_regions, "shuffled")):
        rng = np.random.default_rng(2)
        starts = rng.integers(0, CONTIG - WIDTH, size=n)
        starts = np.sort(starts) if order == "sorted" else starts
        bed = folder / "regions.bed"
        bed.write_text("".join(f"c\t{s}\t{s + WIDTH}\tr{k}\n" for k, s in enumerate(starts)))
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "phylotools", "embed", bed, "-m", folder / "model", "-f",
             folder / "genome.fa", "-o", folder / "out.parquet", "--force", "-q", "-@", "1"],
            check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        size = (folder / "out.parquet").stat().st_size >> 20
        print(
            f"{n} regions, {order}: {seconds:.1f} s, {n / seconds:,.0f} regions/s, "
            f"{n * WIDTH / seconds:,.0f} bases/s, peak so far {peak} MB, {size} MB of Parquet"
        )


if __name__ == "__main__":
    main()
