"""What is shown of partitions that others compute."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import subprocess
import sys
import threading

import pytest
from rich.console import Console
from waiting import PATIENCE

from phylotools.cli import board as boards
from phylotools.cli.board import PartitionBoard, open_board
from phylotools.jobs.engines.local import LocalEngine

#: A board on stderr for a moment, with something in the log meanwhile.
_SHOWS = """
import logging, sys, threading
from phylotools.cli import board as boards
from phylotools.cli.board import open_board
from phylotools.cli.options import _logging_to_stderr
from phylotools.jobs.engines.local import LocalEngine

drawn, table = threading.Semaphore(0), boards._table

def told(board):
    made = table(board)
    drawn.release()
    return made

def shown():
    # Twice: the first one may have begun before.
    while drawn.acquire(blocking=False):
        pass
    assert all(drawn.acquire(timeout=PATIENCE) for _ in range(2))

boards._table = told
with _logging_to_stderr(logging.INFO), open_board(LocalEngine(2)) as board:
    board.begin(40, 10)
    board.running(10, "process 1 (pid 7)")
    board.running(11, "node\\x1b[31m2")
    board.done(10)
    shown()
    board.lost(11, "node2", "killed by SIGKILL")
    shown()
""".replace("PATIENCE", str(PATIENCE))


def test_counts_and_time_left(monkeypatch):
    now = 100.0
    monkeypatch.setattr(boards.time, "monotonic", lambda: now)
    board = PartitionBoard()
    assert not board.has_begun
    board.begin(1_010, 10)
    for index in range(4):
        board.running(index, f"node{index}")
    assert board.summary() == "10 of 1,010 partitions done, 4 running"
    now = 160.0
    board.done(0)
    board.running(4, "node0")
    board.lost(1, "node1", "gone")
    board.failed(2, "node2", "bad")
    # One a minute: 999 minutes.
    assert board.summary() == (
        "11 of 1,010 partitions done, 2 running, 1 lost, 1 failed, 16:39:00 left"
    )
    assert board.rows() == [(3, "node3", 60.0), (4, "node0", 0.0)]


def test_every_loss_and_failure_is_a_line_and_the_last_one_counts(caplog):
    with caplog.at_level(logging.INFO, "phylotools"), open_board(LocalEngine(1)) as board:
        board.begin(3, 0)
        board.running(1, "node7")
        board.lost(1, "node7", "killed by SIGKILL")
        board.running(1, "node8")
        board.failed(1, "node8", "x.fa: cannot read")
    assert caplog.messages == [
        "partition 1 was lost on node7: killed by SIGKILL; it is begun again",
        "partition 1 failed on node8: x.fa: cannot read",
        "1 partition was lost and begun again",
    ]
    with open_board(None) as nothing:
        assert nothing is None


def test_a_line_a_minute_where_there_is_no_terminal(monkeypatch, caplog):
    monkeypatch.setattr(boards, "_LOG_SECONDS", 0.01)
    told = threading.Event()
    monkeypatch.setattr(PartitionBoard, "summary", lambda self: told.set() or "so far")
    with caplog.at_level(logging.INFO, "phylotools"), open_board(LocalEngine(1)) as board:
        board.begin(3, 0)
        assert told.wait(PATIENCE)
    assert "so far" in caplog.messages
    assert not [each for each in threading.enumerate() if each.name == "board"]


@pytest.mark.parametrize("n_running", [3, 40])
def test_the_table_shows_those_that_take_longest(n_running):
    board = PartitionBoard()
    board.begin(100, 0)
    for index in range(n_running):
        board.running(index, f"node[{index}]")
    text = io.StringIO()
    Console(file=text, width=80).print(boards._table(board))
    lines = text.getvalue().splitlines()
    assert lines[0].strip() == f"0 of 100 partitions done, {n_running} running"
    assert "node[0]" in lines[2]
    assert len(lines) == 2 + min(n_running, 13)
    assert ("and 28 more" in lines[-1]) == (n_running == 40)


def test_a_live_table_on_a_terminal():
    """What is logged meanwhile stands above it, and it leaves nothing behind."""
    ours, theirs = pty.openpty()
    shows = subprocess.Popen(
        [sys.executable, "-c", _SHOWS], stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        said += data
    os.close(ours)
    assert shows.wait() == 0
    text = said.decode()
    assert "11 of 40 partitions done, 1 running" in text
    assert "process 1 (pid 7)" in text or "node?[31m2" in text
    assert "\x1b[31m" not in text
    assert "phylotools: warning: partition 11 was lost on node2: killed by SIGKILL; it" in text
    # After the last line nothing is drawn any more.
    last = text.rindex("1 partition was lost and begun again")
    assert "partitions done" not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[last:])
