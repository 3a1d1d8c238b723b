"""The study of docs/duplicates.md: python study.py OUT [--quick] [--draw] [--seed N]

Writes OUT/duplicates.tsv and OUT/duplicates.png.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from alignments import Alignment, real_alignment, seen_from_afar, simulated_alignment
from copies import (
    Copies,
    Copy,
    blocks_of,
    carriers,
    cut_to_part,
    draw_copies,
    make_copies,
    split_rows,
)
from figure import draw
from measures import Measures
from policies import POLICIES, duplicated_cells, keep_one

from phylotools.phylogeny.substitution import make_substitution_model

Row = dict[str, str | int | float]

_EXAMPLES = Path(__file__).parents[1]
_MITOCHONDRIA = _EXAMPLES / "human_mtdna" / "data"
_TEST_DATA = _EXAMPLES.parent / "tests" / "data"
#: Name -> MAF and tree.
REAL = {
    "mammals, mitochondria": (
        _MITOCHONDRIA / "mammals671_mtCDS_hg38_chrM.maf.gz",
        _MITOCHONDRIA / "mammals671.nh",
    ),
    "birds": (
        _TEST_DATA / "real_alignments" / "birds53.galGal6.maf.xz",
        _TEST_DATA / "birds53" / "53birds.nh",
    ),
}
#: Mean lengths of blocks.
BLOCKS, QUICK_BLOCKS = (10, 80, 1000), (10, 1000)
#: Share of the species that have copies at a place, and how far copies reach, in columns.
SHARE, STRETCH = 0.2, 2000
ALL_KINDS = ("mixed", "haplotype", "recent", "pseudogene", "old", "fragment", "pieces")
REAL_KINDS, QUICK_KINDS = ("mixed", "recent", "old"), ("recent", "old", "pieces")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="small numbers, few kinds")
    parser.add_argument("--draw", action="store_true", help="only draw OUT's table again")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = arguments.out / "duplicates.tsv"
    if not arguments.draw:
        rows = list(compute(quick=arguments.quick, seed=arguments.seed))
        with table.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    with table.open(newline="") as handle:
        draw(list(csv.DictReader(handle, delimiter="\t")), arguments.out / "duplicates.png")


def compute(*, quick: bool, seed: int) -> Iterator[Row]:
    """Every row of the table."""
    began = time.monotonic()
    model = make_substitution_model("hky").requires_grad_(False)
    length = 2_000 if quick else 18_000
    simulated = simulated_alignment(length, model, seed)
    plans = [("mammals, simulated", simulated, QUICK_KINDS, SHARE)]
    if not quick:
        plans = [
            ("mammals, simulated", simulated, ALL_KINDS, SHARE),
            ("mammals, simulated", simulated, ("mixed",), SHARE / 4),
            ("mammals, far reference", seen_from_afar(simulated), ("mixed", "old"), SHARE),
        ]
        for name, (maf, tree) in REAL.items():
            plans.append((name, real_alignment(maf, tree, length, model, seed), REAL_KINDS, SHARE))
    for name, alignment, kinds, share in plans:
        blocks, fitted = (QUICK_BLOCKS, 150) if quick else (BLOCKS, 1_000)
        for row in damages(alignment, kinds, share, blocks, fitted=fitted, seed=seed):
            yield {"alignment": name, "share": share} | {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in row.items()
            }
        print(f"{name}, {', '.join(kinds)}: {time.monotonic() - began:.0f} s", flush=True)


def damages(
    alignment: Alignment,
    kinds: tuple[str, ...],
    share: float,
    blocks: tuple[int, ...],
    *,
    fitted: int,
    seed: int,
) -> Iterator[Row]:
    """What each policy makes of each kind of copy, in blocks of every length."""
    rng = np.random.default_rng(seed)
    measures = Measures(alignment, fitted)
    copies = draw_copies(alignment, STRETCH, seed)
    length, reference = alignment.rows.shape[1], alignment.rows[alignment.reference]
    for mean in blocks:
        starts = blocks_of(length, mean, rng)
        has = carriers(alignment, starts, share, STRETCH, rng)
        for kind in kinds:
            rows, further = _with_copies(alignment, copies, kind, has, starts, rng)
            duplicated = duplicated_cells(rows, further, starts)
            for policy in POLICIES:
                kept = keep_one(policy, rows, further, reference, starts, rng)
                damage = measures.of(kept, duplicated)
                yield {"kind": kind, "block": mean, "policy": policy, **asdict(damage)}


def _with_copies(
    alignment: Alignment,
    copies: Copies,
    kind: str,
    has: np.ndarray,
    starts: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[Copy]]:
    """The first rows of the species, and their further ones."""
    if kind == "pieces":
        return split_rows(alignment.rows, has, starts, rng)
    whole = make_copies(has, copies.rows["old" if kind == "fragment" else kind], copies.second)
    return alignment.rows, cut_to_part(whole, starts, rng) if kind == "fragment" else whole


if __name__ == "__main__":
    main()
