"""`preprocess` with two local workers against one, a thread each; see two_workers.py.

python benchmarks/preprocess_parts.py [--size 1GB] [--blocks birds|mammals] [--runs 5]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from make_alignment import bird_blocks, make_file, mammal_blocks, number_of_bytes
from two_workers import compare_workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=number_of_bytes, default=1e9)
    parser.add_argument("--blocks", choices=["birds", "mammals"], default="birds")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    blocks = bird_blocks() if arguments.blocks == "birds" else mammal_blocks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        maf, tree = folder / "a.maf", folder / "tree.nh"
        make_file(blocks, arguments.size, maf)
        tree.write_text(blocks.tree.to_newick())
        megabytes = maf.stat().st_size / 1e6
        print(f"{arguments.blocks}: {blocks.tree.n_tips} species, {megabytes:.0f} MB")
        compare_workers(
            lambda output: ["preprocess", str(maf), "--tree", str(tree), "-o", str(output)],
            folder,
            arguments.runs,
            work=megabytes,
            unit="MB/s",
        )


if __name__ == "__main__":
    main()
