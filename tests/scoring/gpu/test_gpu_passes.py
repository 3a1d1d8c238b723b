"""Batches in flight: order, memory, graphs; on stand-ins, and on a GPU where there is one."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from stand_ins import EagerDevice, LazyDevice, OutOfMemory

from phylotools.errors import UsageError
from phylotools.scoring.gpu.device import CudaDevice
from phylotools.scoring.gpu.passes import GpuPasses

REACH, CHANNELS = 2, 3


def compute(tokens):
    """Of every position with both neighbours: token, left - right, 10 token."""
    own = tokens.float()
    left, middle, right = own[:, :-2], own[:, 1:-1], own[:, 2:]
    return torch.stack([middle, left - right, 10 * middle], dim=-1)


def windows_of(n: int, length: int = 9, seed: int = 0):
    return list(np.random.default_rng(seed).integers(0, 5, (n, length)).astype(np.uint8))


def expected(windows):
    return compute(torch.from_numpy(np.stack(windows))).numpy()


def passes_on(device, function=compute, **options) -> GpuPasses:
    return GpuPasses(device, function, REACH + 1, CHANNELS, **options)


@pytest.fixture(params=["lazy", "eager", "no graphs", "graphs fail", "cuda"])
def device(request):
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no GPU here")
        return CudaDevice(torch.device("cuda"))
    if request.param == "eager":
        return EagerDevice()
    return LazyDevice(can_record=request.param != "graphs fail")


@pytest.mark.parametrize("n_windows", [0, 1, 3, 4, 5, 12, 23])
@pytest.mark.parametrize("n_together", [1, 4])
def test_numbers_in_order(device, n_windows, n_together):
    passes, windows = passes_on(device), windows_of(n_windows)
    found = list(passes.values(windows, n_together))
    assert len(found) == n_windows
    if n_windows:
        np.testing.assert_array_equal(np.stack(found), expected(windows))


def test_numbers_stay_what_they_are(device):
    """Those handed out are no view of memory that later batches write to."""
    passes, windows = passes_on(device), windows_of(20)
    kept = []
    for values in passes.values(windows, 2):
        kept.append((values, values.copy()))
    for values, copy in kept:
        np.testing.assert_array_equal(values, copy)


def test_shapes_in_turn(device):
    passes = passes_on(device)
    for turn in range(3):
        for length in (5, 9, 6, 12, 7, 8):
            windows = windows_of(5, length, seed=turn)
            found = np.stack(list(passes.values(windows, 2)))
            np.testing.assert_array_equal(found, expected(windows))


def test_calls_that_are_left_early_and_calls_in_between(device):
    passes, windows = passes_on(device), windows_of(20)
    walk = passes.values(windows, 2)
    first = [next(walk) for _ in range(3)]
    others = windows_of(9, seed=1)
    np.testing.assert_array_equal(np.stack(list(passes.values(others, 2))), expected(others))
    left = passes.values(others, 2)
    next(left)
    left.close()
    np.testing.assert_array_equal(np.stack([*first, *walk]), expected(windows))


def test_one_batch_is_begun_before_the_last_one_is_waited_for():
    device = LazyDevice()
    waited = []
    device_wait = device.wait
    device.wait = lambda event: (waited.append(len(device._streams[0])), device_wait(event))
    passes = passes_on(device, has_graphs=False)
    list(passes.values(windows_of(8), 2))
    # Of four batches: two are begun when the first is waited for, and so on.
    assert waited[0] == 2
    assert len(device._streams[0]) == 4


def test_the_second_batch_of_a_shape_is_a_graph(device):
    passes = passes_on(device)
    list(passes.values(windows_of(2), 2))
    assert len(passes.graphs) == 0
    list(passes.values(windows_of(6), 2))
    if isinstance(device, LazyDevice):
        can_record = device._can_record
        assert device.n_recorded == device.n_replayed / 3 == can_record
    else:
        can_record = True
    assert len(passes.graphs) == can_record


def test_graphs_and_memory_of_few_shapes_are_kept():
    device = EagerDevice()
    passes = passes_on(device)
    for length in range(5, 15):
        list(passes.values(windows_of(3, length), 1))
    assert device.n_recorded == 10
    assert len(passes.graphs) == 4
    assert len(passes._idle) == 4


def test_graphs_that_cannot_be_recorded_are_not_tried_again(caplog):
    device = EagerDevice(can_record=False)
    passes = passes_on(device)
    with caplog.at_level(logging.INFO, logger="phylotools"):
        for length in (5, 6, 7):
            list(passes.values(windows_of(4, length), 1))
    assert [record.getMessage() for record in caplog.records] == [
        "passes are not recorded as CUDA graphs: operation not permitted when stream is capturing"
    ]


# memory that is too small


def with_room_for(n_rows: int, device=None):
    """A computation that needs memory for so many rows, and what it was asked for."""
    asked = []

    def small(tokens):
        asked.append(len(tokens))
        if len(tokens) > n_rows:
            raise OutOfMemory("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute(tokens)

    return small, asked


@pytest.mark.parametrize(("room", "sizes"), [(3, [16, 8, 4, 2]), (1, [16, 8, 4, 2, 1])])
def test_out_of_memory_halves_the_batch(caplog, room, sizes):
    function, asked = with_room_for(room)
    passes, windows = passes_on(EagerDevice(), function), windows_of(21)
    found = np.stack(list(passes.values(windows, 16)))
    np.testing.assert_array_equal(found, expected(windows))
    assert asked[: len(sizes)] == sizes
    assert set(asked[len(sizes) :]) == {sizes[-1]}
    assert passes.most_tokens == sizes[-1] * 9
    again = windows_of(7, seed=3)
    np.testing.assert_array_equal(np.stack(list(passes.values(again, 16))), expected(again))
    assert set(asked[len(sizes) :]) == {sizes[-1]}
    assert [record.getMessage() for record in caplog.records] == [
        "the memory of the GPU is too small for larger passes: from now on they have at most "
        f"{sizes[-1] * 9} positions"
    ]


def test_windows_of_another_length_have_as_many_positions():
    function, asked = with_room_for(4)
    passes = passes_on(EagerDevice(), function)
    list(passes.values(windows_of(8, 10), 8))
    assert passes.most_tokens == 40
    asked.clear()
    windows = windows_of(6, 20)
    np.testing.assert_array_equal(np.stack(list(passes.values(windows, 8))), expected(windows))
    assert set(asked) == {2}


def test_memory_that_another_program_takes_meanwhile():
    """Batches that were computed before are handed out, in order, once."""
    asked = []

    def shrinking(tokens):
        asked.append(len(tokens))
        if len(asked) > 3 and len(tokens) > 2:
            raise OutOfMemory("CUDA out of memory")
        return compute(tokens)

    passes = passes_on(EagerDevice(), shrinking, has_graphs=False)
    windows = windows_of(29)
    np.testing.assert_array_equal(np.stack(list(passes.values(windows, 4))), expected(windows))


def test_memory_too_small_for_the_numbers():
    """Whatever allocates: here what a batch needs besides the network."""
    passes = passes_on(EagerDevice(memory_left=2 * 7 * CHANNELS))
    windows = windows_of(9)
    np.testing.assert_array_equal(np.stack(list(passes.values(windows, 8))), expected(windows))
    assert passes.most_tokens == 2 * 9


def test_memory_too_small_for_one_window_is_one_line():
    function, _ = with_room_for(0)
    with pytest.raises(UsageError) as caught:
        list(passes_on(EagerDevice(), function).values(windows_of(3), 2))
    assert str(caught.value) == (
        "a window of 9 positions does not fit into the memory of the GPU; choose --device cpu"
    )


def test_a_graph_for_which_memory_is_too_small_leaves_passes_as_they_were():
    class Small(EagerDevice):
        def graph(self, work):
            raise OutOfMemory("CUDA out of memory")

    passes, windows = passes_on(Small()), windows_of(9)
    np.testing.assert_array_equal(np.stack(list(passes.values(windows, 2))), expected(windows))
    assert passes.most_tokens is None


def test_an_error_of_the_network_reaches_the_caller(device):
    calls = []

    def failing(tokens):
        calls.append(0)
        if len(calls) > 1:
            raise ValueError("no good")
        return compute(tokens)

    passes = passes_on(device, failing)
    with pytest.raises(ValueError, match="no good"):
        list(passes.values(windows_of(9), 2))
