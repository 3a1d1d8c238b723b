"""What `embed` does in parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from phylotools.embedding.partition import PartitionRunner
from phylotools.embedding.plan import Plan
from phylotools.embedding.source import EmbeddingSource, NetworkOptions
from phylotools.io.genome import ReferenceGenome
from phylotools.jobs.runners import RunOne
from phylotools.jobs.stages import OnProgress, Resources, Stages
from phylotools.jobs.work_folder import WorkFolder
from phylotools.model.device import device_names
from phylotools.scoring.layers import find_layer

if TYPE_CHECKING:
    from phylotools.embedding.cutting import OrderedRegions


class EmbeddingStages(Stages[Plan]):
    """What `embed` does in parts."""

    kind: ClassVar = Plan
    unit: ClassVar = "regions"

    @contextlib.contextmanager
    def working(
        self,
        folder: WorkFolder[Plan],
        job: Plan,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> Iterator[Sequence[RunOne]]:
        """See `Stages`: a worker a device, each with the whole network."""
        with contextlib.ExitStack() as stack:
            regions: OrderedRegions | None = None
            runners: list[RunOne] = []
            for name in device_names(resources.device or "auto"):
                genome = stack.enter_context(ReferenceGenome.open(job.fasta))
                regions = regions or job.ordered(genome)
                source = _source(job, genome, name, resources)
                runners.append(PartitionRunner(folder, job, regions, source, genome, on_progress))
            yield runners


def _source(
    job: Plan, genome: ReferenceGenome, device: str, resources: Resources
) -> EmbeddingSource:
    model = job.model.load(device)
    settings = job.settings
    return EmbeddingSource(
        model,
        genome,
        find_layer(job.layer, model.spec),
        NetworkOptions(
            resources.threads, resources.batch_size, settings.network.precision, job.tile_length
        ),
        with_reverse=settings.strand != "forward",
        with_context=settings.context_pooling,
    )
