"""What is left beside outputs: by kills, by failures, and while another process is at work."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from phylotools.errors import OutputError
from phylotools.io import staging
from phylotools.io.files import atomic_folder, atomic_path, write_atomic
from phylotools.io.makers import Maker
from phylotools.io.staging import is_staged, outputs_together

FOLDER = ("table",)
#: Makes a file with an index, and a folder over an old one; stops before some system calls.
_WRITER = """
import os, signal, sys
from phylotools.io.files import atomic_folder, atomic_path
from phylotools.io import staging

stops, count = set(map(int, sys.argv[1].split(","))), 0

def watched(function):
    def call(*args, **options):
        global count
        count += 1
        if count - 1 in stops:
            if sys.argv[2] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            print("here", flush=True)
            sys.stdin.readline()
        return function(*args, **options)
    return call

for name in ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "close", "write"):
    setattr(os, name, watched(getattr(os, name)))
lying = lambda descriptor, how: None
staging.fcntl.flock = watched(lying if "lying" in sys.argv else staging.fcntl.flock)
with atomic_path("file", force=True, indexes=(".tbi",)) as path:
    path.write_text("new")
    path.with_name(path.name + ".tbi").write_text("new index")
with atomic_folder("folder", force=True, contents=("table",)) as folder:
    (folder / "table").write_text("new")
print("done", flush=True)
"""


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def write(folder: Path, *stops: int, how: str, locks: str = "true") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, ",".join(map(str, stops)), how, locks], cwd=folder,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def go_on(living: subprocess.Popen[str]) -> None:
    """Let a stopped writer go on to its next stop."""
    assert living.stdin is not None
    living.stdin.write("\n")
    living.stdin.flush()
    wait_for_stop(living)


def wait_for_stop(living: subprocess.Popen[str]) -> None:
    assert living.stdout is not None
    assert living.stdout.readline() == "here\n"


def write_all(folder: Path) -> None:
    with atomic_path(folder / "file", force=True, indexes=(".tbi",)) as path:
        path.write_text("last")
    with atomic_folder(folder / "folder", force=True, contents=FOLDER) as made:
        (made / "table").write_text("last")


def make_old(folder: Path) -> None:
    folder.mkdir()
    write_atomic(folder / "file", "old")
    (folder / "folder").mkdir()
    (folder / "folder" / "table").write_text("old")


def test_killed_at_any_call_the_next_run_leaves_nothing_but_outputs(tmp_path: Path) -> None:
    stop_at = n_left = 0
    while True:
        place = tmp_path / str(stop_at)
        make_old(place)
        killed = write(place, stop_at, how="die")
        said = killed.communicate()[0]
        if killed.returncode == 0:
            assert said == "done\n"
            break
        assert killed.returncode == -signal.SIGKILL
        # What has a name is whole: old or new.
        assert (place / "file").read_text() in ("old", "new")
        for table in place.glob("folder/table"):
            assert table.read_text() in ("old", "new")
        n_left += any(map(is_staged, names(place)))
        write_all(place)
        assert names(place) == {"file", "folder"}
        assert names(place / "folder") == {"table"}
        stop_at += 1
    assert stop_at > 20
    assert n_left > 15


def test_a_folder_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    """Killed between the two renames of a folder, a run loses nothing."""
    stop_at = n_back = 0
    while True:
        place = tmp_path / str(stop_at)
        make_old(place)
        with write(place, stop_at, how="die") as killed:
            killed.communicate()
        if killed.returncode == 0:
            break
        n_back += not (place / "folder").exists()
        with pytest.raises(OutputError, match="already exists"), atomic_folder(place / "folder"):
            pass
        assert (place / "folder" / "table").read_text() in ("old", "new")
        stop_at += 1
    assert n_back == 1


def test_what_a_living_run_makes_is_not_touched(tmp_path: Path) -> None:
    with ExitStack() as stack:
        mine = stack.enter_context(atomic_path(tmp_path / "file", force=True, indexes=(".tbi",)))
        folder = stack.enter_context(
            atomic_folder(tmp_path / "folder", force=True, contents=FOLDER)
        )
        mine.write_text("mine")
        (folder / "table").write_text("mine")
        write_all(tmp_path)
        assert mine.read_text() == "mine"
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "table").read_text() == "mine"
    assert names(tmp_path) == {"file", "folder"}


@pytest.mark.parametrize("locks", ["true", "lying"])
@pytest.mark.parametrize("stop_at", range(14))
def test_nor_is_it_by_another_process(
    tmp_path: Path, stop_at: int, locks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is until its file has a name, and whatever locks are worth on the disk."""
    if locks == "lying":
        monkeypatch.setattr(fcntl, "flock", lambda descriptor, how: None)
    place = tmp_path / "place"
    make_old(place)
    with write(place, stop_at, how="wait", locks=locks) as living:
        wait_for_stop(living)
        write_all(place)
        assert_ends_whole(living, place)


@pytest.mark.parametrize("then", [2, 4, 6])
@pytest.mark.parametrize("stop_at", range(1, 4))
def test_nor_by_two_where_locks_lie(
    tmp_path: Path, stop_at: int, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them read the lock at the moment in which it was made, and goes on much later."""
    read_maker, released = staging.read_maker, []

    def slowly(text: bytes) -> Maker | None:
        if not released:
            released.append(True)
            go_on(living)
        return read_maker(text)

    monkeypatch.setattr(fcntl, "flock", lambda descriptor, how: None)
    monkeypatch.setattr(staging, "read_maker", slowly)
    place = tmp_path / "place"
    make_old(place)
    with write(place, stop_at, stop_at + then, how="wait", locks="lying") as living:
        wait_for_stop(living)
        write_all(place)
        if not released:
            released.append(True)
            go_on(living)
        write_all(place)
        assert_ends_whole(living, place)


def assert_ends_whole(living: subprocess.Popen[str], place: Path) -> None:
    """Both outputs are those of a writer that is let go on to its end."""
    assert living.communicate("\n")[0] == "done\n"
    assert living.returncode == 0
    assert names(place) == {"file", "file.tbi", "folder"}
    assert (place / "file").read_text() == (place / "folder" / "table").read_text() == "new"


@pytest.mark.parametrize("name", ["write", "rename", "flock"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_signal_while_an_output_is_begun_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_done: bool
) -> None:
    """As Ctrl-C comes: before or after a system call."""
    module = fcntl if name == "flock" else os
    call = getattr(module, name)

    def interrupted(*arguments):
        if is_done:
            call(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_path(str(tmp_path / "file")):
        pytest.fail("begun")
    assert names(tmp_path) == set()


def test_files_that_only_look_alike_stay(tmp_path: Path) -> None:
    others = {".file.part", ".file.abcdefgh.parts", ".file2.abcdefgh.part", "file.abcdefgh.part"}
    for name in others:
        (tmp_path / name).write_text("years of work")
    write_atomic(tmp_path / "file", "new")
    assert names(tmp_path) == {"file", *others}


def test_outputs_appear_together(tmp_path: Path) -> None:
    with outputs_together():
        write_atomic(tmp_path / "a", "1")
        with atomic_path(tmp_path / "b", indexes=(".tbi",)) as path:
            path.with_name(path.name + ".tbi").write_text("index")
        with atomic_folder(tmp_path / "c") as folder:
            write_atomic(folder / "inner", "3")
            assert names(folder) == {"inner"}
        assert all(map(is_staged, names(tmp_path)))
    assert names(tmp_path) == {"a", "b", "b.tbi", "c"}
    assert names(tmp_path / "c") == {"inner"}


def test_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")

    def make() -> None:
        with outputs_together():
            write_atomic(tmp_path / "a", "1")
            write_atomic(tmp_path / "b", "2", force=True)
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        make()
    assert names(tmp_path) == {"b"}
    assert (tmp_path / "b").read_text() == "old"


def test_an_output_that_another_run_made_meanwhile_stays(tmp_path: Path) -> None:
    def make() -> None:
        with outputs_together():
            write_atomic(tmp_path / "a", "1")
            write_atomic(tmp_path / "b", "2")
            (tmp_path / "b").write_text("theirs")

    with pytest.raises(OutputError, match="b: already exists"):
        make()
    assert names(tmp_path) == {"b"}
    assert (tmp_path / "b").read_text() == "theirs"


def test_an_index_goes_with_the_file_it_is_of(tmp_path: Path) -> None:
    suffixes = (".tbi", ".csi")
    for name in ("t", "t.tbi", "t.csi"):
        (tmp_path / name).write_text("old")
    with atomic_path(tmp_path / "t", force=True, indexes=suffixes) as path:
        path.with_name(path.name + ".csi").write_text("new")
    assert names(tmp_path) == {"t", "t.csi"}
    assert (tmp_path / "t.csi").read_text() == "new"
    (tmp_path / "t").unlink()
    with (
        pytest.raises(OutputError, match=r"t\.csi: already exists"),
        atomic_path(tmp_path / "t", indexes=suffixes),
    ):
        pass
