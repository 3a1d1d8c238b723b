"""Motifs: matrices of a MEME file, or a consensus in IUPAC letters; where a sequence has them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError, shown
from phylotools.io.bases import BASES, IUPAC
from phylotools.io.files import numbered_lines, open_input

#: Of a matrix that does not say how many sites it was made from, and of a consensus.
_USUAL_SITES = 20
#: Counts added to each column, shared out by the background, as FIMO does.
_PSEUDOCOUNT = 0.1
_MOST_MOTIFS, _LONGEST_MOTIF = 100_000, 1000
_LONGEST_LINE = 1 << 16
#: How far a column may be from a sum of 1.
_TOLERANCE = 0.02
_SITES = re.compile(r"nsites=\s*(\S+)")
_REMEDY = "give a MEME file (`MEME version 4`, motifs of the alphabet ACGT)"


@dataclass(frozen=True)
class Motif:
    """A motif of W positions.

    Attributes
    ----------
    name : str
    probabilities : float64 array [W, 4]
        Of A, C, G and T; each row sums to 1.
    background : float64 array [4]
    n_sites : float
        How many sites the matrix was made from.
    """

    name: str
    probabilities: NDArray[np.float64]
    background: NDArray[np.float64]
    n_sites: float = _USUAL_SITES

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """Bits of each base against the background, [W, 4]."""
        counts = self.probabilities * self.n_sites + _PSEUDOCOUNT * self.background
        odds: NDArray[np.float64] = np.log2(
            counts / (self.n_sites + _PSEUDOCOUNT) / self.background
        )
        return odds

    @property
    def best_possible(self) -> float:
        """Bits of the best sequence."""
        return float(self.log_odds.max(axis=1).sum())


def best_matches(
    motif: Motif, codes: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """The best place of a motif in each sequence, on either strand.

    Parameters
    ----------
    motif : Motif
    codes : uint8 array [B, L]
        0 to 3; L is at least the motif's length.

    Returns
    -------
    bits : float64 array [B]
        Sum of the log odds.
    places : int64 array [B]
        Where it begins; of several the first.
    is_reverse : bool array [B]
        Whether it is read on the other strand there.
    """
    odds = motif.log_odds
    n_places = codes.shape[1] - len(motif) + 1
    found = []
    for matrix in (odds, odds[::-1, ::-1]):
        bits = np.zeros((len(codes), n_places))
        for offset, row in enumerate(matrix):
            bits += row[codes[:, offset : offset + n_places]]
        found.append(bits)
    both = np.stack(found, axis=2).reshape(len(codes), -1)
    best = both.argmax(axis=1)
    return both[np.arange(len(codes)), best], best // 2, best % 2 == 1


def consensus_motif(letters: str) -> Motif:
    """A motif that is written in IUPAC letters.

    Raises
    ------
    UsageError
        If a letter is none.
    """
    rows = []
    for letter in letters.upper():
        if letter not in IUPAC:
            raise UsageError(f"{shown(letters)!r}: {letter!r} is no IUPAC code of nucleotides")
        rows.append([float(base in IUPAC[letter]) / len(IUPAC[letter]) for base in BASES])
    return Motif(letters.upper(), np.array(rows), np.full(4, 0.25))


def find_motif(text: str) -> Motif:
    """The motif that a user names.

    Parameters
    ----------
    text : str
        ``FILE.meme`` where it has one motif, ``FILE.meme:NAME``, or a consensus in IUPAC letters.

    Raises
    ------
    InputError
        If the file is no MEME file or has no such motif.
    UsageError
        If it is neither the name of a file nor a consensus.
    """
    if os.path.exists(text):
        motifs = read_meme(text)
        if len(motifs) > 1:
            raise InputError(
                f"holds {len(motifs)} motifs",
                path=text,
                remedy=f"name one: {text}:{motifs[0].name}",
            )
        return motifs[0]
    path, _, name = text.rpartition(":")
    if path and os.path.exists(path):
        for motif in read_meme(path):
            if motif.name == name:
                return motif
        raise InputError(f"has no motif {shown(name)!r}", path=path)
    if "." in text or "/" in text or not text:
        raise UsageError(f"{shown(text)}: there is no such file; give a MEME file or a consensus")
    return consensus_motif(text)


def read_meme(path: str) -> list[Motif]:
    """The motifs of a file in MEME's minimal format.

    Raises
    ------
    InputError
        If it is none, a matrix is damaged, or it has no motif.
    """
    background = np.full(4, 0.25)
    motifs: list[Motif] = []
    with open_input(path) as handle:
        lines = _text_lines(handle, path)
        number, first = next(lines, (1, ""))
        if not first.startswith("MEME version"):
            raise InputError("is no MEME file", path=path, line=number, remedy=_REMEDY)
        name: str | None = None
        for number, line in lines:
            words = line.split()
            if words[0] == "ALPHABET=" and words[1:] != [BASES]:
                raise InputError(
                    f"its alphabet is {shown(' '.join(words[1:]))}, not {BASES}",
                    path=path,
                    line=number,
                    remedy=_REMEDY,
                )
            if line.startswith("Background letter frequencies"):
                number, line = next(lines, (number, ""))
                background = _background(line, path, number)
            elif words[0] == "MOTIF":
                name = words[1] if len(words) > 1 else str(len(motifs) + 1)
            elif line.startswith("letter-probability matrix"):
                motifs.append(_matrix(name or str(len(motifs) + 1), line, lines, path, background))
                if len(motifs) > _MOST_MOTIFS:
                    raise InputError(f"holds more than {_MOST_MOTIFS:,} motifs", path=path)
    if not motifs:
        raise InputError("holds no motif", path=path, remedy=_REMEDY)
    return motifs


def _text_lines(handle: object, path: str) -> Iterator[tuple[int, str]]:
    """Lines with something in them."""
    for number, line in numbered_lines(handle, path, longest_line=_LONGEST_LINE):  # type: ignore[arg-type]
        text = line.decode("utf-8", "replace").strip()
        if text:
            yield number, text


def _background(line: str, path: str, number: int) -> NDArray[np.float64]:
    words = line.split()
    try:
        found = {words[k]: float(words[k + 1]) for k in range(0, 8, 2)}
        values = np.array([found[base] for base in BASES])
    except (IndexError, KeyError, ValueError):
        values = np.zeros(4)
    if not (
        np.isfinite(values).all() and (values > 0).all() and abs(values.sum() - 1) < _TOLERANCE
    ):
        raise InputError(
            "the background frequencies must be `A 0.25 C 0.25 G 0.25 T 0.25`, all above 0",
            path=path,
            line=number,
        )
    return values / values.sum()


def _matrix(
    name: str,
    header: str,
    lines: Iterator[tuple[int, str]],
    path: str,
    background: NDArray[np.float64],
) -> Motif:
    width_word = re.search(r"w=\s*(\d+)", header)
    width = int(width_word[1]) if width_word and len(width_word[1]) < 6 else 0
    if not 1 <= width <= _LONGEST_MOTIF:
        raise InputError(
            f"the matrix of motif {shown(name)} must say w= 1 to {_LONGEST_MOTIF}", path=path
        )
    rows = []
    for number, line in lines:
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        is_right = len(row) == 4 and all(0 <= x <= 1 for x in row)
        if not is_right or abs(sum(row) - 1) > _TOLERANCE:
            raise InputError(
                f"motif {shown(name)}: not four probabilities whose sum is 1",
                path=path,
                line=number,
            )
        rows.append(row)
        if len(rows) == width:
            break
    if len(rows) < width:
        raise InputError(f"motif {shown(name)} has fewer rows than w= {width}", path=path)
    matrix = np.array(rows)
    return Motif(name, matrix / matrix.sum(axis=1, keepdims=True), background, _sites(header))


def _sites(header: str) -> float:
    found = _SITES.search(header)
    try:
        n_sites = float(found[1]) if found else _USUAL_SITES
    except ValueError:
        return _USUAL_SITES
    return n_sites if math.isfinite(n_sites) and n_sites >= 1 else _USUAL_SITES
