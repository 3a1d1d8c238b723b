"""A MAF of any size, made of real or simulated blocks, repeated along made-up chromosomes.

python benchmarks/make_alignment.py --size 1GB > big.maf
python benchmarks/make_alignment.py --size 10GB --blocks mammals --tree tree.nh | phylotools ...

``birds`` are the short blocks (15 columns on average) of 53 birds on chicken, ``mammals`` long
ones (80 reference positions) simulated on a tree; a path is any MAF, with ``--guide-tree``. Species
beyond those of the blocks are others under new names, 2 % of their bases changed. Lines other than
rows are kept. The text goes to stdout as it is made; memory holds one copy of the blocks.
"""

from __future__ import annotations

import argparse
import gzip
import lzma
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from phylotools.phylogeny.tree import Tree, parse_newick

ROOT = Path(__file__).parents[1]
BIRDS = ROOT / "tests" / "data" / "real_alignments" / "birds53.galGal6.maf.xz"
BIRD_TREE = ROOT / "tests" / "data" / "birds53" / "53birds.nh"
MAMMAL_TREE = ROOT / "examples" / "likelihood_study" / "data" / "447-mammalian-2022v1.nh"
MAMMAL_LENGTH = 500_000
CONTIG_LENGTH = 200_000_000
#: Share of the bases changed in a species that is another one under a new name.
CHANGED = 0.02
_UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_ROW = re.compile(rb"s\s+(\S+)\s+(\d+)\s+(\d+)\s+([+-])\s+(\d+)\s+(\S+)")


class Blocks:
    """Blocks of a MAF whose reference row is the first, ready to be written at any place.

    Parameters
    ----------
    text : iterable of bytes
        Lines.
    tree : Tree
    n_species : int
    """

    def __init__(self, text: BinaryIO, tree: Tree, n_species: int) -> None:
        donors = sorted(set(tree.tips), key=tree.tips.index)[
            1 : 1 + max(0, n_species - tree.n_tips)
        ]
        self._names = {name.encode(): f"{name}Twin".encode() for name in donors}
        self.tree = _with_twins(tree, donors)
        self._rng = np.random.default_rng(1)
        #: Text before the contig and start of the reference row, its size, and the text behind.
        self.blocks: list[tuple[bytes, int, bytes]] = []
        for lines in _paragraphs(text):
            self._add(lines)

    def write(self, size: float, out: BinaryIO) -> int:
        """Write at least so many bytes; returns how many."""
        written = out.write(b"##maf version=1 scoring=none\n\n")
        contig, place = 1, 0
        while written < size:
            pieces = []
            for before, length, behind in self.blocks:
                if place + length > CONTIG_LENGTH:
                    contig, place = contig + 1, 0
                pieces += (before, b"%d\t%d" % (contig, place), behind)
                place += length
            text = b"".join(pieces)
            if written + len(text) > size:
                text = text[: text.index(b"\n\n", int(size - written) - 1) + 2]
            written += out.write(text)
        return written

    def _add(self, lines: list[bytes]) -> None:
        first = next((i for i, line in enumerate(lines) if line.startswith(b"s")), None)
        match = None if first is None else _ROW.match(lines[first])
        if match is None or match[4] == b"-" or match[3] == b"0":
            return
        reference = match[1].split(b".")[0]
        before = b"".join(lines[:first]) + b"s\t" + reference + b".chr"
        behind = b"\t%s\t+\t%d\t%s\n" % (match[3], CONTIG_LENGTH, match[6])
        rows = [_with_true_size(line) for line in lines[first + 1 :]]
        twins = [twin for line in rows if (twin := self._twin(line)) is not None]
        self.blocks.append((before, int(match[3]), behind + b"".join([*rows, *twins]) + b"\n"))

    def _twin(self, line: bytes) -> bytes | None:
        match = _ROW.match(line)
        if match is None:
            return None
        species, _, contig = match[1].partition(b".")
        if species not in self._names:
            return None
        letters = np.frombuffer(match[6], dtype=np.uint8).copy()
        changed = (self._rng.random(len(letters)) < CHANGED) & (letters != ord("-"))
        letters[changed] = self._rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), changed.sum())
        return b"s\t%s.%s\t%s\t%s\t%s\t%s\t%s\n" % (
            self._names[species], contig, match[2], match[3], match[4], match[5], letters.tobytes(),
        )  # fmt: skip


def bird_blocks(n_species: int = 60) -> Blocks:
    """10,097 blocks of 53 birds."""
    return file_blocks(BIRDS, parse_newick(BIRD_TREE.read_text()), n_species)


def mammal_blocks(n_species: int = 60, length: int = MAMMAL_LENGTH) -> Blocks:
    """Simulated blocks of mammals, of which a random choice."""
    whole = parse_newick(MAMMAL_TREE.read_text())
    others = np.random.default_rng(1).permutation([name for name in whole.tips if name != "hg38"])
    tree = whole.prune(["hg38", *others[: n_species - 1].tolist()])
    with tempfile.TemporaryDirectory() as folder:
        maf, newick = Path(folder, "blocks.maf"), Path(folder, "tree.nh")
        newick.write_text(tree.to_newick())
        subprocess.run(
            [sys.executable, "-m", "phylotools", "simulate", newick, "--reference", "hg38",
             "--length", str(length), "-o", maf, "-q"],
            check=True,
        )  # fmt: skip
        return file_blocks(maf, tree, n_species)


def file_blocks(path: Path, tree: Tree, n_species: int) -> Blocks:
    """Blocks of any MAF; plain, gzip or xz."""
    opener = {".xz": lzma.open, ".gz": gzip.open, ".bgz": gzip.open}.get(path.suffix, open)
    with opener(path, "rb") as handle:
        return Blocks(handle, tree, n_species)


def make_file(blocks: Blocks, size: float, path: Path) -> None:
    """The same into a file."""
    with path.open("wb") as out:
        blocks.write(size, out)


def number_of_bytes(text: str) -> float:
    """``1.5GB`` -> 1500000000.0."""
    match = re.fullmatch(r"([0-9.]+)\s*(|kB|MB|GB)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no size such as 100MB or 10GB")
    return float(match[1]) * _UNITS[match[2]]


def _with_true_size(line: bytes) -> bytes:
    """A row cut from a longer block may still state the size that it had."""
    match = _ROW.match(line)
    if match is None or (size := len(match[6]) - match[6].count(b"-")) == int(match[3]):
        return line
    return line[: match.start(3)] + b"%d" % size + line[match.end(3) :]


def _paragraphs(lines: BinaryIO) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    for line in lines:
        if line.startswith(b"#"):
            continue
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _with_twins(tree: Tree, donors: list[str]) -> Tree:
    text = tree.to_newick()
    for name in donors:
        pair = rf"({name}:{CHANGED / 2},{name}Twin:{CHANGED / 2})"
        text = re.sub(rf"(?<=[(,]){re.escape(name)}(?=[:,)])", pair, text)
    return parse_newick(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=number_of_bytes, required=True, metavar="100MB")
    parser.add_argument("--blocks", default="birds", metavar="birds|mammals|FILE.maf")
    parser.add_argument("--guide-tree", type=Path, metavar="NEWICK", help="of FILE.maf")
    parser.add_argument("--species", type=int, default=60)
    parser.add_argument("--tree", type=Path, metavar="OUT.nh", help="write the tree as well")
    arguments = parser.parse_args()
    if arguments.blocks == "birds":
        blocks = bird_blocks(arguments.species)
    elif arguments.blocks == "mammals":
        blocks = mammal_blocks(arguments.species)
    else:
        tree = parse_newick(arguments.guide_tree.read_text())
        blocks = file_blocks(Path(arguments.blocks), tree, arguments.species)
    if arguments.tree:
        arguments.tree.write_text(blocks.tree.to_newick() + "\n")
    blocks.write(arguments.size, sys.stdout.buffer)


if __name__ == "__main__":
    main()
