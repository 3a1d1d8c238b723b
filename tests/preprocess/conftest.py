from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
    """Hundreds of small stores: waiting for the disk would take most of the time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
