from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.model.site_fits import FORMAT, FittedRun, SiteFits
from phylotools.model.weights import load_tensors, save_tensors


def random_fits(rng: np.random.Generator) -> tuple[SiteFits, dict[str, dict[int, tuple]]]:
    """Fits of some runs of two contigs, and the same site by site."""
    runs, sites = {}, {}
    for contig in ("one", "two"):
        runs[contig], sites[contig], start = [], {}, 0
        for _ in range(rng.integers(0, 5)):
            start += int(rng.integers(0, 9))
            length = int(rng.integers(1, 9))
            bases = rng.integers(0, 4, length).astype(np.uint8)
            theta = np.round(rng.normal(0, 5, (length, 4)), 3).astype(np.float32)
            runs[contig].append(FittedRun(start, bases, theta))
            sites[contig] |= {start + k: (bases[k], theta[k]) for k in range(length)}
            start += length
    return SiteFits.of(runs), sites


@given(st.integers(0, 2**32 - 1))
def test_only_sites_that_were_fitted_with_the_same_base_are_replaced(seed):
    rng = np.random.default_rng(seed)
    fits, sites = random_fits(rng)
    for contig in ("one", "two", "another"):
        start, length = int(rng.integers(0, 40)), int(rng.integers(0, 40))
        bases = rng.integers(0, 6, length).astype(np.uint8)
        before = rng.normal(size=(length, 4)).astype(np.float32)
        theta = before.copy()
        fits.put(contig, start, bases, theta)
        for k in range(length):
            base, fitted = sites.get(contig, {}).get(start + k, (None, None))
            expected = fitted if base is not None and base == bases[k] else before[k]
            assert theta[k] == pytest.approx(expected, abs=6e-4)


def test_fits_come_back_from_their_file(tmp_path):
    fits, sites = random_fits(np.random.default_rng(3))
    fits.write(tmp_path / "fits")
    again = SiteFits.read(tmp_path / "fits")
    assert len(again) == len(fits) == sum(map(len, sites.values()))
    assert again.contigs == ("one", "two")
    for contig, own in sites.items():
        for position, (base, theta) in own.items():
            found = np.zeros((1, 4), np.float32)
            again.put(contig, position, np.array([base]), found)
            assert found[0] == pytest.approx(theta, abs=6e-4)


@pytest.mark.parametrize(
    "damage",
    [
        {"runs": torch.tensor([[0, 5, 3]])},
        {"runs": torch.tensor([[0, -5, 3]])},
        {"runs": torch.tensor([[7, 0, 6]])},
        {"runs": torch.tensor([[0, 0, 4], [0, 3, 5]])},
        {"runs": torch.tensor([[0, 0, 1 << 60]])},
        {"runs": torch.tensor([0, 0, 6])},
        {"runs": torch.tensor([[0.0, 0.0, 6.0]])},
        {"runs": torch.tensor([[0.0, 0.0, 6.0]], dtype=torch.bfloat16)},
        {"bases": torch.full((6,), 4, dtype=torch.uint8)},
        {"bases": torch.zeros(5, dtype=torch.uint8)},
        {"theta": torch.zeros(6, 3, dtype=torch.int16)},
        {"theta": torch.zeros(6, 4)},
        {"theta": None},
        {"contigs": torch.tensor([91, 49, 93], dtype=torch.uint8)},  # [1]
        {"contigs": torch.tensor([123, 200], dtype=torch.uint8)},
        {"contigs": None},
        {"format": "pt"},
    ],
)
def test_damaged_fits_are_refused_in_one_line(tmp_path, damage):
    run = FittedRun(0, np.zeros(6, np.uint8), np.zeros((6, 4), np.float32))
    SiteFits.of({"one": [run]}).write(tmp_path / "fits")
    tensors, metadata = load_tensors(tmp_path / "fits")
    assert metadata == {"format": FORMAT}
    for name, value in damage.items():
        part = metadata if name in metadata else tensors
        part.pop(name) if value is None else part.update({name: value})
    save_tensors(tmp_path / "fits", tensors, metadata)
    with pytest.raises(InputError, match="no readable site fits") as error:
        SiteFits.read(tmp_path / "fits")
    assert "\n" not in str(error.value)
