"""What `fit-sites` does in parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import ClassVar

from phylotools.io.genome import ReferenceGenome
from phylotools.jobs.runners import RunOne
from phylotools.jobs.stages import OnProgress, Resources, Stages
from phylotools.jobs.work_folder import WorkFolder
from phylotools.model.device import device_names, resolve_device
from phylotools.sites.network_prior import NetworkPrior
from phylotools.sites.partition import PartitionRunner
from phylotools.sites.plan import Plan
from phylotools.sites.preparation import store_plans
from phylotools.sites.run import use_threads
from phylotools.store.read import ColumnStore


class SiteStages(Stages[Plan]):
    """What `fit-sites` does in parts."""

    kind: ClassVar = Plan
    unit: ClassVar = "sites"

    @contextlib.contextmanager
    def working(
        self,
        folder: WorkFolder[Plan],
        job: Plan,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> Iterator[Sequence[RunOne]]:
        """See `Stages`: a worker a device; all threads fit the columns of one batch."""
        use_threads(resources.threads)
        store = job.opened_store()
        plans = store_plans(store, job.settings)
        predictor = None if job.model is None else job.model.identity

        with contextlib.ExitStack() as stack:
            runners: list[RunOne] = []
            for name in device_names(resources.device or "auto"):
                network = _network(stack, job, store, name, resources.threads)
                prepared = job.known.preparation(plans, network, predictor, resolve_device(name))
                runners.append(PartitionRunner(folder, job, store, prepared, on_progress))
            yield runners


def _network(
    stack: contextlib.ExitStack, job: Plan, store: ColumnStore, device: str, threads: int | None
) -> NetworkPrior | None:
    """The centre of the prior, on a device."""
    if job.model is None or job.fasta is None:
        return None
    return NetworkPrior(
        job.model.load(device),
        stack.enter_context(ReferenceGenome.open(job.fasta)),
        store,
        neutral_scale=job.settings.neutral_scale,
        threads=threads or 1,
        targets=job.targets,
    )
