"""Codon position of every coding base of human mtDNA, read off its embedding by a linear probe.

python codon_position.py > codon_position.tsv      (about two minutes)

One gene at a time is held out: the probe, a logistic regression, is fitted to the other twelve.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import phylotools
from phylotools.model.folder import ModelDraft, read_model, write_model
from phylotools.model.network import ByteNet
from phylotools.model.site_model import SiteModel

DATA = Path(__file__).parent.parent / "human_mtdna" / "data"
GENES, REFERENCE = DATA / "genes.bed", DATA / "chrM.fa"
Features = list[NDArray[np.float32]]


def main() -> None:
    model = phylotools.load_model("mammals671-mtdna")
    genes = [line.split("\t") for line in GENES.read_text().splitlines()]
    regions = [(g[0], int(g[1]), int(g[2]), g[3], g[5]) for g in genes]
    # In reading direction every gene here begins with the first base of a codon.
    labels = [np.arange(end - start) % 3 for _, start, end, *_ in regions]
    ways = {f"embedding, {layer}": embedded(model, regions, layer)
            for layer in ("last", "block.8", "block.4", "block.2", "embedding")}  # fmt: skip
    ways["untrained network, last"] = embedded(untrained(model), regions, "last")
    ways["bases of the receptive field"] = one_hot(model, regions)
    ways["rate and frequencies predicted"] = predicted(model, regions)
    names = [region[3] for region in regions]
    print("\t".join(["features", "numbers", "accuracy", *names]))
    for name, features in ways.items():
        right = held_out_genes(features, labels)
        overall = np.concatenate(right).mean()
        print("\t".join([name, str(features[0].shape[1]), f"{overall:.3f}",
                         *(f"{gene.mean():.3f}" for gene in right)]), flush=True)  # fmt: skip


def embedded(model: phylotools.Model, regions: list, layer: str) -> Features:
    """A vector a base, in reading direction."""
    options = {"fasta": REFERENCE, "pool": "none", "layer": layer, "strand": "bed"}
    return phylotools.embed(model, regions=regions, **options)


def untrained(model: phylotools.Model) -> phylotools.Model:
    """The same network before training."""
    import tempfile

    torch.manual_seed(1)
    network = SiteModel(ByteNet(model.spec)).freeze()
    with tempfile.TemporaryDirectory() as folder:
        write_model(ModelDraft("untrained", "0", network, {}, {}, ""), Path(folder) / "model")
        return read_model(Path(folder) / "model")


def one_hot(model: phylotools.Model, regions: list) -> Features:
    """The bases that the network reads, in reading direction: what a probe does without it."""
    half = (model.receptive_field - 1) // 2
    found = []
    with phylotools.ReferenceGenome.open(model.reference_fasta) as genome:
        for contig, start, end, _, strand in regions:
            codes = genome.fetch(phylotools.Region(contig, start - half, end + half)) & 7
            hot = np.eye(5, dtype=np.float32)[codes][:, :4]
            if strand == "-":
                hot = hot[::-1, ::-1]
            windows = np.lib.stride_tricks.sliding_window_view(hot, 2 * half + 1, axis=0)
            found.append(windows.reshape(end - start, -1))
    return found


def predicted(model: phylotools.Model, regions: list) -> Features:
    """What the model says of each base alone: five numbers."""
    found = []
    for region, site in zip(regions, phylotools.predict_sites(model, regions=regions), strict=True):
        backwards = slice(None, None, -1 if region[4] == "-" else 1)
        frequencies = np.log(site.frequencies[backwards, backwards])
        found.append(np.column_stack([frequencies, np.log(site.rate[backwards])]))
    return [part.astype(np.float32) for part in found]


def held_out_genes(features: Features, labels: list[NDArray[np.int64]]) -> list[NDArray[np.bool_]]:
    """Whether each base of each gene is told right by a probe that never saw its gene."""
    right = []
    for k in range(len(features)):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        others = [j for j in range(len(features)) if j != k]
        probe.fit(np.concatenate([features[j] for j in others]),
                  np.concatenate([labels[j] for j in others]))  # fmt: skip
        right.append(probe.predict(features[k]) == labels[k])
    return right


if __name__ == "__main__":
    main()
