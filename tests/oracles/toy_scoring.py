"""A model and a genome whose every score can be checked by hand, as fixtures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import RegionSet
from phylotools.model.folder import ModelIdentity
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.phylogeny.change_scores import MutationProcess
from phylotools.phylogeny.substitution import F81, SubstitutionModel

SEQUENCE = "ACGTTGCANACCGGTTTACGacgttacatTAGCAT"


#: What `NeighbourNetwork` reads, as a network's shape.
NEIGHBOURS = ModelSpec(channels=2, bottleneck=2, kernel_size=3, dilations=(1,))


class NeighbourNetwork(nn.Module):
    """theta_b = token * (b + 1) + left * b / 16 - right / 8: every number checkable by hand."""

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        values = tokens.float()
        left, own, right = values[:, :-2, None], values[:, 1:-1, None], values[:, 2:, None]
        base = torch.arange(4.0)
        return own * (base + 1) + left * base / 16 - right / 8


@dataclass
class ToyModel:
    """What the scorer and the annotator read of a model."""

    site_model: nn.Module
    spec: ModelSpec
    reference_fasta: Path | None = None
    training_regions: RegionSet | None = None
    substitution: SubstitutionModel = field(default_factory=F81)
    identity: ModelIdentity = field(default_factory=lambda: ModelIdentity("toy", "r1", "ab" * 32))
    device: str = "cpu"
    transcripts: None = None
    site_fits: None = None
    uses_site_fits: bool = False
    masks_site: bool = False
    tile_length: int | None = None
    tuned: None = None

    def __post_init__(self) -> None:
        self.receptive_field = self.spec.receptive_field

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def sha256(self) -> str:
        return self.identity.sha256

    @property
    def mutation_process(self) -> MutationProcess:
        return self.substitution.mutation_process()

    def choose_reference(self, fasta: str | None) -> str:
        return str(fasta or self.reference_fasta)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "toy.fa"
    path.write_text(f">chr1 toy\n{SEQUENCE[:20]}\n{SEQUENCE[20:]}\n>chrM\nACGTACGTAC\n")
    return path


@pytest.fixture
def genome(fasta: Path) -> ReferenceGenome:
    return ReferenceGenome.open(fasta)


@pytest.fixture
def toy_model(fasta: Path) -> ToyModel:
    return ToyModel(NeighbourNetwork(), NEIGHBOURS, fasta)


@pytest.fixture(scope="session")
def random_model() -> ToyModel:
    """A ByteNet whose every parameter, norms included, is random."""
    return model_of(ModelSpec(channels=12, bottleneck=6, dilations=(1, 5)))


@pytest.fixture(scope="session")
def dense_model(random_model) -> ToyModel:
    """The same, computed by torch as on devices without code of their own."""
    return replace(random_model, site_model=lambda tokens, _: random_model.site_model.dense(tokens))


def model_of(spec: ModelSpec) -> ToyModel:
    """A ByteNet with random parameters."""
    torch.manual_seed(3)
    network = ByteNet(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5)
    return ToyModel(network.freeze(), network.spec)
