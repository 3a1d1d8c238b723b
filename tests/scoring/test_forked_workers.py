"""A forked child computes what its parent does, and does not wait for threads left behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: The parent computes with two threads, so that OpenMP has threads which no child inherits.
PROGRAM = """
import multiprocessing, sys, warnings
import numpy as np, torch
import phylotools

model = phylotools.load_model()
texts = ["ACGTTGCAAC" * 60, "ATACCCATGGCCAACCTCC", "GATTACA" * 200]

def score(k):
    return phylotools.embed(model, texts[k], threads=2).tobytes()

class Texts(torch.utils.data.Dataset):
    def __len__(self):
        return len(texts)

    def __getitem__(self, k):
        return phylotools.predict_sites(model, texts[k], threads=THREADS).theta[:19]

THREADS = 2
expected = [score(k) for k in range(3)]
torch.ones(400, 400) @ torch.ones(400, 400)
sites = [phylotools.predict_sites(model, text, threads=2).theta[:19] for text in texts]
if sys.argv[1] == "pool":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(score, range(3)).get(500) == expected
else:
    THREADS = None
    loader = torch.utils.data.DataLoader(
        Texts(), num_workers=2, batch_size=None, multiprocessing_context="fork", timeout=500
    )
    for found, wanted in zip(loader, sites, strict=True):
        np.testing.assert_array_equal(np.asarray(found), wanted)
print("same")
"""
#: The parent computes with torch alone; the children import phylotools.
LATE_IMPORT = """
import multiprocessing, torch

def score(k):
    import phylotools
    model = phylotools.load_model()
    return phylotools.predict_sites(model, "ACGTTGCAAC" * 60, threads=2).theta.tobytes()

if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.nn.functional.conv1d(torch.ones(4, 64, 5000), torch.ones(64, 64, 3))
    torch.ones(1 << 22).exp()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert set(pool.map_async(score, range(2)).get(500)) == {score(0)}
    print("same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    ("program", "kind"), [(PROGRAM, "pool"), (PROGRAM, "loader"), (LATE_IMPORT, "pool")]
)
def test_forked_workers_compute_the_same(program: str, kind: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, kind],
        env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.stdout == "same\n", done.stderr
