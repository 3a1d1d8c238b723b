"""Moves to the tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.io.regions import Region


@dataclass(frozen=True)
class AlignmentBlock:
    region: Region
    species: tuple[str, ...]
    bases: NDArray[np.uint8]
    contig_length: int
    line: int = 0
