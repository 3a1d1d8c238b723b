"""Reading frames, and what every single-nucleotide change does to a protein.

Bases are codes 0 to 3 for A, C, G, T, as in column stores; anything above is unknown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Amino acids of the codons AAA, AAC, ... TTT; ``*`` ends translation.
STANDARD = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"
#: NCBI table 2: AGA and AGG end, ATA is Met, TGA is Trp.
VERTEBRATE_MITOCHONDRIAL = "KNKNTTTT*S*SMIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSSWCWCLFLF"
#: By the codes of `consequences`.
CONSEQUENCES = ("synonymous", "missense", "nonsense")
NO_CONSEQUENCE = -1
#: Of a position that lies in no whole codon.
NO_CODON = 64
#: Composition, polarity and volume of the side chains (Grantham, Science 185:862, 1974).
_SIDE_CHAINS = {
    "S": (1.42, 9.2, 32), "R": (0.65, 10.5, 124), "L": (0, 4.9, 111), "P": (0.39, 8.0, 32.5),
    "T": (0.71, 8.6, 61), "A": (0, 8.1, 31), "V": (0, 5.9, 84), "G": (0.74, 9.0, 3),
    "I": (0, 5.2, 111), "F": (0, 5.2, 132), "Y": (0.20, 6.2, 136), "C": (2.75, 5.5, 55),
    "H": (0.58, 10.4, 96), "Q": (0.89, 10.5, 85), "N": (1.33, 11.6, 56), "K": (0.33, 11.3, 119),
    "D": (1.38, 13.0, 54), "E": (0.92, 12.3, 83), "M": (0, 5.7, 105), "W": (0.13, 5.4, 170),
}  # fmt: skip
_GRANTHAM_WEIGHTS = (1.833, 0.1018, 0.000399)
#: His distances have a mean of 100.
_GRANTHAM_SCALE = 50.723


def codon_indices(bases: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of each codon, 0 (AAA) to 63 (TTT), `NO_CODON` where a base is unknown.

    Parameters
    ----------
    bases : uint8 array [3 K]
        In frame.
    """
    codons = bases.reshape(-1, 3).astype(np.int64)
    return np.where((codons < 4).all(axis=1), codons @ [16, 4, 1], NO_CODON)


def reading_frame(bases: NDArray[np.uint8], code: str = STANDARD) -> int | None:
    """The one frame that a stop does not interrupt; None if there is none, or more than one.

    Parameters
    ----------
    bases : uint8 array [L]
        Of a coding exon or a coding sequence, in its direction; a stop at its very end is fine.
    code : str

    Returns
    -------
    int or None
        Bases before the first whole codon, 0 to 2.
    """
    stops = np.flatnonzero(np.frombuffer(code.encode(), "S1") == b"*")
    open_frames = []
    for frame in range(3):
        codons = codon_indices(bases[frame : frame + (len(bases) - frame) // 3 * 3])
        if not np.isin(codons[:-1], stops).any():
            open_frames.append(frame)
    return open_frames[0] if len(open_frames) == 1 else None


def codons_by_position(bases: NDArray[np.uint8], frame: int) -> NDArray[np.int64]:
    """Codon and place in it of every position.

    Parameters
    ----------
    bases : uint8 array [L]
    frame : int
        Bases before the first whole codon.

    Returns
    -------
    int64 array [L, 2]
        Codon number (`NO_CODON` where none is known) and place, 0 to 2.
    """
    found = np.full((len(bases), 2), NO_CODON)
    found[:, 1] = (np.arange(len(bases)) - frame) % 3
    end = frame + (len(bases) - frame) // 3 * 3
    found[frame:end, 0] = np.repeat(codon_indices(bases[frame:end]), 3)
    return found


def consequences(
    bases: NDArray[np.uint8], frame: int, code: str = STANDARD, *, has_start: bool = False
) -> NDArray[np.int8]:
    """What each base in place of the given one does to the codon it stands in.

    Parameters
    ----------
    bases : uint8 array [L]
    frame : int
    code : str
    has_start : bool
        The first codon starts translation: what changes it is left out.

    Returns
    -------
    int8 array [L, 4]
        Index into `CONSEQUENCES`; `NO_CONSEQUENCE` for the base that is there, outside of whole
        codons, and for changes of a stop or a start.
    """
    amino_acids = np.frombuffer(code.encode(), np.uint8)
    stop = ord("*")
    found = np.full((len(bases), 4), NO_CONSEQUENCE, np.int8)
    end = frame + (len(bases) - frame) // 3 * 3
    codons = codon_indices(bases[frame:end])
    known = codons < NO_CODON
    known[known] = amino_acids[codons[known]] != stop
    if has_start:
        known[:1] = False
    own = codons[known]
    for place, weight in enumerate((16, 4, 1)):
        here = own // weight % 4
        positions = frame + 3 * np.flatnonzero(known) + place
        for base in range(4):
            changed = amino_acids[own + (base - here) * weight]
            kind = np.where(changed == amino_acids[own], 0, np.where(changed == stop, 2, 1))
            found[positions, base] = np.where(here == base, NO_CONSEQUENCE, kind)
    return found


def grantham_distance(one: str, other: str) -> float:
    """How unlike two amino acids are, 5 (Leu, Ile) to 215 (Cys, Trp), by Grantham's formula."""
    pairs = zip(_SIDE_CHAINS[one], _SIDE_CHAINS[other], strict=True)
    parts = (w * (a - b) ** 2 for w, (a, b) in zip(_GRANTHAM_WEIGHTS, pairs, strict=True))
    return float(_GRANTHAM_SCALE * np.sqrt(sum(parts)))


def missense_distances(
    bases: NDArray[np.uint8], frame: int, code: str = STANDARD
) -> NDArray[np.float64]:
    """Distance between the amino acids before and after each change, float64 [L, 4].

    NaN where the change is none, is synonymous, or has to do with a stop or an unknown codon.

    Parameters
    ----------
    bases : uint8 array [L]
    frame : int
    code : str
    """
    found = np.full((len(bases), 4), np.nan)
    table = {(a, b): grantham_distance(a, b) for a in _SIDE_CHAINS for b in _SIDE_CHAINS if a != b}
    placed = codons_by_position(bases, frame).tolist()
    for position, (codon, place) in enumerate(placed):
        if codon == NO_CODON:
            continue
        weight = (16, 4, 1)[place]
        first = codon - codon // weight % 4 * weight
        for base in range(4):
            pair = code[codon], code[first + base * weight]
            found[position, base] = table.get(pair, np.nan)
    return found
