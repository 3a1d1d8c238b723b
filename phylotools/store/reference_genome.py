"""The reference sequence of a column store, as a genome."""

from __future__ import annotations

from phylotools.io.bases import CODE_MASK, LETTER_OF_CODE
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.store.read import ColumnStore


def reference_genome_of(store: ColumnStore) -> ReferenceGenome:
    """The contigs of a store; N where no block of the alignment said what stands there."""
    return ReferenceGenome(_StoreSource(store), str(store.path))


class _StoreSource:
    def __init__(self, store: ColumnStore) -> None:
        self._store = store
        self.contigs = store.contigs

    def letters(self, contig: str, start: int, end: int) -> bytes:
        codes = self._store.reference(Region(contig, start, end)) & CODE_MASK
        return LETTER_OF_CODE[codes].tobytes()

    def close(self) -> None:
        pass
