"""The order of batches where the stores fit in memory: shipped models are made again with it."""

from __future__ import annotations

from itertools import islice

import pytest
from column_oracle import digest

from phylotools.training.dataset import TrainingData

pytestmark = pytest.mark.usefixtures("one_thread")

#: Made by version 0.1.0, which held every window of every store in a list.
GOLDEN = {
    "mammals": {
        "epoch 0": "d8649ad0661b6fd1",
        "epoch 3": "ad4fc4c2f3cbf925",
        "from batch 2": "7cfd4b6b16998c48",
        "training sample": "67f0bddfd13d6b8d",
        "held-out sample": "e3b0c44298fc1c14",
    },
    "held out": {
        "epoch 0": "64dd83ad82b6133d",
        "epoch 3": "3264b24a88ff847b",
        "from batch 2": "eb0426ea529c8671",
        "training sample": "3292651d56f8c175",
        "held-out sample": "352d8229cdce2426",
    },
    "birds": {
        "epoch 0": "c48a5cb71cc35124",
        "epoch 3": "460539f271cf19dc",
        "from batch 2": "3ea702074d5806d7",
        "training sample": "8794f32181277c70",
        "held-out sample": "e3b0c44298fc1c14",
    },
    "two stores": {
        "epoch 0": "1be0793522a118e2",
        "epoch 3": "7af54d860f247285",
        "from batch 2": "84ac75357a095184",
        "training sample": "dcda0748a43b35f0",
        "held-out sample": "a57659f261615f1b",
    },
}


def data_of(kind: str, config_of, mammals, birds) -> TrainingData:
    held_out = {"held_out_regions": ["chrM:8400-8420", "chrM:10500-10600"]}
    if kind == "mammals":
        return TrainingData(config_of(mammals))
    if kind == "held out":
        changes = held_out | {"held_out_species_fraction": 0.2, "soft_mask_weight": 0.5}
        return TrainingData(config_of(mammals, data=changes, run={"seed": 2**40 + 3}))
    if kind == "birds":
        changes = {"minimum_species": 9, "soft_mask_weight": 0.25}
        return TrainingData(config_of(birds, data=changes, optimiser={"window_length": 17}))
    stores = {"stores": [str(mammals), str(birds)]}
    return TrainingData(config_of(mammals, data=held_out | stores))


@pytest.mark.parametrize("kind", ["mammals", "held out", "birds", "two stores"])
def test_order_of_version_0_1_0(kind, config_of, mammals_store, birds_store):
    data = data_of(kind, config_of, mammals_store, birds_store)
    found = {
        "epoch 0": digest(data.epoch(0)),
        "epoch 3": digest(data.epoch(3)),
        "from batch 2": digest(islice(data.epoch(3, 2), 3)),
        "training sample": digest(data.evaluation(False, 300)),
        "held-out sample": digest(data.evaluation(True, 300)),
    }
    assert found == GOLDEN[kind]
