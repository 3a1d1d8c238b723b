"""Stretches of a genome that are alike though they lie far apart: what a split by place overlooks.

The genome is cut into tiles. Those in which something of a split lies are read, and their words of
15 bases (each the smaller of itself and its reverse complement) are sorted by a hash: two tiles
that share two words are laid side by side at the distance of these words, on the strand that they
say, and the share of equal bases is their identity. So time grows with the number of tiles, not
with that of pairs; words that many tiles have, as those of repeats, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.io.bases import BASES
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

#: Bases of a tile, and of a word: at 80 % identity a tile shares six words, by chance none.
TILE, WORD = 200, 15
#: Share of equal bases from which tiles are homologous; two random ones have a quarter.
IDENTITY = 0.8
#: Tiles that are compared at most; more words than these are thinned by their hash.
MOST_TILES, MOST_WORDS = 1_000_000, 20_000_000
#: Words in more tiles than this say nothing; pairs that are looked at, at most.
_MOST_ALIKE, _MOST_PAIRS = 32, 4_000_000
_FEWEST_SHARED = 2
#: Alignments whose identity is counted, at most.
_MOST_ALIGNED = 200_000
#: Tiles so close are one place.
_APART = 5
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_UNKNOWN = 4


@dataclass(frozen=True)
class Homologies:
    """P pairs of tiles on different sides.

    Attributes
    ----------
    one, other : int64 array [P]
        Numbers of the tiles.
    identity : float64 array [P]
        Share of equal bases over the first tile.
    is_reverse : bool array [P]
        Whether the second is alike on its reverse strand.
    thinned : int
        1 where all words were compared, n where one of n was.
    """

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    identity: NDArray[np.float64]
    is_reverse: NDArray[np.bool_]
    thinned: int


def homologies_across(
    genome: ReferenceGenome,
    contigs: list[str],
    contig: NDArray[np.int64],
    tile: NDArray[np.int64],
    sides: NDArray[np.uint64],
    identity: float = IDENTITY,
) -> Homologies:
    """Pairs of tiles that are alike, of which one has something on another side than the other.

    Parameters
    ----------
    genome : ReferenceGenome
    contigs : list of str
        Of the genome.
    contig, tile : int64 array [T]
        Index into `contigs`, and number of the tile on it; sorted, no tile twice.
    sides : uint64 array [T]
        A bit for each side that has something in the tile.
    identity : float
        The smallest that counts.
    """
    thin = max(1, -(-len(tile) * TILE // MOST_WORDS))
    hashes, owners, places = _words(genome, contigs, contig, tile, thin)
    order = np.argsort(hashes, kind="stable")
    hashes, owners, places = hashes[order], owners[order], places[order]
    one, other, diagonal = _shared(hashes, owners, places, contig, tile, sides)
    # Words of one pair that agree how the tiles lie are one alignment.
    keys = np.stack([one, other, diagonal])
    order = np.lexsort(keys[::-1])
    keys = keys[:, order]
    firsts = (
        np.flatnonzero(np.append(True, (np.diff(keys) != 0).any(axis=0))) if order.size else order
    )
    counts = np.diff(np.append(firsts, len(order)))
    # Of very many, those that share the most.
    enough = np.flatnonzero(counts >= _FEWEST_SHARED)
    enough = np.sort(enough[np.argsort(-counts[enough], kind="stable")[:_MOST_ALIGNED]])
    one, other, diagonal = keys[:, firsts[enough]]
    found = np.array(
        [
            _identity(genome, contigs, contig, tile, *each)
            for each in zip(one.tolist(), other.tolist(), diagonal.tolist(), strict=True)
        ]
    )
    return _best(one, other, found.reshape(-1), (diagonal & 1) == 1, identity, thin)


def _best(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    found: NDArray[np.float64],
    is_reverse: NDArray[np.bool_],
    identity: float,
    thin: int,
) -> Homologies:
    """The best alignment of each pair, where it is good enough."""
    order = np.lexsort((-found, other, one))
    order = order[found[order] >= identity]
    pairs = np.stack([one[order], other[order]])
    is_first = np.append(True, (np.diff(pairs) != 0).any(axis=0)) if len(order) else order > 0
    order = order[is_first]
    return Homologies(one[order], other[order], found[order], is_reverse[order], thin)


def _words(
    genome: ReferenceGenome,
    contigs: list[str],
    contig: NDArray[np.int64],
    tile: NDArray[np.int64],
    thin: int,
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int64]]:
    """Hash, tile and place of every word that is kept; the place's last bit is the strand."""
    parts = [(np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, np.int64))]
    for number, start, codes in _stretches(genome, contigs, contig, tile):
        hashes, at, is_back = _words_of(codes, np.uint64(thin))
        owners = (number + at // TILE).astype(np.int32)
        parts.append((hashes, owners, ((start + at) << 1) + is_back))
    hashes, owners, places = (np.concatenate(each) for each in zip(*parts, strict=True))
    return hashes, owners, places


@compiled
def _words_of(
    codes: NDArray[np.uint8], thin: np.uint64
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.bool_]]:
    """Words of base codes whose hash is a multiple of `thin`.

    Returns
    -------
    hashes : uint64 array [K]
        Of the word or its reverse complement, whichever is the smaller number.
    at : int64 array [K]
        Where each begins.
    is_back : bool array [K]
        Whether it was the reverse complement.
    """
    hashes = np.empty(len(codes), dtype=np.uint64)
    at = np.empty(len(codes), dtype=np.int64)
    is_back = np.empty(len(codes), dtype=np.bool_)
    word, back = np.uint64(0), np.uint64(0)
    two, top = np.uint64(2), np.uint64(2 * (WORD - 1))
    mask = (np.uint64(1) << np.uint64(2 * WORD)) - np.uint64(1)
    n_known = found = 0
    for place in range(len(codes)):
        n_known = n_known + 1 if codes[place] < _UNKNOWN else 0
        code = np.uint64(codes[place] & 3)
        word = ((word << two) | code) & mask
        back = (back >> two) | ((np.uint64(3) - code) << top)
        # A word that is its own reverse complement has no strand.
        if n_known < WORD or word == back:
            continue
        # SplitMix64's last steps: any bits of the result are as good as random.
        mixed = min(word, back)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        mixed = mixed ^ (mixed >> np.uint64(31))
        if mixed % thin == np.uint64(0):
            hashes[found] = mixed
            at[found] = place - (WORD - 1)
            is_back[found] = back < word
            found += 1
    return hashes[:found].copy(), at[:found].copy(), is_back[:found].copy()


def _stretches(
    genome: ReferenceGenome,
    contigs: list[str],
    contig: NDArray[np.int64],
    tile: NDArray[np.int64],
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Number of the first tile, start and base codes of runs of tiles, with the next word's end."""
    is_next = (np.diff(tile) == 1) & (np.diff(contig) == 0)
    # Long runs are read in parts.
    breaks = np.flatnonzero(~is_next) + 1
    for run in np.split(np.arange(len(tile)), breaks):
        for first in range(0, len(run), 1 << 12):
            part = run[first : first + (1 << 12)]
            if not len(part):
                continue
            name = contigs[contig[part[0]]]
            start = int(tile[part[0]]) * TILE
            end = min((int(tile[part[-1]]) + 1) * TILE + WORD - 1, genome.contigs[name])
            yield int(part[0]), start, genome.bases(Region(name, min(start, end), end))


def _shared(
    hashes: NDArray[np.uint64],
    owners: NDArray[np.int32],
    places: NDArray[np.int64],
    contig: NDArray[np.int64],
    tile: NDArray[np.int64],
    sides: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Tiles that share a word, and how they lie: a distance on one strand, a sum on both."""
    empty = np.empty(0, dtype=np.int64)
    if not len(hashes):
        return empty, empty, empty
    firsts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    sizes = np.diff(np.append(firsts, len(hashes)))
    most = _MOST_ALIKE
    while most > 2 and (pairs := sizes[sizes <= most]).dot(pairs - 1) // 2 > _MOST_PAIRS:
        most //= 2
    size_of = np.repeat(sizes, sizes)
    kept = np.flatnonzero((size_of > 1) & (size_of <= most))
    hashes, owners, places = hashes[kept], owners[kept].astype(np.int64), places[kept]
    ones, others, diagonals = [empty], [empty], [empty]
    for lag in range(1, most):
        if lag >= len(hashes):
            break
        at = np.flatnonzero(hashes[lag:] == hashes[:-lag])
        if not len(at):
            break
        a, b = owners[at], owners[at + lag]
        is_apart = (contig[a] != contig[b]) | (np.abs(tile[a] - tile[b]) >= _APART)
        same_side = (sides[a] == sides[b]) & (sides[a] & (sides[a] - np.uint64(1)) == 0)
        chosen = is_apart & ~same_side
        at = at[chosen]
        swap = owners[at] > owners[at + lag]
        first, second = np.where(swap, at + lag, at), np.where(swap, at, at + lag)
        p, q = places[first] >> 1, places[second] >> 1
        is_reverse = ((places[first] ^ places[second]) & 1).astype(np.int64)
        diagonal = np.where(is_reverse == 1, q + p, q - p)
        ones.append(owners[first])
        others.append(owners[second])
        diagonals.append((diagonal << 1) + is_reverse)
    return np.concatenate(ones), np.concatenate(others), np.concatenate(diagonals)


def _identity(
    genome: ReferenceGenome,
    contigs: list[str],
    contig: NDArray[np.int64],
    tile: NDArray[np.int64],
    one: int,
    other: int,
    diagonal: int,
) -> float:
    """Share of equal bases where two tiles are laid side by side; no base beyond a contig."""
    names = contigs[contig[one]], contigs[contig[other]]
    start = int(tile[one]) * TILE
    end = min(start + TILE, genome.contigs[names[0]])
    own = genome.bases(Region(names[0], start, end))
    shift, is_reverse = diagonal >> 1, diagonal & 1
    # A word at p lies at q; on the other strand its first base there is the last one here.
    low = shift - (end - 1) + WORD - 1 if is_reverse else start + shift
    high = low + end - start
    length = genome.contigs[names[1]]
    codes = np.full(high - low, _UNKNOWN, dtype=np.uint8)
    inside = max(low, 0), min(high, length)
    if inside[0] < inside[1]:
        codes[inside[0] - low : inside[1] - low] = genome.bases(Region(names[1], *inside))
    if is_reverse:
        codes = np.where(codes < _UNKNOWN, 3 - codes, codes)[::-1]
    return float(((codes == own) & (own < len(BASES))).mean())
