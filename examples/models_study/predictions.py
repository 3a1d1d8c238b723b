"""What a model says of every site of a store: theta, out of which come all scores."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylotools.io.regions import Region
from phylotools.model.folder import MANIFEST
from phylotools.model.presets import PAD_TOKEN
from phylotools.model.registry import Model, load_model
from phylotools.scoring.scorer import Scorer
from phylotools.store.read import ColumnStore
from phylotools.store.schema import CODE_MASK, N
from phylotools.training.export import ExportRequest, export_model

#: Positions that go through the network at once: a long gene's activations would not fit into
#: the processor's cache.
STRETCH = 2048
NETWORK_ALONE = ":network"


def open_predictor(path: str) -> Model:
    """A model folder, or the model that a run's folder or a checkpoint would be exported as.

    Parameters
    ----------
    path : str
        Or the name of a shipped model. ``:network`` behind it leaves the fits of sites out that
        the model brings.
    """
    name = path.removesuffix(NETWORK_ALONE)
    source = Path(name)
    if (source / MANIFEST).is_file() or not source.exists():
        return _loaded(name, path.endswith(NETWORK_ALONE))
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model"
        export_model(source, exported, ExportRequest(source.name))
        return _loaded(str(exported), path.endswith(NETWORK_ALONE))


def _loaded(name: str, is_network_alone: bool) -> Model:
    """A model all of whose files are read."""
    model = load_model(name)
    if is_network_alone:
        model = model.from_sequence_alone()
    _ = model.site_model, model.site_fits
    return model


class Predictor:
    """One model for everything, or one for each gene, which the gene was left out of.

    Parameters
    ----------
    path : str
        As for `open_predictor`; with ``{gene}`` in it, one for each gene.
    cut_every : int
        Positions after which the context ends, as at the ends of an exon that is scored alone; 0
        for whole contigs.
    """

    def __init__(self, path: str, cut_every: int = 0) -> None:
        self._path, self._cut_every = path, cut_every
        self._models: dict[str, Model] = {}
        self._theta: dict[tuple[str, str], NDArray[np.float32]] = {}

    def model(self, gene: str) -> Model:
        """The model that scores a gene."""
        path = self._path.format(gene=gene)
        if path not in self._models:
            self._models[path] = open_predictor(path)
        return self._models[path]

    def theta(self, gene: str, store: ColumnStore, contig: str) -> NDArray[np.float32]:
        """Theta of every position of a contig by the model that scores a gene, float32 [L, 4]."""
        key = self._path.format(gene=gene), contig
        if key not in self._theta:
            length = store.contigs[contig]
            cuts = range(0, length, self._cut_every) if self._cut_every else ()
            self._theta[key] = theta_of_contig(self.model(gene), store, contig, cuts)
        return self._theta[key]


def theta_of_contig(
    model: Model, store: ColumnStore, contig: str, cuts: Iterable[int] = ()
) -> NDArray[np.float32]:
    """Theta of every position of a contig: the network's, or fitted to a column that it has seen.

    Parameters
    ----------
    model : Model
    store : ColumnStore
        Its reference sequence is the context.
    contig : str
    cuts : iterable of int
        Positions where the context ends on both sides, as an exon's does that is scored alone.

    Returns
    -------
    float32 array [L, 4]
    """
    length = store.contigs[contig]
    bases = np.minimum(store.reference(Region(contig, 0, length)) & np.uint8(CODE_MASK), N)
    bounds = sorted({0, length, *cuts})
    parts = [bases[start:end] for start, end in itertools.pairwise(bounds)]
    theta = np.concatenate([theta_of_sequence(model, part) for part in parts])
    if model.site_fits is not None:
        model.site_fits.put(contig, 0, bases, theta)
    return theta


def theta_of_sequence(model: Model, bases: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Theta of every position of a sequence with nothing beside it, float32 [L, 4]."""
    half = model.receptive_field // 2
    outside = np.full(half, PAD_TOKEN, np.uint8)
    tokens = np.concatenate([outside, bases.astype(np.uint8), outside])
    scorer = Scorer(model, threads=1)
    stretches = [
        scorer.values_of(tokens[None, start : start + STRETCH + 2 * half])[0]
        for start in range(0, len(bases), STRETCH)
    ]
    return np.concatenate(stretches)
