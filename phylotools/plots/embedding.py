"""Embeddings projected to two dimensions by PCA or UMAP, with classes of their regions."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.components import fit_components
from phylotools.errors import InputError, PhylotoolsError, UsageError
from phylotools.evaluate.separation import Separation, separation_of
from phylotools.io.contigs import contig_resolver
from phylotools.io.features import OverlapIndex, read_features
from phylotools.io.regions import Region
from phylotools.io.vector_table import COLUMNS
from phylotools.plots.embedding_file import EmbeddingFile
from phylotools.plots.labels import NO_CLASS, LabelFile, labelled_rows, labels_of, placed
from phylotools.plots.output import PlotTable

logger = logging.getLogger("phylotools")

Method = Literal["pca", "umap"]
#: Longest vectors: their covariance takes 8 D^2 bytes.
MOST_NUMBERS = 8192
#: UMAP holds its vectors and a graph of neighbours; more regions are drawn from evenly.
MOST_FOR_UMAP = 50_000
_NEIGHBOURS = 15


@dataclass(frozen=True)
class Projection:
    """Embedded regions as points in two dimensions, with their classes.

    Attributes
    ----------
    method : Method
    axes : (str, str)
        What the axes are called.
    points : float64[N, 2]
    columns : dict of str to list
        Of the same N regions.
    classes : list of str
        Of the same N regions.
    class_source : str
        What the classes are, for people; empty for none.
    n_left_out : int
        Regions whose vector is not finite.
    n_not_drawn : int
        Regions left to chance (UMAP alone).
    explained : (float, float) or None
        Part of the variance along each axis, for PCA.
    made_by : dict of str to str
    separation : Separation or None
        How far labels lie apart, of a file of labels.
    """

    method: Method
    axes: tuple[str, str]
    points: NDArray[np.float64]
    columns: dict[str, list[Any]]
    classes: list[str]
    class_source: str
    n_left_out: int
    n_not_drawn: int
    explained: tuple[float, float] | None
    made_by: dict[str, str]
    separation: Separation | None = None


def project(
    source: EmbeddingFile,
    method: Method,
    *,
    colour: str | None = None,
    labels: LabelFile | None = None,
    apart: int = 0,
    seed: int = 1,
) -> Projection:
    """Project embeddings to two dimensions and give each region its class.

    Parameters
    ----------
    source : EmbeddingFile
    method : Method
        ``pca`` reads the file in batches; ``umap`` holds up to `MOST_FOR_UMAP` vectors, drawn
        evenly.
    colour : str, optional
        ``name``, ``contig`` or ``strand`` of the regions, ``none``, or a BED, GFF or GTF whose
        interval with the largest overlap names the class. By default names, if any occurs twice.
    labels : LabelFile, optional
        In place of `colour`: labels that are also judged, by how far they lie apart.
    apart : int
        Regions nearer than this on the genome are not compared then.
    seed : int
        Of UMAP, and of what it draws.

    Raises
    ------
    InputError, UsageError
    """
    if method == "umap":
        _require_umap()
    columns, n_left_out = _survey(source)
    n_regions = len(columns["start"])
    if not n_regions:
        raise InputError("has no region with a finite vector", path=source.path)
    # Before the long work: a bad file of classes ends the run early.
    if labels is None:
        (classes, class_source), separation = _classes(columns, colour), None
    else:
        classes, class_source = labels_of(columns, labels), labels.name
        rows = labelled_rows(classes, seed)
        own = placed(_chosen_vectors(source, rows), rows, columns, classes)
        separation = separation_of(own, apart=apart, seed=seed)
    chosen = np.arange(n_regions)
    explained = None
    if method == "pca":
        points, explained = _principal_components(source, n_regions)
        axes = (_axis_label(1, explained[0]), _axis_label(2, explained[1]))
    else:
        if n_regions > MOST_FOR_UMAP:
            drawn = np.random.default_rng(seed).choice(n_regions, MOST_FOR_UMAP, replace=False)
            chosen = np.sort(drawn)
        points, axes = _umap(_chosen_vectors(source, chosen), seed), ("UMAP 1", "UMAP 2")
        columns = {name: [values[i] for i in chosen.tolist()] for name, values in columns.items()}
        classes = [classes[i] for i in chosen.tolist()]
    return Projection(
        method, axes, points, columns, classes, class_source, n_left_out,
        n_regions - len(chosen), explained, source.made_by, separation,
    )  # fmt: skip


def _survey(source: EmbeddingFile) -> tuple[dict[str, list[Any]], int]:
    """Columns of the regions with finite vectors, and the number of those without."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    n_left_out = 0
    width = None
    for batch in source.batches():
        usable = batch.usable
        n_left_out += int((~usable).sum())
        for name in COLUMNS:
            pairs = zip(batch.columns[name], usable.tolist(), strict=True)
            columns[name] += [value for value, is_usable in pairs if is_usable]
        if width is None:
            width = batch.vectors.shape[1]
            if not 0 < width <= MOST_NUMBERS:
                problem = f"its vectors have {width:,} numbers; from 1 to {MOST_NUMBERS:,} can do"
                raise InputError(problem, path=source.path)
        elif width != batch.vectors.shape[1]:
            raise InputError("its vectors differ in length", path=source.path)
    return columns, n_left_out


def _finite_vectors(source: EmbeddingFile) -> Iterator[NDArray[np.float32]]:
    """Vectors of the regions that `_survey` kept, in order, in blocks that are not empty."""
    for batch in source.batches():
        vectors = batch.vectors[batch.usable]
        if len(vectors):
            yield vectors


def _principal_components(
    source: EmbeddingFile, n_regions: int
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Coordinates [N, 2] and shares of variance: zeros where there is no second axis."""
    found = fit_components(_finite_vectors(source), 2)
    points = np.zeros((n_regions, 2))
    first = 0
    for vectors in _finite_vectors(source):
        points[first : first + len(vectors), : len(found.axes)] = found.project(vectors)
        first += len(vectors)
    explained = [*found.explained.tolist(), 0.0]
    return points, (explained[0], explained[1])


def _axis_label(number: int, part: float) -> str:
    return f"PC{number} ({part:.1%} of the variance)" if part > 0 else f"PC{number} (no variance)"


def _require_umap() -> Any:
    try:
        import umap
    except ImportError:
        raise UsageError(
            "--method umap needs umap-learn; install it: pip install 'phylotools[umap]'"
        ) from None
    return umap


def _chosen_vectors(source: EmbeddingFile, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    parts, first = [], 0
    for vectors in _finite_vectors(source):
        within = chosen[(chosen >= first) & (chosen < first + len(vectors))] - first
        parts.append(vectors[within])
        first += len(vectors)
    return np.concatenate(parts)


def _umap(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    import warnings

    umap = _require_umap()
    if len(vectors) < 4:
        raise UsageError(f"UMAP needs at least 4 regions, there are {len(vectors)}; use PCA")
    with warnings.catch_warnings():
        # It warns that a seed makes it use one thread.
        warnings.simplefilter("ignore")
        model = umap.UMAP(n_neighbors=min(_NEIGHBOURS, len(vectors) - 1), random_state=seed)
        try:
            return np.asarray(model.fit_transform(vectors), dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"UMAP failed: {' '.join(str(error).split())[:120]}; use --method pca"
            ) from None


def _classes(columns: dict[str, list[Any]], colour: str | None) -> tuple[list[str], str]:
    """Class of each region, and what the classes are."""
    n_regions = len(columns["start"])
    if colour is None:
        colour = next(
            (name for name in ("name", "contig") if 1 < len(set(columns[name])) < n_regions), "none"
        )
        if colour != "none":
            logger.info("coloured by %s; choose with --colour", colour)
    if colour == "none":
        return [""] * n_regions, ""
    if colour in ("name", "contig", "strand"):
        return [str(value or NO_CLASS) for value in columns[colour]], colour
    try:
        features = list(read_features(colour))
    except PhylotoolsError as error:
        if colour.isidentifier() and "cannot read" in str(error):
            remedy = "give a BED, or name, contig, strand or none"
            raise UsageError(f"--colour {colour}: there is no such file; {remedy}") from None
        raise
    resolve = contig_resolver(dict.fromkeys(columns["contig"]))
    index = OverlapIndex(features, resolve)
    found = [
        index.name_of(Region(contig, int(start), int(end)))
        for contig, start, end in zip(
            columns["contig"], columns["start"], columns["end"], strict=True
        )
    ]
    if not any(name is not None for name in found):
        raise InputError(
            "none of its intervals overlaps an embedded region",
            path=colour,
            remedy="check contig names and coordinates",
        )
    names = [NO_CLASS if name is None else name or "unnamed" for name in found]
    return names, os.path.basename(colour)


def separation_facts(projection: Projection) -> dict[str, str]:
    """How far labels lie apart, for the table and the summary."""
    found = projection.separation
    if found is None:
        return {}
    facts = {"Purity": found.purity, "Silhouette": found.silhouette}
    return {
        **{
            name: f"{each.value:.3f} (classes moved: {each.null:.3f} [{each.low:.3f}, "
            f"{each.high:.3f}], p {each.p:.3g})"
            for name, each in facts.items()
        },
        "Neighbours": f"{found.k}, {found.apart} bases apart",
    }


def embedding_table(found: Projection, facts: dict[str, Any]) -> PlotTable:
    """The table: a row for each region, BED columns first."""
    kind = {"pca": ("pc1", "pc2"), "umap": ("umap1", "umap2")}[found.method]
    more = (
        {}
        if found.explained is None
        else {"Explained": ",".join(f"{part:.6f}" for part in found.explained)}
    )
    return PlotTable(facts | more, [*COLUMNS, "class", *kind], _rows(found))


def _rows(found: Projection) -> Iterator[list[Any]]:
    for index, (x, y) in enumerate(found.points.tolist()):
        row = [found.columns[name][index] for name in COLUMNS]
        # An empty field would be taken for a missing one.
        yield [*("." if value in (None, "") else value for value in row),
               found.classes[index] or ".", x, y]  # fmt: skip
