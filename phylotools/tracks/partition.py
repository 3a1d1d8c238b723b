"""One partition: regions through the network into a piece."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.io.bigwig.encoding import SignalBlocks, encode_signal
from phylotools.io.closing import Closing
from phylotools.io.genome import ReferenceGenome
from phylotools.io.pipeline import Pipeline, in_order
from phylotools.io.position_index.builder import IndexPart, join_parts
from phylotools.io.position_index.lines import LineKind
from phylotools.io.position_index.writer import IndexedBlocks, compress_lines
from phylotools.io.regions import Region, cut_regions
from phylotools.io.spliced import ExonIndex, Places, SplicedGenome, transcript_contig
from phylotools.jobs.job import Partition
from phylotools.jobs.signals import SIGNAL_ENTRY, add_blocks, add_notes, add_signal
from phylotools.jobs.work_folder import WorkFolder
from phylotools.phylogeny.score_meaning import DEFAULT_SCORES
from phylotools.scoring.neutral_sites import contexts_at
from phylotools.scoring.reference import ReferenceLetters
from phylotools.scoring.tiled_network import TILE_LENGTH
from phylotools.tracks.catalogue import signals_of
from phylotools.tracks.plan import Plan, unit_starts
from phylotools.tracks.table import LINES_OF_SITE, cut_lines, snv_lines
from phylotools.tracks.values import SiteValues, rounded, site_values, worst_in_transcripts

if TYPE_CHECKING:
    from phylotools.model.calibration import Calibration
    from phylotools.phylogeny.substitution import SubstitutionModel

#: Tiles that are computed together and then made into blocks by one thread; of long ones, which a
#: GPU computes, as many as two passes have, so that one is computed while another's numbers come.
_BATCH_TILES, _BATCH_LONG_TILES = 64, 32


class ThetaSource(Protocol):
    """The part of `Scorer` that is needed here."""

    tile_length: int

    def theta_at(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.float32]: ...

    def theta_at_places(
        self, names: Sequence[str], contigs: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class _Sites:
    """Positions of one contig with A, C, G or T, their theta, and the LLRs of neutral ones.

    In transcripts, reference, theta and LLRs are those of the positions' places there.
    """

    contig: str
    positions: NDArray[np.int64]
    reference: NDArray[np.uint8]
    theta: NDArray[np.float32]
    expected: NDArray[np.float64] | None
    places: Places | None = None


@dataclass(frozen=True)
class _Finished:
    """Encoded blocks of a batch."""

    signals: list[tuple[int, SignalBlocks]]
    table: bytes
    notes: list[IndexPart]
    counts: Counter[str]


class TrackMaker(Closing):
    """Runs partitions of a plan; a context manager that holds its threads.

    Parameters
    ----------
    plan : Plan
    scorer : Scorer
    genome : ReferenceGenome
        That of the scorer: a `SplicedGenome` where positions are scored in transcripts.
    substitution : SubstitutionModel
        What gives theta its meaning.
    threads : int
        That turn theta into blocks while the network computes the next.
    calibration : Calibration, optional
        For the calibrated score.
    is_ahead : bool
        Whether a thread of its own asks for theta, so that a GPU need not wait for what is written.
    """

    def __init__(
        self,
        plan: Plan,
        scorer: ThetaSource,
        genome: ReferenceGenome,
        substitution: SubstitutionModel,
        threads: int,
        calibration: Calibration | None = None,
        *,
        is_ahead: bool = False,
    ) -> None:
        self._is_ahead = is_ahead
        self._plan, self._scorer, self._genome = plan, scorer, genome
        self._spliced = genome if isinstance(genome, SplicedGenome) else None
        if self._spliced is not None:
            self._exons = ExonIndex(self._spliced.transcripts, tuple(plan.contigs))
        # Few parameters, used beside the network's device.
        self._substitution = substitution
        self._calibration = calibration
        self._letters = ReferenceLetters(genome)
        self._signals = signals_of(plan.settings.tracks or ())
        self._contig_index = {contig: index for index, contig in enumerate(plan.contigs)}
        self._ahead = threads + 2
        self._threads = ThreadPoolExecutor(
            threads, thread_name_prefix="tracks", initializer=torch.set_num_threads, initargs=(1,)
        )

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def run(
        self,
        work: WorkFolder[Plan],
        facts: dict[str, str],
        partition: Partition,
        on_positions: Callable[[int], None] = lambda n_positions: None,
    ) -> None:
        """Make the piece of a partition; nothing is done if it is there.

        Parameters
        ----------
        work : WorkFolder
        facts : dict of str to str
            Kept with the piece: on what it was computed.
        partition : Partition
        on_positions : callable
            Gets the number of positions of every finished batch.

        Raises
        ------
        InputError, OutputError
        """
        if work.is_done(partition.index):
            return
        counts: Counter[str] = Counter()
        notes: list[IndexPart] = []
        with work.writing(partition, SIGNAL_ENTRY) as writer:
            for finished in self._finished(partition.extent):
                for signal, encoded in finished.signals:
                    add_signal(writer, signal, encoded)
                if finished.table:
                    add_blocks(writer, finished.table)
                notes += finished.notes
                counts += finished.counts
                on_positions(finished.counts["positions"])
            if self._plan.settings.snv_table:
                add_notes(writer, join_parts(notes, LineKind.POSITIONS))
            writer.finish({"counts": dict(counts), "facts": facts})

    def _finished(self, regions: Sequence[Region]) -> Iterator[_Finished]:
        """Batches in order, some of them in the making."""
        finish = functools.partial(self._finish, unit_starts(regions))
        is_long = self._scorer.tile_length > TILE_LENGTH
        n_tiles = _BATCH_LONG_TILES if is_long else _BATCH_TILES
        batches = (
            (sum(map(len, batch)), [self._look_up(list(part)) for part in _by_contig(batch)])
            for batch in cut_regions(regions, self._scorer.tile_length, n_tiles)
        )
        if not self._is_ahead:
            yield from in_order(self._threads, finish, batches, self._ahead)
            return
        with Pipeline() as pipeline:
            computed = pipeline.stage(batches, "network", ahead=1)
            yield from in_order(self._threads, finish, computed, self._ahead)

    def _look_up(self, regions: list[Region]) -> _Sites:
        """Positions of regions of one contig through the network."""
        contig = regions[0].contig
        positions = np.concatenate([np.arange(region.start, region.end) for region in regions])
        codes = np.concatenate([self._genome.bases(region) for region in regions])
        known = codes < 4
        if not known.all():
            positions, codes = positions[known], codes[known]
        if self._spliced is not None:
            return self._look_up_places(self._spliced, contig, positions, codes)
        theta = self._scorer.theta_at(contig, positions)
        expected = None
        if self._calibration is not None:
            expected = self._calibration.expected[contexts_at(self._letters, contig, positions)]
        return _Sites(contig, positions, codes, theta, expected)

    def _look_up_places(
        self,
        spliced: SplicedGenome,
        contig: str,
        positions: NDArray[np.int64],
        codes: NDArray[np.uint8],
    ) -> _Sites:
        """The same in all transcripts that the positions lie in."""
        contigs = np.full(len(positions), self._contig_index[contig])
        places = self._exons.places(contigs, positions)
        expected = None if self._calibration is None else np.empty((len(places.rows), 4))
        numbers, owners = np.unique(places.transcripts, return_inverse=True)
        names = [transcript_contig(spliced.transcripts.names[k]) for k in numbers.tolist()]
        theta = self._scorer.theta_at_places(names, owners, places.positions)
        for number, name in enumerate(names if self._calibration is not None else ()):
            assert self._calibration is not None
            assert expected is not None
            rows = np.flatnonzero(owners == number)
            found = contexts_at(self._letters, name, places.positions[rows])
            expected[rows] = self._calibration.expected[found]
        is_reverse = spliced.transcripts.is_reverse[places.transcripts]
        codes = codes[places.rows]
        reference = np.where(is_reverse, 3 - codes, codes).astype(np.uint8)
        return _Sites(contig, positions, reference, theta, expected, places)

    def _finish(
        self, starts: dict[str, NDArray[np.int64]], batch: tuple[int, list[_Sites]]
    ) -> _Finished:
        """Numbers of a batch as blocks, none of which crosses the start of a unit."""
        n_positions, parts = batch
        signals: list[tuple[int, SignalBlocks]] = []
        tables: list[IndexedBlocks] = []
        counts = Counter(positions=n_positions)
        for sites in parts:
            values = self._values(sites)
            cuts = np.searchsorted(sites.positions, starts[sites.contig])
            cuts = np.unique([0, *cuts.tolist(), len(sites.positions)])
            contig = self._contig_index[sites.contig]
            for index, signal in enumerate(self._signals):
                numbers = rounded(values.signal(signal))
                for begin, end in itertools.pairwise(cuts.tolist()):
                    encoded = encode_signal(contig, sites.positions[begin:end], numbers[begin:end])
                    if encoded is not None:
                        signals.append((index, encoded))
            if self._plan.settings.snv_table:
                lines = snv_lines(sites.contig, sites.positions, values)
                tables.extend(
                    compress_lines(text, LineKind.POSITIONS, fast=True)
                    for text in cut_lines(lines, LINES_OF_SITE * cuts)
                )
            counts["sites"] += len(sites.positions)
        blocks = b"".join(table.blocks for table in tables)
        return _Finished(signals, blocks, [table.part for table in tables], counts)

    def _values(self, sites: _Sites) -> SiteValues:
        values = site_values(
            self._substitution,
            sites.theta,
            sites.reference,
            self._plan.settings.scores,
            sites.expected,
        )
        if sites.places is None or self._spliced is None:
            return values
        return worst_in_transcripts(
            values,
            sites.places.rows,
            self._spliced.transcripts.is_reverse[sites.places.transcripts],
            DEFAULT_SCORES[self._plan.substitution],
        )


def _by_contig(regions: list[Region]) -> Iterator[Iterator[Region]]:
    return (part for _, part in itertools.groupby(regions, key=lambda region: region.contig))
