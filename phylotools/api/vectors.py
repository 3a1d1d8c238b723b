"""Embeddings of sequences or regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.api.inputs import Reference, SequenceLike, compute_each, require_model
from phylotools.embedding.regions import RegionTable
from phylotools.embedding.source import EmbeddingSource, NetworkOptions
from phylotools.embedding.sweep import POOLINGS, STRANDS, row_starts, sweep
from phylotools.errors import UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.scoring.layers import find_layer

if TYPE_CHECKING:
    from phylotools.model.folder import Model

_Vectors = NDArray[np.float32]


def embed(
    model: Model,
    sequences: SequenceLike | Sequence[SequenceLike] | Any = None,
    *,
    regions: Any = None,
    fasta: Reference | None = None,
    pool: str = "mean",
    layer: str | int = "last",
    strand: str = "forward",
    context_pooling: bool = False,
    threads: int | None = None,
    batch_size: int | None = None,
    precision: str = "auto",
) -> _Vectors | list[_Vectors]:
    """Embed sequences, or regions of a genome.

    Parameters
    ----------
    model : Model
        From `load_model`.
    sequences : str, bytes, uint8 array of base codes, or several of these
        Several: a list, an array, a Series. Padded at their ends; see `predict_sites`.
    regions
        Instead of sequences: the path of a BED; a data frame or mapping with the columns contig
        (or chrom), start, end, maybe name and strand; or a sequence of `Region`, of tuples
        (contig, start, end[, name[, strand]]), 0-based and half-open, or of texts
        ``contig:begin-end``, 1-based; or one of these.
    fasta : path or ReferenceGenome, optional
        Where regions lie; by default the model's own reference.
    pool : {'mean', 'max', 'centre', 'none'}
    layer : str or int
    strand : {'forward', 'bed', 'invariant'}
    context_pooling : bool
    threads, batch_size, precision
        As the options of `phylotools embed`.

    Returns
    -------
    float32 array [N, H], or list of float32 arrays [L, H]
        A list with ``pool="none"``. Of one sequence, the array [H] or [L, H].

    Raises
    ------
    UsageError, InputError
    """
    require_model(model)
    for name, value, known in (("pool", pool, POOLINGS), ("strand", strand, STRANDS)):
        if value not in known:
            raise UsageError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    place = find_layer(str(layer), model.spec)

    def vectors(table: RegionTable, genome: ReferenceGenome, tile_length: int) -> list[_Vectors]:
        source = EmbeddingSource(
            model,
            genome,
            place,
            NetworkOptions(threads, batch_size, precision, tile_length),
            with_reverse=strand != "forward",
            with_context=context_pooling,
        )
        bounds = row_starts(table, pool)
        rows = np.empty((int(bounds[-1]), model.spec.channels), dtype=np.float32)

        def keep(places: NDArray[np.int64], values: _Vectors) -> None:
            rows[places] = values

        sweep(source, table, genome, keep, pool=pool, strand=strand)
        return np.split(rows, bounds[1:-1]) if pool == "none" else list(rows)

    if strand == "bed" and regions is None:
        raise UsageError("sequences have no strand of a BED: give regions, or another strand")
    found, is_single = compute_each(model, sequences, regions, fasta, vectors)
    if is_single:
        return found[0]
    return found if pool == "none" else np.stack(found)
