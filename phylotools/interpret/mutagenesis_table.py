"""The table and the arrays of an in-silico mutagenesis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.interpret.files import (
    InterpretationFiles,
    number_text,
    open_interpretation_table,
    write_arrays,
)
from phylotools.interpret.mutagenesis import EFFECTS, TUNED, SiteEffects
from phylotools.interpret.mutagenesis_picture import MutagenesisPicture
from phylotools.io.bases import BASES
from phylotools.io.features import Feature
from phylotools.io.regions import Region

#: Positions whose effects are kept as arrays too: 60 MB of them.
MOST_KEPT = 1 << 20


@dataclass(frozen=True)
class EffectArrays:
    """Effects of K positions.

    Attributes
    ----------
    names : tuple of str
        Of the effects.
    contigs : tuple of str
    contig : int32 array [K]
        Index into `contigs`.
    positions : int64 array [K]
        0-based.
    reference : uint8 array [K]
    effects : float32 array [K, 4, E]
    n_sites : int
        Positions in all; where they are more than `MOST_KEPT`, the arrays are empty.
    """

    names: tuple[str, ...]
    contigs: tuple[str, ...]
    contig: NDArray[np.int32]
    positions: NDArray[np.int64]
    reference: NDArray[np.uint8]
    effects: NDArray[np.float32]
    n_sites: int

    @property
    def has_arrays(self) -> bool:
        return self.n_sites <= MOST_KEPT

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a file of arrays has of it; an array for each effect, [K, 4]."""
        found: dict[str, NDArray[Any]] = {
            "contigs": np.array(self.contigs),
            "contig": self.contig,
            "positions": self.positions,
            "reference": self.reference,
        }
        return found | {name: self.effects[:, :, k] for k, name in enumerate(self.names)}


def write_effects(
    files: InterpretationFiles,
    sites: Iterable[SiteEffects],
    facts: Mapping[str, Any],
    *,
    has_head: bool,
    longest_contig: int,
    source: str,
    force: bool,
) -> EffectArrays:
    """Write a row for each variant, and the same numbers as arrays; returns these.

    Parameters
    ----------
    files : InterpretationFiles
    sites : iterable of SiteEffects
        In the order of their positions, contig by contig.
    facts : mapping of str to str
        Of the header.
    has_head : bool
        Whether the effects have that on a head.
    longest_contig : int
    source : str
        The reference, for messages.
    force : bool

    Raises
    ------
    InputError
        If there is no site.
    OutputError
    """
    names = (*EFFECTS, TUNED) if has_head else EFFECTS
    contigs: dict[str, int] = {}
    places: list[tuple[int, int, int]] = []
    kept: list[NDArray[np.float32]] = []
    n_sites = 0
    columns = ("contig", "pos", "ref", "alt", *names)
    with open_interpretation_table(
        files.table, "mutagenesis", facts, columns, longest_contig=longest_contig, force=force
    ) as put:
        for site in sites:
            n_sites += 1
            for line in _lines(site):
                put(line)
            if n_sites <= MOST_KEPT:
                number = contigs.setdefault(site.contig, len(contigs))
                places.append((number, site.position, site.reference))
                kept.append(site.values.astype(np.float32))
            elif kept:
                places, kept = [], []
        if not n_sites:
            raise InputError("no position of the regions has A, C, G or T", path=source)
    columns_of = np.array(places, dtype=np.int64).reshape(-1, 3)
    found = EffectArrays(
        names,
        tuple(contigs),
        columns_of[:, 0].astype(np.int32),
        columns_of[:, 1],
        columns_of[:, 2].astype(np.uint8),
        np.stack(kept) if kept else np.zeros((0, 4, len(names)), dtype=np.float32),
        n_sites,
    )
    if found.has_arrays:
        write_arrays(files.arrays, found.arrays(), force=force)
    return found


def _lines(site: SiteEffects) -> Iterable[str]:
    for base, letter in enumerate(BASES):
        if base != site.reference:
            numbers = "\t".join(map(number_text, site.values[base].tolist()))
            place = f"{site.contig}\t{site.position + 1}\t{BASES[site.reference]}\t{letter}"
            yield f"{place}\t{numbers}\n"


def picture_of(
    found: EffectArrays,
    region: Region,
    reference: NDArray[np.uint8],
    effect: str,
    features: Sequence[Feature] | None,
    footer: str,
) -> MutagenesisPicture:
    """The picture of one effect over a region, whose positions are those of the arrays."""
    values = np.full((len(region), 4), np.nan)
    values[found.positions - region.start] = found.effects[:, :, found.names.index(effect)]
    return MutagenesisPicture(region, reference, effect, values, features, footer)
