"""One partition: batches of columns fitted into a piece of lines and blocks of tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from isal import igzip

from phylotools.io.bgzf import compress_blocks
from phylotools.io.bigwig.encoding import encode_signal
from phylotools.io.regions import RegionSet
from phylotools.jobs.job import Partition
from phylotools.jobs.piece import Piece
from phylotools.jobs.signals import SIGNAL_ENTRY, add_blocks, add_signal, read_blocks
from phylotools.jobs.work_folder import WorkFolder
from phylotools.sites.fits import allele_lines, fit_columns, site_lines
from phylotools.sites.plan import Plan
from phylotools.sites.preparation import Preparation
from phylotools.sites.run import TRACKS, track_contigs
from phylotools.sites.tally import Tally
from phylotools.store.columns import columns_in_order
from phylotools.store.read import ColumnStore


@dataclass(frozen=True)
class PartitionRunner:
    """Runs partitions of a plan.

    Attributes
    ----------
    work : WorkFolder
    plan : Plan
    store : ColumnStore
    prepared : Preparation
    on_sites : callable
        Gets the number of sites of every finished batch.
    """

    work: WorkFolder[Plan]
    plan: Plan
    store: ColumnStore
    prepared: Preparation
    on_sites: Callable[[int], None]

    def __call__(self, partition: Partition) -> None:
        """Make the piece of a partition; nothing is done if it is there."""
        if self.work.is_done(partition.index):
            return
        lines = allele_lines if self.plan.per_allele else site_lines
        number = {contig: index for index, contig in enumerate(track_contigs(self.store))}
        network, tally = self.prepared.network, Tally()
        n_before = 0 if network is None else network.n_outside_training
        with self.work.writing(partition, SIGNAL_ENTRY) as writer:
            for batch in columns_in_order(self.store, RegionSet.of(partition.extent)):
                for fits in fit_columns(batch, self.prepared):
                    # Packed anew where the table is put together: its blocks end elsewhere.
                    add_blocks(writer, compress_blocks(lines(fits), fast=True))
                    for track, values in enumerate(TRACKS.values()):
                        encoded = encode_signal(number[fits.contig], fits.position, values(fits))
                        if encoded is not None:
                            add_signal(writer, track, encoded)
                    tally.add(fits)
                self.on_sites(sum(map(len, batch)))
            n_outside = 0 if network is None else network.n_outside_training - n_before
            writer.finish({**tally.counts(), "outside_training": n_outside})


def lines_of(piece: Piece) -> bytes:
    """Lines of the table that a partition left."""
    return b"".join(bytes(igzip.decompress(blocks)) for blocks in read_blocks(piece))
