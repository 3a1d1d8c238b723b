"""Seconds of `phylotools evaluate` on a million labelled variants, and of reading them for plots.

python benchmarks/evaluate.py [--variants N] [--replicates N] [--only-statistics] [--old FOLDER]

1. The whole command with the default bootstrap (2,000 replicates): wall clock, processor seconds.
2. `plot llr` of the same file.
3. The statistics alone, with --replicates (2,000) replicates each: two classes, ordered classes,
   numbers, numbers within twelve strata, matched groups; and loops of scikit-learn and scipy over
   the same variants, of three replicates, from which as many are projected. `--only-statistics`
   leaves the rest out.

--old FOLDER: a checkout of an earlier version (`git worktree add FOLDER 1762789`), which evaluates
with 20 replicates and with 40, from which 2,000 are projected, and plots.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from phylotools.evaluate.correlation import compare_correlations
from phylotools.evaluate.matched import compare_matched
from phylotools.evaluate.metrics import compare_scores
from phylotools.evaluate.ordered import compare_ordered
from phylotools.threads import get_threads

Rows = np.ndarray

QUESTION = (
    *("--label-column", "CLNSIG", "--positive", "Pathogenic", "--negative", "Benign"),
    *("--score", "PHYLOGPN_LLR"),
)
HEADER = """##fileformat=VCFv4.2
##contig=<ID=chr1,length=248956422>
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="x">
##INFO=<ID=CLNHGVS,Number=.,Type=String,Description="x">
##INFO=<ID=CLNREVSTAT,Number=.,Type=String,Description="x">
##INFO=<ID=GENEINFO,Number=1,Type=String,Description="x">
##INFO=<ID=AF,Number=A,Type=Float,Description="x">
##INFO=<ID=PHYLOGPN_LLR,Number=A,Type=Float,Description="x">
##INFO=<ID=PHYLOGPN_STATUS,Number=A,Type=String,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def make_file(path: Path, n_variants: int) -> None:
    """A VCF with the INFO fields of ClinVar and of `annotate`."""
    generator = random.Random(1)
    position = 0
    with open(path, "w") as handle:
        handle.write(HEADER)
        for _ in range(n_variants):
            position += generator.randint(1, 200)
            ref, alt = generator.sample("ACGT", 2)
            label = "Pathogenic" if generator.random() < 0.3 else "Benign"
            llr = generator.gauss(-2 if label == "Pathogenic" else 0, 2)
            handle.write(
                f"chr1\t{position}\t.\t{ref}\t{alt}\t.\tPASS\tCLNHGVS=NC_000001.11:g.{position}"
                f"{ref}>{alt};CLNREVSTAT=criteria_provided,_single_submitter;CLNSIG={label};"
                f"GENEINFO=SAMD11:148398;AF={generator.random() ** 4:.4g};"
                f"PHYLOGPN_LLR={llr:.4f};PHYLOGPN_STATUS=ok\n"
            )


def run(arguments: list[str], folder: str | None = None) -> tuple[float, float]:
    """Wall-clock and processor seconds of a command, of this version or of another checkout."""
    program = "import sys; from phylotools.cli.main import main; main()"
    environment = os.environ | ({"PYTHONPATH": folder} if folder else {})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(what: str, seconds: tuple[float, float]) -> None:
    print(f"{what}: {seconds[0]:.1f} s, {seconds[1]:.1f} processor seconds", flush=True)


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds."""
    began, used = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - began, time.process_time() - used


def compare_statistics(n_variants: int, replicates: int) -> None:
    """Seconds of each kind of statistics, here and by loops of scikit-learn and scipy."""
    generator = np.random.default_rng(1)
    positive = generator.random(n_variants) < 0.3
    scores = np.round(generator.normal(size=n_variants) + positive, 4)
    numbers = scores + 2 * generator.normal(size=n_variants)
    classes = np.digitize(numbers, [-2, 0, 2, 4])
    sites = np.arange(n_variants)
    strata = generator.integers(0, 12, n_variants)
    groups, contigs = sites // 10, sites // 10 % 23
    one_of_ten = sites % 10 == 0

    def areas(rows: Rows) -> None:
        roc_auc_score(positive[rows], scores[rows])
        average_precision_score(positive[rows], scores[rows])

    def correlations(rows: Rows) -> None:
        spearmanr(scores[rows], numbers[rows])
        kendalltau(scores[rows], numbers[rows])
        pearsonr(scores[rows], numbers[rows])

    def within(rows: Rows) -> None:
        for stratum in range(12):
            correlations(rows[strata[rows] == stratum])

    def by_contig(rows: Rows) -> None:
        for contig in range(23):
            own = rows[contigs[rows] == contig]
            roc_auc_score(one_of_ten[own], scores[own])
            average_precision_score(one_of_ten[own], scores[own])
        roc_auc_score(one_of_ten[rows], scores[rows])
        average_precision_score(one_of_ten[rows], scores[rows])

    def ordered(rows: Rows) -> None:
        spearmanr(scores[rows], classes[rows])
        kendalltau(scores[rows], classes[rows])
        for k in range(1, 5):
            roc_auc_score(classes[rows] >= k, scores[rows])

    def ours(compare: Callable[..., object], *arguments: object, **more: object) -> Any:
        return lambda n: compare(scores[None], *arguments, replicates=n, **more)

    kinds = {
        "two classes": (ours(compare_scores, positive, sites), areas),
        "five ordered classes": (ours(compare_ordered, classes, sites, n_classes=5), ordered),
        "numbers": (ours(compare_correlations, numbers, sites), correlations),
        "numbers within 12 strata": (
            ours(compare_correlations, numbers, sites, strata=strata), within,
        ),
        "matched groups": (ours(compare_matched, one_of_ten, groups, blocks=contigs), by_contig),
    }  # fmt: skip
    print(f"{n_variants:,} variants, {replicates:,} replicates, {get_threads()} threads")
    for name, (compare, peer) in kinds.items():
        compare(16)  # compiles
        report(f"{name}", timed(lambda compare=compare: compare(replicates)))
        drawn = [generator.integers(0, n_variants, n_variants) for _ in range(3)]
        one = timed(lambda peer=peer, drawn=drawn: [peer(rows) for rows in drawn])
        seconds = (one[0] / 3 * replicates, one[1] / 3 * replicates)
        report(f"{name}, scikit-learn and scipy, projected", seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--variants", type=int, default=1_000_000)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--only-statistics", action="store_true")
    parser.add_argument("--old")
    arguments = parser.parse_args()
    if arguments.only_statistics:
        compare_statistics(arguments.variants, arguments.replicates)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scored.vcf"
        make_file(path, arguments.variants)
        plot = ["plot", "llr", str(path), "--classes", "CLNSIG", "--force", "-o", f"{folder}/plot"]
        evaluate = ["evaluate", str(path), *QUESTION]
        run([*evaluate, "--bootstrap", "1"])  # compiles
        report("evaluate", run(evaluate))
        report("evaluate without intervals", run([*evaluate, "--bootstrap", "0"]))
        report("plot llr", run(plot))
        if arguments.old:
            few, more = (run([*evaluate, "--bootstrap", n], arguments.old) for n in ("20", "40"))
            projected = tuple(a + (b - a) / 20 * 1980 for a, b in zip(few, more, strict=True))
            report("old evaluate, projected", (projected[0], projected[1]))
            report(
                "old evaluate without intervals",
                run([*evaluate, "--bootstrap", "0"], arguments.old),
            )
            report("old plot llr", run(plot, arguments.old))
    compare_statistics(arguments.variants, arguments.replicates)


if __name__ == "__main__":
    main()
