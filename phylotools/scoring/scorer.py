"""Theta of sites of a genome: what the network says, or what was fitted to the site's column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bases import BASES
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.spliced import SplicedGenome, transcript_contig
from phylotools.model.presets import LARGEST_THETA
from phylotools.scoring.tiled_network import TiledNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from phylotools.model.registry import Model


class Scorer(TiledNetwork):
    """Theta of sites of a reference genome, or of given sequences.

    At positions of a genome it is the model's site fits' where there are such, unless the model is
    taken `Model.from_sequence_alone`. Given sequences have no position: theirs is the network's. A
    model of masked bases is asked about each position where that position is masked.

    Parameters
    ----------
    model, genome
        As for `TiledNetwork`.
    **options
        Its threads, batch_size, precision, tile_length, cache_bytes and disk_bytes.
    """

    def __init__(
        self,
        model: Model,
        genome: ReferenceGenome | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            model,
            genome,
            _theta,
            4,
            largest_value=LARGEST_THETA,
            masks_site=model.masks_site,
            **options,
        )

    def _corrected(
        self, window: Region, bases: NDArray[np.uint8], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Theta fitted to the model's training columns, where a position was one of them."""
        fits = self.model.site_fits
        if fits is None:
            return values
        corrected = values.copy()
        if window.contig in self._fitted_contigs:
            fits.put(self._fitted_contigs[window.contig], window.start, bases, corrected)
        elif isinstance(self.genome, SplicedGenome):
            for part in self.genome.parts(window.contig, window.start, window.end):
                here = slice(part.begin - window.start, part.end - window.start)
                own, theta = bases[here], corrected[here]
                if part.is_reverse:
                    # The genome's strand, read and written through a view.
                    own = np.where(own < len(BASES), len(BASES) - 1 - own, own)[::-1]
                    theta = theta[::-1, ::-1]
                contig = self._fitted_contigs.get(part.region.contig)
                if contig is not None:
                    fits.put(contig, part.region.start, own, theta)
        return corrected

    @cached_property
    def _fitted_contigs(self) -> dict[str, str]:
        """The model's name of each contig of the genome that has fitted sites."""
        fits = self.model.site_fits
        if fits is None:
            return {}
        contigs = self.genome.contigs
        names = resolve_contigs(fits.contigs, contigs)
        # A store of coding sequences has transcripts for contigs.
        joined = {name: transcript_contig(name) for name in fits.contigs}
        names |= {name: own for name, own in joined.items() if own in contigs}
        return {own: name for name, own in names.items()}

    def theta(self, region: Region) -> NDArray[np.float32]:
        """`values`, float32 [L, 4] in the order A, C, G, T; `Model.substitution` reads them."""
        return self.values(region)

    def theta_at(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """`values_at`, float32 [K, 4] in the order A, C, G, T."""
        return self.values_at(contig, positions)

    def theta_at_places(
        self, names: Sequence[str], contigs: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """`values_at_places`, float32 [K, 4] in the order A, C, G, T."""
        return self.values_at_places(names, contigs, positions)


def _theta(site_model: Any, tokens: Tensor, wanted: Tensor | None) -> Tensor:
    theta: Tensor = site_model(tokens, wanted)
    return theta
