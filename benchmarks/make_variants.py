"""Make a genome and a file of variants on it, with the INFO of a population database.

python benchmarks/make_variants.py FOLDER [--records 1000000] [--indels 0.1] [--shuffled]

Writes FOLDER/genome.fa and FOLDER/N.vcf.gz: sites without samples, one to three alternatives, about
200 bytes of INFO each, on two contigs; one record every eight bases.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from phylotools.io.bgzf import BgzfWriter

SPACING = 8
_BATCH = 1 << 16
_HEADER = """##fileformat=VCFv4.2
##contig=<ID=chr1,length={0}>
##contig=<ID=chr2,length={0}>
##FILTER=<ID=AC0,Description="none">
##FILTER=<ID=AS_VQSR,Description="failed">
##INFO=<ID=AC,Number=A,Type=Integer,Description="x">
##INFO=<ID=AN,Number=1,Type=Integer,Description="x">
##INFO=<ID=AF,Number=A,Type=Float,Description="x">
##INFO=<ID=nhomalt,Number=A,Type=Integer,Description="x">
##INFO=<ID=FS,Number=1,Type=Float,Description="x">
##INFO=<ID=MQ,Number=1,Type=Float,Description="x">
##INFO=<ID=QD,Number=1,Type=Float,Description="x">
##INFO=<ID=VarDP,Number=1,Type=Integer,Description="x">
##INFO=<ID=cadd_phred,Number=1,Type=Float,Description="x">
##INFO=<ID=vep,Number=.,Type=String,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def make_variants(
    folder: Path, n_records: int, *, indels: float = 0.1, shuffled: bool = False, seed: int = 1
) -> tuple[Path, Path]:
    """The VCF and the FASTA.

    Parameters
    ----------
    folder : Path
    n_records : int
    indels : float
        Share of records whose first ALT is longer or shorter than REF.
    shuffled : bool
        Records in random order.
    seed : int
    """
    random = np.random.default_rng(seed)
    length = n_records // 2 * SPACING + 100
    genome = random.integers(0, 4, (2, length))
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[genome]
    fasta = folder / f"genome_{n_records}.fa"
    with open(fasta, "wb") as handle:
        for name, bases in zip((b">chr1\n", b">chr2\n"), letters, strict=True):
            handle.write(name + bases.tobytes() + b"\n")
    places = np.arange(n_records)
    if shuffled:
        random.shuffle(places)
    path = folder / f"{n_records}{'_shuffled' if shuffled else ''}.vcf.gz"
    with open(path, "wb") as raw, BgzfWriter(raw, threads=2) as out:
        out.write(_HEADER.format(length).encode())
        half = n_records // 2
        for first in range(0, n_records, _BATCH):
            part = places[first : first + _BATCH]
            rows = _rows(part // max(half, 1) % 2, part % max(half, 1), letters, indels, random)
            out.write(rows.encode())
        out.finish()
    return path, fasta


def _rows(contigs, sites, letters, indels, random) -> str:  # type: ignore[no-untyped-def]
    """Text of some records."""
    n = len(sites)
    starts = sites * SPACING + 50
    kinds = random.random(n)
    counts = (random.pareto(0.7, n) * 2).astype(int) % 150_000
    numbers = random.integers(1, 152_000, (n, 4))
    shares = random.random((n, 4))
    rows = []
    for i in range(n):
        start = int(starts[i])
        bases = letters[contigs[i], start : start + 4].tobytes().decode()
        others = [base for base in "ACGT" if base != bases[0]]
        ref, alt = bases[0], others[numbers[i, 0] % 3]
        if kinds[i] < indels:
            ref, alt = (bases, bases[0]) if kinds[i] < indels / 2 else (bases[0], bases)
        elif kinds[i] > 0.97:
            alt = ",".join(others)
        ac, an = int(counts[i]), 152_000 - int(numbers[i, 1]) // 50
        a, b, c, d = shares[i].tolist()
        rows.append(
            f"chr{contigs[i] + 1}\t{start + 1}\trs{numbers[i, 2] * 997}\t{ref}\t{alt}\t.\t"
            f"{'PASS' if a < 0.8 else 'AS_VQSR'}\tAC={ac};AN={an};AF={ac / an:.5e};"
            f"nhomalt={ac // 9};FS={a * 10:.4e};MQ={60 - b:.4e};QD={c * 20:.4e};"
            f"VarDP={numbers[i, 3]};cadd_phred={d * 20:.4e};"
            f"vep=T|intron_variant|MODIFIER|GENE{start >> 12}|ENSG00000{start >> 10}|"
            "Transcript|protein_coding"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--indels", type=float, default=0.1)
    parser.add_argument("--shuffled", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    given = {"indels": arguments.indels, "shuffled": arguments.shuffled}
    for path in make_variants(arguments.folder, arguments.records, **given):
        print(path)


if __name__ == "__main__":
    main()
