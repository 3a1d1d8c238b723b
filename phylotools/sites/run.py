"""A whole store through the fits: table and tracks."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from phylotools.errors import InputError, UsageError
from phylotools.io.bigwig.writer import open_bigwig
from phylotools.io.files import refuse_existing_file, refuse_same_file
from phylotools.io.position_table import open_position_table
from phylotools.io.regions import RegionSet
from phylotools.io.staging import outputs_together
from phylotools.phylogeny.site_fit import SitePrior
from phylotools.sites.fits import SiteFits, allele_lines, fit_columns, header, site_lines
from phylotools.sites.preparation import Preparation
from phylotools.store.columns import columns_in_order, covered
from phylotools.store.read import ColumnStore

#: Track -> the values it shows of sites; in files PREFIX.track.bw.
_TRACKS: dict[str, Callable[[SiteFits], Any]] = {
    "conservation": lambda fits: fits.conservation,
    "rate": lambda fits: fits.site_rate,
    "llr_mean": lambda fits: fits.mean_llr,
}
#: -log10 p from which a site counts as slower or faster than neutral in the summary.
_SURE = 2.0


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
        return {track: f"{self.bigwig}.{track}.bw" for track in _TRACKS}

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


@dataclass(frozen=True)
class FitSummary:
    """What was fitted, for the log and `--summary-json`.

    Attributes
    ----------
    sites : dict of str to int
        By contig.
    n_slow, n_fast : int
        Sites slower and faster than neutral at p < 0.01.
    median_rate_scale : float
        Of the maximum likelihood rates of the rate test, relative to neutral, to about 1 %: what
        `neutral_scale` should be if these sites are neutral.
    """

    sites: dict[str, int]
    n_slow: int
    n_fast: int
    median_rate_scale: float

    @property
    def n_sites(self) -> int:
        return sum(self.sites.values())


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
    contigs = {name: store.contigs[name] for name in sorted(store.contigs)}
    tally = _Tally()
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
        for batch in columns_in_order(store, regions):
            if not tally.n_sites:
                table.write(header(store, prepared, per_allele=outputs.per_allele))
            for fits in fit_columns(batch, prepared):
                table.write(lines(fits))
                for name, track in tracks.items():
                    track.add(fits.contig, fits.position, _TRACKS[name](fits))
                tally.add(fits)
            on_batch(sum(map(len, batch)))
        if not tally.n_sites:
            raise _nothing_to_fit(store)
    return tally.summary()


def wanted_contigs(store: ColumnStore, regions: RegionSet | None) -> list[str]:
    """Contigs with covered positions in the regions.

    Raises
    ------
    InputError
        If there is none.
    """
    contigs = [contig for contig in store.contigs if len(covered(store, contig, regions))]
    if not contigs:
        raise _nothing_to_fit(store)
    return contigs


def _nothing_to_fit(store: ColumnStore) -> InputError:
    return InputError(
        "no column of the regions has a species beside the reference",
        path=store.path,
        remedy="`phylotools inspect` says what the store covers",
    )


def describe_preparation(prepared: Preparation) -> dict[str, Any]:
    """What was decided before the pass, JSON-ready."""
    return {
        "substitution": {"name": prepared.model.name, **prepared.model.settings()},
        "background": prepared.background,
        "prior": _describe_prior(prepared.prior),
        "prior_model": None if prepared.network is None else prepared.network.model.name,
        "sampled_columns": prepared.n_sample,
        "held_out_species": list(prepared.held_out),
        "held_out_log_likelihood": prepared.held_out_log_likelihood,
        "priors_tried": [
            {**_describe_prior(prior), "held_out_log_likelihood": value}
            for prior, value in prepared.trials
        ],
    }


def _describe_prior(prior: SitePrior) -> dict[str, float | str | None]:
    """Means and widths of a prior; JSON has no infinity."""
    return {
        name: "free" if value == math.inf else value
        for name, value in dataclasses.asdict(prior).items()
    }


class _Tally:
    """Counts, in memory that does not grow."""

    #: Limits of the bins in which logarithms of rates are counted.
    _LIMITS = np.arange(-10, 10, 0.01)

    def __init__(self) -> None:
        self._sites: dict[str, int] = {}
        self._slow = self._fast = 0
        self._scales = np.zeros(len(self._LIMITS) + 1, dtype=np.int64)

    @property
    def n_sites(self) -> int:
        return sum(self._sites.values())

    def add(self, fits: SiteFits) -> None:
        self._sites[fits.contig] = self._sites.get(fits.contig, 0) + len(fits)
        self._slow += int(np.count_nonzero(fits.conservation > _SURE))
        self._fast += int(np.count_nonzero(fits.conservation < -_SURE))
        bins = np.searchsorted(self._LIMITS, fits.log_scale)
        self._scales += np.bincount(bins, minlength=len(self._scales))

    def summary(self) -> FitSummary:
        half = int(np.searchsorted(np.cumsum(self._scales), self.n_sites / 2))
        scale = float(np.exp(self._LIMITS[min(half, len(self._LIMITS) - 1)])) if half else 0.0
        return FitSummary(self._sites, self._slow, self._fast, scale)
