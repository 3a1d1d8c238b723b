"""A network that sees 25 bases, and a contig with some N, on which everything can be recomputed."""

from __future__ import annotations

from pathlib import Path

import pytest
from brute_force import LETTERS, BruteForce
from toy_models import write_toy_model

from phylotools.interpret.changes import sequence_scorer
from phylotools.io.genome import ReferenceGenome
from phylotools.model.registry import load_model


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("toy") / "model", reference=None)


@pytest.fixture(scope="session")
def toy(toy_folder):
    return load_model(str(toy_folder))


@pytest.fixture(scope="session")
def toy_fasta(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fasta") / "toy.fa"
    path.write_text(f">one\n{LETTERS}\n>two\n{LETTERS[::-1]}\n>unknown\nNNNNNNNN\n")
    return path


@pytest.fixture(scope="session")
def brute_force(toy, one_thread):
    return BruteForce(toy)


@pytest.fixture(scope="session")
def scorer(toy, one_thread):
    genome = ReferenceGenome.from_sequences(
        {"one": LETTERS.encode(), "unknown": b"NNNNNNNN"}, path="toy.fa"
    )
    return sequence_scorer(toy, genome, threads=1)
