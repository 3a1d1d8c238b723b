"""A model's table of the LLR at neutral sites, by pentanucleotide and alternative.

``calibration.tsv`` of a model folder has a line for each pentanucleotide that neutral sites had and
each alternative to its middle base: how many sites, and the mean of their LLRs. A pentanucleotide
that fewer than `FEWEST_SITES` had takes the mean of all with its middle three bases; if these are
as few, that of all with its middle base; and if these are, the mean of all. So does a site at an
end of a contig or beside an unknown base.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bases import BASES
from phylotools.io.files import read_small_text

#: LLRs of neutral sites scatter by about 2 nats: the mean of 30 is good to 0.4.
FEWEST_SITES = 30
#: Letters of a context: A, C, G, T and any other.
_LETTERS = 5
N_CONTEXTS = _LETTERS**5
_COLUMNS = ["#context", "alt", "sites", "mean_llr"]
_CONTEXT = re.compile(r"[ACGT]{5}")
#: An LLR beyond is none that a model gives.
_LARGEST = 1000.0
_MIDDLE_THREE, _MIDDLE = slice(1, 4), slice(2, 3)


@dataclass(frozen=True)
class Calibration:
    """LLRs to expect of neutral sites.

    Attributes
    ----------
    expected : float64 array [N_CONTEXTS, 4]
        By `context_index` and base; 0 of the middle base itself.
    """

    expected: NDArray[np.float64]

    @classmethod
    def of_sums(cls, counts: NDArray[np.int64], sums: NDArray[np.float64]) -> Calibration:
        """From sites counted, [N_CONTEXTS], and their LLRs summed up, [N_CONTEXTS, 4]."""
        letters = _letters_of(np.arange(N_CONTEXTS))
        middle = letters[:, 2]
        expected = np.zeros((N_CONTEXTS, 4))
        total = max(int(counts.sum()), 1)
        expected[:] = sums.sum() / (3 * total)
        for part in (_MIDDLE, _MIDDLE_THREE, slice(0, 5)):
            # Contexts that share these letters; an unknown letter among them shares with none.
            group = (letters[:, part] * _LETTERS ** np.arange(part.stop - part.start)).sum(axis=1)
            group[(letters[:, part] == _LETTERS - 1).any(axis=1)] = -1
            known = group >= 0
            n = np.bincount(group[known], counts[known])
            of_group = np.stack(
                [np.bincount(group[known], sums[known, base]) for base in range(4)], axis=1
            )
            is_enough = known & (n[np.maximum(group, 0)] >= FEWEST_SITES)
            chosen = group[is_enough]
            expected[is_enough] = of_group[chosen] / n[chosen][:, None]
        rows = np.flatnonzero(middle < 4)
        expected[rows, middle[rows]] = 0
        return cls(expected)


def context_index(letters: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Index of contexts [K, 5] of base codes, 4 for an unknown one, into `Calibration.expected`."""
    places = _LETTERS ** np.arange(4, -1, -1)
    return np.asarray((letters.astype(np.int64) * places).sum(axis=1))


def calibration_lines(counts: NDArray[np.int64], sums: NDArray[np.float64]) -> str:
    """The file of what `Calibration.of_sums` takes; contexts with unknown letters are left out."""
    lines = ["\t".join(_COLUMNS)]
    letters = _letters_of(np.arange(N_CONTEXTS))
    for context in np.flatnonzero((counts > 0) & (letters < 4).all(axis=1)).tolist():
        text = "".join(BASES[code] for code in letters[context])
        for base, letter in enumerate(BASES):
            if letter != text[2]:
                mean = sums[context, base] / counts[context]
                lines.append(f"{text}\t{letter}\t{counts[context]}\t{mean:.4f}")
    return "\n".join(lines) + "\n"


def read_calibration(path: str | Path) -> Calibration:
    """Read a model's ``calibration.tsv``.

    Raises
    ------
    InputError
        With its line, where it is not what `calibration_lines` writes.
    """

    def refused(problem: str, line: int) -> InputError:
        remedy = "make it again with `phylotools model calibrate`"
        return InputError(problem, path=str(path), line=line, remedy=remedy)

    header, *lines = read_small_text(path).splitlines() or [""]
    if header.split("\t") != _COLUMNS:
        raise refused(f"the columns are not {', '.join(_COLUMNS)}", 1)
    counts = np.zeros(N_CONTEXTS, dtype=np.int64)
    sums, seen = np.zeros((N_CONTEXTS, 4)), set()
    for number, line in enumerate(lines, start=2):
        row = _row(line)
        if row is None:
            raise refused("is no context, alternative, number of sites and mean LLR", number)
        context, alt, n_sites, mean = row
        if (context, alt) in seen:
            raise refused("its context and alternative occur twice", number)
        seen.add((context, alt))
        index = int(context_index(np.array([[BASES.index(base) for base in context]], np.uint8))[0])
        if counts[index] not in (0, n_sites):
            raise refused("its context has another number of sites elsewhere", number)
        counts[index] = n_sites
        sums[index, BASES.index(alt)] = mean * n_sites
    if not seen:
        raise refused("holds no context", 1)
    for context in {context for context, _ in seen}:
        if sum((context, base) in seen for base in BASES) < 3:
            raise refused(f"{context} lacks an alternative", 1)
    return Calibration.of_sums(counts, sums)


def _row(line: str) -> tuple[str, str, int, float] | None:
    """Context, alternative, sites and mean of a line; None if it is none."""
    cells = line.split("\t")
    if len(cells) != len(_COLUMNS) or not _CONTEXT.fullmatch(cells[0]):
        return None
    context, alt, sites, text = cells
    if len(alt) != 1 or alt not in BASES or alt == context[2]:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,14}", sites) or not re.fullmatch(r"-?[0-9]+\.[0-9]+", text):
        return None
    mean = float(text)
    return (context, alt, int(sites), mean) if math.fabs(mean) <= _LARGEST else None


def _letters_of(contexts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Base codes, [K, 5], of contexts by index."""
    return contexts[:, None] // _LETTERS ** np.arange(4, -1, -1) % _LETTERS
