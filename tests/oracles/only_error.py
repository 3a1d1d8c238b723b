"""What a command that failed may say."""

from __future__ import annotations


def only_error(out: str, err: str, *expected: str, among_others: bool = False) -> str:
    """The error, one line on stderr that holds `expected`; others only if they may be there."""
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, err
    assert among_others or len(lines) == 1, err
    assert "Traceback" not in err
    assert "internal error" not in err
    assert out == ""
    for text in expected:
        assert text in errors[0], err
    return errors[0]
