"""Size of the column store against bgzipped MAF and TAF of the same data.

python benchmarks/store_size.py [NAME=ALIGNMENT,TREE ...]

Bits per base (a cell with A, C, G or T) and per cell (covered position times species). The stores
hold the columns of the reference only; the texts also hold insertions, coordinates and, in `birds`
and `multiz`, nothing more (no `i` and `e` lines). TAF is written by taffy where it is installed,
run-length encoded as by default and not.
"""

from __future__ import annotations

import gzip
import importlib.util
import lzma
import subprocess
import sys
import tempfile
from pathlib import Path

from make_alignment import BIRD_TREE, BIRDS, MAMMAL_TREE, ROOT
from preprocess import compress

from phylotools.store.read import open_store

DATA = ROOT / "tests" / "data" / "real_alignments"
MITOCHONDRIA = ROOT / "examples" / "human_mtdna" / "data"
#: Name -> alignment and tree; None is simulated.
SETS = {
    "53 birds": (BIRDS, BIRD_TREE),
    "671 mammals, mitochondria": (
        MITOCHONDRIA / "mammals671_mtCDS_hg38_chrM.maf.gz",
        MITOCHONDRIA / "mammals671.nh",
    ),
    "46 vertebrates (multiz)": (DATA / "multiz46way.chrY.maf.xz", DATA / "multiz46way.nh"),
    "447 mammals, simulated": (None, MAMMAL_TREE),
}
SIMULATED_LENGTH = 100_000


def main() -> None:
    sets = dict(SETS)
    for text in sys.argv[1:]:
        name, _, paths = text.partition("=")
        alignment, tree = paths.split(",")
        sets[name] = Path(alignment), Path(tree)
    has_taffy = importlib.util.find_spec("taffy") is not None
    if not has_taffy:
        print("taffy is not installed: no TAF")
    for name, (alignment, tree) in sets.items():
        with tempfile.TemporaryDirectory() as folder:
            report(name, alignment, tree, Path(folder), has_taffy)


def report(name: str, alignment: Path | None, tree: Path, folder: Path, has_taffy: bool) -> None:
    """Print one set."""
    maf, packed, output = folder / "a.maf", folder / "a.maf.gz", folder / "a.store"
    if alignment is None:
        phylotools("simulate", tree, "--length", SIMULATED_LENGTH, "--reference", "hg38", "-o", maf)
    else:
        opener = {".xz": lzma.open, ".gz": gzip.open}.get(alignment.suffix, open)
        with opener(alignment, "rb") as handle:
            maf.write_bytes(handle.read())
    compress(maf, packed)
    phylotools("preprocess", maf, "--tree", tree, "-o", output, "--unknown-species", "drop")
    sizes = {"MAF, text": maf.stat().st_size, "MAF, bgzip": packed.stat().st_size}
    if has_taffy:
        for kind, options in (("TAF", {}), ("TAF, run-length", {"run_length_encode_bases": "1"})):
            taf = folder / "a.taf"
            write_taf(maf, taf, options)
            compress(taf, packed)
            sizes[f"{kind}, bgzip"] = packed.stat().st_size
    sizes["column store"] = sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
    store = open_store(output)
    cells, bases = contents(output)
    print(f"{name}: {len(store.species)} species, {cells // len(store.species):,} positions")
    for kind, size in sizes.items():
        print(
            f"  {kind:24s} {size:12,} bytes {8 * size / bases:7.2f} bits a base "
            f"{8 * size / cells:7.2f} a cell "
            f"{size * len(store.species) / cells:7.1f} bytes a position "
            f"{size / sizes['MAF, bgzip']:6.2f} of bgzipped MAF",
            flush=True,
        )


def contents(path: Path) -> tuple[int, int]:
    """Covered positions times species, and bases among these cells."""
    from phylotools.io.regions import Region

    store = open_store(path)
    cells = bases = 0
    for contig in store.contigs:
        for start, end in store.intervals(contig):
            cells += (int(end) - int(start)) * len(store.species)
            bases += int(store.depth(Region(contig, int(start), int(end))).sum(dtype="int64"))
    return cells, bases


def write_taf(maf: Path, taf: Path, options: dict[str, str]) -> None:
    """Convert by taffy's library, which insists on the MAF header line."""
    from taffy.lib import AlignmentReader, AlignmentWriter

    text = maf.read_bytes()
    if not text.startswith(b"##maf"):
        maf.write_bytes(b"##maf version=1\n" + text)
    with (
        AlignmentReader(str(maf)) as reader,
        AlignmentWriter(str(taf), header_tags=options) as writer,
    ):
        writer.write_header()
        for block in reader:
            writer.write_alignment(block)


def phylotools(*arguments: object) -> None:
    """Run the command line."""
    command = [sys.executable, "-m", "phylotools", *map(str, arguments), "-q"]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
