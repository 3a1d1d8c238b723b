"""The SkyPilot tasks: fields that SkyPilot documents, and spot machines that lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "workflows" / "skypilot"
#: Of SkyPilot's task YAML; its own schema (0.14.1) takes both files.
FIELDS = {
    "": {"name", "resources", "envs", "file_mounts", "setup", "run", "workdir", "num_nodes"},
    "resources": {"accelerators", "use_spot", "disk_size", "job_recovery", "cpus", "memory"},
    "job_recovery": {"strategy", "max_restarts_on_errors"},
    "mount": {"source", "mode", "name", "store", "persistent"},
}


@pytest.mark.parametrize("name", ["train", "tracks"])
def test_a_task_asks_for_one_spot_gpu_and_goes_on(name: str) -> None:
    task = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert set(task) <= FIELDS[""]
    resources = task["resources"]
    assert set(resources) <= FIELDS["resources"]
    assert set(resources["job_recovery"]) <= FIELDS["job_recovery"]
    assert resources["use_spot"] is True
    assert set(resources["accelerators"].values()) == {1}
    (mount,) = task["file_mounts"].values()
    assert set(mount) <= FIELDS["mount"]
    assert mount["mode"] in ("MOUNT", "COPY", "MOUNT_CACHED")
    assert all(isinstance(value, str) for value in task["envs"].values())
    # What is made lies where the next machine finds it, and the command goes on with it.
    goes_on = {"train": "-o /data/run --resume", "tracks": "--work /data/tracks.work"}
    assert goes_on[name] in task["run"]
    assert task["run"].startswith("set -eu\n")
