"""What trees of regions cost: batches of a store with a tree for each contig, and with one tree.

python benchmarks/region_trees.py STORE TREES.tsv

The same windows in the same batches; likelihood and gradient under mutation and selection, one
thread, processor time. A quiet machine is not needed, another one beside it makes it slower.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from paired import compare

from phylotools.phylogeny.likelihood import column_log_likelihood
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.threads import set_threads
from phylotools.training.batch import Batch
from phylotools.training.config_file import parse_config
from phylotools.training.dataset import TrainingData

BATCHES = 12


def gradients(batches: list[Batch], model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for batch in batches:
        theta = torch.randn((len(batch.site), 4), generator=generator).requires_grad_()
        column_log_likelihood(batch.states, theta, batch.plan, model).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("trees")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(1)
    data = {"stores": [str(Path(arguments.store).absolute())]}
    found = {}
    for name, table in (("one tree", ""), ("trees of regions", arguments.trees)):
        tables = {"data": data | {"trees": str(Path(table).absolute()) if table else ""}}
        config, errors = parse_config(tables, Path())
        assert config is not None, errors
        batches = TrainingData(config).evaluation(False, 10**9)
        found[name] = list(itertools.islice(batches, BATCHES))
    counts = [len(np.unique(batch.plan.of_column)) for batch in found["trees of regions"]]
    columns = sum(len(batch.site) for batch in found["one tree"])
    print(f"{columns} columns in {BATCHES} batches; trees in a batch: {np.mean(counts):.1f}")
    own = found["one tree"][0].plan
    # The same order of columns: what it costs to take them apart.
    found["one tree, columns in that order"] = [
        dataclasses.replace(batch, plan=own) for batch in found["trees of regions"]
    ]
    model = make_substitution_model("mutation-selection")
    ways = {name: partial(gradients, batches, model) for name, batches in found.items()}
    compare(ways, work=columns, unit="columns/s", clock=time.process_time)


if __name__ == "__main__":
    main()
