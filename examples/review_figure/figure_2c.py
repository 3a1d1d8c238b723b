"""Sequences designed under a tag, and whether a judge that the head never met believes them.

python figure_2c.py OUTPUT [--quick]      (minutes of one core; needs scikit-learn)

The tag: windows of 90 bases of the human mitochondrial genome lie in protein-coding genes (CDS) or
in ribosomal and transfer RNA (RNA). `phylotools finetune` fits a head to them on
`mammals671-mtdna`. Random sequences are then edited towards either tag; as controls they are left
as they are, or sampled from the model. Judges that the head never met: a logistic regression on
counts of 3-mers, fitted to the same windows of mouse, dog, tarsier and armadillo; and stop codons
in the best of three frames.

Writes designed.tsv (each sequence with its figures), summary.tsv and figure_2c.svg, figure_2c.png.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from phylotools.drawing import COLOURS, GREY, GUIDE, figure_with_footer, picture_style, save_figure
from phylotools.io.delimited import tsv_lines
from phylotools.io.genetic_code import VERTEBRATE_MITOCHONDRIAL_CODE, stop_codons
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

HERE = Path(__file__).parent
DATA = HERE.parent / "human_mtdna" / "data"
ALIGNMENT = HERE.parents[1] / "tests" / "data" / "multiz30way_chrM" / "chrM.multiz30way.maf.gz"
MODEL = "mammals671-mtdna"
WIDTH = 90
#: The control region lies outside, on either side.
FIRST, LAST = 576, 16_023
JUDGED_BY = ("mm10", "canFam3", "tarSyr2", "dasNov3")
KINDS = ("real CDS", "real RNA", "random", "sampled", "edited to CDS", "edited to RNA")
#: By tag, the same whether real or designed.
TINTS = dict(
    zip(KINDS, (COLOURS[0], COLOURS[1], GREY, COLOURS[3], COLOURS[5], COLOURS[4]), strict=True)
)
STOPS = stop_codons(VERTEBRATE_MITOCHONDRIAL_CODE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--quick", action="store_true", help="Few sequences, few edits: a trial.")
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    n, edits, sweeps = (2, 2, 2) if given.quick else (10, 8, 15)
    windows = labelled_windows()
    tuned = fitted_head(out, windows)
    judge = other_species_judge(windows)
    sequences = real_sequences(windows)
    sequences |= designed(out, tuned, n, edits, sweeps)
    rows = judged(out, tuned, judge, sequences)
    write(out, rows, human_auroc(judge, windows))


def labelled_windows() -> list[tuple[int, int, str]]:
    """Windows of the human mitochondrion that are wholly CDS, or have none of it."""
    lines = [line.split("\t") for line in (DATA / "genes.bed").read_text().splitlines()]
    is_coding = np.zeros(LAST, dtype=bool)
    for _, start, end, *_ in lines:
        is_coding[int(start) : int(end)] = True
    found = []
    for start in range(FIRST, LAST - WIDTH + 1, WIDTH):
        share = is_coding[start : start + WIDTH].mean()
        if share in (0, 1):
            found.append((start, start + WIDTH, "CDS" if share else "RNA"))
    return found


def phylotools(*arguments: str | Path) -> None:
    """Run the program."""
    command = [sys.executable, "-m", "phylotools", *map(str, arguments), "-q", "-@", "1"]
    subprocess.run(command, check=True)


def fitted_head(out: Path, windows: list[tuple[int, int, str]]) -> Path:
    """A model with a head for the tag; groups are stretches of 1,000 bases."""
    bed = "".join(
        f"chrM\t{start}\t{end}\tw{k}\t0\t.\t{label}\tk{start // 1000}\n"
        for k, (start, end, label) in enumerate(windows)
    )
    (out / "windows.bed").write_text(bed)
    phylotools("finetune", out / "windows.bed", "-m", MODEL, "--sequence-only",
               "--label-column", "7", "--positive", "CDS", "--negative", "RNA", "--group-by", "8",
               "--bootstrap", "500", "-o", out / "tuned", "--force")  # fmt: skip
    return out / "tuned"


def aligned_rows() -> dict[str, NDArray[np.uint8]]:
    """Letters of each species at each position of the human mitochondrion; a dash where none."""
    rows: dict[str, NDArray[np.uint8]] = {}
    human: bytes = b""
    start = 0
    with gzip.open(ALIGNMENT, "rt") as handle:
        for line in handle:
            if not line.startswith("s "):
                continue
            _, name, begin, _, _, length, text = line.split()
            species = name.partition(".")[0]
            letters = np.frombuffer(text.upper().encode(), dtype=np.uint8)
            if species == "hg38":
                human, start = text.encode(), int(begin)
                kept = np.frombuffer(human, dtype=np.uint8) != ord("-")
                rows.setdefault(species, np.full(int(length), ord("-"), dtype=np.uint8))
            if species not in rows:
                rows[species] = np.full(len(rows["hg38"]), ord("-"), dtype=np.uint8)
            own = letters[kept]
            rows[species][start : start + len(own)] = own
    return rows


def counts(sequence: str) -> NDArray[np.float64]:
    """Shares of the 64 3-mers."""
    words = ["".join(letters) for letters in itertools.product("ACGT", repeat=3)]
    index = {word: k for k, word in enumerate(words)}
    found = np.zeros(64)
    for k in range(len(sequence) - 2):
        found[index[sequence[k : k + 3]]] += 1
    return found / found.sum()


def other_species_judge(windows: list[tuple[int, int, str]]) -> LogisticRegression:
    """3-mers to the tag, fitted to what other species have in place of the human windows."""
    rows = aligned_rows()
    features, labels = [], []
    for species in JUDGED_BY:
        for start, end, label in windows:
            text = rows[species][start:end].tobytes().decode()
            text = "".join(letter for letter in text if letter in "ACGT")
            if len(text) >= WIDTH - 15:
                features.append(counts(text))
                labels.append(label == "CDS")
    judge = LogisticRegression(C=1000.0, class_weight="balanced", max_iter=5000)
    return judge.fit(np.array(features), labels)


def human_windows(windows: list[tuple[int, int, str]]) -> list[tuple[str, str]]:
    """Sequence and tag of every window."""
    with ReferenceGenome.open(DATA / "chrM.fa") as genome:
        return [
            (genome.letters(Region("chrM", start, end)).decode(), label)
            for start, end, label in windows
        ]


def human_auroc(judge: LogisticRegression, windows: list[tuple[int, int, str]]) -> float:
    """How well the judge tells windows of the human, which it has not seen."""
    found = [(text, label) for text, label in human_windows(windows) if "N" not in text]
    values = judge.decision_function(np.array([counts(text) for text, _ in found]))
    return float(roc_auc_score([label == "CDS" for _, label in found], values))


def real_sequences(windows: list[tuple[int, int, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"real CDS": [], "real RNA": []}
    for text, label in human_windows(windows):
        if "N" not in text:
            found[f"real {label}"].append(text)
    return found


def fasta(path: Path) -> list[str]:
    """Sequences of a FASTA."""
    with ReferenceGenome.open(path) as genome:
        return [
            genome.letters(Region(name, 0, size)).decode() for name, size in genome.contigs.items()
        ]


def designed(out: Path, tuned: Path, n: int, edits: int, sweeps: int) -> dict[str, list[str]]:
    """Random sequences, what the model samples from them, and their edits towards either tag."""
    rng = np.random.default_rng(1)
    starts = [
        "".join(rng.choice(list("ACGT"), WIDTH, p=[0.31, 0.31, 0.13, 0.25])) for _ in range(n)
    ]
    text = "".join(f">random_{k}\n{start}\n" for k, start in enumerate(starts, start=1))
    (out / "random.fa").write_text(text)
    phylotools("design", "sample", "-m", MODEL, "--start", out / "random.fa", "-n", "1",
               "--burn-in", str(sweeps), "-o", out / "sampled", "--force")  # fmt: skip
    found = {"random": starts, "sampled": fasta(out / "sampled" / "designed.fa")}
    for tag in ("CDS", "RNA"):
        folder = out / f"edited_{tag}"
        phylotools("design", "edit", "--head", tuned, "--target", tag, "--start", out / "random.fa",
                   "--edits", str(edits), "-o", folder, "--force")  # fmt: skip
        found[f"edited to {tag}"] = fasta(folder / "designed.fa")
    return found


def head_values(out: Path, tuned: Path, sequences: list[str], kind: str) -> list[float]:
    """The head's value of sequences without surroundings, as designs are."""
    name = out / "all.fa"
    name.write_text("".join(f">s{k}\n{text}\n" for k, text in enumerate(sequences)))
    bed = out / "all.bed"
    bed.write_text("".join(f"s{k}\t0\t{len(text)}\n" for k, text in enumerate(sequences)))
    phylotools("finetune", "--apply", tuned, bed, "-f", name, "--sequence-only", "-o",
               out / "all.tsv", "--force")  # fmt: skip
    lines = (out / "all.tsv").read_text().splitlines()[1:]
    return [float(line.split("\t")[4]) for line in lines]


def best_stops(sequence: str) -> int:
    """Stop codons in the frame that has fewest."""
    return min(
        sum(sequence[k : k + 3] in STOPS for k in range(frame, len(sequence) - 2, 3))
        for frame in range(3)
    )


def judged(
    out: Path, tuned: Path, judge: LogisticRegression, sequences: dict[str, list[str]]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for kind, texts in sequences.items():
        values = head_values(out, tuned, texts, kind)
        others = judge.decision_function(np.array([counts(text) for text in texts]))
        for text, value, other in zip(texts, values, others.tolist(), strict=True):
            rows.append(
                {
                    "kind": kind,
                    "head": value,
                    "judge": other,
                    "stops": best_stops(text),
                    "sequence": text,
                }
            )
    return rows


def write(out: Path, rows: list[dict[str, object]], auroc: float) -> None:
    """Tables and picture."""
    (out / "designed.tsv").write_text("".join(tsv_lines(rows[0], (row.values() for row in rows))))
    columns = ["kind", "sequences", "head", "head_above_0", "judge", "judge_above_0", "stops"]
    summary = []
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        numbers = {key: np.array([float(str(row[key])) for row in own])
                   for key in ("head", "judge", "stops")}  # fmt: skip
        summary.append(
            [kind, len(own)]
            + [
                number
                for key in ("head", "judge")
                for number in (float(np.median(numbers[key])), float((numbers[key] > 0).mean()))
            ]
            + [float(numbers["stops"].mean())]
        )
    text = "".join(tsv_lines(columns, summary))
    (out / "summary.tsv").write_text(text)
    print(text, end="")
    print(f"the judge on human windows that it has not seen: AUROC {auroc:.3f}")
    with picture_style():
        figure = draw(rows, auroc)
        save_figure(figure, [out / "figure_2c.svg", out / "figure_2c.png"], dpi=160)


def draw(rows: list[dict[str, object]], auroc: float) -> object:
    """Both values of each sequence, by kind, and stop codons."""
    rng = np.random.default_rng(0)
    footer = (
        f"{MODEL}, head of `finetune` on human windows; the judge (3-mers of four other mammals) "
        f"has AUROC {auroc:.2f} on human windows"
    )
    figure = figure_with_footer(8.4, 3.1, [footer])
    axes = figure.subplots(1, 3)
    for axis, key, title in zip(
        axes,
        ("head", "judge", "stops"),
        ("the head (log odds of CDS)", "a judge that it never met\n(log odds of CDS)",
         "stop codons in the best frame"),
        strict=True,
    ):  # fmt: skip
        for place, kind in enumerate(reversed(KINDS)):
            values = np.array([float(str(row[key])) for row in rows if row["kind"] == kind])
            heights = place + rng.uniform(-0.25, 0.25, len(values))
            axis.plot(values, heights, ".", color=TINTS[kind], markersize=4, alpha=0.7)
            axis.plot([np.median(values)] * 2, [place - 0.35, place + 0.35], color="#222222")
        axis.set_yticks(range(len(KINDS)), reversed(KINDS) if key == "head" else [""] * len(KINDS))
        axis.set_title(title)
        if key != "stops":
            axis.axvline(0, **GUIDE)
    return figure


if __name__ == "__main__":
    main()
