"""A tree for each contig or region: the genome's, nearer to what its own columns say."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown
from phylotools.io.bed import bed_rows
from phylotools.io.contigs import resolve_contigs
from phylotools.io.intervals import intersect_intervals
from phylotools.io.regions import Region, RegionSet
from phylotools.phylogeny.branch_fit import FittedTree, fit_near, informative_columns
from phylotools.phylogeny.kernels.cpu.mixture_dispatch import ColumnPatterns
from phylotools.phylogeny.likelihood import PruningPlan, make_plan
from phylotools.phylogeny.tree import Tree
from phylotools.store.read import ColumnStore
from phylotools.tree_fit.run import (
    Judgement,
    TreeFit,
    TreeFitSettings,
    fit_tree,
    judgement_of,
    rounded_lengths,
)
from phylotools.tree_fit.sample import TreeSample, draw_sample

logger = logging.getLogger("phylotools")

#: Standard deviations of a branch's own share of a region's lengths that are tried.
WIDTHS = (0.25, 0.5, 1.0)
#: Regions that judge what is fitted, at most: all of them are fitted then.
_MOST_JUDGES = 200
#: With fewer columns of two species a region keeps the genome's tree.
FEWEST_COLUMNS = 30


@dataclass(frozen=True)
class RegionTree:
    """The tree of a region.

    Attributes
    ----------
    place : Region
        A whole contig, or a part of one.
    tree : Tree
    factor : float
        Median of its lengths over the genome's.
    n_columns : int
        That it was fitted to; 0 where it is the genome's own.
    """

    place: Region
    tree: Tree
    factor: float
    n_columns: int


@dataclass(frozen=True)
class RegionFits:
    """Trees of regions, and what is known of the fit.

    Attributes
    ----------
    genome : TreeFit
        Of all columns.
    regions : list of RegionTree
    kind : {'genome', 'factor', 'lengths'}
        What they were given: the genome's tree, one factor each, or all lengths.
    lengths_sd : float
        Of a branch's own share, where all lengths were fitted.
    judged : dict of str to Judgement
        Of the genome's tree, a factor and the best of the lengths; gains over the genome's tree.
    n_held_out : int
        Columns that judged.
    """

    genome: TreeFit
    regions: list[RegionTree]
    kind: str
    lengths_sd: float
    judged: dict[str, Judgement]
    n_held_out: int


def whole_contigs(store: ColumnStore) -> list[Region]:
    """Every contig that blocks cover."""
    return [
        Region(name, 0, length)
        for name, length in store.contigs.items()
        if len(store.intervals(name))
    ]


def bed_regions(path: str, store: ColumnStore) -> list[Region]:
    """The regions of a BED file, one for each line, on the store's contigs.

    Raises
    ------
    InputError
        If two overlap, one leaves its contig, or none is on a contig of the store.
    """
    rows = [(region, line) for region, _, line in bed_rows(path)]
    names = resolve_contigs((region.contig for region, _ in rows), store.contigs)
    found = [
        (Region(names[region.contig], region.start, region.end), line)
        for region, line in rows
        if region.contig in names
    ]
    if not found:
        raise InputError(f"none of its contigs is one of {store.path}", path=path)
    if len(found) < len(rows):
        logger.warning(
            "%s: %s left out, on contigs that %s has not",
            path, counted(len(rows) - len(found), "region"), store.path,
        )  # fmt: skip
    found.sort()
    for number, (region, line) in enumerate(found):
        if region.end > store.contigs[region.contig]:
            problem = f"{region} does not lie within its contig"
            raise InputError(problem, path=path, line=line)
        before, other = found[number - 1] if number else (None, 0)
        if before is not None and before.contig == region.contig and region.start < before.end:
            raise InputError(
                f"its region of {shown(region.contig)} overlaps that of line {min(line, other)}",
                path=path,
                line=max(line, other),
                remedy="give regions that do not overlap",
            )
    return [region for region, _ in found]


def fit_region_trees(
    store: ColumnStore,
    places: Sequence[Region],
    settings: TreeFitSettings | None = None,
    tree: Tree | None = None,
    regions: RegionSet | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> RegionFits:
    """Fit a tree to each of many regions.

    First the tree of all columns, as `fit_tree` does, with what all sites share; a region then
    has that tree times a factor, or with lengths near it. Which of these, or none, is decided by
    columns of all regions together that were kept out; then each is fitted to all its columns.

    Parameters
    ----------
    store : ColumnStore
    places : sequence of Region
        Without overlap.
    settings : TreeFitSettings, optional
        ``one_factor`` says what regions are given; the genome's tree is fitted as is best.
    tree : Tree, optional
        Of the store's species, whose shape all trees have; by default the store's own.
    regions : RegionSet, optional
        Where the columns are drawn from; everywhere unless given.
    on_stage : callable
        Gets what is begun, in words.

    Raises
    ------
    InputError
        As `fit_tree`, or if no region has enough columns.
    """
    settings = settings or TreeFitSettings()
    genome = fit_tree(
        store, dataclasses.replace(settings, one_factor=None), tree, regions, on_stage=on_stage
    )
    fitter = _Fitter(store, genome, settings, regions)
    able = [number for number, place in enumerate(places) if fitter.has_columns(place)]
    if not able:
        raise InputError(
            f"no region has {FEWEST_COLUMNS} columns with two species",
            path=store.path,
            remedy="leave out --by-contig and --by-regions, to fit one tree to all columns",
        )
    kind, width = _given_kind(settings)
    judged: dict[str, Judgement] = {}
    n_held_out = 0
    if settings.held_out_fraction:
        on_stage("judging factors and lengths of regions")
        rng = np.random.default_rng((settings.seed, len(able)))
        chosen = np.sort(rng.permutation(able)[:_MOST_JUDGES]).tolist()
        judged, n_held_out, best = fitter.judge([places[number] for number in chosen])
        if settings.one_factor is None:
            kind = best[0]
        width = best[1]
    on_stage(f"fitting {counted(len(able), 'region')}")
    width = width if kind == "lengths" else 0.0
    own = set(able) if kind != "genome" else set()
    found = [fitter.fit(place, width, is_own=number in own) for number, place in enumerate(places)]
    return RegionFits(genome, found, kind, width, judged, n_held_out)


def _given_kind(settings: TreeFitSettings) -> tuple[str, float]:
    """What regions are given where nothing is judged, and the width of their lengths."""
    return ("factor" if settings.one_factor else "lengths"), WIDTHS[len(WIDTHS) // 2]


class _Fitter:
    """Fits regions, all with the genome's tree and site classes."""

    def __init__(
        self,
        store: ColumnStore,
        genome: TreeFit,
        settings: TreeFitSettings,
        regions: RegionSet | None,
    ) -> None:
        self._store, self._genome, self._settings = store, genome, settings
        self._regions = regions
        self._tree = genome.given
        self._plan: PruningPlan = make_plan(self._tree)
        rates = genome.fit.classes.rates.detach()
        self._unit = float(rates.max()) if settings.unit == "fastest" else 1.0

    def has_columns(self, place: Region) -> bool:
        """Whether a region has columns enough to be fitted."""
        n_deep = 0
        for start, end in self._within(place).on(place.contig).tolist():
            n_deep += int((self._store.depth(Region(place.contig, start, end)) >= 2).sum())
            if n_deep >= FEWEST_COLUMNS:
                return True
        return False

    def judge(
        self, places: Sequence[Region]
    ) -> tuple[dict[str, Judgement], int, tuple[str, float]]:
        """How columns that are kept out of each region are told.

        Returns
        -------
        judged : dict of str to Judgement
        n_held_out : int
        best : (str, float)
            What tells them best, and the best width of lengths.
        """
        values: dict[str, list[NDArray[np.float64]]] = {}
        runs: list[NDArray[np.int64]] = []
        n_runs = 0
        for place in places:
            sample = self._sample(place, self._settings.held_out_fraction)
            others = ColumnPatterns(sample.held_out)
            for name, fit in self._kinds(sample.fitted):
                values.setdefault(name, []).append(fit.column_log_likelihood(others, self._plan))
            own = sample.run[: sample.n_held_out]
            runs.append(own + n_runs)
            n_runs += int(own.max(initial=0)) + 1
        joined = {name: np.concatenate(parts) for name, parts in values.items()}
        run = np.concatenate(runs)
        means = {name: value.mean() for name, value in joined.items()}
        width = max(WIDTHS, key=lambda width: means[str(width)])
        named = {"genome": "genome", "factor": "factor", "lengths": str(width)}
        judged = {
            name: judgement_of(joined[key], joined["genome"], run) for name, key in named.items()
        }
        best = max(judged, key=lambda name: judged[name].log_likelihood)
        return judged, len(run), (best, width)

    def _kinds(self, states: NDArray[np.uint8]) -> Iterator[tuple[str, FittedTree]]:
        """Everything that a region may be given, fitted to its columns."""
        patterns, informative = self._read(states)
        near = self._genome.fit
        yield "genome", near
        factor = fit_near(self._plan, patterns, near, informative, lengths_sd=0)
        yield "factor", factor
        for width in WIDTHS:
            yield (
                str(width),
                fit_near(self._plan, patterns, near, informative, lengths_sd=width, begin=factor),
            )

    def fit(self, place: Region, lengths_sd: float, *, is_own: bool) -> RegionTree:
        """The tree of a region: fitted to all its columns, or the genome's."""
        near = found = self._genome.fit
        n_columns = 0
        if is_own:
            sample = self._sample(place, 0.0)
            patterns, informative = self._read(sample.states)
            n_columns = len(sample)
            found = fit_near(self._plan, patterns, near, informative, lengths_sd=lengths_sd)
        ratio = found.branch_length[1:] / near.branch_length[1:]
        length = rounded_lengths(found.branch_length * self._unit)
        tree = dataclasses.replace(self._tree, branch_length=length)
        return RegionTree(place, tree, float(np.median(ratio)), n_columns)

    def _read(self, states: NDArray[np.uint8]) -> tuple[ColumnPatterns, NDArray[np.int64]]:
        return ColumnPatterns(states), informative_columns(self._tree, states)

    def _sample(self, place: Region, held_out_fraction: float) -> TreeSample:
        settings = self._settings
        return draw_sample(
            self._store, self._tree, settings.sample, held_out_fraction, settings.seed,
            self._within(place),
        )  # fmt: skip

    def _within(self, place: Region) -> RegionSet:
        """The covered part of a region where columns may be drawn from."""
        here = np.array([[place.start, place.end]], dtype=np.int64)
        own = intersect_intervals(self._store.intervals(place.contig), here)
        if self._regions is not None:
            own = intersect_intervals(own, self._regions.on(place.contig))
        return RegionSet({place.contig: own})


def table_lines(found: RegionFits, *, by_contig: bool) -> Iterator[str]:
    """The table that `store.region_trees` reads."""
    bounds = () if by_contig else ("start", "end")
    yield "\t".join(("contig", *bounds, "newick")) + "\n"
    for region in found.regions:
        place = region.place
        where = (place.contig,) if by_contig else (place.contig, str(place.start), str(place.end))
        yield "\t".join((*where, region.tree.to_newick())) + "\n"


def describe_region_fits(found: RegionFits) -> dict[str, Any]:
    """Everything in numbers, JSON-ready."""
    factors = [region.factor for region in found.regions if region.n_columns]
    return {
        "regions": len(found.regions),
        "regions_fitted": len(factors),
        "given": found.kind,
        "lengths_sd": found.lengths_sd,
        "region_columns": sum(region.n_columns for region in found.regions),
        "region_factor_quantiles": (
            {str(q): float(np.quantile(factors, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
            if factors
            else {}
        ),
        "region_held_out_columns": found.n_held_out,
        "region_held_out_log_likelihood": {
            name: {"mean": own.log_likelihood, "gain": own.gain, "gain_sd": own.gain_sd}
            for name, own in found.judged.items()
        },
    }


def region_report_lines(found: RegionFits) -> Iterator[str]:
    """The report as text, a line a fact."""
    if found.judged:
        names = {"genome": "genome's tree", "factor": "a factor each", "lengths": "own lengths"}
        parts = []
        for name, judged in found.judged.items():
            gain = "" if name == "genome" else f" ({judged.gain:+.3f} +- {judged.gain_sd:.3f})"
            parts.append(f"{names[name]} {judged.log_likelihood:.3f}{gain}")
        yield (
            f"log-likelihood of {counted(found.n_held_out, 'column')} of the regions not used for "
            f"the fit, nats a column: {', '.join(parts)}"
        )
    factors = [region.factor for region in found.regions if region.n_columns]
    if factors:
        low, median, high = np.quantile(factors, [0.05, 0.5, 0.95])
        own = "one factor each" if found.kind == "factor" else f"lengths (sd {found.lengths_sd:g})"
        yield (
            f"{counted(len(factors), 'region')} with {own}; over the genome's lengths: median "
            f"{median:.3g}, 90 % within {low:.3g} to {high:.3g}"
        )


def region_warnings(found: RegionFits) -> Iterator[str]:
    """What a user should know before using the trees."""
    if found.kind == "genome":
        yield (
            "the genome's tree tells columns that were not used better than trees of regions do: "
            "every region has that tree"
        )
    n_few = sum(not region.n_columns for region in found.regions)
    if n_few and found.kind != "genome":
        yield (
            f"{counted(n_few, 'region')} with fewer than {FEWEST_COLUMNS} columns of two species "
            "kept the genome's tree"
        )
