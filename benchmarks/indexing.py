"""The index of a bgzip file: ours, made while it is written, against htslib's afterwards.

python benchmarks/indexing.py [--lines 2000000] [--runs 7]

A table of all variants, three lines a position, and a VCF, each of its own lines. Ours is what the
index adds to writing the file: notes on the text and on the blocks, and its bytes at the end.
Theirs reads the file that stands: pysam.tabix_index, and bcftools index or tabix where they are
installed. Processor time of one thread.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pysam
from paired import compare

from phylotools.io.bgzf import compress_blocks
from phylotools.io.files import BGZF_EOF
from phylotools.io.position_index.builder import IndexBuilder
from phylotools.io.position_index.encoding import index_bytes
from phylotools.io.position_index.lines import LineKind

#: Text that is noted at once, as a writer gets it.
_BATCH = 1 << 20
_PRESETS = {
    LineKind.POSITIONS: {"seq_col": 0, "start_col": 1, "end_col": 1, "zerobased": False},
    LineKind.VCF: {"preset": "vcf"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    for kind, text in (
        (LineKind.POSITIONS, table(arguments.lines)),
        (LineKind.VCF, variants(arguments.lines)),
    ):
        with tempfile.TemporaryDirectory() as name:
            measure(kind, text, Path(name), arguments.runs)


def table(n_lines: int) -> bytes:
    """Lines as those of `snv_scores.tsv.gz`."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=n_lines)
    return b"#contig\tpos\n" + b"".join(
        b"chr1\t%d\tA\t%s\t%.4f\t0.8123\t1.2345\n" % (k // 3 + 1, b"CGT"[k % 3 : k % 3 + 1], value)
        for k, value in enumerate(values)
    )


def variants(n_lines: int) -> bytes:
    """A VCF of one contig, a variant in a hundred bases."""
    rng = np.random.default_rng(2)
    head = b"##fileformat=VCFv4.2\n##contig=<ID=chr1,length=248956422>\n"
    head += b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    positions = np.cumsum(rng.integers(1, 200, size=n_lines)).tolist()
    return head + b"".join(
        b"chr1\t%d\trs%d\tA%s\tG\t50\tPASS\tAC=%d;AN=5008;AF=0.01;PHYLOGPN_LLR=-1.2345\n"
        % (position, k, b"C" * (k % 7), k % 5008)
        for k, position in enumerate(positions)
    )


def measure(kind: LineKind, text: bytes, folder: Path, runs: int) -> None:
    """Compare on one file, after the indexes were found to be the same."""
    path, index = folder / "file.gz", folder / "made"
    blocks = compress_blocks(text) + BGZF_EOF
    path.write_bytes(blocks)
    theirs: dict[str, Callable[[], object]] = {
        "pysam.tabix_index": partial(_by_pysam, path, kind, index)
    }
    if kind is LineKind.VCF and shutil.which("bcftools"):
        command = ["bcftools", "index", "--tbi", "-f", "-o", str(index), str(path)]
        theirs["bcftools index --tbi"] = partial(subprocess.run, command, check=True)
    theirs["pysam.tabix_index"]()
    with gzip.open(index) as handle:
        assert handle.read() == gzip.decompress(own_index(kind, text, blocks))
    print(f"{kind.value}: {text.count(10):,} lines, {len(text) / 1e6:.0f} MB, "
          f"{len(blocks) / 1e6:.0f} MB as bgzip")  # fmt: skip
    ours = {"own, while it is written": partial(own_index, kind, text, blocks)}
    compare(
        ours | theirs,
        work=len(text) / 1e6,
        unit="MB/s of text",
        runs=runs,
        clock=_processor_seconds,
    )


def own_index(kind: LineKind, text: bytes, blocks: bytes) -> bytes:
    """What the index adds to writing a file."""
    builder, view = IndexBuilder(kind), memoryview(text)
    for start in range(0, len(text), _BATCH):
        builder.add_text(view[start : start + _BATCH])
    builder.add_blocks(blocks)
    return index_bytes(builder.part(), is_csi=False)


def _by_pysam(path: Path, kind: LineKind, index: Path) -> None:
    pysam.tabix_index(str(path), force=True, keep_original=True, index=str(index), **_PRESETS[kind])


def _processor_seconds() -> float:
    """Of this process and of those it has waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
