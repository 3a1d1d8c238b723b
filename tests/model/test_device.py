"""Which arithmetic a device computes in, and that nothing else does afterwards."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from phylotools.errors import UsageError
from phylotools.model import device as devices
from phylotools.model.device import (
    arithmetic,
    device_names,
    resolve_device,
    resolve_precision,
)

CUDA = torch.device("cuda")


@pytest.fixture(params=["highest", "high", "medium"])
def allowed(request):
    """What the process has allowed for products of float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(("precision", "within"), [("float32", "highest"), ("tf32", "high")])
def test_products_of_float32_on_a_gpu(allowed, precision, within):
    def fail() -> None:
        with arithmetic(precision, CUDA):
            assert torch.get_float32_matmul_precision() == within
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_float32_matmul_precision() == allowed


def test_threads_do_not_compute_in_each_others_arithmetic():
    """As of two GPUs that share the partitions of a job."""
    before, seen = torch.get_float32_matmul_precision(), []
    begin = threading.Barrier(4)

    def compute(precision: str) -> None:
        begin.wait(timeout=300)
        for _ in range(50):
            with arithmetic(precision, CUDA):
                time.sleep(1e-4)
                seen.append((precision, torch.get_float32_matmul_precision()))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(compute, ["tf32", "float32"] * 2))
    assert set(seen) == {("tf32", "high"), ("float32", "highest")}
    assert torch.get_float32_matmul_precision() == before


def test_narrow_products():
    with arithmetic("bfloat16", torch.device("cpu")):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("precision", "capability", "is_there"),
    [
        ("tf32", (7, 5), False),
        ("bfloat16", (7, 5), False),
        ("float16", (7, 5), True),
        ("tf32", (8, 0), True),
        ("bfloat16", (9, 0), True),
    ],
)
def test_what_old_gpus_lack(precision, capability, is_there, monkeypatch):
    monkeypatch.setattr(devices.torch.cuda, "get_device_capability", lambda device: capability)
    if is_there:
        assert resolve_precision(precision, CUDA) == precision
        return
    with pytest.raises(UsageError, match="choose --precision float16 or float32"):
        resolve_precision(precision, CUDA)


def test_several_devices(monkeypatch):
    assert device_names("auto") == ["auto"]
    assert device_names("cuda:3") == ["cuda:3"]
    assert device_names("cuda:0, cuda:12") == ["cuda:0", "cuda:12"]
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 3)
    assert device_names("cuda:all") == ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="there is no GPU for --device cuda:all here"):
        device_names("cuda:all")


@pytest.mark.parametrize("text", ["cuda:0,cuda:0", "cuda:0,cpu", "cuda,cuda:1", "cuda:0,", ","])
def test_what_cannot_share(text):
    with pytest.raises(UsageError, match="several devices are GPUs, as cuda:0,cuda:1"):
        device_names(text)


@pytest.mark.parametrize("text", ["cuda:all", "cuda:0,cuda:1"])
def test_what_computes_on_one_device_says_so(text):
    with pytest.raises(UsageError, match="this computes on one device; phylotools tracks shares"):
        resolve_device(text)


def test_a_device_of_torch_is_one():
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
