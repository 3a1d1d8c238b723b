"""``phylotools square-partition``, at the real command boundary, and what may go wrong with it.

The environment variable SQUARES has what happens, as JSON: ``held`` (partitions that wait until the
file ``gate`` is there), ``kill`` (partition -> how often its process kills itself), ``fail``
(partitions that end by an error), ``marks`` (a folder: a file for everything that was begun),
``warn`` (a text).
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).parent))

from small_job import Squares, run_one

from phylotools.errors import InputError
from phylotools.jobs.engines.engine import Task
from phylotools.jobs.job import Partition
from phylotools.jobs.runners import RunOne
from phylotools.jobs.stages import OnProgress, Resources, Stages
from phylotools.jobs.work_folder import WorkFolder


def happening(work: WorkFolder[Squares], what: dict[str, Any], partition: Partition) -> None:
    """Run a partition, if nothing happens to it."""
    index = str(partition.index)
    marks = Path(what["marks"])
    begun = len(list(marks.glob(f"{index}.*")))
    (marks / f"{index}.{begun}.{os.getpid()}").touch()
    if index in what.get("fail", ()):
        raise InputError(f"number {index} cannot be squared", path="numbers.txt", line=7)
    while index in what.get("held", ()) and not Path(what["gate"]).exists():
        time.sleep(0.02)
    if begun < what.get("kill", {}).get(index, 0):
        os.kill(os.getpid(), signal.SIGKILL)
    run_one(work, partition)


class SquareStages(Stages[Squares]):
    kind: ClassVar = Squares
    unit: ClassVar = "numbers"

    @contextlib.contextmanager
    def working(
        self,
        folder: WorkFolder[Squares],
        job: Squares,
        resources: Resources,
        n_partitions: int | None,
        on_progress: OnProgress,
    ) -> Iterator[Sequence[RunOne]]:
        what = json.loads(os.environ["SQUARES"])
        if "warn" in what:
            logging.getLogger("phylotools").warning("%s", what["warn"])
        (Path(what["marks"]) / f"loaded.{os.getpid()}").touch()
        run = functools.partial(happening, folder, what)
        yield [run] * (resources.threads or 1)

    def task(self, folder: WorkFolder[Squares], resources: Resources) -> Task:
        """With this file in place of the program's name."""
        work = str(folder.path.absolute())
        python = (sys.executable, "-P", __file__)
        return Task((*python, "square-partition", work, *resources.arguments()), "square", work)


def main() -> None:
    from phylotools.cli import main as command_line
    from phylotools.cli.staged import partition_command

    module = ModuleType("phylotools.cli.square")
    command = partition_command("square", SquareStages, has_network=True)
    module.square_partition_command = command  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    command_line.VERBS["square-partition"] = "Squares."
    command_line.main()


if __name__ == "__main__":
    main()
