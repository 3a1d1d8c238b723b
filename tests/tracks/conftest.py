from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from phylotools.model.folder import Model
from phylotools.model.registry import load_model


@pytest.fixture(scope="session")
def shipped(one_thread) -> Model:
    """The shipped model; its reference is chrM alone."""
    return load_model(None, "cpu")


@pytest.fixture(scope="session")
def model(shipped) -> Model:
    """The same, meant for any genome."""
    return dataclasses.replace(shipped, training_regions=None)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    """Contigs out of order, with soft-masked, ambiguous and unknown bases, one of them tiny."""
    chance = np.random.default_rng(5)
    letters = chance.choice(list("ACGTacgtNRyn"), p=[0.2, 0.2, 0.2, 0.2, *[0.025] * 8], size=3000)
    first = "".join(letters[:2000])
    path = tmp_path / "genome.fa"
    gap = first[:600] + "N" * 1200 + first[600:]
    path.write_text(f">chr2 second\n{''.join(letters[2000:])}\n>chr10\n{gap}\n>tiny\nA\n>n\nNNNN\n")
    return path
