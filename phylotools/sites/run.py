"""A whole store through the fits: table and tracks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from phylotools.errors import InputError, UsageError
from phylotools.io.bigwig.writer import BigWigWriter, open_bigwig
from phylotools.io.files import refuse_existing_file, refuse_same_file
from phylotools.io.position_table import open_position_table
from phylotools.io.regions import RegionSet
from phylotools.io.staging import outputs_together
from phylotools.sites.fits import SiteFits, allele_lines, fit_columns, header, site_lines
from phylotools.sites.preparation import Preparation
from phylotools.sites.tally import FitSummary, Tally
from phylotools.store.columns import columns_in_order, covered
from phylotools.store.read import ColumnStore
from phylotools.threads import n_cores, set_threads

#: Track -> the values it shows of sites; in files PREFIX.track.bw.
TRACKS: dict[str, Callable[[SiteFits], Any]] = {
    "conservation": lambda fits: fits.conservation,
    "rate": lambda fits: fits.site_rate,
    "llr_mean": lambda fits: fits.mean_llr,
}


@dataclass(frozen=True)
class FitOutputs:
    """Where the fits go.

    Attributes
    ----------
    table : str
        ``-`` is stdout; bgzip and tabix by suffix.
    bigwig : str or None
        Prefix of the tracks.
    per_allele : bool
        A line for every alternative allele instead of every site.
    force : bool
        Replace existing files.
    """

    table: str = "-"
    bigwig: str | None = None
    per_allele: bool = False
    force: bool = False

    @property
    def tracks(self) -> dict[str, str]:
        """Track -> file."""
        if self.bigwig is None:
            return {}
        return {track: f"{self.bigwig}.{track}.bw" for track in TRACKS}

    def refuse(self, inputs: Iterable[str]) -> None:
        """Refuse, before the work, outputs that could not or must not be written.

        Raises
        ------
        OutputError, UsageError
        """
        paths = [path for path in (self.table, *self.tracks.values()) if path != "-"]
        if len({os.path.realpath(path) for path in paths}) < len(paths):
            raise UsageError(f"{self.table}: the table and a track name the same file")
        for path in paths:
            refuse_same_file(path, inputs)
            refuse_existing_file(path, self.force)


def use_threads(threads: int | None) -> None:
    """Let fits use so many threads, by default every core."""
    # The searches' many small tensors lose by threads; the likelihood gains.
    torch.set_num_threads(1)
    set_threads(threads or n_cores())


def fit_store(
    store: ColumnStore,
    prepared: Preparation,
    outputs: FitOutputs,
    regions: RegionSet | None = None,
    *,
    on_batch: Callable[[int], None] = lambda n_sites: None,
) -> FitSummary:
    """Fit every site of a store, or of some regions of it.

    Parameters
    ----------
    store : ColumnStore
    prepared : Preparation
    outputs : FitOutputs
    regions : RegionSet, optional
        Disjoint, sorted, on contigs of the store.
    on_batch : callable
        Gets the number of sites of every finished batch.

    Raises
    ------
    InputError
        If there is no site to fit; no output is left behind.
    OutputError
    """
    lines = allele_lines if outputs.per_allele else site_lines
    tally = Tally()
    with open_outputs(outputs, track_contigs(store)) as (table, tracks):
        for batch in columns_in_order(store, regions):
            if not tally.n_sites:
                table.write(header(store, prepared, per_allele=outputs.per_allele))
            for fits in fit_columns(batch, prepared):
                table.write(lines(fits))
                for name, track in tracks.items():
                    track.add(fits.contig, fits.position, TRACKS[name](fits))
                tally.add(fits)
            on_batch(sum(map(len, batch)))
        if not tally.n_sites:
            raise nothing_to_fit(store)
    n_outside = 0 if prepared.network is None else prepared.network.n_outside_training
    return tally.summary(prepared, n_outside)


def track_contigs(store: ColumnStore) -> dict[str, int]:
    """The contigs of a store in the order of tracks, name -> length."""
    return {name: store.contigs[name] for name in sorted(store.contigs)}


@contextlib.contextmanager
def open_outputs(
    outputs: FitOutputs, contigs: dict[str, int]
) -> Iterator[tuple[BinaryIO, dict[str, BigWigWriter]]]:
    """Yield the table, for text, and the tracks by name; all appear together at the end.

    Raises
    ------
    OutputError
    """
    with outputs_together(), contextlib.ExitStack() as opened:
        table = opened.enter_context(
            open_position_table(
                outputs.table, longest_contig=max(contigs.values()), force=outputs.force
            )
        )
        tracks = {
            name: opened.enter_context(open_bigwig(path, contigs, force=outputs.force))
            for name, path in outputs.tracks.items()
        }
        yield table, tracks


def wanted_contigs(store: ColumnStore, regions: RegionSet | None) -> list[str]:
    """Contigs with covered positions in the regions.

    Raises
    ------
    InputError
        If there is none.
    """
    contigs = [contig for contig in store.contigs if len(covered(store, contig, regions))]
    if not contigs:
        raise nothing_to_fit(store)
    return contigs


def nothing_to_fit(store: ColumnStore) -> InputError:
    """The error of a store, or of regions of it, without columns."""
    return InputError(
        "no column of the regions has a species beside the reference",
        path=store.path,
        remedy="`phylotools inspect` says what the store covers",
    )
