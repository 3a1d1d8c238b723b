"""Who makes a file, and whether it is gone; on disks whose locks are everybody's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phylotools.io import makers
from phylotools.io.files import atomic_path
from phylotools.io.makers import Maker, read_maker, this_process
from phylotools.io.staging import is_staged

#: Makes a file slowly, on a machine of some name, on a disk that gives every lock to everybody.
_ELSEWHERE = """
import sys, time
from phylotools.io import locks, makers, staging
from phylotools.io.files import atomic_path
if sys.argv[1] != "here":
    makers._host = lambda: sys.argv[1]
staging.fcntl.flock = lambda descriptor, how: None
with atomic_path("file", force=True) as path:
    path.write_text(sys.argv[1])
    print("made", flush=True)
    sys.stdin.readline()
print("done", flush=True)
"""


def elsewhere(folder: Path, host: str) -> subprocess.Popen[str]:
    made = subprocess.Popen(
        [sys.executable, "-c", _ELSEWHERE, host], cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert made.stdout is not None
    assert made.stdout.readline() == "made\n"
    return made


@pytest.fixture
def lying_locks(monkeypatch):
    monkeypatch.setattr("phylotools.io.staging.fcntl.flock", lambda descriptor, how: None)


def write(folder: Path) -> None:
    with atomic_path(folder / "file", force=True) as path:
        path.write_text("ours")


def left(folder: Path) -> list[str]:
    return list(filter(is_staged, os.listdir(folder)))


@pytest.mark.parametrize("host", ["here", "another"])
def test_what_is_alive_elsewhere_is_let_be(tmp_path, lying_locks, host):
    with elsewhere(tmp_path, host) as other:
        before = left(tmp_path)
        assert len(before) == 2
        write(tmp_path)
        assert sorted(left(tmp_path)) == sorted(before)
        assert (tmp_path / "file").read_text() == "ours"
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.close()
        assert other.wait(timeout=300) == 0
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == host


@pytest.mark.parametrize("host", ["here", "another"])
def test_what_is_dead_goes_at_once_or_after_a_day(tmp_path, lying_locks, host):
    with elsewhere(tmp_path, host) as other:
        other.send_signal(signal.SIGKILL)
        # A zombie is dead.
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        before = sorted(left(tmp_path))
        assert len(before) == 2
        write(tmp_path)
        assert sorted(left(tmp_path)) == ([] if host == "here" else before)
    # Clocks apart: a file of tomorrow is no old one.
    for hours, n_left in ((48, len(before)), (-23, len(before)), (-25, 0)):
        if host == "here":
            break
        for name in before:
            os.utime(tmp_path / name, (time.time() + hours * 3600,) * 2)
        write(tmp_path)
        assert len(left(tmp_path)) == n_left, hours
    assert (tmp_path / "file").read_text() == "ours"


def test_a_maker_by_its_text():
    own = this_process()
    assert read_maker(f"{own.as_text()}\n".encode()) == own
    assert not own.is_gone([])
    for text in (b"", b"a\tb\tc", b"a\tb\tx\td", b"\xff\t\t\t", b"a\tb\t1\td\te"):
        assert read_maker(text) is None


def test_numbers_of_processes_are_used_again(tmp_path):
    own = this_process()
    recent = tmp_path / "recent"
    recent.touch()
    assert Maker(own.host, own.boot, own.pid, "1").is_gone([recent])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert Maker(own.host, own.boot, ended.pid, "1").is_gone([recent])
    # Nothing lives through a restart of its machine; in another container, who knows.
    boot, namespace = own.boot.split()
    assert Maker(own.host, f"0-0 {namespace}", own.pid, own.started).is_gone([recent])
    assert not Maker(own.host, f"{boot} pid:[1]", own.pid, own.started).is_gone([recent])
    assert not Maker("other", f"0-0 {namespace}", own.pid, own.started).is_gone([recent])


def test_without_proc(monkeypatch):
    """As on macOS."""
    monkeypatch.setattr(makers, "_text_of", lambda path: "")
    real = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: path != "/proc/self" and real(path))
    assert makers._started(os.getpid()) == ""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert makers._started(ended.pid) is None
