"""Seconds of `phylotools evaluate` on a million labelled variants, and of reading them for plots.

python benchmarks/evaluate.py [--variants 1000000] [--old FOLDER]

1. The whole command with the default bootstrap (2,000 replicates): wall clock, processor seconds.
2. Intervals alone: replicates a second, and those of scikit-learn on the same variants.
3. `plot llr` of the same file.

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
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from phylotools.evaluate.metrics import compare_scores

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


def compare_intervals(n_variants: int) -> None:
    """Replicates a second, here and by scikit-learn with weights."""
    generator = np.random.default_rng(1)
    positive = generator.random(n_variants) < 0.3
    scores = np.round(generator.normal(size=n_variants) + positive, 4)
    sites = np.arange(n_variants)
    compare_scores(scores[None, :100], positive[:100], sites[:100], replicates=1)
    began = time.perf_counter()
    compare_scores(scores[None], positive, sites, replicates=200)
    ours = 200 / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(3):
        weights = np.bincount(generator.integers(0, n_variants, n_variants), minlength=n_variants)
        roc_auc_score(positive, scores, sample_weight=weights)
        average_precision_score(positive, scores, sample_weight=weights)
    theirs = 3 / (time.perf_counter() - began)
    print(f"replicates a second: {ours:.1f}, scikit-learn {theirs:.2f}: {ours / theirs:.0f} times")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--variants", type=int, default=1_000_000)
    parser.add_argument("--old")
    arguments = parser.parse_args()
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
    compare_intervals(arguments.variants)


if __name__ == "__main__":
    main()
