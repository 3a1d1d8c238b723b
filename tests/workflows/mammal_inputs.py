"""Real data for workflows: two genes of 30 mammals on the human mitochondrion, with variants."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

from phylotools.phylogeny.tree import parse_newick

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "mammals671"
HUMAN = ROOT / "examples" / "human_mtdna" / "data"
#: The genes ATP8 and ND4L, 1-based.
REGIONS = ("chrM:8366-8526", "chrM:10470-10759")

_TRAINING = """
[data]
stores = ["columns.store"]
[network]
preset = "tiny"
channels = 8
bottleneck = 4
dilations = [1, 2]
[optimiser]
steps = 20
windows_per_batch = 4
window_length = 48
[run]
evaluate_every = 10
checkpoint_every = 10
site_fits = false
"""


def write_inputs(folder: Path) -> None:
    """Two alignments, their tree, 30 of its species, a reference, variants with labels.

    Parameters
    ----------
    folder : Path
        Gets ``0.maf``, ``1.maf``, ``tree.nh``, ``species.txt``, ``chrM.fa``, ``labelled.vcf`` and
        ``train.toml``.
    """
    folder.mkdir()
    with gzip.open(DATA / "mtCDS_cut.maf.gz", "rt") as handle:
        head, *blocks = handle.read().strip().split("\n\n")
    for number, block in enumerate(blocks[:2]):
        (folder / f"{number}.maf").write_text(f"{head}\n\n{block}\n\n")
    shutil.copy(HUMAN / "chrM.fa", folder)
    shutil.copy(DATA / "mammals671.nh", folder / "tree.nh")
    tips = parse_newick((folder / "tree.nh").read_text()).tips
    (folder / "species.txt").write_text("\n".join(["Homo_sapiens", *tips[::23][:29]]) + "\n")
    (folder / "train.toml").write_text(_TRAINING)
    with gzip.open(HUMAN / "labelled_snvs.vcf.gz", "rt") as handle:
        lines = [line for line in handle if line.startswith("#") or _is_wanted(line)]
    (folder / "labelled.vcf").write_text("".join(lines))


def _is_wanted(line: str) -> bool:
    position = int(line.split("\t")[1])
    spans = (map(int, region.partition(":")[2].split("-")) for region in REGIONS)
    return any(begin <= position <= end for begin, end in spans)
