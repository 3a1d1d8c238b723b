"""The SLURM that other tests run on: it does what a real one does, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import slurm_cluster
from slurm_cluster import SlurmCluster, wait_until

_LEAVE = """
import sys
from pathlib import Path
from slurm_cluster import slurm_cluster
with slurm_cluster(Path(sys.argv[1]), nodes=("node1",)) as cluster:
    cluster.do("sbatch", "--output=/dev/null", "--wrap", f"setsid sleep 1234 {sys.argv[1]}")
    print("up", flush=True)
    sys.stdin.read()
"""


def running_in(folder: Path) -> list[str]:
    """Commands of processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(folder).encode() in word for word in words):
            found.append(b" ".join(words).decode())
    return found


def test_a_lost_node_has_its_job_run_by_another(slurm: SlurmCluster, tmp_path: Path) -> None:
    script = f"cd {tmp_path}; echo $SLURMD_NODENAME >> nodes; until [ -e go ]; do sleep .1; done"
    slurm.do("sbatch", "--output=/dev/null", "--exclusive", "--wrap", script)
    wait_until((tmp_path / "nodes").exists, slurm.jobs)
    (job,) = slurm.jobs()
    lost = job["node"]
    slurm.kill_node(lost)
    assert not running_in(tmp_path)
    wait_until(lambda: [job["state"] for job in slurm.jobs()] == ["PENDING"], slurm.jobs)
    (tmp_path / "go").touch()
    slurm.hurry()
    wait_until(lambda: not slurm.jobs(), slurm.jobs)
    first, second = (tmp_path / "nodes").read_text().split()
    assert first == lost
    assert {first, second} == set(slurm.nodes)
    slurm.restore()
    assert slurm.do("srun", "--nodes=2", "printenv", "SLURMD_NODENAME").split() != []
    # A node clears up after a job that is over.
    wait_until(lambda: [slurm.state(node) for node in slurm.nodes] == ["idle", "idle"], slurm.jobs)


def test_nothing_is_left_of_a_killed_test(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _LEAVE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(slurm_cluster.__file__).parent), "PATH": "/usr/sbin:/usr/bin"},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        wait_until(
            lambda: any("sleep 1234" in command for command in running_in(tmp_path)),
            lambda: running_in(tmp_path),
        )
        assert any("slurmd" in command for command in running_in(tmp_path))
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not running_in(tmp_path), lambda: running_in(tmp_path))
    for link in Path("/tmp").glob("slurm-*"):
        if link.resolve() == tmp_path:
            link.unlink()
