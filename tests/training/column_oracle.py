"""What batches hold: a checksum, and their columns, straight from the store."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from phylotools.io.regions import Region
from phylotools.model.presets import PAD_TOKEN
from phylotools.store import schema
from phylotools.training.batch import Batch
from phylotools.training.dataset import TrainingData


def digest(batches) -> str:
    """SHA-256 over everything in some batches, shapes and types included."""
    found = hashlib.sha256()
    names = [
        field.name for field in dataclasses.fields(Batch) if field.name not in ("plan", "masked")
    ]
    for batch in batches:
        for name in names:
            values = getattr(batch, name).numpy()
            found.update(f"{name} {values.dtype} {values.shape}".encode())
            found.update(values.tobytes())
    return found.hexdigest()[:16]


def seen_in(data: TrainingData, batches, width: int) -> list[tuple]:
    """Every column of an epoch, told by its bases, its reference and the tokens around it."""
    half = data.stores[0].maker.half_window
    found = []
    for batch in batches:
        for column, site in enumerate(batch.site.tolist()):
            row, offset = divmod(site, width)
            around = batch.tokens[row, offset : offset + 2 * half + 1]
            found.append(
                (around.numpy().tobytes(), batch.held_out_states[column].numpy().tobytes())
            )
    return found


def expected_columns(data: TrainingData, held_out: bool) -> list[tuple]:
    """The same, straight from the store, position by position."""
    found = []
    for source in data.stores:
        for region in source.regions(held_out=held_out):
            length = source.store.contigs[region.contig]
            for position in range(region.start, region.end):
                around = np.full(2 * source.maker.half_window + 1, PAD_TOKEN, dtype=np.int64)
                start, end = (
                    position - source.maker.half_window,
                    position + source.maker.half_window + 1,
                )
                span = Region(region.contig, max(start, 0), min(end, length))
                codes = source.store.reference(span) & schema.CODE_MASK
                around[span.start - start : span.end - start] = codes
                here = Region(region.contig, position, position + 1)
                bases = source.store.bases(here)[0] & schema.CODE_MASK
                found.append((around.tobytes(), bases.tobytes()))
    return found
