"""Compiled loop that lays short insertions and deletions over the reference's sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phylotools.compiling import compiled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_N_BASES = 4


@compiled
def lay_indels(
    changes: NDArray[np.int64],
    text: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    bases: NDArray[np.uint8],
    shifts: NDArray[np.int64],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
    flank: int,
    starts: NDArray[np.int64],
    terms: NDArray[np.int64],
) -> int:
    """Where indels stand, and the sites that they change; as `HaplotypeLayout` has it.

    Parameters
    ----------
    changes : int64 array [K, 6]
        As `classify_spelled` writes them.
    text : uint8 array
        Where the bases of ALT are.
    codes : uint8 array [256]
        `LETTER_CODES`.
    bases, shifts, lows, highs
        The reference, as `reference_stretches` gives it.
    flank : int
        Sites compared beyond the change.
    starts : int64 array [K], written
        First position of the left-aligned change; -1 where the stretch of the reference is too
        short to tell.
    terms : int64 array [M, 4], written
        Row of the change, position, and the codes of the bases that differ there.

    Returns
    -------
    int
        Number of terms.
    """
    n_terms = 0
    for c in range(len(changes)):
        row = changes[c, 1]
        start = changes[c, 2]
        n_ref = changes[c, 3]
        alt = changes[c, 4]
        n_alt = changes[c, 5]
        shift = shifts[row]
        low = lows[row]
        high = highs[row]
        starts[c] = -1
        left = 0
        right = 0
        unit = n_ref + n_alt
        if n_ref == 0 or n_alt == 0:
            # How far it can move without changing the haplotype.
            while start - 1 - left >= low:
                k = unit - 1 - left % unit
                own = bases[shift + start + k] if n_ref > 0 else codes[text[alt + k]]
                if bases[shift + start - 1 - left] != own:
                    break
                left += 1
            while start + n_ref + right < high:
                k = right % unit
                own = bases[shift + start + k] if n_ref > 0 else codes[text[alt + k]]
                if bases[shift + start + n_ref + right] != own:
                    break
                right += 1
        n_sites = n_ref + flank
        first = start - left
        last = start + right
        if first - n_sites < low or last + n_ref + n_sites > high:
            continue
        starts[c] = first
        # What lies left of the change in place, then what lies right of it.
        for i in range(n_sites):
            ref = bases[shift + last + i]
            if i < n_alt:
                k = (i + right) % n_alt if n_ref == 0 else i
                other = codes[text[alt + k]]
            else:
                other = bases[shift + last + n_ref + i - n_alt]
            if ref != other and ref < _N_BASES and other < _N_BASES:
                terms[n_terms, 0] = c
                terms[n_terms, 1] = last + i
                terms[n_terms, 2] = ref
                terms[n_terms, 3] = other
                n_terms += 1
        for i in range(n_sites):
            ref = bases[shift + first - flank + i]
            k = i + n_alt - n_sites
            if k >= 0:
                if n_ref == 0:
                    k = (k + n_alt - left % n_alt) % n_alt
                other = codes[text[alt + k]]
            else:
                other = bases[shift + first + k]
            if ref != other and ref < _N_BASES and other < _N_BASES:
                terms[n_terms, 0] = c
                terms[n_terms, 1] = first - flank + i
                terms[n_terms, 2] = ref
                terms[n_terms, 3] = other
                n_terms += 1
    return n_terms
