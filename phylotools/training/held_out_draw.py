"""Which columns are held out, where a configuration says only how many.

Whole contigs where a store has many of them (genes, exons, scaffolds), else stretches spread over
all of its columns: a network reads a column's neighbours, so that single ones would not be unseen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phylotools.io.intervals import subtract_intervals
from phylotools.io.regions import Region
from phylotools.model.presets import PAD_TOKEN
from phylotools.store.read import ColumnStore
from phylotools.training.column_weights import ColumnWeights
from phylotools.training.config import TrainingConfig
from phylotools.training.held_out import HeldOutColumns
from phylotools.training.segments import SegmentReader
from phylotools.training.windows import n_columns

#: Whole contigs are held out where so many of average size would be: fewer are no sample. 4 of
#: 40 genes are; 2 of 24 chromosomes are not.
_CONTIGS = 4
#: A stretch has at least so many columns, and a receptive field: shorter ones would lie within the
#: context of training columns, and longer ones would leave a virus of 10 kb with one or two.
_SHORTEST = 300
#: More stretches bring nothing more: of larger genomes, these grow longer.
_MOST_STRETCHES = 20
#: Blocks of no more positions are looked into for the columns that can be trained on (a second's
#: work); of larger alignments the blocks themselves say it well enough.
_LOOKED_INTO = 1 << 27
#: Positions looked into at once.
_AT_ONCE = 1 << 20

_Runs = NDArray[np.int64]


def held_out_columns(
    config: TrainingConfig, stores: Sequence[ColumnStore], weights: Sequence[ColumnWeights]
) -> HeldOutColumns:
    """What a configuration names to be held out, or else a draw of as much as it says.

    The draw follows from ``run.seed`` and the stores. What is held out of one store is held out of
    all that have a contig of the same name: alignments of one genome share their columns.

    Parameters
    ----------
    config : TrainingConfig
    stores : sequence of ColumnStore
    weights : sequence of ColumnWeights
        Of each; columns of weight 0 are neither held out nor counted.

    Raises
    ------
    InputError
        If what is named cannot be read.
    """
    held_out = HeldOutColumns.read(config)
    fraction = config.data.drawn_fraction
    if fraction == 0:
        return held_out
    receptive_field = config.model_spec().receptive_field
    for number, (store, own) in enumerate(zip(stores, weights, strict=True)):
        free, n_held = _columns(store, config, held_out, own)
        missing = round(fraction * (n_columns(free) + n_held)) - n_held
        if missing <= 0:
            continue
        # Apart from the streams of the epochs and of the species.
        rng = np.random.default_rng((config.run.seed, number, 2))
        sizes = np.bincount(free[:, 0], free[:, 2] - free[:, 1], len(store.contigs))
        if fraction * sizes.sum() ** 2 / np.square(sizes).sum() >= _CONTIGS:
            drawn = _whole_contigs(store, sizes.astype(np.int64), missing, rng)
        else:
            drawn = _stretches(store, free, missing, receptive_field, rng)
        held_out = held_out.with_regions(drawn)
    return held_out


def _columns(
    store: ColumnStore, config: TrainingConfig, held_out: HeldOutColumns, weights: ColumnWeights
) -> tuple[_Runs, int]:
    """Runs of the columns that can still be held out, and the number of those that are."""
    held = held_out.within(store.contigs)
    blocks = {contig: store.intervals(contig) for contig in store.contigs}
    free: list[_Runs] = [np.empty((0, 3), dtype=np.int64)]
    n_held = 0
    if sum(int(np.diff(own).sum()) for own in blocks.values()) > _LOOKED_INTO:
        for number, (contig, own) in enumerate(blocks.items()):
            if not weights.contigs[number]:
                continue
            rest = subtract_intervals(own, held.on(contig))
            free.append(np.insert(rest, 0, number, axis=1))
            n_held += int(np.diff(own).sum() - np.diff(rest).sum())
    else:
        data = config.data
        reader = SegmentReader(
            store, data.minimum_species, data.soft_mask_weight, held, 0, PAD_TOKEN, weights
        )
        for place in reader.segments(_AT_ONCE):
            training, out = reader.runs(*place)
            free.append(training)
            n_held += n_columns(out)
    return np.concatenate(free), n_held


def _whole_contigs(
    store: ColumnStore, sizes: NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> list[Region]:
    """Contigs in random order, each that does not exceed the number of columns wanted."""
    names = list(store.contigs)
    chosen, total = [], 0
    for contig in rng.permutation(np.flatnonzero(sizes)).tolist():
        if total + sizes[contig] <= wanted:
            total += sizes[contig]
            chosen.append(Region(names[contig], 0, store.contigs[names[contig]]))
    return chosen


def _stretches(
    store: ColumnStore,
    runs: _Runs,
    wanted: int,
    receptive_field: int,
    rng: np.random.Generator,
) -> list[Region]:
    """One stretch, at random, in each of several equal parts of all columns."""
    number = min(max(wanted // max(_SHORTEST, receptive_field), 1), _MOST_STRETCHES)
    parts = np.linspace(0, n_columns(runs), number + 1).astype(np.int64)
    lengths = np.diff(np.linspace(0, wanted, number + 1).astype(np.int64))
    ends = np.cumsum(runs[:, 2] - runs[:, 1])
    regions = []
    for begin, end, length in zip(parts[:-1], parts[1:], lengths, strict=True):
        first = int(rng.integers(begin, max(end - length, begin) + 1))
        regions += _stretch(list(store.contigs), runs, ends, first, first + int(length))
    return regions


def _stretch(contigs: list[str], runs: _Runs, ends: _Runs, first: int, stop: int) -> list[Region]:
    """The columns from number `first` to `stop` with what lies between them, by contig."""
    begin, last = np.searchsorted(ends, [first, stop - 1], side="right")
    own = runs[begin : last + 1].copy()
    own[-1, 2] += stop - ends[last]
    own[0, 1] += first - (ends[begin] - (runs[begin, 2] - runs[begin, 1]))
    return [
        Region(contigs[contig], int(rows[0, 1]), int(rows[-1, 2]))
        for contig in np.unique(own[:, 0]).tolist()
        if len(rows := own[own[:, 0] == contig])
    ]
