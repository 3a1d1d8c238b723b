"""Log frequencies of changed sequences, each scored whole and by itself."""

from __future__ import annotations

import numpy as np
import torch

from phylotools.interpret.changes import sequence_scorer
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

#: Some N, some soft-masked.
LETTERS = "ACGTTGCAACCGGTTTACGNacgttacatTAGCATCCATGAGGATTTACCCNNGATCATTGACCAGTA"


class BruteForce:
    """Log frequencies of whole sequences, each scored by itself."""

    def __init__(self, model) -> None:
        self._model = model

    def log_probability(self, text: str) -> np.ndarray:
        """Float64 [L, 4] of a sequence."""
        genome = ReferenceGenome.from_sequences({"one": text.encode()})
        theta = sequence_scorer(self._model, genome, threads=1).theta(Region("one", 0, len(text)))
        wide = torch.from_numpy(theta).double()
        return self._model.substitution.log_equilibrium_frequencies(wide).numpy()

    def substituted(self, position: int, base: str) -> np.ndarray:
        """The same of `LETTERS` with one base replaced."""
        return self.log_probability(LETTERS[:position] + base + LETTERS[position + 1 :])
