"""Seconds to join labelled variants with three score files, beside what else users join with.

python benchmarks/joining.py [--variants 1000000] [--runs 3]

Files: labels as VCF (bgzip, the INFO of ClinVar); scores as a bgzip table in CADD's form (three
rows for each labelled position), as Parquet, and as a VCF with an INFO field.

1. `phylotools evaluate --bootstrap 0`, the whole command, and the join alone as a function.
2. pandas and polars: the same files read (cyvcf2 for the VCFs) and merged on contig, position, REF
   and ALT, in a process of its own; they check no REF, trim no alleles and count nothing.
3. `bcftools annotate -c`: the scores put into the labels' VCF one file after the other (indexed
   table and VCF; Parquet it cannot read, so that it does two of three), and bgzip written.
4. Peak memory, and the same join where the scored table is ten times as large.

All in turn, run by run; ratios are to the whole command of ours.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
import pysam

LABELS_HEADER = """##fileformat=VCFv4.2
##contig=<ID=1,length=248956422>
##contig=<ID=2,length=242193529>
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="x">
##INFO=<ID=CLNHGVS,Number=.,Type=String,Description="x">
##INFO=<ID=GENEINFO,Number=1,Type=String,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""
SCORED_HEADER = """##fileformat=VCFv4.2
##contig=<ID=1,length=248956422>
##contig=<ID=2,length=242193529>
##INFO=<ID=OTHER,Number=1,Type=Float,Description="x">
##INFO=<ID=S_LLR,Number=A,Type=Float,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""
PEER = """
import sys
import numpy as np
from cyvcf2 import VCF
labels, table, parquet, scored, library = sys.argv[1:]
def of_vcf(path, key):
    columns = ([], [], [], [], [])
    for record in VCF(path):
        for column, value in zip(columns, (
            record.CHROM, record.POS, record.REF, record.ALT[0], record.INFO.get(key)
        )):
            column.append(value)
    return dict(zip(("chrom", "pos", "ref", "alt", key), columns))
on = ["chrom", "pos", "ref", "alt"]
names = ["chrom", "pos", "ref", "alt", "raw", "cadd"]
if library == "pandas":
    import pandas
    found = pandas.DataFrame(of_vcf(labels, "CLNSIG"))
    others = [
        pandas.read_csv(table, sep="\\t", comment="#", names=names, compression="gzip",
                        dtype={"chrom": str}),
        pandas.read_parquet(parquet),
        pandas.DataFrame(of_vcf(scored, "S_LLR")),
    ]
    for other in others:
        found = found.merge(other, on=on, how="left")
    found = found.dropna(subset=["cadd", "score", "S_LLR"])
else:
    import polars
    found = polars.DataFrame(of_vcf(labels, "CLNSIG"))
    others = [
        polars.read_csv(table, separator="\\t", comment_prefix="#", has_header=False,
                        new_columns=names, schema_overrides={"column_1": polars.String}),
        polars.read_parquet(parquet),
        polars.DataFrame(of_vcf(scored, "S_LLR")),
    ]
    for other in others:
        found = found.join(other, on=on, how="left")
    found = found.drop_nulls(["cadd", "score", "S_LLR"])
print(len(found))
"""


def make_files(folder: Path, n_variants: int, rows_between: int = 0) -> dict[str, str]:
    """Labels and scores; `rows_between` further positions of the table for each labelled one."""
    draw = random.Random(1)
    numbers = np.random.default_rng(1)
    paths = {name: str(folder / name) for name in ("labels.vcf.gz", "table.tsv.gz", "p.parquet",
                                                   "scored.vcf.gz")}  # fmt: skip
    columns: dict[str, list[object]] = {"chrom": [], "pos": [], "ref": [], "alt": []}
    values = numbers.normal(size=(n_variants, 3)).round(4)
    labels, table, scored = (folder / name for name in ("labels.vcf", "table.tsv", "scored.vcf"))
    with open(labels, "w") as a, open(table, "w") as b, open(scored, "w") as c:
        a.write(LABELS_HEADER)
        b.write("## CADD GRCh38-v1.7\n#Chrom\tPos\tRef\tAlt\tRawScore\tPHRED\n")
        c.write(SCORED_HEADER)
        for contig, begin, end in (("1", 0, n_variants // 2), ("2", n_variants // 2, n_variants)):
            position = 0
            for row in range(begin, end):
                step = draw.randint(1, 200)
                for extra in range(1, min(rows_between, step - 1) + 1):
                    b.write(f"{contig}\t{position + extra}\tA\tC\t0.1\t2.3\n")
                position += step
                ref, *alts = draw.sample("ACGT", 4)
                alt = alts[0]
                is_bad = values[row, 0] > 0.5
                a.write(
                    f"{contig}\t{position}\t{row}\t{ref}\t{alt}\t.\t.\tCLNHGVS=NC_000001.11:g."
                    f"{position}{ref}>{alt};CLNSIG={'Pathogenic' if is_bad else 'Benign'};"
                    f"GENEINFO=SAMD11:{row // 1000}\n"
                )
                for other in sorted(alts):
                    raw = values[row, 0] if other == alt else 0.5
                    b.write(f"{contig}\t{position}\t{ref}\t{other}\t{raw}\t{raw + 10:.3f}\n")
                columns["chrom"].append(contig)
                columns["pos"].append(position)
                columns["ref"].append(ref)
                columns["alt"].append(alt)
                c.write(
                    f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\t.\tOTHER=0.5;"
                    f"S_LLR={values[row, 2]}\n"
                )
    found = pyarrow.table(columns | {"score": values[:, 1].astype(np.float32)})
    pyarrow.parquet.write_table(found, paths["p.parquet"])
    for plain, name, kind in ((labels, "labels.vcf.gz", "vcf"), (scored, "scored.vcf.gz", "vcf")):
        pysam.tabix_compress(str(plain), paths[name], force=True)
        pysam.tabix_index(paths[name], preset=kind, force=True)
    pysam.tabix_compress(str(table), paths["table.tsv.gz"], force=True)
    pysam.tabix_index(paths["table.tsv.gz"], seq_col=0, start_col=1, end_col=1, force=True)
    for plain in (labels, table, scored):
        plain.unlink()
    return paths


def ours(paths: dict[str, str]) -> list[str]:
    program = "import sys; from phylotools.cli.main import main; main()"
    question = ("--label-column", "CLNSIG", "--positive", "Pathogenic", "--negative", "Benign")
    return [
        sys.executable, "-c", program, "evaluate", paths["scored.vcf.gz"], *question,
        "--labels", paths["labels.vcf.gz"], "--score", "S_LLR",
        "--score", f"CADD={paths['table.tsv.gz']}:PHRED", "--score", f"GPN={paths['p.parquet']}",
        "--bootstrap", "0",
    ]  # fmt: skip


def join_alone(paths: dict[str, str]) -> list[str]:
    program = (
        "import sys; from phylotools.evaluate.selection import Question, parse_score; "
        "from phylotools.evaluate.tables import join_tables; l, t, p, s = sys.argv[1:]; "
        "scores = ('S_LLR', f'CADD={t}:PHRED', f'GPN={p}'); "
        "print(len(join_tables(Question((s,), l, 'CLNSIG', frozenset(['Pathogenic']), "
        "frozenset(['Benign']), tuple(map(parse_score, scores))))))"
    )
    return [sys.executable, "-c", program, *paths.values()]


def peer(paths: dict[str, str], library: str) -> list[str]:
    return [sys.executable, "-c", PEER, *paths.values(), library]


def annotate(paths: dict[str, str], folder: Path) -> list[str]:
    header, one, out = (str(folder / name) for name in ("cadd.hdr", "one.bcf", "out.vcf.gz"))
    Path(header).write_text('##INFO=<ID=CADD,Number=1,Type=Float,Description="x">\n')
    steps = (
        ("annotate", "-a", paths["table.tsv.gz"], "-h", header,
         "-c", "CHROM,POS,REF,ALT,-,INFO/CADD", "-Ob", "-o", one, paths["labels.vcf.gz"]),
        ("index", "-f", one),
        ("annotate", "-a", paths["scored.vcf.gz"], "-c", "INFO/S_LLR", "-Oz", "-o", out, one),
    )  # fmt: skip
    return ["bash", "-c", " && ".join(f"bcftools {' '.join(step)}" for step in steps)]


class Spent(NamedTuple):
    """Wall-clock and processor seconds of a command, and its largest memory in MB."""

    wall: float
    processor: float
    peak: float


def timed(command: list[str]) -> Spent:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {command[:3]}")
    wall = time.perf_counter() - began
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def shown(spent: list[float], first: list[float]) -> str:
    ratio = np.array(spent) / np.array(first)
    return (
        f"{np.median(spent):6.1f} s [{min(spent):.1f}, {max(spent):.1f}], ratio "
        f"{np.median(ratio):5.2f} [{ratio.min():.2f}, {ratio.max():.2f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--between", type=int, default=20)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_files(folder, settings.variants)
        ways = {
            "evaluate": ours(paths),
            "join alone": join_alone(paths),
            "polars": peer(paths, "polars"),
            "pandas": peer(paths, "pandas"),
            "bcftools, two files": annotate(paths, folder),
        }
        timed(ways["evaluate"])  # compiles
        runs: dict[str, list[Spent]] = {way: [] for way in ways}
        for _ in range(settings.runs):
            for way, command in ways.items():
                runs[way].append(timed(command))
        print(f"{settings.variants:,} labelled variants, {settings.runs} runs; median [min, max]")
        first = runs["evaluate"]
        for way, spent in runs.items():
            wall = shown([s.wall for s in spent], [s.wall for s in first])
            processor = shown([s.processor for s in spent], [s.processor for s in first])
            peak = max(s.peak for s in spent)
            print(f"  {way:20s} wall {wall}; processor {processor}; {peak:,.0f} MB")
        for path in paths.values():
            os.unlink(path)
        paths = make_files(folder, settings.variants, rows_between=settings.between)
        size = os.path.getsize(paths["table.tsv.gz"])
        large = timed(ours(paths))
        print(
            f"  evaluate, a table of {size / 1e6:,.0f} MB: wall {large.wall:.1f} s, processor "
            f"{large.processor:.1f} s, {large.peak:,.0f} MB"
        )


if __name__ == "__main__":
    main()
