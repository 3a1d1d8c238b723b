"""Model folders with small random networks."""

from __future__ import annotations

from pathlib import Path

import torch

from phylotools.model.folder import ModelDraft, write_model
from phylotools.model.network import ByteNet
from phylotools.model.presets import ModelSpec
from phylotools.model.site_model import SiteModel

CHRM = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data" / "chrM.fa"


def write_toy_model(
    folder: Path,
    *,
    reference: Path | None = CHRM,
    training_regions: Path | None = None,
    transcripts: tuple[str, str] | None = None,
    masks_site: bool = False,
) -> Path:
    """A ByteNet that sees 25 bases, whose every parameter is random; always the same one."""
    torch.manual_seed(5)
    network = ByteNet(ModelSpec(channels=8, bottleneck=4, dilations=(1, 5)))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5)
    draft = ModelDraft(
        "toy",
        "r1",
        SiteModel(network, masks_site=masks_site),
        {},
        {},
        "A toy.\n",
        reference=reference,
        training_regions=training_regions,
        transcripts=transcripts,
    )
    write_model(draft, folder)
    return folder
