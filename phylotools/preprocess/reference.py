"""The reference sequence, under the contig names of the alignment."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bases import BASES
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.store import schema

_REMEDY = "give the FASTA of the assembly that the alignment was made with"


class CheckedReference:
    """A reference genome that an alignment must agree with."""

    def __init__(self, fasta: str) -> None:
        self._fasta = fasta
        self._genome = ReferenceGenome.open(fasta)
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def codes(self, region: Region) -> NDArray[np.uint8]:
        """Reference codes of a region that is named as in the alignment; uint8 [L]."""
        return self._genome.fetch(Region(self._names[region.contig], region.start, region.end))

    def add_contig(self, name: str, length: int) -> None:
        """Find a contig of the alignment in the FASTA.

        Raises
        ------
        InputError
            If it is not there, has another length, or is already another contig's.
        """
        with self._lock:
            if name in self._names:
                return
            found = resolve_contigs([name], self._genome.contigs).get(name)
            # Never two contigs of the alignment (1 and chr1) on one contig of the FASTA.
            if found is None or found in self._names.values():
                raise InputError(
                    f"has no contig {name!r}, which the alignment has",
                    path=self._fasta,
                    remedy=_REMEDY,
                )
            if self._genome.contigs[found] != length:
                raise InputError(
                    f"contig {found} has {self._genome.contigs[found]} bases, but {length} in the "
                    "alignment",
                    path=self._fasta,
                    remedy=_REMEDY,
                )
            self._names[name] = found

    def check(self, contig: str, chunk: int, reference: NDArray[np.uint8], alignment: str) -> None:
        """Raise `InputError` if the reference row of a chunk contradicts the FASTA.

        Parameters
        ----------
        contig : str
            Known by `add_contig`.
        chunk : int
        reference : uint8 array [CHUNK_LENGTH]
        alignment : str
            For the message.
        """
        covered = np.flatnonzero(reference != schema.NO_BLOCK)
        if not len(covered):
            return
        start = chunk * schema.CHUNK_LENGTH
        first, last = int(covered[0]), int(covered[-1]) + 1
        expected = self.codes(Region(contig, start + first, start + last)) & schema.CODE_MASK
        found = reference[first:last] & schema.CODE_MASK
        differs = (expected != found) & (expected < schema.N) & (found < schema.N)
        if differs.any():
            offset = int(differs.argmax())
            raise InputError(
                f"{contig}:{start + first + offset + 1} is {BASES[found[offset]]} in the "
                f"alignment but {BASES[expected[offset]]} in {self._fasta}",
                path=alignment,
                remedy=_REMEDY,
            )
