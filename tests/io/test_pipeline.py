from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from phylotools.io.interruptible import InterruptibleReader
from phylotools.io.pipeline import Pipeline, Stopped


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_items_come_in_order_through_several_stages() -> None:
    with Pipeline() as pipeline:
        first = pipeline.stage(iter(range(1000)), "first")
        second = pipeline.stage((each * 2 for each in first), "second", ahead=1)
        assert list(second) == list(range(0, 2000, 2))
    assert not {"first", "second"} & names()


def test_a_stage_runs_only_so_far_ahead() -> None:
    made = []

    def make() -> Iterator[int]:
        for each in range(100):
            made.append(each)
            yield each

    with Pipeline() as pipeline:
        items = pipeline.stage(make(), "maker", ahead=3)
        for each in range(50):
            assert next(items) == each
            # Three wait, one is in the maker's hands.
            assert len(made) <= each + 1 + 3 + 1
        assert sum(1 for _ in items) == 50


@pytest.mark.parametrize("failing", ["first", "second", "third"])
def test_a_failure_arrives_after_what_came_before_it(failing: str) -> None:
    def step(items: Iterator[int], name: str) -> Iterator[int]:
        for each in items:
            if name == failing and each == 7:
                raise ZeroDivisionError(name)
            yield each

    received = []

    def run() -> None:
        with Pipeline() as pipeline:
            items: Iterator[int] = iter(range(20))
            for name in ("first", "second", "third"):
                items = pipeline.stage(step(items, name), name)
            received.extend(items)

    with pytest.raises(ZeroDivisionError, match=failing):
        run()
    assert received == list(range(7))
    assert not {"first", "second", "third"} & names()


def test_leaving_early_ends_every_stage() -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    def leave() -> None:
        with Pipeline() as pipeline:
            items = pipeline.stage(endless(), "endless")
            items = pipeline.stage((each for each in items), "behind")
            next(items)
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        leave()
    assert closed == [True]
    assert not {"endless", "behind"} & names()


def test_a_stage_at_work_can_ask_whether_anyone_waits() -> None:
    asked = threading.Event()
    seen = []

    def work(pipeline: Pipeline) -> Iterator[int]:
        yield 1
        try:
            while True:
                asked.set()
                pipeline.check()
        except Stopped as stopped:
            seen.append(stopped)
            raise

    with Pipeline() as pipeline:
        items = pipeline.stage(work(pipeline), "long")
        assert next(items) == 1
        assert asked.wait(10)
    assert len(seen) == 1


def test_a_read_that_waits_is_ended() -> None:
    read_end, write_end = os.pipe()
    reader = InterruptibleReader(read_end, is_owned=True)
    os.write(write_end, b"abc")

    def chunks() -> Iterator[bytes]:
        while chunk := reader.read(100):
            yield chunk

    with Pipeline(on_stop=reader.cancel) as pipeline:
        items = pipeline.stage(chunks(), "reader")
        # The pipe stays open, so that the second read would wait for ever.
        assert next(items) == b"abc"
    assert "reader" not in names()
    assert reader.read(1) == b""
    reader.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_end)
    os.close(write_end)
