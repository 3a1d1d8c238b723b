"""What `simulate` does in parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import torch

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import RegionSet
from phylotools.jobs.runners import RunOne
from phylotools.jobs.stages import OnProgress, Resources, Stages
from phylotools.jobs.work_folder import WorkFolder
from phylotools.model.device import device_names
from phylotools.scoring.scorer import Scorer
from phylotools.simulate.partition import PartitionRunner, piece_maker
from phylotools.simulate.plan import Plan
from phylotools.simulate.sources import ModelSites, SiteSource
from phylotools.threads import n_cores


class SimulationStages(Stages[Plan]):
    """What `simulate` does in parts."""

    kind: ClassVar = Plan
    unit: ClassVar = "columns"

    @contextlib.contextmanager
    def working(
        self,
        folder: WorkFolder[Plan],
        job: Plan,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> Iterator[Sequence[RunOne]]:
        """See `Stages`: all threads make pieces of one partition; with a model, of one a device."""
        names = [None] if job.model is None else device_names(resources.device or "auto")
        threads = max(1, (resources.threads or n_cores()) // len(names))
        with contextlib.ExitStack() as stack:
            runners: list[RunOne] = []
            for name in names:
                source = stack.enter_context(_source(job, name, resources))
                pool = ThreadPoolExecutor(threads, thread_name_prefix="simulate")
                stack.callback(pool.shutdown, wait=True, cancel_futures=True)
                maker = piece_maker(job, source)
                runners.append(
                    PartitionRunner(folder, job, source, maker, pool, threads, on_progress)
                )
            yield runners


@contextlib.contextmanager
def _source(job: Plan, device: str | None, resources: Resources) -> Iterator[SiteSource]:
    """Where the sites of a plan come from; a model's on a device."""
    if job.settings.random is not None:
        # The pieces are small: threads inside them would only get into each other's way.
        torch.set_num_threads(1)
        yield job.settings.random.sites(job.settings.seed)
        return
    assert job.model is not None
    assert job.fasta is not None
    model = job.model.load(device or "cpu")
    with ReferenceGenome.open(job.fasta) as genome:
        scorer = Scorer(model, genome, threads=resources.threads, batch_size=resources.batch_size)
        yield ModelSites(scorer, RegionSet({}))
