"""One work folder, several at work in it: the same partitions, two coordinators, lying locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_job import finalise, make_squares, squares, work_folder

JOB = squares(*((number,) for number in range(30)))
LINES = "".join(f"{number**2}\n" for number in range(30))
HERE = str(Path(__file__).parent)

#: Runs all partitions, as another process does at the same time.
_RUNS = """
import functools, sys
sys.path.insert(0, sys.argv[1])
from small_job import run_one, work_folder
from phylotools.io import staging
if sys.argv[3] == "lying":
    staging.fcntl.flock = lambda descriptor, how: None
work = work_folder(sys.argv[2])
job = work.read_plan()
sys.stdin.readline()
for index in range(job.n_partitions):
    run_one(work, job.partition(index))
"""


@pytest.mark.parametrize("locks", ["true", "lying"])
def test_the_same_partitions_at_once(tmp_path, locks):
    """Whoever is second finds the piece of the first; what is done once stays done."""
    work = work_folder(tmp_path / "w")
    work.begin(JOB)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", _RUNS, HERE, str(work.path), locks],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for each in runs:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    seen: set[int] = set()
    while any(each.poll() is None for each in runs):
        for index in range(JOB.n_partitions):
            if work.is_done(index):
                seen.add(index)
            else:
                assert index not in seen
    for each in runs:
        assert each.communicate()[1] == ""
        assert each.returncode == 0
    finalise(work, JOB, tmp_path / "out")
    assert (tmp_path / "out").read_text() == LINES
    assert {path.name for path in (work.path / "pieces").iterdir()} == {
        f"{index:06d}" for index in range(30)
    }


#: The whole job by one command, on a disk whose locks lie.
_MAKES = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_job import make_squares, squares
from phylotools.errors import PhylotoolsError
from phylotools.io import locks, staging
staging.fcntl.flock = lambda descriptor, how: None
sys.stdin.readline()
try:
    make_squares(Path(sys.argv[2]), squares(*((number,) for number in range(30))))
except PhylotoolsError as error:
    print("error:", error)
    sys.exit(1)
"""


def test_two_coordinators_where_locks_lie(tmp_path):
    """One of them makes the output; the other too, or it says in one line why not."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", _MAKES, HERE, str(tmp_path / "out")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for each in runs:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    said = [each.communicate() for each in runs]
    assert (tmp_path / "out").read_text() == LINES
    assert 0 in [each.returncode for each in runs]
    for each, (out, err) in zip(runs, said, strict=True):
        assert "Traceback" not in err
        assert each.returncode == 0 or out.startswith("error: ")
    # What is left of the folder is no obstacle.
    make_squares(tmp_path / "out", JOB, force=True)
    assert (tmp_path / "out").read_text() == LINES
