"""The sets of the study, and what of each is never shown to a model.

The positions that are tested have weight 0 in the store of a split: no batch has them, and no
evaluation. A tenth of all others is drawn with the seed and held out in the ordinary way; it
chooses the weights that are kept.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from configurations import Tables

from phylotools.io.bed import bed_rows
from phylotools.io.regions import Region
from phylotools.store.read import ColumnStore, open_store

HERE = Path(__file__).parent
EXAMPLES = HERE.parent
MTDNA = EXAMPLES / "human_mtdna" / "data"
MAMMALS = EXAMPLES / "mammal_coding"
DENGUE = EXAMPLES / "dengue" / "data"
BIRDS = EXAMPLES.parent / "tests" / "data"

_STRANDS: Tables = {"substitution": {"strand_symmetric": False}}


class Alignment(NamedTuple):
    """An alignment, its tree and, where there is one, the reference sequence."""

    name: str
    path: Path
    tree: Path
    fasta: Path | None = None


class Split(NamedTuple):
    """A set with some of its positions hidden.

    Attributes
    ----------
    name : str
    set : str
        Splits of one set are parts of one table.
    alignments : tuple of Alignment
    test : Path
        BED of the positions to be scored.
    is_hidden : bool
        Whether these were hidden in training.
    steps : int
    tables : Tables
        Of its configuration, over the defaults.
    genes : Path or None
        Where the coding sequence lies, as for `genes.codings`.
    """

    name: str
    set: str
    alignments: tuple[Alignment, ...]
    test: Path
    steps: int
    is_hidden: bool = True
    tables: Tables | None = None
    genes: Path | None = None

    def stores(self, work: Path) -> list[ColumnStore]:
        """Its column stores; made where they are not there yet."""
        return [open_store(self._store(alignment, work)) for alignment in self.alignments]

    def regions(self) -> list[Region]:
        """The positions to be scored, as they stand in the BED file."""
        return [region for region, _, _ in bed_rows(str(self.test))]

    def _store(self, alignment: Alignment, work: Path) -> Path:
        path = work / "stores" / f"{alignment.name}-{self.name}.store"
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "phylotools", "preprocess", _unpacked(alignment, work)]
        command += ["--tree", alignment.tree, "-o", path, "-q", "-@", "1"]
        if alignment.fasta is not None:
            command += ["--fasta", alignment.fasta]
        if self.is_hidden:
            weights = path.with_suffix(".weights.bed")
            weights.write_text(
                "".join(f"{r.contig}\t{r.start}\t{r.end}\t0\n" for r in self.regions())
            )
            command += ["--weights", weights]
        subprocess.run(list(map(str, command)), check=True)
        return path


def _unpacked(alignment: Alignment, work: Path) -> Path:
    if alignment.path.suffix != ".xz":
        return alignment.path
    path = work / "stores" / alignment.path.stem
    if not path.exists():
        path.write_bytes(lzma.decompress(alignment.path.read_bytes()))
    return path


_MAMMALS113 = Alignment(
    "mammals113",
    MAMMALS / "data" / "mammals_nuclear_exons.maf.gz",
    MAMMALS / "data" / "mammals113.nh",
)
_ORTHOMAM = Alignment(
    "orthomam226", MAMMALS / "data" / "orthomam226.maf.gz", MAMMALS / "data" / "orthomam.nh"
)
_MITOCHONDRION = Alignment(
    "mtdna",
    MTDNA / "mammals671_mtCDS_hg38_chrM.maf.gz",
    MTDNA / "mammals671.nh",
    MTDNA / "chrM.fa",
)
_DENGUE = Alignment(
    "dengue",
    DENGUE / "dengue_all.maf.gz",
    DENGUE / "dengue_all.nh",
    DENGUE / "dengue_all.reference.fa",
)
_CHICKEN = Alignment(
    "birds", BIRDS / "real_alignments" / "birds53.galGal6.maf.xz", BIRDS / "birds53" / "53birds.nh"
)
BIRD_CHROMOSOMES = ("chr22", "chr25", "chr28")
#: Genes of the mitochondrion that are left out together, so that four trainings do for thirteen.
MTDNA_FOLDS = (1, 2, 3, 4)

SPLITS = {
    split.name: split
    for split in (
        Split(
            "mammals",
            "mammals",
            (_MAMMALS113, _ORTHOMAM),
            MAMMALS / "held_out.bed",
            1000,
            tables={"optimiser": {"windows_per_batch": 4, "window_length": 512}},
        ),
        Split(
            "dengue",
            "dengue",
            (_DENGUE,),
            HERE / "data" / "dengue_test.bed",
            240,
            tables=_STRANDS,
            genes=DENGUE / "dengue_all.gff3",
        ),
        *(
            Split(f"birds-{name}", "birds", (_CHICKEN,), HERE / "data" / f"birds_{name}.bed", 480)
            for name in BIRD_CHROMOSOMES
        ),
        Split(
            "mtdna",
            "mtdna",
            (_MITOCHONDRION,),
            MTDNA / "genes.bed",
            200,
            is_hidden=False,
            tables=_STRANDS,
            genes=MTDNA / "genes.bed",
        ),
        *(
            Split(
                f"mtdna-fold{fold}",
                "mtdna-left-out",
                (_MITOCHONDRION,),
                HERE / "data" / f"mtdna_fold{fold}.bed",
                160,
                tables=_STRANDS,
                genes=MTDNA / "genes.bed",
            )
            for fold in MTDNA_FOLDS
        ),
    )
}

#: Whole genes, for the comparison of one tree with a tree for each gene.
GENES = Split(
    "orthomam",
    "orthomam",
    (_ORTHOMAM,),
    MAMMALS / "held_out.bed",
    500,
    tables={"optimiser": {"windows_per_batch": 4, "window_length": 512}},
)
