"""Patterns among what bases are worth: found by TF-MoDISco, named by Tomtom.

Both are libraries of others (`modisco-lite`, `memelite`), the extra ``motifs``.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.interpret.attributions import Attributions
from phylotools.io.bases import BASES, IUPAC
from phylotools.io.motifs import Motif

EXTRA = "pip install 'phylotools[motifs]'"
#: What is kept of a pattern: from the first to the last position that is worth this part of the
#: best one.
_WORTH_KEEPING = 0.3
#: A base belongs to the consensus where it is at least this part of the commonest one.
_IN_CONSENSUS = 0.5
#: TF-MoDISco's cores of seqlets and their flanks, as its command has them.
_CORE, _FLANK = 20, 5
#: Shorter sequences have no room for a seqlet and its flanks.
SHORTEST = _CORE + 2 * _FLANK + 20
#: Below it Tomtom's p-values, whose background are the columns of the targets, mean little.
FEW_TARGETS = 25


@dataclass(frozen=True)
class Pattern:
    """A pattern of W positions.

    Attributes
    ----------
    name : str
        ``pos_0``, ``pos_1`` ... where it adds to what is looked at, ``neg_0`` ... where it takes.
    probabilities : float64 array [W, 4]
        Of A, C, G, T among its seqlets.
    worth : float64 array [W, 4]
        Mean attribution of the bases that stand there.
    n_seqlets : int
    """

    name: str
    probabilities: NDArray[np.float64]
    worth: NDArray[np.float64]
    n_seqlets: int

    @property
    def consensus(self) -> str:
        """The commonest bases of each position, in IUPAC letters."""
        of_bases = {frozenset(bases): letter for letter, bases in IUPAC.items() if letter != "U"}
        kept = self.probabilities >= _IN_CONSENSUS * self.probabilities.max(axis=1, keepdims=True)
        return "".join(
            of_bases[frozenset(base for base, is_in in zip(BASES, row, strict=True) if is_in)]
            for row in kept
        )

    @property
    def information(self) -> NDArray[np.float64]:
        """Information content of each position in bits, float64 [W]."""
        probability = np.maximum(self.probabilities, 1e-12)
        found: NDArray[np.float64] = 2 + (probability * np.log2(probability)).sum(axis=1)
        return np.clip(found, 0, 2)


@dataclass(frozen=True)
class Match:
    """The motif that a pattern is most like.

    Attributes
    ----------
    motif : Motif
    p_value : float
        Of the best alignment, either strand.
    q_value : float
        Among all motifs of the file, by Benjamini and Hochberg.
    is_reverse : bool
        Whether it is the motif's reverse complement.
    offset : int
        Where the motif begins in the pattern, as shown.
    overlap : int
        Positions that both have.
    """

    motif: Motif
    p_value: float
    q_value: float
    is_reverse: bool
    offset: int
    overlap: int


def require_extra() -> tuple[Any, Any]:
    """The package of TF-MoDISco, and the function that is Tomtom.

    Raises
    ------
    InputError
        If they are not installed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            import modiscolite.io
            import modiscolite.tfmodisco
            from memelite import tomtom
    except ImportError as error:
        raise InputError(
            f"motif discovery needs modisco-lite and memelite ({error})",
            remedy=f"install them: {EXTRA}",
        ) from None
    return modiscolite, tomtom


def find_patterns(
    given: Attributions, *, most_seqlets: int = 2000, fewest_seqlets: int = 20, results: str
) -> list[Pattern]:
    """Patterns of attributions, those that add before those that take away, large ones first.

    Parameters
    ----------
    given : Attributions
    most_seqlets : int
        Of either sign; more take time with their square.
    fewest_seqlets : int
        Of either sign, and of a pattern.
    results : str
        Where TF-MoDISco's own file is written, HDF5 of its own form.

    Returns
    -------
    list of Pattern
        Trimmed to the positions that are worth something.

    Raises
    ------
    UsageError
        If the sequences are too short.
    InputError
        If there is too little to find anything in.
    """
    n_regions, length = given.one_hot.shape[:2]
    if length < SHORTEST:
        raise UsageError(
            f"sequences of {length} bases are too short for seqlets of {_CORE} and their flanks; "
            f"{SHORTEST} are the fewest"
        )
    modisco, _ = require_extra()
    try:
        with _quiet():
            positive, negative = modisco.tfmodisco.TFMoDISco(
                given.one_hot,
                given.values,
                sliding_window_size=_CORE,
                flank_size=_FLANK,
                target_seqlet_fdr=0.05,
                n_leiden_runs=2,
                max_seqlets_per_metacluster=most_seqlets,
                min_metacluster_size=fewest_seqlets,
                final_min_cluster_size=fewest_seqlets,
            )
    except (ValueError, IndexError, ZeroDivisionError):
        raise InputError(
            f"TF-MoDISco found nothing to begin with in {n_regions:,} regions",
            remedy="give more regions, or other attributions",
        ) from None
    with _quiet():
        modisco.io.save_hdf5(results, positive, negative, length)
    found = []
    for sign, patterns in (("pos", positive), ("neg", negative)):
        for number, pattern in enumerate(patterns or ()):
            found.append(_trimmed(f"{sign}_{number}", pattern))
    return found


def _trimmed(name: str, pattern: Any) -> Pattern:
    worth = np.asarray(pattern.contrib_scores, dtype=np.float64)
    weight = np.abs(worth).sum(axis=1)
    kept = np.flatnonzero(weight >= _WORTH_KEEPING * weight.max())
    here = slice(int(kept[0]), int(kept[-1]) + 1)
    probability = np.asarray(pattern.sequence, dtype=np.float64)[here]
    total = np.maximum(probability.sum(axis=1, keepdims=True), 1e-12)
    return Pattern(name, probability / total, worth[here], len(pattern.seqlets))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let libraries say nothing on stdout, nor warn of their own affairs."""
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        yield


def name_patterns(
    patterns: Sequence[Pattern], motifs: Sequence[Motif], *, threads: int | None = None
) -> list[Match]:
    """For each pattern the motif that it is most like, by Tomtom.

    Parameters
    ----------
    patterns, motifs : sequence
        At least one each.
    threads : int, optional

    Returns
    -------
    list of Match
    """
    _, tomtom = require_extra()
    queries = [np.ascontiguousarray(p.probabilities.T) for p in patterns]
    targets = [np.ascontiguousarray(m.probabilities.T) for m in motifs]
    with _quiet():
        p_values, _, offsets, overlaps, strands = tomtom(queries, targets, n_jobs=threads or -1)[:5]
    found = []
    for row in range(len(patterns)):
        q_values = benjamini_hochberg(p_values[row])
        best = int(np.argmin(p_values[row]))
        found.append(
            Match(
                motifs[best],
                float(p_values[row, best]),
                float(q_values[best]),
                bool(strands[row, best]),
                int(offsets[row, best]),
                int(overlaps[row, best]),
            )
        )
    return found


def benjamini_hochberg(p_values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The smallest false discovery rate at which each p-value would be found, float64 [K]."""
    order = np.argsort(p_values)
    raw = np.asarray(p_values, dtype=np.float64)[order] * len(order) / np.arange(1, len(order) + 1)
    found = np.empty(len(order))
    found[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1)
    return found
