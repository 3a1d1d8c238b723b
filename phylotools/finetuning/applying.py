"""The score of a head that was fitted to regions, of any regions; of variants annotate has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from phylotools.errors import UsageError
from phylotools.finetuning.items import ItemRows
from phylotools.finetuning.regions import region_features
from phylotools.finetuning.variants import NetworkSettings
from phylotools.io.bed import bed_rows
from phylotools.io.delimited import tsv_lines
from phylotools.io.files import open_text_output
from phylotools.model.tuned_head import REGIONS

if TYPE_CHECKING:
    from phylotools.model.folder import Model

_BLOCK = 1 << 14


def score_regions(
    model: Model,
    bed: str,
    output: str,
    settings: NetworkSettings,
    *,
    force: bool = False,
    on_done: Callable[[int], None] = lambda n_regions: None,
) -> int:
    """Write a table of regions with the head's score of each, in the order of the BED.

    Parameters
    ----------
    model : Model
        With a head for regions.
    bed : str
        ``-`` is stdin.
    output : str
        TSV; ``-`` is stdout.
    settings : NetworkSettings
    force : bool
        Replace an existing file.
    on_done : callable
        Gets the number of regions finished since its last call.

    Returns
    -------
    int
        How many regions there were.

    Raises
    ------
    InputError
        If the BED cannot be understood, or a region does not lie in the genome.
    UsageError
        If the model has no head for regions.
    """
    tuned = model.tuned
    if tuned is None or tuned.of != REGIONS:
        has = "no head" if tuned is None else "a head for variants, whose scores annotate writes"
        raise UsageError(f"{model.folder}: has {has}; --apply needs a head for regions")
    rows = ItemRows()
    for region, fields, _ in bed_rows(bed):
        name = fields[3] if len(fields) > 3 else "."
        rows.append((region.contig, region.start, region.end), 0.0, name, ".", False)
    items = rows.items(are_variants=False)
    with (
        region_features(
            model, items, bed, settings, adapted=tuned.adapted_model(model), on_done=on_done
        ) as found,
        open_text_output(output, force=force) as handle,
    ):
        header = ["contig", "start", "end", "name", "tuned"]
        for begin in range(0, len(items), _BLOCK):
            chosen = np.arange(begin, min(begin + _BLOCK, len(items)))
            scores = found.table.scores(tuned.head, chosen)
            lines = (
                [
                    items.contigs[items.contig[row]],
                    int(items.start[row]),
                    int(items.end[row]),
                    items.groups[items.group[row]],
                    f"{score:.4f}",
                ]
                for row, score in zip(chosen.tolist(), scores.tolist(), strict=True)
            )
            # One header alone.
            text = list(tsv_lines(header, lines))[bool(begin) :]
            handle.write("".join(text).encode("utf-8", "surrogateescape"))
    return len(items)
