"""What a network says of the sequence with REF and with ALT: embeddings of changes of one base.

They are the same for a change and for its reverse complement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.io.genome import ReferenceGenome
from phylotools.scoring.layers import (
    LAST,
    find_layer,
    is_equivariant,
    layer_forward,
    strand_invariant,
)
from phylotools.scoring.tiled_network import TiledNetwork

if TYPE_CHECKING:
    from phylotools.model.folder import Model


class ChangeFeatures:
    """Embeddings of changes of one base.

    Parameters
    ----------
    model : Model
        Whose network reads the sequences.
    genome : ReferenceGenome
    threads, batch_size, precision
        As for `TiledNetwork`.

    Attributes
    ----------
    receptive_field : int
    """

    def __init__(
        self,
        model: Model,
        genome: ReferenceGenome,
        *,
        threads: int | None = None,
        batch_size: int | None = None,
        precision: str = "auto",
    ) -> None:
        # The other strand costs a second pass only where it cannot be told from the first.
        self._mirrors = is_equivariant(model.spec)
        width = model.spec.channels
        self._network = TiledNetwork(
            model,
            genome,
            layer_forward(find_layer(LAST, model.spec), with_reverse=not self._mirrors),
            width if self._mirrors else 2 * width,
            threads=threads,
            batch_size=batch_size,
            precision=precision,
            cache_bytes=0,
        )
        self.receptive_field = model.receptive_field

    def tokens(
        self,
        names: Sequence[str],
        contigs: NDArray[np.int64],
        positions: NDArray[np.int64],
        bases: NDArray[np.uint8],
    ) -> NDArray[np.uint8]:
        """Windows around positions, with given bases in their middle.

        Parameters
        ----------
        names : sequence of str
        contigs : int64 array [K]
            Indices into `names`.
        positions : int64 array [K]
            0-based.
        bases : uint8 array [K]
            Codes, 0 to 3.

        Returns
        -------
        uint8 array [K, receptive_field]
        """
        half = self.receptive_field // 2
        windows = np.empty((len(positions), self.receptive_field), dtype=np.uint8)
        places = zip(contigs.tolist(), positions.tolist(), strict=True)
        for row, (contig, position) in enumerate(places):
            windows[row] = self._network.tokens(names[contig], position - half, position + half + 1)
        windows[:, half] = bases
        return windows

    def of(self, with_ref: NDArray[np.uint8], with_alt: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings of changes.

        Parameters
        ----------
        with_ref, with_alt : uint8 array [K, receptive_field]
            As `tokens` makes them.

        Returns
        -------
        float32 array [K, 2 H]
            That of REF, and what ALT changes of it.
        """
        # Several ALTs of a site share its window with REF.
        distinct, place = np.unique(with_ref, axis=0, return_inverse=True)
        of_ref = self._embedded(distinct)[place.ravel()]
        return np.concatenate([of_ref, self._embedded(with_alt) - of_ref], axis=1)

    def distances(
        self, with_ref: NDArray[np.uint8], with_alt: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """Cosine distance between the embeddings of the middle with REF and with ALT.

        Of an equivariant network it is the same on both strands, whose channels are each other's
        in reverse; of any other it is that of the forward strand.

        Parameters
        ----------
        with_ref, with_alt : uint8 array [K, receptive_field]

        Returns
        -------
        float64 array [K]
            0 to 2.
        """
        one, other = (
            self._network.values_of(each)[:, 0].astype(np.float64) for each in (with_ref, with_alt)
        )
        width = one.shape[1] if self._mirrors else one.shape[1] // 2
        one, other = one[:, :width], other[:, :width]
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        similar = (one * other).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
        return 1.0 - similar

    def _embedded(self, windows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What does not depend on the strand, [K, H], of the middle of windows."""
        values = self._network.values_of(windows)[:, 0]
        if self._mirrors:
            return strand_invariant(values, values[:, ::-1])
        width = values.shape[1] // 2
        return strand_invariant(values[:, :width], values[:, width:])
