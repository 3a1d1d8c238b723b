from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phylotools.errors import InputError
from phylotools.io.documents import decode, read_document, read_text


@dataclass(frozen=True)
class Inner:
    name: str
    size: int


@dataclass(frozen=True)
class Outer:
    parts: tuple[tuple[Inner, ...], ...]
    sizes: dict[str, list[int]]
    share: float
    note: str | None
    is_new: bool
    rest: dict[str, Any]


OUTER = Outer(((Inner("a", 1), Inner("b", 2)), ()), {"x": [1]}, 0.5, None, True, {"any": [1, "2"]})


def test_what_was_written_comes_back():
    assert decode(Outer, json.loads(json.dumps(dataclasses.asdict(OUTER)))) == OUTER


@pytest.mark.parametrize(
    "change",
    [
        {"parts": [[{"name": "a", "size": "1"}]]},
        {"parts": [[{"name": "a", "size": True}]]},
        {"parts": [[{"name": "a"}]]},
        {"parts": [[{"name": "a", "size": 1, "more": 1}]]},
        {"parts": [["a", 1]]},
        {"parts": {}},
        {"sizes": {"x": [1.5]}},
        {"sizes": []},
        {"share": "0.5"},
        {"note": 3},
        {"is_new": 1},
        {"rest": None},
        {"more": None},
    ],
)
def test_another_kind_of_value_is_refused(change):
    with pytest.raises(ValueError, match="is n"):
        decode(Outer, json.loads(json.dumps(dataclasses.asdict(OUTER))) | change)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "it is not UTF-8 text"),
        (b"", "it is no JSON"),
        (b"{", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"[]", "it is no JSON object"),
        (b"1" * 5000, "it is no JSON"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.json: is damaged: {message}; make it again$"):
        read_document(path, remedy="make it again")


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=f"{path}: "):
            read_text(path, remedy="make it again")
