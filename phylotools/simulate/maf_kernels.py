"""The compiled loop that writes MAF rows."""

from __future__ import annotations

from phylotools.compiling import compiled
from phylotools.phylogeny.simulation.kernels import GAP

_SPACE, _NEWLINE = ord(" "), ord("\n")


@compiled
def _put(text, at, piece):
    text[at : at + len(piece)] = piece
    return at + len(piece)


@compiled
def _put_number(text, at, number):
    digits = 1
    while number >= 10**digits:
        digits += 1
    for place in range(digits):
        text[at + digits - 1 - place] = 48 + number % 10
        number //= 10
    return at + digits


@compiled
def write_blocks(
    rows, bounds, n_bases, reference, start, sources, source_ends, strand, letters, text
):
    """Write blocks as bytes into `text`; the number of bytes written.

    Parameters
    ----------
    rows, bounds, n_bases :
        Of `maf.Blocks`.
    reference : uint8 array (C,)
        The first row as text.
    start : int
        Position of the first column.
    sources, source_ends : uint8 and int64 array
        Beginnings of the rows, one after the other, and where each ends, after a 0.
    strand : uint8 array
        What stands between the size of a row and its text.
    letters : uint8 array (6,)
        Of the codes.
    text : uint8 array
        Large enough.
    """
    at = 0
    for block in range(len(bounds) - 1):
        begin, end = bounds[block], bounds[block + 1]
        text[at], text[at + 1] = 97, _NEWLINE  # "a"
        at += 2
        for species in range(rows.shape[0]):
            if n_bases[block, species] == 0:
                continue
            first = begin
            while rows[species, first] == GAP:
                first += 1
            at = _put(text, at, sources[source_ends[species] : source_ends[species + 1]])
            at = _put_number(text, at, start + first)
            text[at] = _SPACE
            at = _put_number(text, at + 1, n_bases[block, species])
            at = _put(text, at, strand)
            if species == 0:
                at = _put(text, at, reference[begin:end])
            else:
                for column in range(begin, end):
                    text[at + column - begin] = letters[rows[species, column]]
                at += end - begin
            text[at] = _NEWLINE
            at += 1
        text[at] = _NEWLINE
        at += 1
    return at
