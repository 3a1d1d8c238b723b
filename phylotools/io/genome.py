"""Reference sequence by region, from a plain, gzip or bgzip FASTA.

A file is read where it is asked for: opening a whole genome costs one scan, or none where a fresh
``.fai`` that fits stands beside it. No index is ever written beside the user's file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bases import CODE_MASK, CODE_OF_BYTE, LETTER_OF_CODE, NO_CODE
from phylotools.io.closing import Closing
from phylotools.io.fasta import Fasta
from phylotools.io.regions import MAX_COORDINATE, Region

#: Length of a contig of which nobody says how long it is.
UNKNOWN_LENGTH = MAX_COORDINATE


class SequenceSource(Protocol):
    """What `ReferenceGenome` reads letters from."""

    contigs: dict[str, int]

    def letters(self, contig: str, start: int, end: int) -> bytes: ...

    def close(self) -> None: ...


class ReferenceGenome(Closing):
    """A reference assembly: contig lengths, and sequence by region.

    Use `open`; the instance is a context manager and may be shared between threads.

    Attributes
    ----------
    path : str
    contigs : dict of str to int
        Name -> length in bases, in file order.
    """

    def __init__(self, source: SequenceSource, path: str) -> None:
        self._source = source
        self.path = path
        self.contigs = source.contigs

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ReferenceGenome:
        """Open a FASTA file.

        Parameters
        ----------
        path : str or PathLike
            Plain, gzip or bgzip. Plain and bgzip files are read by region, at once where a
            ``.fai`` (and ``.gzi``) that fits stands beside them, else after a scan; gzip, and what
            is no regular file, is held in memory (one byte a base).

        Raises
        ------
        InputError
            If the file cannot be read, is no FASTA, is empty, or names a contig twice.
        """
        name = os.fspath(path)
        return cls(Fasta(name), name)

    @classmethod
    def from_sequences(
        cls, sequences: Mapping[str, bytes], *, path: str = "<memory>"
    ) -> ReferenceGenome:
        """A genome whose contigs are in memory.

        Parameters
        ----------
        sequences : mapping of str to bytes
            Contig name -> letters.
        path : str
            What messages call it.
        """
        return cls(_MemorySource(dict(sequences)), path)

    def fetch(self, region: Region) -> NDArray[np.uint8]:
        """Base codes of a region.

        Parameters
        ----------
        region : Region
            Within the contig.

        Returns
        -------
        uint8 array [L]
            A=0, C=1, G=2, T and U=3, any other nucleotide letter 4; plus 8 where soft-masked
            (lower case).

        Raises
        ------
        InputError
            If the contig is unknown, the region leaves it, or the file holds bytes that are no
            sequence letters there.
        """
        length = self.contigs.get(region.contig)
        if length is None:
            raise InputError(f"has no contig {region.contig!r}", path=self.path)
        if not 0 <= region.start <= region.end <= length:
            raise InputError(
                f"{region.contig}:{region.start + 1}-{region.end} is not within the contig "
                f"(1-{length})",
                path=self.path,
            )
        letters = self._source.letters(region.contig, region.start, region.end)
        codes = CODE_OF_BYTE[np.frombuffer(letters, dtype=np.uint8)]
        if len(codes) != region.end - region.start or (codes == NO_CODE).any():
            raise self._wrong_letters(region, letters, codes)
        return codes

    def _wrong_letters(
        self, region: Region, letters: bytes, codes: NDArray[np.uint8]
    ) -> InputError:
        wrong = np.flatnonzero(codes == NO_CODE)
        if not len(wrong):
            return InputError(
                f"{region} holds fewer letters than its index says",
                path=self.path,
                remedy="make its .fai index anew with `samtools faidx`",
            )
        letter = ascii(letters[wrong[0] : wrong[0] + 1].decode("latin-1"))
        return InputError(
            f"{letter} at {region.contig}:{region.start + wrong[0] + 1} is no nucleotide code",
            path=self.path,
            remedy="give nucleotide sequences, not proteins; or make its .fai index anew",
        )

    def bases(self, region: Region) -> NDArray[np.uint8]:
        """`fetch` without the soft mask: 0 to 4."""
        return self.fetch(region) & np.uint8(CODE_MASK)

    def letters(self, region: Region) -> bytes:
        """`fetch` as upper-case letters A, C, G, T, and N for any other."""
        return LETTER_OF_CODE[self.bases(region)].tobytes()

    def close(self) -> None:
        """Close the file."""
        self._source.close()


class _MemorySource:
    """Letters given by a caller."""

    def __init__(self, sequences: dict[str, bytes]) -> None:
        self._sequences = sequences
        self.contigs = {name: len(letters) for name, letters in sequences.items()}

    def letters(self, contig: str, start: int, end: int) -> bytes:
        return self._sequences[contig][start:end]

    def close(self) -> None:
        pass
