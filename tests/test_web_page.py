"""Pages of reports: what comes out of files stays text, and nothing comes from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from phylotools import web_page

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x1b[31m\u202e"


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def seen(markup: str) -> Seen:
    parser = Seen()
    parser.feed(markup)
    return parser


@pytest.mark.parametrize(
    "markup",
    [
        web_page.escaped(HOSTILE),
        web_page.facts({HOSTILE: HOSTILE}),
        web_page.table([HOSTILE], [[HOSTILE]]),
        web_page.finding({HOSTILE: HOSTILE}, is_warning=True),
        web_page.page(HOSTILE, []),
    ],
)
def test_text_of_files_stays_text(markup):
    found = seen(markup)
    assert not {"script", "img"} & set(found.tags)
    assert "<script>alert(1)</script>" in found.text.replace("_", " ")
    assert "\x1b" not in markup
    assert "\u202e" not in markup


def test_pictures_lie_in_the_page(tmp_path: Path):
    (tmp_path / "a.svg").write_text("<svg><script>alert(1)</script></svg>")
    found = seen(web_page.embedded(tmp_path / "a.svg", HOSTILE))
    assert found.tags == ["div", "img"]
    attributes = dict(found.attributes)
    assert attributes["src"].startswith("data:image/svg+xml;base64,")
    assert attributes["alt"].startswith("<script>")


def test_cells_are_written_for_people():
    found = seen(web_page.table(["a_b"], [[1234567], [0.123456], [2e-5], [None], [float("nan")]]))
    assert found.text.replace("\n", "") == "a b1,234,5670.12352e-05n/an/a"
