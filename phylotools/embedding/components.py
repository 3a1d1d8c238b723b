"""Principal components of embeddings that need not fit in memory, and a BED that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import RegionTable
from phylotools.embedding.staging import StagedRows
from phylotools.embedding.sweep import base_starts, row_starts
from phylotools.io.genome import ReferenceGenome
from phylotools.io.position_table import open_position_table

#: Colours reach their ends at so many standard deviations from the mean.
_COLOUR_SPAN = 2.0
_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Components:
    """The directions in which vectors differ most.

    Attributes
    ----------
    mean : float64 array [H]
    axes : float64 array [K, H]
        Orthonormal; of each, the entry of largest size is positive.
    variance : float64 array [K]
        Of the rows along each axis (divided by N - 1).
    explained : float64 array [K]
        The same as a share of all variance.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variance: NDArray[np.float64]
    explained: NDArray[np.float64]

    def project(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Coordinates along the axes, float64 [N, K], of rows [N, H]."""
        coordinates: NDArray[np.float64] = (rows - self.mean) @ self.axes.T
        return coordinates


def fit_components(blocks: Iterable[NDArray[np.floating]], n_components: int) -> Components:
    """Principal components of all rows.

    Parameters
    ----------
    blocks : iterable of arrays [N, H]
    n_components : int
        At most so many axes; no more than H, or rows less one.
    """
    n_rows = 0
    mean: NDArray[np.float64] = np.zeros(0)
    scatter: NDArray[np.float64] = np.zeros((0, 0))
    for block in blocks:
        values = block.astype(np.float64)
        own_mean = values.mean(axis=0)
        values -= own_mean
        own_scatter = values.T @ values
        if not n_rows:
            n_rows, mean, scatter = len(values), own_mean, own_scatter
            continue
        # Means and scatters of parts combine without the loss of digits of sums of squares.
        total = n_rows + len(values)
        step = own_mean - mean
        scatter += own_scatter + np.outer(step, step) * (n_rows * len(values) / total)
        mean = mean + step * (len(values) / total)
        n_rows = total
    covariance = scatter / max(n_rows - 1, 1)
    values, vectors = np.linalg.eigh(covariance)
    kept = max(1, min(n_components, len(mean), n_rows - 1))
    axes = vectors[:, ::-1][:, :kept].T
    signs = np.sign(axes[np.arange(kept), np.abs(axes).argmax(axis=1)])
    variance = np.maximum(values[::-1][:kept], 0)
    total_variance = np.trace(covariance)
    explained = variance / total_variance if total_variance > 0 else np.zeros(kept)
    return Components(mean, axes * signs[:, None], variance, explained)


def write_component_track(
    path: str,
    components: Components,
    table: RegionTable,
    genome: ReferenceGenome,
    staged: StagedRows,
    *,
    pool: str,
    strand: str,
    force: bool,
) -> None:
    """Write BED12 and a column a component, sorted, compressed and indexed if `path` says so.

    The colour of a region is its first three components as red, green and blue; its score the
    first one.

    Parameters
    ----------
    path : str
    components : Components
    table : RegionTable
    genome : ReferenceGenome
    staged : StagedRows
        The vectors.
    pool, strand : str
        As they were made.
    force : bool
        Replace an existing file.

    Raises
    ------
    OutputError
    """
    n_components = len(components.axes)
    titles = ["contig", "start", "end", "name", "score", "strand", "thickStart", "thickEnd",
              "itemRgb", "blockCount", "blockSizes", "blockStarts"]  # fmt: skip
    titles += [f"PC{k + 1}" for k in range(n_components)]
    shares = ",".join(f"{share:.4f}" for share in components.explained)
    header = f"#explained_variance={shares}\n#" + "\t".join(titles) + "\n"
    longest = max(genome.contigs.values())
    with open_position_table(path, longest_contig=longest, force=force, is_bed=True) as out:
        out.write(header.encode())
        for region, start, end, row in _sorted_rows(table, pool, strand):
            coordinates = components.project(staged.gather(row))
            lines = _lines(table, region, start, end, coordinates, components)
            out.write(lines.encode("utf-8", "replace"))


_Sorted = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _sorted_rows(table: RegionTable, pool: str, strand: str) -> Iterator[_Sorted]:
    """Yield regions, starts, ends and rows, in C locale order of contigs, by position."""
    rank = {name: k for k, name in enumerate(sorted(table.contigs))}
    ranks = np.array([rank[name] for name in table.contigs], dtype=np.int64)[table.contig]
    first_row = row_starts(table, pool)
    if pool != "none":
        order = np.lexsort((table.end, table.start, ranks))
        for begin in range(0, len(order), _BLOCK_ROWS):
            chosen = order[begin : begin + _BLOCK_ROWS]
            yield chosen, table.start[chosen], table.end[chosen], first_row[chosen]
        return
    # Per base: overlapping regions interleave.
    region = np.repeat(np.arange(len(table)), table.end - table.start)
    row = np.arange(first_row[-1])
    start = base_starts(table, region, row, strand)
    order = np.lexsort((row, start, ranks[region]))
    for begin in range(0, len(order), _BLOCK_ROWS):
        chosen = order[begin : begin + _BLOCK_ROWS]
        yield region[chosen], start[chosen], start[chosen] + 1, row[chosen]


def _lines(
    table: RegionTable,
    region: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    coordinates: NDArray[np.float64],
    components: Components,
) -> str:
    spread = np.sqrt(components.variance)
    spread[spread == 0] = 1
    unit = np.clip(coordinates / spread / _COLOUR_SPAN, -1, 1) / 2 + 0.5
    colours = np.full((len(unit), 3), 128)
    colours[:, : unit.shape[1]] = np.rint(unit[:, :3] * 255)
    scores = np.rint(unit[:, 0] * 1000).astype(int)
    lines = []
    for k, (index, low, high) in enumerate(
        zip(region.tolist(), start.tolist(), end.tolist(), strict=True)
    ):
        cells = "\t".join([f"{value + 0.0:.4f}" for value in coordinates[k].tolist()])
        colour = ",".join(map(str, colours[k].tolist()))
        name = "".join(c if c.isprintable() else "?" for c in table.names[index]) or "."
        lines.append(
            f"{table.contigs[table.contig[index]]}\t{low}\t{high}\t{name}\t{scores[k]}\t"
            f"{chr(table.strand[index])}\t{low}\t{high}\t{colour}\t1\t{high - low}\t0\t"
            f"{cells}\n"
        )
    return "".join(lines)
