"""What each base of regions is worth, as arrays that motif discovery reads.

Hypothetical attributions, as TF-MoDISco has them: a number for each of A, C, G and T at each
position, whether it stands there or not; times the one-hot sequence they are what each base is
worth.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.interpret.changes import log_probabilities
from phylotools.interpret.files import write_arrays
from phylotools.interpret.mutagenesis import EFFECTS, LOG_LIKELIHOOD, site_effects
from phylotools.io.bases import N
from phylotools.io.delimited import tsv_lines
from phylotools.io.documents import read_document
from phylotools.io.files import atomic_folder
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer

Kind = Literal["logo", "mutagenesis"]
KINDS: tuple[Kind, ...] = ("logo", "mutagenesis")
SEQUENCES, ATTRIBUTIONS, REGIONS, RECORD = (
    "sequences.npz", "attributions.npz", "regions.tsv", "attributions.json",
)  # fmt: skip
CONTENTS = frozenset({SEQUENCES, ATTRIBUTIONS, REGIONS, RECORD})
#: The name of the array in each file: NumPy's own, which `modisco` looks for.
ARRAY = "arr_0"
#: Numbers of the arrays: 512 MB of attributions.
MOST_NUMBERS = 1 << 27


@dataclass(frozen=True)
class NamedRegion:
    """A region of a BED file: of one width with the others, on a strand.

    Attributes
    ----------
    contig : str
        By its name in the genome.
    start, end : int
        May reach beyond the contig, where there is nothing.
    name : str
    is_reverse : bool
        Read on the other strand.
    """

    contig: str
    start: int
    end: int
    name: str
    is_reverse: bool


def of_one_width(regions: Iterable[NamedRegion], width: int | None) -> list[NamedRegion]:
    """Regions of one width, cut or widened around their middles.

    Parameters
    ----------
    regions : iterable of NamedRegion
    width : int, optional
        By default that of the regions, if all have the same.

    Raises
    ------
    UsageError
        If they have different lengths and no width is given, or are too many.
    """
    given = list(regions)
    lengths = {region.end - region.start for region in given}
    if width is None:
        if len(lengths) > 1:
            raise UsageError(
                f"the regions have lengths from {min(lengths):,} to {max(lengths):,}; arrays hold "
                "one: give --width, and each is cut or widened around its middle"
            )
        (width,) = lengths
    if len(given) * width * 4 > MOST_NUMBERS:
        raise UsageError(
            f"{len(given):,} regions of {width:,} bases are too many for one set of arrays "
            f"({MOST_NUMBERS // 4:,} bases): choose fewer, or a smaller --width"
        )
    found = []
    for region in given:
        start = (region.start + region.end) // 2 - width // 2
        found.append(
            NamedRegion(region.contig, start, start + width, region.name, region.is_reverse)
        )
    return found


def region_attributions(
    scorer: Scorer,
    regions: Iterable[NamedRegion],
    kind: Kind,
    *,
    effect: str = LOG_LIKELIHOOD,
    on_positions: Callable[[int], None] = lambda n: None,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Yield the bases of each region, uint8 [L], and what each is worth, float32 [L, 4].

    Attributions of a position sum to 0; where no base stands, or beyond the contig, they are 0.

    Parameters
    ----------
    scorer : Scorer
        By the sequence alone.
    regions : iterable of NamedRegion
    kind : {'logo', 'mutagenesis'}
        ``logo``: information content in bits times the centred log frequencies.
        ``mutagenesis``: the centred effects of the substitutions, 0 for the base that stands there.
    effect : str
        Which effect, of mutagenesis.
    on_positions : callable
        Gets the number of positions done since its last call.
    """
    of = {"logo": _logo, "mutagenesis": _mutagenesis}[kind]
    for region in regions:
        width = region.end - region.start
        codes = np.full(width, N, dtype=np.uint8)
        values = np.zeros((width, 4))
        length = scorer.genome.contigs[region.contig]
        inside = Region(region.contig, max(region.start, 0), min(region.end, length))
        if inside.start < inside.end:
            here = slice(inside.start - region.start, inside.end - region.start)
            codes[here] = scorer.genome.bases(inside)
            values[here] = of(scorer, inside, effect)
        values[codes == N] = 0
        if region.is_reverse:
            codes = np.where(codes < N, 3 - codes, codes)[::-1]
            values = values[::-1, ::-1]
        on_positions(width)
        yield codes, values.astype(np.float32)


def _logo(scorer: Scorer, region: Region, effect: str) -> NDArray[np.float64]:
    log_pi = log_probabilities(scorer.model.substitution, scorer.theta(region))
    entropy = -(np.exp(log_pi) * log_pi).sum(axis=1)
    bits = np.clip(2 - entropy / np.log(2), 0, 2)
    centred: NDArray[np.float64] = bits[:, None] * (log_pi - log_pi.mean(axis=1, keepdims=True))
    return centred


def _mutagenesis(scorer: Scorer, region: Region, effect: str) -> NDArray[np.float64]:
    values, column = np.zeros((len(region), 4)), EFFECTS.index(effect)
    for site in site_effects(scorer, [region]):
        effects = site.values[:, column]
        values[site.position - region.start] = effects - effects.mean()
    return values


def write_attributions(
    folder: str,
    found: Iterable[tuple[NDArray[np.uint8], NDArray[np.float32]]],
    regions: list[NamedRegion],
    facts: Mapping[str, Any],
    *,
    force: bool,
) -> None:
    """Write the arrays, (N, 4, L) each, their regions and what made them.

    Raises
    ------
    InputError
        If no region has a base.
    OutputError
    """
    width = regions[0].end - regions[0].start
    shape = (len(regions), 4, width)
    one_hot, values = np.zeros(shape, dtype=np.int8), np.zeros(shape, dtype=np.float32)
    table = np.eye(5, dtype=np.int8)[:, :4]
    for row, (codes, own) in enumerate(found):
        one_hot[row], values[row] = table[codes].T, own.T
    if not one_hot.any():
        raise InputError("no position of the regions has A, C, G or T")
    with atomic_folder(folder, force=force, contents=CONTENTS) as made:
        write_arrays(made / SEQUENCES, {ARRAY: one_hot}, force=False)
        write_arrays(made / ATTRIBUTIONS, {ARRAY: values}, force=False)
        rows = (
            (region.contig, region.start, region.end, region.name, "+-"[region.is_reverse])
            for region in regions
        )
        header = ("contig", "start", "end", "name", "strand")
        text = "".join(tsv_lines(header, rows))
        (made / REGIONS).write_text(text, encoding="utf-8", errors="surrogateescape")
        record = {**facts, "regions": len(regions), "width": width}
        (made / RECORD).write_text(json.dumps(record, indent=2) + "\n")


@dataclass(frozen=True)
class Attributions:
    """What `write_attributions` wrote, or another program did in the same form.

    Attributes
    ----------
    one_hot : float32 array [N, L, 4]
    values : float32 array [N, L, 4]
        Hypothetical attributions.
    facts : dict
        What made them, where that is known.
    """

    one_hot: NDArray[np.float32]
    values: NDArray[np.float32]
    facts: dict[str, Any]


def read_attributions(folder: str) -> Attributions:
    """The arrays of a folder, read without trust.

    Raises
    ------
    InputError
        If there are none, or they are no such arrays.
    """
    place = Path(folder)
    remedy = "give a folder that `phylotools interpret attributions` made"
    if not place.is_dir():
        raise InputError("is no folder", path=folder, remedy=remedy)
    arrays = [_read_array(place / name, remedy) for name in (SEQUENCES, ATTRIBUTIONS)]
    one_hot, values = arrays
    if one_hot.shape != values.shape:
        raise InputError(
            f"{SEQUENCES} and {ATTRIBUTIONS} have other shapes: {one_hot.shape}, {values.shape}",
            path=folder,
            remedy=remedy,
        )
    is_hot = np.isin(one_hot, (0, 1)).all() and (one_hot.sum(axis=1) <= 1).all()
    if not is_hot or not np.isfinite(values).all():
        problem = "holds no one-hot sequences" if not is_hot else "holds what is no number"
        name = SEQUENCES if not is_hot else ATTRIBUTIONS
        raise InputError(problem, path=place / name, remedy=remedy)
    facts: dict[str, Any] = {}
    if (place / RECORD).is_file():
        facts = read_document(place / RECORD, remedy=remedy, largest=1 << 20)
    return Attributions(_by_position(one_hot), _by_position(values), facts)


def _by_position(array: NDArray[Any]) -> NDArray[np.float32]:
    """(N, 4, L) as (N, L, 4)."""
    return array.transpose(0, 2, 1).astype(np.float32)


def _read_array(path: Path, remedy: str) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_NUMBERS * 8:
            raise InputError("is too large", path=path, remedy="choose fewer regions")
        with np.load(path, allow_pickle=False) as arrays:
            found: NDArray[Any] = arrays[ARRAY]
    except FileNotFoundError:
        raise InputError("does not exist", path=path, remedy=remedy) from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        raise InputError(
            f"is no array of ours ({type(error).__name__})", path=path, remedy=remedy
        ) from None
    if found.ndim != 3 or found.shape[1] != 4 or not found.size or found.dtype.kind not in "iufb":
        raise InputError(
            f"holds an array of shape {found.shape}, not (N, 4, L)", path=path, remedy=remedy
        )
    return found
