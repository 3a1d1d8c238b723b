"""The compiled printf against Python's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phylotools.io.number_text import fixed_text, general_text

tricky = st.sampled_from([0.00005, 0.00015, 9999.5, 9998.999, 999.95, 1e-4, 0.99995, 1e11, 12.785])
numbers = (
    st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.floats(-20, 20)
    | st.integers(-(10**8), 10**8).map(lambda n: n / 20_000)
    | st.integers(-2000, 2000).map(lambda n: n / 16)
    | tricky
)


def printed(form: str, value: float) -> bytes:
    text = form % value
    return text.removeprefix("-").encode() if float(text) == 0 else text.encode()


@settings(deadline=None)
@given(st.lists(numbers, max_size=30))
@example([-0.00001, -0.0, 0.0, 0.00005, -0.00005])
def test_four_decimals(values: list[float]) -> None:
    found = fixed_text(np.array(values))
    assert [found.row(i) for i in range(len(values))] == [printed("%.4f", x) for x in values]


@settings(deadline=None)
@given(st.lists(numbers.map(abs), max_size=30))
@example([9999.0, 9999.4, 9999.6, 99.995, 0.0, 1e-5, 1e300, 123456.0])
def test_four_significant_digits(values: list[float]) -> None:
    found = general_text(np.array(values))
    assert [found.row(i) for i in range(len(values))] == [printed("%.4g", x) for x in values]


@pytest.mark.parametrize("write", [fixed_text, general_text])
def test_nan_is_missing(write) -> None:
    found = write(np.array([np.nan, 2.5, np.nan]))
    assert [found.row(0), found.row(2)] == [b".", b"."]
    assert float(found.row(1)) == 2.5


def test_every_rounded_number_is_itself_again() -> None:
    """What a table of scores holds comes out of it as it went in."""
    values = np.random.default_rng(1).normal(0, 5, 20_000)
    texts = fixed_text(values)
    again = fixed_text(np.array([float(texts.row(i)) for i in range(len(values))]))
    assert (texts.lengths == again.lengths).all()
    assert all(texts.row(i) == again.row(i) for i in range(len(values)))
    rates = np.exp(values)
    texts = general_text(rates)
    again = general_text(np.array([float(texts.row(i)) for i in range(len(rates))]))
    assert all(texts.row(i) == again.row(i) for i in range(len(rates)))
