"""Theta fitted to a model's training columns: what a network says, corrected by the column.

A network tells sites that it has never seen best before it begins to memorise the columns of its
training, and by then it knows less of these than the columns themselves say. So a model may bring,
for the columns that it was trained on, the theta that maximises ``log P(column | theta)`` under a
prior about the network's prediction (empirical Bayes; `phylotools.phylogeny.site_fit`). At such a
position, of a genome that has the same base there, this theta stands in for the network's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.intervals import overlapping
from phylotools.io.regions import MAX_COORDINATE

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "phylotools site fits 1"
#: Theta is kept in thousandths: finer than the search for it is exact (0.002).
_UNIT = 1e-3
_LARGEST = np.iinfo(np.int16).max
#: A model folder holds no more: 9 bytes each, so 18 MB.
MOST_SITES = 2_000_000


@dataclass(frozen=True)
class FittedRun:
    """Neighbouring sites of one contig.

    Attributes
    ----------
    start : int
        0-based.
    bases : uint8 array [L]
        Codes of the reference bases, 0 to 3.
    theta : float32 array [L, 4]
    """

    start: int
    bases: NDArray[np.uint8]
    theta: NDArray[np.float32]


class SiteFits:
    """Theta of the sites of some contigs.

    Parameters
    ----------
    contigs : sequence of str
    runs : int64 array [K, 3]
        Rows (contig, start, end), sorted, apart from each other.
    bases : uint8 array [N]
        Codes of the reference bases of all runs in turn.
    theta : int16 array [N, 4]
        In thousandths.
    """

    def __init__(
        self,
        contigs: list[str],
        runs: NDArray[np.int64],
        bases: NDArray[np.uint8],
        theta: NDArray[np.int16],
    ) -> None:
        self._contigs, self._runs, self._bases, self._theta = contigs, runs, bases, theta
        edges = np.searchsorted(runs[:, 0], np.arange(len(contigs) + 1))
        self._rows = {name: (edges[k], edges[k + 1]) for k, name in enumerate(contigs)}
        self._first = np.concatenate([[0], np.cumsum(runs[:, 2] - runs[:, 1])])

    @classmethod
    def of(cls, runs: Mapping[str, Iterable[FittedRun]]) -> SiteFits:
        """Those of runs by contig, each contig's in order."""
        rows, bases, theta = [], [np.empty(0, np.uint8)], [np.empty((0, 4), np.int16)]
        for number, own in enumerate(runs.values()):
            for run in own:
                rows.append((number, run.start, run.start + len(run.bases)))
                bases.append(run.bases)
                scaled = np.rint(run.theta / _UNIT).clip(-_LARGEST, _LARGEST)
                theta.append(scaled.astype(np.int16))
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return cls(list(runs), table, np.concatenate(bases), np.concatenate(theta))

    def __len__(self) -> int:
        return len(self._bases)

    @property
    def contigs(self) -> tuple[str, ...]:
        """Contigs with such sites, as the training store calls them."""
        return tuple(self._contigs)

    def put(
        self, contig: str, start: int, bases: NDArray[np.uint8], theta: NDArray[np.float32]
    ) -> None:
        """Replace a network's theta at sites that were fitted and have the same base.

        Parameters
        ----------
        contig : str
        start : int
            Of the first position, 0-based.
        bases : uint8 array [L]
            Codes of the sequence's bases.
        theta : float32 array [L, 4]
            Is written to.
        """
        if contig not in self._rows:
            return
        first, last = self._rows[contig]
        own = self._runs[first:last, 1:]
        low, high = overlapping(own, start, start + len(bases))
        for row in range(low, high):
            begin, end = max(int(own[row, 0]), start), min(int(own[row, 1]), start + len(bases))
            here = slice(begin - start, end - start)
            offset = int(self._first[first + row]) - int(own[row, 0])
            there = slice(begin + offset, end + offset)
            same = bases[here] == self._bases[there]
            fitted = self._theta[there] * np.float32(_UNIT)
            theta[here] = np.where(same[:, None], fitted, theta[here])

    def write(self, path: Path) -> None:
        """Write them as a safetensors file."""
        import torch

        from phylotools.model.weights import save_tensors

        names = json.dumps(self._contigs).encode()
        tensors = {
            # Not in the metadata, whose order two files of one content need not share.
            "contigs": torch.frombuffer(bytearray(names), dtype=torch.uint8),
            "runs": torch.from_numpy(self._runs),
            "bases": torch.from_numpy(self._bases),
            "theta": torch.from_numpy(self._theta),
        }
        save_tensors(path, tensors, {"format": FORMAT})

    @classmethod
    def read(cls, path: Path) -> SiteFits:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            If the file is not such a file, or damaged.
        """
        from phylotools.model.weights import load_tensors

        tensors, metadata = load_tensors(path)
        try:
            return cls(*_checked(tensors, metadata))
        # TypeError: of numbers that numpy does not know, as bfloat16.
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"no readable site fits ({error})", path=path, remedy="export the model again"
            ) from None


def _checked(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[list[str], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Parts of the file, if they are what they should be; else a Key-, Type- or ValueError."""
    if metadata.get("format") != FORMAT:
        raise ValueError("another format")
    contigs = json.loads(tensors["contigs"].numpy().tobytes())
    if not isinstance(contigs, list) or not all(isinstance(name, str) for name in contigs):
        raise ValueError("no contig names")
    runs, bases, theta = (tensors[name].numpy() for name in ("runs", "bases", "theta"))
    types = (runs.dtype, bases.dtype, theta.dtype)
    if types != (np.int64, np.uint8, np.int16) or runs.ndim != 2 or runs.shape[1] != 3:
        raise ValueError("arrays of other types")
    starts, ends = runs[:, 1], runs[:, 2]
    if len(runs) and (runs.min() < 0 or ends.max() > MAX_COORDINATE or (starts >= ends).any()):
        raise ValueError("runs out of range")
    follows = (np.diff(runs[:, 0]) > 0) | ((np.diff(runs[:, 0]) == 0) & (starts[1:] >= ends[:-1]))
    if len(runs) and (runs[:, 0].max() >= len(contigs) or not follows.all()):
        raise ValueError("runs out of order")
    n_sites = int((ends - starts).sum())
    if bases.shape != (n_sites,) or theta.shape != (n_sites, 4) or (bases > 3).any():
        raise ValueError("not a base and four numbers for each site")
    return contigs, runs, bases, theta
