"""What verbs say of their speed."""

from __future__ import annotations

import pytest

from phylotools.cli.progress import speed


@pytest.mark.parametrize(
    ("number", "seconds", "text"),
    [
        (20, 49.5, "0.4 records/s"),
        (1240, 141.0, "8.8 records/s"),
        (9_996, 1000.0, "10 records/s"),
        (4_500_000, 26.0, "173077 records/s"),
        (0, 0.0, "0 records/s"),
    ],
)
def test_slow_work_is_not_said_to_stand_still(number, seconds, text):
    assert speed(number, seconds, "records") == text
