"""Scores of single-nucleotide variants out of a table."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.lookup.checks import (
    WRONG_GENOME_REMEDY,
    Found,
    check_model,
    check_precision,
    reference_codes,
)
from phylotools.annotate.lookup.score_lines import ScoreLines
from phylotools.errors import InputError
from phylotools.io.bgzf import block_size, find_block, read_blocks
from phylotools.io.bigwig.writer import MAGIC as BIGWIG_MAGIC
from phylotools.io.closing import Closing
from phylotools.io.files import BGZF_EOF, TRUNCATED_REMEDY, open_regular
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import resolve_contigs
from phylotools.io.score_table import TABLE_NAME, parse_header
from phylotools.io.tabix import Span, TabixIndex
from phylotools.scoring.reference import ReferenceLetters

if TYPE_CHECKING:
    from phylotools.model.registry import Model

#: Positions so near each other are read in one go: three lines each, they fill a few blocks.
_RUN_GAP = 2048
#: A guess of where a position lies begins this far (compressed bytes) before the place computed.
_GUESS_MARGIN = 1 << 13
#: Blocks of 64 KiB parsed together: one at first, ever more where much is read.
_MOST_BLOCKS = 16
_LONGEST_HEADER = 1 << 20
_LONGEST_LINE = 1 << 16


class ScoreTable(Closing):
    """A table of the scores of all single-nucleotide variants, for one thread at a time.

    Parameters
    ----------
    path : str
    handle : BinaryIO
        The table, a regular file; closed with this object.
    index : TabixIndex
    facts : dict of str to str
        What its header says.
    genome : ReferenceGenome, optional

    Attributes
    ----------
    facts : dict of str to str
    contigs : tuple of str
        As the table names them.
    """

    def __init__(
        self,
        path: str,
        handle: BinaryIO,
        index: TabixIndex,
        facts: dict[str, str],
        genome: ReferenceGenome | None,
    ) -> None:
        self.path = path
        self.facts = facts
        self.contigs = index.contigs
        self._handle = handle
        self._size = os.fstat(handle.fileno()).st_size
        self._index = index
        self._letters = None if genome is None else ReferenceLetters(genome)
        self._names: dict[str, str] = {}
        if genome is not None:
            self._names = resolve_contigs(genome.contigs, index.contigs)
            if index.contigs and not self._names:
                raise InputError(
                    f"is on {', '.join(index.contigs[:3])}, none of them a contig of {genome.path}",
                    path=path,
                    remedy=WRONG_GENOME_REMEDY,
                )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        model: Model,
        genome: ReferenceGenome | None = None,
        *,
        precision: str = "float32",
    ) -> ScoreTable:
        """Open a table made with a model.

        Parameters
        ----------
        path : str or PathLike
            A bgzip table with its tabix index, or a folder that `phylotools tracks` wrote.
        model : Model
        genome : ReferenceGenome, optional
            With it, contigs may be spelled otherwise in the table, and its reference bases are
            checked.
        precision : str
            Arithmetic of the numbers that those of the table stand beside.

        Raises
        ------
        InputError
            If it is no such table, is truncated, was made with another model or in another
            arithmetic, or is on none of the genome's contigs.
        """
        name = os.fspath(path)
        if os.path.isdir(name):
            name = os.path.join(name, TABLE_NAME)
        handle = open_regular(name)
        try:
            _check_bgzip(handle, name)
            facts = parse_header(_header(handle, name), name)
            check_model(facts.get("Model", "?"), facts["Sha256"], model, name)
            check_precision(facts.get("Precision", precision), precision, name)
            return cls(name, handle, TabixIndex.read(name), facts, genome)
        except BaseException:
            handle.close()
            raise

    def lookup(self, contig: str, positions: NDArray[np.int64], alts: NDArray[np.uint8]) -> Found:
        """See `PrecomputedScores`."""
        keys = np.asarray(positions, dtype=np.int64) * 4 + alts
        wanted, rows = np.unique(keys, return_inverse=True)
        numbers = np.full((len(wanted), 3), np.nan)
        name = self._table_name(contig)
        if name is not None:
            for begin, end in _runs(wanted >> 2, _RUN_GAP):
                self._look_up_run(contig, name, wanted[begin:end], numbers[begin:end])
        found = numbers[rows]
        # What is no base would otherwise be taken for one of the next position.
        found[np.asarray(alts) > 3] = np.nan
        return found[:, 0], found[:, 1], found[:, 2]

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def _table_name(self, contig: str) -> str | None:
        if self._letters is None:
            return resolve_contigs([contig], self.contigs).get(contig)
        return self._names.get(contig)

    def _look_up_run(
        self, contig: str, name: str, wanted: NDArray[np.int64], numbers: NDArray[np.float64]
    ) -> None:
        """Fill in the numbers [K, 3] of ascending allele keys."""
        first, last = int(wanted[0]) >> 2, int(wanted[-1]) >> 2
        span = self._index.span(name, first, last + 1)
        if span is None:
            return
        for lines in self._lines_from(name, span, first):
            begin, end = np.searchsorted(wanted, [lines.keys[0], lines.keys[-1] + 1])
            keys = wanted[begin:end]
            # Any line of the position tells whether the table is of this genome.
            nearest = np.searchsorted(lines.keys, keys & ~3)
            is_here = lines.keys[nearest] >> 2 == keys >> 2
            self._check_reference(contig, keys[is_here] >> 2, lines.refs[nearest[is_here]])
            places = np.searchsorted(lines.keys, keys)
            is_found = lines.keys[places] == keys
            numbers[begin + np.flatnonzero(is_found)] = lines.numbers(places[is_found])
            if lines.keys[-1] >= wanted[-1]:
                return

    def _lines_from(self, name: str, span: Span, position: int) -> Iterator[ScoreLines]:
        """Lines from a position on, or somewhat before, up to the end of the span."""
        guessed = self._guess(span, position)
        if guessed is not None:
            ascending = self._read(name, guessed, 0, span.high, drop_first=True)
            head = next(ascending, None)
            # Of the position itself, lines may stand before the block.
            if head is not None and head.keys[0] >> 2 < position:
                yield from itertools.chain([head], ascending)
                return
        yield from self._read(name, span.low >> 16, span.low & 0xFFFF, span.high)

    def _guess(self, span: Span, position: int) -> int | None:
        """Offset of a block that may begin shortly before a position, as in an even table."""
        low, high = span.low >> 16, min(span.high >> 16, self._size)
        n_positions = max(1, span.high_position - span.low_position)
        share = (position - span.low_position) / n_positions
        at = low + int((high - low) * min(max(share, 0.0), 1.0)) - _GUESS_MARGIN
        if at <= low + _GUESS_MARGIN:
            return None
        return find_block(self._handle, at)

    def _read(
        self, name: str, offset: int, skip: int, end: int, *, drop_first: bool = False
    ) -> Iterator[ScoreLines]:
        """Parsed lines of a contig, from the text `skip` into a block up to a virtual offset.

        With `drop_first` the block may begin within a line, which is passed over.
        """
        rest = b""
        last_key = -1
        for blocks in _grouped(read_blocks(self._handle, offset, self.path), end):
            text = rest + b"".join(blocks)
            begin = skip
            if drop_first:
                begin = text.find(b"\n") + 1
                if begin == 0:
                    return
            skip, drop_first = 0, False
            cut = text.rfind(b"\n") + 1
            rest = text[max(cut, begin) :]
            if len(rest) > _LONGEST_LINE:
                raise InputError("holds a line without end", path=self.path)
            lines = ScoreLines.parse(text[begin:cut], name, self.path, last_key)
            if not len(lines.keys):
                if cut > begin:
                    return
                continue
            last_key = int(lines.keys[-1])
            yield lines
            if lines.is_end:
                return

    def _check_reference(
        self, contig: str, positions: NDArray[np.int64], refs: NDArray[np.uint8]
    ) -> None:
        """Raise unless the table's reference bases (codes) are the genome's."""
        if self._letters is None:
            return
        codes = reference_codes(self._letters, contig, positions, self.path)
        wrong = np.flatnonzero(codes != refs)
        if len(wrong):
            place = int(wrong[0])
            raise InputError(
                f"its reference at {contig}:{positions[place] + 1} is {'ACGTN'[refs[place]]}, "
                f"that of {self._letters.genome.path} is {'ACGTN'[codes[place]]}",
                path=self.path,
                remedy=WRONG_GENOME_REMEDY,
            )


def _check_bgzip(handle: BinaryIO, path: str) -> None:
    remedy = f"bgzip it and index it: tabix -s1 -b2 -e2 {path}"
    head = handle.read(18)
    if head.startswith(BIGWIG_MAGIC):
        raise InputError(
            "is a single track, and an LLR takes several",
            path=path,
            remedy="give the folder that `phylotools tracks` wrote",
        )
    if block_size(head) is None:
        raise InputError("is not compressed with bgzip", path=path, remedy=remedy)
    handle.seek(max(0, os.fstat(handle.fileno()).st_size - len(BGZF_EOF)))
    if handle.read() != BGZF_EOF:
        raise InputError(
            "the bgzip file has no end marker: it is truncated", path=path, remedy=TRUNCATED_REMEDY
        )


def _header(handle: BinaryIO, path: str) -> list[bytes]:
    """Lines at the beginning that start with ``#``, without their line ends."""
    text = b""
    for _, block in read_blocks(handle, 0, path):
        text += block
        newest = text.rfind(b"\n") + 1
        if len(text) > _LONGEST_HEADER or any(
            not line.startswith(b"#") for line in text[:newest].splitlines()
        ):
            break
    lines = io.BytesIO(text[: text.rfind(b"\n") + 1]).readlines()
    return [line.rstrip(b"\n") for line in itertools.takewhile(lambda x: x[:1] == b"#", lines)]


def _runs(positions: NDArray[np.int64], gap: int) -> Iterator[tuple[int, int]]:
    """Half-open index ranges of ascending positions without a gap as long as `gap`."""
    if not len(positions):
        return
    cuts = np.flatnonzero(np.diff(positions) >= gap) + 1
    yield from itertools.pairwise([0, *cuts.tolist(), len(positions)])


def _grouped(blocks: Iterator[tuple[int, bytes]], end: int) -> Iterator[list[bytes]]:
    """Texts of blocks up to a virtual offset, one at first and ever more in each list."""
    group: list[bytes] = []
    wanted = 1
    for offset, text in blocks:
        if offset > end >> 16:
            break
        if offset == end >> 16:
            text = text[: end & 0xFFFF]
        group.append(text)
        if len(group) == wanted:
            yield group
            group, wanted = [], min(2 * wanted, _MOST_BLOCKS)
    if group:
        yield group
