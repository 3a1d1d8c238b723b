from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_job import finalise, make_squares, run, squares, work_folder

from phylotools.errors import InputError, OutputError, PhylotoolsError, UsageError
from phylotools.io.files import write_atomic
from phylotools.io.staging import outputs_together
from phylotools.jobs.job import file_identity
from phylotools.jobs.piece import is_whole

JOB = squares((1, 2), (3,), (4, 5, 6))
LINES = "1\n4\n9\n16\n25\n36\n"

#: In children that kill themselves before some call that touches the disk, ever later ones; each
#: is followed by one that is left alone. Prints at how many calls that was done.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_job import make_squares, squares
from phylotools.io import staging

job, output = squares((1, 2), (3,), (4, 5, 6)), Path("place/out")
CALLS = ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "close", "scandir")

def run(kill_at, force):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = 0
    def watched(function):
        def call(*arguments, **options):
            nonlocal count
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return function(*arguments, **options)
        return call
    for name in CALLS:
        setattr(os, name, watched(getattr(os, name)))
    try:
        make_squares(output, job, force=force)
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)

kill_at = 0
while True:
    os.mkdir("place")
    status = run(kill_at, False)
    if status == 0:
        break
    assert status == signal.SIGKILL, status
    assert run(-1, output.exists()) == 0
    assert os.listdir("place") == ["out"], (kill_at, os.listdir("place"))
    assert output.read_text() == "1\\n4\\n9\\n16\\n25\\n36\\n", kill_at
    shutil.rmtree("place")
    kill_at += 1
print(kill_at)
"""


def test_killed_at_any_call_the_same_command_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(Path(__file__).parent)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 100


def test_in_one_go(tmp_path: Path) -> None:
    make_squares(tmp_path / "out", JOB)
    assert (tmp_path / "out").read_text() == LINES
    assert os.listdir(tmp_path) == ["out"]


def test_in_stages_in_any_order(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "w")
    work.begin(JOB)
    job = work.read_plan()
    assert job == JOB
    with pytest.raises(
        PhylotoolsError,
        match=r"w: 3 of 3 partitions are missing: 0, 1, 2; run `phylotools square-partition`",
    ):
        finalise(work, job, tmp_path / "out")
    run(work, job, 2, 0, 0)
    with pytest.raises(PhylotoolsError, match="1 of 3 partitions are missing: 1;"):
        finalise(work, job, tmp_path / "out")
    before = (tmp_path / "w/pieces/000002/data.bin").stat().st_mtime_ns
    run(work, job)
    assert (tmp_path / "w/pieces/000002/data.bin").stat().st_mtime_ns == before
    finalise(work, job, tmp_path / "out")
    assert (tmp_path / "out").read_text() == LINES
    for index in (-1, 3):
        with pytest.raises(UsageError, match=f"no partition {index}: they are 0 to 2"):
            run(work, job, index)
    with pytest.raises(OutputError, match="already exists"):
        work.begin(JOB)


def every_damage(data: bytes) -> list[bytes]:
    """Bytes cut, prolonged, and with one bit flipped anywhere."""
    flipped = [data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :] for i in range(len(data))]
    return [b"", data[:-1], data + b"\0", *flipped]


def test_any_damage_of_a_piece_is_noticed_and_mended(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "w")
    work.begin(JOB)
    run(work, JOB)
    piece = tmp_path / "w/pieces/000001"
    for path in sorted(piece.iterdir()):
        good = path.read_bytes()
        for damaged in every_damage(good):
            path.write_bytes(damaged)
            assert not is_whole(piece, 1), (path.name, damaged)
        path.write_bytes(good)
    assert is_whole(piece, 1)
    assert not is_whole(piece, 2)
    (piece / "data.bin").write_bytes(b"8\n")
    with pytest.raises(
        PhylotoolsError,
        match=r"w: piece 1 is damaged: run it again with `phylotools square-partition`",
    ):
        finalise(work, JOB, tmp_path / "out")
    shutil.rmtree(tmp_path / "w/pieces/000002")
    (tmp_path / "w/pieces/000002").mkdir()
    with pytest.raises(PhylotoolsError, match=r"pieces 1, 2 are damaged: run them again"):
        finalise(work, JOB, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(work, JOB)
    finalise(work, JOB, tmp_path / "out")
    assert (tmp_path / "out").read_text() == LINES


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "\0", "[" * 100_000])
def test_a_damaged_plan(tmp_path: Path, text: str) -> None:
    work = work_folder(tmp_path / "w")
    work.begin(JOB)
    (tmp_path / "w/plan.json").write_text(text)
    with pytest.raises(InputError, match=r"w/plan\.json: is .*; \w+"):
        work.read_plan()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("version", 0, "another version"),
        ("format", "phylotools-tracks-plan", "is no plan"),
        ("extents", [[1, "2"]], "is damaged"),
        ("extents", None, "is damaged"),
        ("label", 1, "is damaged"),
        ("more", 1, "is damaged"),
    ],
)
def test_a_plan_of_another_kind(tmp_path: Path, name: str, value: object, message: str) -> None:
    work = work_folder(tmp_path / "w")
    work.begin(JOB)
    path = tmp_path / "w/plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(InputError, match=message):
        work.read_plan()


def test_no_plan(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="holds no plan; give a folder that `phylotools squ"):
            work_folder(path).read_plan()


class Later(Exception):
    """Something else went wrong."""


def interrupted(output: Path, error: BaseException) -> None:
    work = work_folder(f"{output}.work")
    with work.resuming(JOB) as job:
        run(work, job, 0, 2)
        raise error


def test_what_is_finished_is_kept_and_no_other_job_takes_its_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Later):
        interrupted(out, Later())
    assert {path.name for path in (tmp_path / "out.work/pieces").iterdir()} == {"000000", "000002"}
    for other in (squares((1, 2), (3,)), squares(*JOB.extents, label="b")):
        with pytest.raises(OutputError, match="parts of another run"):
            make_squares(out, other)
    # However it is cut now.
    make_squares(out, squares((1, 2, 3, 4, 5, 6)))
    assert out.read_text() == LINES
    assert os.listdir(tmp_path) == ["out"]


def test_a_job_of_which_nothing_is_finished_makes_room(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out.work")
    work.begin(JOB)
    make_squares(tmp_path / "out", squares((7,)))
    assert (tmp_path / "out").read_text() == "49\n"


def test_after_bad_input_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        interrupted(tmp_path / "out", InputError("is no number", path="x"))
    assert os.listdir(tmp_path) == []


def test_pieces_without_a_plan_are_no_ones(tmp_path: Path) -> None:
    """So a kill while a folder is removed leaves it."""
    work = work_folder(tmp_path / "out.work")
    work.begin(squares((7,), (8,), (9,)))
    run(work, squares((7,), (8,), (9,)))
    (tmp_path / "out.work/plan.json").unlink()
    make_squares(tmp_path / "out", JOB)
    assert (tmp_path / "out").read_text() == LINES


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work/thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds 'thesis\.tex' and is no work folder"):
        make_squares(tmp_path / "out", JOB)
    assert os.listdir(tmp_path / "out.work") == ["thesis.tex"]
    with pytest.raises(OutputError, match="already exists"):
        work_folder(tmp_path / "out.work").begin(JOB)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    work = work_folder(tmp_path / "out.work")
    with work.locked(), pytest.raises(OutputError, match="another run is going on"):
        make_squares(tmp_path / "out", JOB)


@pytest.mark.parametrize(
    "miss",
    [
        lambda work, job: work.path.stat(),
        lambda work, job: work.require_all(job),
        lambda work, job: work.read_plan(),
    ],
    ids=["a file", "pieces", "the plan"],
)
def test_another_run_removes_the_folder_where_locks_lie(tmp_path: Path, miss, caplog) -> None:
    work, job = work_folder(tmp_path / "w"), squares((1, 2), (3,))

    def make() -> None:
        with work.resuming(job) as begun:
            run(work, begun)
            shutil.rmtree(work.path)
            miss(work, begun)

    with pytest.raises(OutputError, match="w: was removed while it was in use"):
        make()
    assert not work.path.exists()
    assert not caplog.records


def test_a_file_that_is_missing_while_the_folder_stands_is_another_error(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="genome"),
        work_folder(tmp_path / "w").resuming(squares((1, 2))),
    ):
        (tmp_path / "genome").stat()


def test_the_same_partition_twice_at_once(tmp_path: Path) -> None:
    """The second to finish finds the piece of the first, and is content."""
    from small_job import ENTRY

    work = work_folder(tmp_path / "w")
    work.begin(JOB)
    with work.writing(JOB.partition(1), ENTRY) as writer:
        writer.add(b"9\n", size=2)
        run(work, JOB)
        writer.finish({"numbers": 1})
    assert sorted(os.listdir(tmp_path / "w/pieces")) == ["000000", "000001", "000002"]
    finalise(work, JOB, tmp_path / "out")
    assert (tmp_path / "out").read_text() == LINES


def test_plan_and_pieces_stand_at_once_within_a_group_of_outputs(tmp_path: Path) -> None:
    """A verb whose outputs appear together has its parts run by others, who need the plan."""
    work = work_folder(tmp_path / "w")

    def interrupted() -> None:
        with outputs_together():
            write_atomic(tmp_path / "out", "x")
            work.begin(JOB)
            assert work.read_plan() == JOB
            run(work, JOB, 1)
            assert work.is_done(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == ["w"]
    assert sorted(os.listdir(tmp_path / "w")) == [".lock", "pieces", "plan.json"]


def test_inputs_that_changed(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("1")
    identity = file_identity(str(path))
    assert identity is not None
    job = squares((1,))
    object.__setattr__(job, "identities", {str(path): identity})
    job.check_inputs()
    path.write_text("12")
    with pytest.raises(InputError, match="in: has changed since the plan was made; remove the"):
        job.check_inputs()
    path.unlink()
    with pytest.raises(InputError, match="in: cannot read"):
        job.check_inputs()


def test_killed_while_it_was_planned(tmp_path: Path) -> None:
    """What stood there had no lock beside it, in an earlier version."""
    work = tmp_path / "out.work"
    work.mkdir()
    for name in (".lock", ".plan.json.ol8c99_1.part"):
        (work / name).write_text("")
    make_squares(tmp_path / "out", JOB)
    assert os.listdir(tmp_path) == ["out"]
    work.mkdir()
    (work / ".plan.json.ol8c99_1.part").write_text("")
    work_folder(work).begin(JOB)
    assert sorted(os.listdir(work)) == [".lock", "plan.json"]
