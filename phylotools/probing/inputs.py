"""What heads read: embeddings of bases on disk, and plain sequence in their place."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import REVERSE, RegionTable
from phylotools.embedding.source import EmbeddingSource
from phylotools.embedding.staging import StagedRows
from phylotools.embedding.sweep import row_starts, sweep
from phylotools.errors import OutputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.probing.question import ProbeSettings
from phylotools.probing.samples import Samples
from phylotools.scoring.layers import find_layer

if TYPE_CHECKING:
    from phylotools.model.folder import Model

Floats = NDArray[np.float32]
#: Base code of what is no A, C, G or T, and of what lies beyond a contig.
_NO_BASE = 4
#: Sequence counts of regions, and of windows around single bases, which are shorter.
_REGION_K, _WINDOW_K = 4, 3


class HeadInput(Protocol):
    """Numbers of the bases of samples.

    Attributes
    ----------
    width : int
    flank : int
        Bases that are read beyond either end of a sample.
    is_scaled : bool
        Whether a head should see them in standard units.
    """

    width: int
    flank: int
    is_scaled: bool

    def of(self, sample: int) -> Floats:
        """Numbers of one sample, float32 [L + 2 flank, width]."""


@dataclass(frozen=True)
class Sequences:
    """Base codes of samples and of what surrounds them.

    Attributes
    ----------
    codes : uint8 array
        One after the other, 0 to 4, as the sample is read.
    first : int64 array [N + 1]
        Where each begins, flank included.
    flank : int
    """

    codes: NDArray[np.uint8]
    first: NDArray[np.int64]
    flank: int

    def of(self, sample: int, flank: int) -> NDArray[np.uint8]:
        """Codes of a sample with some of its flank, uint8 [L + 2 flank]."""
        cut = self.flank - flank
        found = self.codes[self.first[sample] : self.first[sample + 1]]
        return found[cut : len(found) - cut]

    def bases(self) -> NDArray[np.uint8]:
        """Codes of all samples, one after the other, without their flanks."""
        parts = [self.of(sample, 0) for sample in range(len(self.first) - 1)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8)


def read_sequences(
    table: RegionTable, genome: ReferenceGenome, flank: int, *, by_strand: bool
) -> Sequences:
    """Sequences of regions, reverse-complemented where the strand says so.

    Parameters
    ----------
    table : RegionTable
    genome : ReferenceGenome
    flank : int
        Bases on either side; 4 beyond the ends of the contig.
    by_strand : bool
        Whether regions on the reverse strand are read there.
    """
    parts = []
    for row in range(len(table)):
        contig = table.targets[table.contig[row]]
        length = genome.contigs[contig]
        start, end = int(table.start[row]) - flank, int(table.end[row]) + flank
        codes = np.full(end - start, _NO_BASE, dtype=np.uint8)
        low, high = max(start, 0), min(end, length)
        codes[low - start : high - start] = genome.bases(Region(contig, low, high))
        if by_strand and table.strand[row] == REVERSE:
            codes = np.where(codes < _NO_BASE, 3 - codes, codes)[::-1]
        parts.append(codes)
    first = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
    return Sequences(np.concatenate(parts), first, flank)


class EmbeddedBases:
    """Embeddings of the bases of samples, on disk."""

    flank = 0
    is_scaled = True

    def __init__(self, staged: StagedRows, first: NDArray[np.int64], width: int) -> None:
        self._staged, self._first, self.width = staged, first, width

    def of(self, sample: int) -> Floats:
        """As `HeadInput.of`."""
        return self._staged.read(int(self._first[sample]), int(self._first[sample + 1]))


class OneHotBases:
    """Bases as four numbers of which one is 1, none where the base is not known."""

    width = 4
    is_scaled = False

    def __init__(self, sequences: Sequences, flank: int = 0) -> None:
        self._sequences, self.flank = sequences, flank

    def of(self, sample: int) -> Floats:
        """As `HeadInput.of`."""
        return _one_hot(self._sequences.of(sample, self.flank), 4)


class WordCounts:
    """How often each word of k bases occurs in a window around each base, or at it alone.

    Parameters
    ----------
    sequences : Sequences
    k : int
    reach : int
        Bases of the window on either side; 0 for the word that begins at the base.
    """

    flank = 0
    is_scaled = True

    def __init__(self, sequences: Sequences, k: int, reach: int) -> None:
        self._sequences, self._k, self._reach = sequences, k, reach
        self.width = 4**k

    def of(self, sample: int) -> Floats:
        """As `HeadInput.of`."""
        words = words_of(self._sequences.of(sample, self._sequences.flank), self._k)
        margin, reach = self._sequences.flank, self._reach
        n = len(words) - 2 * margin
        found = _one_hot(words[margin - reach : margin + n + reach], self.width)
        return found if not reach else _windowed(found, reach)


class GcFraction:
    """Fraction of G and C in a window around each base; `reach` as for `WordCounts`."""

    width = 1
    flank = 0
    is_scaled = True

    def __init__(self, sequences: Sequences, reach: int) -> None:
        self._sequences, self._reach = sequences, reach

    def of(self, sample: int) -> Floats:
        """As `HeadInput.of`."""
        codes = self._sequences.of(sample, self._reach)
        found = ((codes == 1) | (codes == 2)).astype(np.float32)[:, None]
        return found if not self._reach else _windowed(found, self._reach)


def words_of(codes: NDArray[np.uint8], k: int) -> NDArray[np.int64]:
    """Number of the word of k bases that begins at each; 4 ** k where one is not known."""
    padded = np.append(codes, np.full(k - 1, _NO_BASE, dtype=np.uint8)).astype(np.int64)
    places = [padded[shift : shift + len(codes)] for shift in range(k)]
    found = np.zeros(len(codes), dtype=np.int64)
    is_known = np.ones(len(codes), dtype=bool)
    for place in places:
        found = 4 * found + place
        is_known &= place < _NO_BASE
    return np.where(is_known, found, 4**k)


def _one_hot(numbers: NDArray[np.integer], width: int) -> Floats:
    """Rows of which one number is 1; none where it is `width`."""
    table = np.eye(width + 1, width, dtype=np.float32)
    return table[numbers]


def _windowed(values: Floats, reach: int) -> Floats:
    """Means over windows of 2 reach + 1 rows: [L + 2 reach, W] -> [L, W]."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, dtype=np.float64, out=sums[1:])
    span = 2 * reach + 1
    return ((sums[span:] - sums[:-span]) / span).astype(np.float32)


def word_counts(sequences: Sequences, samples: Samples) -> WordCounts:
    """The counts of words for the cells of a task: within a region, or around each base."""
    if samples.cell == "region":
        return WordCounts(sequences, _REGION_K, 0)
    return WordCounts(sequences, _WINDOW_K, sequences.flank)


def gc_fraction(sequences: Sequences, samples: Samples) -> GcFraction:
    """The fraction of G and C for the cells of a task."""
    return GcFraction(sequences, 0 if samples.cell == "region" else sequences.flank)


@contextlib.contextmanager
def embedded_bases(
    model: Model,
    samples: Samples,
    genome: ReferenceGenome,
    settings: ProbeSettings,
    on_done: Callable[[int], None] = lambda n_samples: None,
) -> Iterator[EmbeddedBases]:
    """Embed all bases of samples by one walk along the genome; a temporary file holds them.

    Raises
    ------
    OutputError
        If the disk has no room for them.
    """
    layer = find_layer(settings.layer, model.spec)
    source = EmbeddingSource(
        model, genome, layer, settings.network, with_reverse=settings.strand != "forward"
    )
    width = model.spec.channels
    if settings.strand == "invariant":
        width = width // 2 * 2
    first = row_starts(samples.regions, "none")
    _require_disk(int(first[-1]) * width * 4, settings.folder)
    with StagedRows(settings.folder, width, settings.output) as staged:
        sweep(
            source, samples.regions, genome, staged.write,
            pool="none", strand=settings.strand, on_done=on_done,
        )  # fmt: skip
        yield EmbeddedBases(staged, first, width)


def _require_disk(n_bytes: int, folder: str) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise OutputError(
            f"{folder}: the embeddings of these samples take {n_bytes / 2**30:,.1f} GiB of disk, "
            f"of which {free / 2**30:,.1f} are free; judge fewer, or write the output elsewhere"
        )


def untrained(model: Model, seed: int) -> Model:
    """The same network with the weights that training begins with.

    Parameters
    ----------
    model : Model
    seed : int
        Of the weights.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = model.trainable_site_model().spec.build()
    return model.with_site_model(fresh.to(model.device).freeze())
