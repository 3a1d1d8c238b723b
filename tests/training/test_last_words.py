"""A worker that ends by an error says so, though torchrun asks it to end at that moment."""

from __future__ import annotations

import signal

import pytest

from phylotools.cli import main
from phylotools.errors import InputError
from phylotools.training import workers
from phylotools.training.interruption import Interruption, Wish
from phylotools.training.workers import LostWorker, Terminated, Workers, join_workers


@pytest.fixture
def one_of_two(monkeypatch):
    """The first of two workers, whom a SIGTERM reaches while it asks whether it is to speak."""

    def claim() -> bool:
        signal.raise_signal(signal.SIGTERM)
        return True

    monkeypatch.setattr(workers, "_workers_of_environment", lambda: Workers(0, 2, 0, 2))
    monkeypatch.setattr(workers, "_begin", lambda found: None)
    monkeypatch.setattr(workers, "_claim", claim)


def end_by(error: Exception) -> None:
    """An error, and a SIGTERM while it is on its way."""
    try:
        raise error
    finally:
        signal.raise_signal(signal.SIGTERM)


def test_an_error_on_its_way_is_told(one_of_two):
    interruption = Interruption()
    with pytest.raises(LostWorker, match="gone"), interruption.listening(), join_workers():
        end_by(LostWorker("the other is gone"))
    assert interruption.wanted is Wish.STOP


def test_of_two_signals_one_line(one_of_two):
    with pytest.raises(Terminated, match="--resume"), Interruption().listening(), join_workers():
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def handler_of_the_command():
    before = signal.signal(signal.SIGTERM, main._terminate)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_handler_of_the_command_is_back_by_then(handler_of_the_command, monkeypatch):
    monkeypatch.setattr(workers, "_workers_of_environment", lambda: Workers(0, 2, 0, 2))
    monkeypatch.setattr(workers, "_begin", lambda found: None)
    monkeypatch.setattr(workers, "_claim", lambda: True)
    with pytest.raises(LostWorker) as told, join_workers():
        raise LostWorker("the other is gone")
    with pytest.raises(LostWorker):
        end_by(told.value)


def test_any_other_error_is_interrupted(handler_of_the_command):
    with pytest.raises(SystemExit):
        end_by(InputError("is no number", path="x"))
