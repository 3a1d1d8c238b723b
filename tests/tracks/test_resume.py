"""Tracks that were interrupted go on, and end up the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from track_files import expected, files_of, written

from phylotools.errors import OutputError
from phylotools.tracks.plan import TrackSettings
from phylotools.tracks.stages import make_tracks

pytestmark = pytest.mark.usefixtures("one_thread", "small_units")


#: Makes tracks again and again in children that kill themselves at some look at the disk, until
#: one comes to its end; prints how many were killed. The parent computes nothing, so that it can
#: be forked.
KILLED = """
import os, random, signal, sys
import torch
torch.set_num_threads(1)
from phylotools.jobs.stages import Resources
from phylotools.model.registry import load_model
from phylotools.tracks import plan
from phylotools.tracks.plan import TrackSettings
from phylotools.tracks.stages import make_tracks

plan.UNIT_TILES = 1
model, chance, n_killed = load_model(None, "cpu"), random.Random(3), 0
n_left = 0

def counted(function):
    def call(*arguments, **options):
        global n_left
        n_left -= 1
        if n_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

while n_killed < 60:
    # Ever later, so that one comes to its end.
    limit = chance.randint(1, 60 * (n_killed + 1)) if "KILL" in os.environ else 0
    child = os.fork()
    if child == 0:
        signal.alarm(600)
        n_left = limit
        os.fsync = lambda descriptor: None
        for name in ("rename", "replace", "fsync", "unlink", "rmdir", "open", "mkdir"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            make_tracks(model, sys.argv[2], TrackSettings(("rate", "logo")), fasta=sys.argv[1],
                        resources=Resources(2), partition_positions=512)
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        break
    if status != signal.SIGKILL or os.path.exists(sys.argv[2]) and n_killed > 40:
        sys.exit(f"status {status}")
    n_killed += 1
    if os.path.exists(sys.argv[2]):
        break
print(n_killed)
"""


def make_and_kill(fasta: Path, folder: Path, **environment: str) -> int:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(fasta), "out"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # What pysam and others print is none of our business.
    return int(done.stdout.splitlines()[-1])


def test_killed_anywhere_and_resumed(fasta, tmp_path):
    assert make_and_kill(fasta, tmp_path / "whole") == 0
    assert make_and_kill(fasta, tmp_path / "killed", KILL="1") >= 5
    # The command, the same in both, stands in the files.
    killed = tmp_path / "killed"
    assert files_of(killed / "out") == files_of(tmp_path / "whole" / "out")
    left = {path.name for path in killed.iterdir()}
    assert {path.name for path in (tmp_path / "whole").iterdir()} == {"out"}
    # A kill after the last file stood leaves at most the work folder.
    assert left <= {"out", "out.work"}


def test_other_work_is_refused_and_the_same_goes_on(model, fasta, tmp_path, monkeypatch):
    from phylotools.tracks import stages

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    finalise = stages.finalise
    monkeypatch.setattr(stages, "finalise", interrupted)
    make = lambda settings, **options: make_tracks(  # noqa: E731
        model, tmp_path / "out", settings, fasta=str(fasta), **options
    )
    with pytest.raises(KeyboardInterrupt):
        make(TrackSettings(), partition_positions=1024)
    monkeypatch.setattr(stages, "finalise", finalise)
    with pytest.raises(OutputError, match="parts of another run"):
        make(TrackSettings(tracks=("rate",)))
    pieces = tmp_path / "out.work" / "pieces"
    shutil.rmtree(pieces / "000001")
    kept = {path.name for path in pieces.iterdir()}
    assert len(kept) == 5
    # The plan that is there counts, whatever the partitions would be now.
    make(TrackSettings())
    assert written(tmp_path / "out" / "rate.bw") == expected(model, fasta)["rate"]
