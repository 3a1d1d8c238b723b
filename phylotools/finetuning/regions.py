"""Features of labelled regions: pooled embeddings, and what the model says of their sites."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionTable, Texts
from phylotools.embedding.source import EmbeddingSource, NetworkOptions
from phylotools.embedding.staging import StagedRows
from phylotools.embedding.sweep import sweep
from phylotools.errors import InputError, UsageError
from phylotools.finetuning.features import FeatureTable
from phylotools.finetuning.items import LabelledItems
from phylotools.finetuning.variants import ItemFeatures, NetworkSettings
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.model.tuned_head import N_SCORES, REGIONS
from phylotools.scoring.layers import LAST, find_layer
from phylotools.scoring.reference import reference_tokens
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import log_rate_and_entropy

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: What a region's own score is: the mean of the logs of its sites' rates.
LOG_RATE = "log_rate"
#: Most bases of regions that adapters are trained on: all of them go through the network at once.
LONGEST_ADAPTED = 1024
_TOGETHER = 32
_BLOCK_BYTES = 16 << 20


class _SiteSource:
    """Log rate and entropy of every base, as a source that `sweep` pools."""

    n_channels = N_SCORES[REGIONS]

    def __init__(self, model: Model, genome: ReferenceGenome, settings: NetworkSettings) -> None:
        self._scorer = Scorer(model, genome, **settings.options)
        self.tile_length = self._scorer.tile_length

    def tiles(
        self, contig: str, indices: Iterable[int]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """As `TileSource.tiles`."""
        remaining = iter(indices)
        while group := list(islice(remaining, _TOGETHER)):
            for index, theta in self._scorer.tiles(contig, group):
                yield index, log_rate_and_entropy(self._scorer.model.substitution, theta.copy())


@contextlib.contextmanager
def region_features(
    model: Model,
    items: LabelledItems,
    path: str,
    settings: NetworkSettings,
    *,
    adapted: Model | None = None,
    keeps_windows: bool = False,
    on_done: Callable[[int], None] = lambda n_regions: None,
) -> Iterator[ItemFeatures]:
    """Features of labelled regions; temporary files hold them while the context is open.

    They are the same for a region and its reverse complement.

    Parameters
    ----------
    model : Model
    items : LabelledItems
    path : str
        The regions, for messages.
    settings : NetworkSettings
    adapted : Model, optional
        Whose embeddings they are, where that is not `model`.
    keeps_windows : bool
        Whether sequences are kept, to train adapters on.
    on_done : callable
        Gets the number of regions finished since its last call.

    Raises
    ------
    InputError
        If a region does not lie in the genome.
    UsageError
        If windows cannot be kept of such a model, or of regions so long.
    """
    longest = int((items.end - items.start).max())
    if keeps_windows:
        _require_short(model, longest)
    reference = model.choose_reference(settings.fasta)
    options = NetworkOptions(settings.threads, settings.batch_size, settings.precision)
    width = model.spec.channels // 2 * 2
    with contextlib.ExitStack() as stack:
        genome = stack.enter_context(ReferenceGenome.open(reference))
        regions = _placed(items, genome, path)
        layer = find_layer(LAST, model.spec)
        embeddings = EmbeddingSource(adapted or model, genome, layer, options, with_reverse=True)
        sites = _SiteSource(model, genome, settings)
        staged = partial(StagedRows, settings.folder, output=settings.output)
        vectors = stack.enter_context(staged(width=width))
        numbers = stack.enter_context(staged(width=sites.n_channels))
        sweep(embeddings, regions, genome, vectors.write, strand="invariant", on_done=on_done)
        sweep(sites, regions, genome, numbers.write)
        table = stack.enter_context(settings.row_file((sites.n_channels + width,), np.float32))
        for begin, block in vectors.blocks(len(items), _BLOCK_BYTES):
            own = numbers.read(begin, begin + len(block))
            table.append(np.concatenate([own, block], axis=1))
        span = model.receptive_field + longest - 1
        windows = stack.enter_context(settings.row_file((1, span), np.uint8))
        for row in range(len(items)) if keeps_windows else ():
            begin = int(items.start[row]) - model.receptive_field // 2
            contig = regions.targets[items.contig[row]]
            windows.append(reference_tokens(genome, contig, begin, begin + span))
        features = table.rows()
        zero_shot = {LOG_RATE: features[:, 0].astype(np.float64)}
        found = FeatureTable(features, sites.n_channels)
        kept = windows.rows() if keeps_windows else None
        yield ItemFeatures(items, found, zero_shot, kept, reference, False)


def _require_short(model: Model, longest: int) -> None:
    if model.tile_length is not None:
        raise UsageError(
            f"--adapters: what model {model.name} says of a region depends on its tiles; fit a "
            "head alone"
        )
    if longest > LONGEST_ADAPTED:
        raise UsageError(
            f"--adapters: regions may have {LONGEST_ADAPTED} bases, the longest here has "
            f"{longest:,}; cut them, or fit a head alone"
        )


def _placed(items: LabelledItems, genome: ReferenceGenome, path: str) -> RegionTable:
    spelled = resolve_contigs(items.contigs, genome.contigs)
    lengths = np.array([genome.contigs.get(spelled.get(name, ""), 0) for name in items.contigs])
    is_outside = items.end > lengths[items.contig]
    if is_outside.any():
        row = int(np.argmax(is_outside))
        name = items.contigs[items.contig[row]]
        raise InputError(
            f"region {name}:{items.start[row] + 1}-{items.end[row]} does not lie in the reference "
            f"({int(is_outside.sum()):,} do not)",
            path=path,
            remedy="give the reference of its assembly with --fasta",
        )
    names = Texts()
    for _ in range(len(items)):
        names.append("")
    strand = np.full(len(items), ord("."), dtype=np.uint8)
    targets = [spelled.get(name, name) for name in items.contigs]
    return RegionTable(
        list(items.contigs), targets, items.contig, items.start, items.end, names, strand
    )
