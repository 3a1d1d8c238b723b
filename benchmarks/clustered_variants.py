"""Every SNV of a region: the tiled scorer against one window a variant, same network, one thread.

    python benchmarks/clustered_variants.py [--preset phylogpn] [--bases 10000] [--windows 300]

The network is the shipped model's, or one of a preset's shape with random weights. The other ways
see the receptive field around each variant, and read the LLR off its middle: from the window with
REF alone, or as scripts for language models do, from a window with REF and one with ALT; 32 windows
a pass, or one. They are timed on the first `--windows` variants, in processor time.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from paired import compare

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.presets import PRESETS
from phylotools.model.registry import Model, load_model
from phylotools.model.site_model import SiteModelSpec
from phylotools.scoring.scorer import Scorer

CONTIG, START = "chrM", 3306


@dataclass(frozen=True)
class Variants:
    """SNVs in order of position.

    Attributes
    ----------
    positions : int64 array [K]
    ref, alt : int64 array [K]
        Base codes.
    """

    positions: NDArray[np.int64]
    ref: NDArray[np.int64]
    alt: NDArray[np.int64]


def every_snv(genome: ReferenceGenome, region: Region) -> Variants:
    codes = (genome.fetch(region) & 7).astype(np.int64)
    rows, alts = np.meshgrid(np.arange(len(codes)), np.arange(4), indexing="ij")
    chosen = (codes[rows] != alts) & (codes[rows] < 4)
    return Variants(rows[chosen] + region.start, codes[rows[chosen]], alts[chosen])


def differences(
    model: Model, theta: NDArray[np.float32], variants: Variants
) -> NDArray[np.float64]:
    scores = model.substitution.log_equilibrium_frequencies(
        torch.from_numpy(theta).double()
    ).numpy()
    rows = np.arange(len(theta))
    return np.asarray(scores[rows, variants.alt] - scores[rows, variants.ref])


def tiled(model: Model, genome: ReferenceGenome, variants: Variants) -> NDArray[np.float64]:
    """Nothing is kept from one call to the next."""
    theta = Scorer(model, genome, threads=1).theta_at(CONTIG, variants.positions)
    return differences(model, theta, variants)


def one_window_each(
    model: Model, genome: ReferenceGenome, variants: Variants, *, both: bool, together: int
) -> NDArray[np.float64]:
    scorer = Scorer(model, genome, threads=1)
    half = scorer.half_window
    windows = [scorer.tokens(CONTIG, p - half, p + half + 1) for p in variants.positions.tolist()]
    tokens = torch.from_numpy(np.stack(windows)).long()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(tokens), together):
            window = tokens[start : start + together]
            parts.append(model.site_model(window)[:, 0])
            if both:
                changed = window.clone()
                alts = variants.alt[start : start + together]
                changed[:, half] = torch.from_numpy(alts)
                model.site_model(changed)
    return differences(model, torch.cat(parts).numpy(), variants)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, help="random weights in this shape")
    parser.add_argument("--bases", type=int, default=10_000)
    parser.add_argument("--windows", type=int, default=300)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model().from_sequence_alone()
    fasta = model.reference_fasta
    if arguments.preset:
        torch.manual_seed(1)
        spec = PRESETS[arguments.preset]
        model = replace(model, spec=spec, identity=replace(model.identity, name=arguments.preset))
        # Instead of what would be loaded from the folder.
        vars(model)["site_model"] = SiteModelSpec(spec).build().freeze()
    with ReferenceGenome.open(str(fasta)) as genome:
        variants = every_snv(genome, Region(CONTIG, START, START + arguments.bases))
        n_first = arguments.windows
        first = Variants(
            variants.positions[:n_first], variants.ref[:n_first], variants.alt[:n_first]
        )
        ways = {}
        work = {}
        for both in (False, True):
            for together in (32, 1):
                name = f"{'REF and ALT' if both else 'REF'}, {together} a pass"
                ways[name] = partial(
                    one_window_each, model, genome, first, both=both, together=together
                )
                work[name] = float(len(first.ref))
        ways["tiled"] = partial(tiled, model, genome, variants)
        work["tiled"] = float(len(variants.ref))
        print(f"{model.name}, receptive field {model.receptive_field}, {len(variants.ref)} SNVs")
        whole = tiled(model, genome, variants)[: len(first.ref)]
        gap = np.abs(ways["REF, 1 a pass"]() - whole).max()
        print(f"largest difference of an LLR between a window each and the tiles: {gap:.1e}")
        compare(ways, work=work, unit="SNVs/s", runs=arguments.runs, clock=time.process_time)


if __name__ == "__main__":
    main()
