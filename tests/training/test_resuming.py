"""Where a run goes on, by the steps that its checkpoint says it has taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from phylotools.errors import InputError
from phylotools.training.checkpoint import Progress
from phylotools.training.resuming import resumed

PATH = Path("run/checkpoint.safetensors")


@pytest.mark.parametrize("step", [90, 91, 1 << 70])
def test_no_run_stands_beyond_its_last_step(step):
    """Its batch would be looked for, in the last case for ever."""
    with pytest.raises(InputError, match=rf"checkpoint is damaged \(step {step} of 90\)"):
        resumed(Progress(step=step), 90, PATH, extend=False)
    with pytest.raises(InputError, match=rf"has taken {step} steps; raise optimiser\.epochs"):
        resumed(Progress(step=step), 90, PATH, extend=True)


def test_a_run_goes_on_or_stays_complete():
    begun, done = Progress(step=89), Progress(step=90, complete=True, stopped="its length", stale=2)
    assert resumed(begun, 90, PATH, extend=False) == begun
    assert resumed(begun, 90, PATH, extend=True) == begun
    assert resumed(done, 90, PATH, extend=False) == done
    assert resumed(done, 91, PATH, extend=True) == Progress(step=90)
    with pytest.raises(InputError, match="is complete after 90 steps"):
        resumed(done, 90, PATH, extend=True)
