"""Links between the pages of the documentation lead somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "models/*", "examples/*", "benchmarks", "tests/data")
PAGES = sorted(ROOT.glob("*.md")) + [
    page for folder in FOLDERS for page in sorted(ROOT.glob(f"{folder}/*.md"))
]
#: Fenced or indented.
_BLOCK = re.compile(r"^ *```.*?^ *```|^ {4}[^\n]*$", flags=re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`(?:[^`\n]|\n(?!\n))*`")
_LINK = re.compile(r"\]\(([^()\s]*)\)|\b(?:src|href)=\"([^\"]*)\"")
_HEADING = re.compile(r"^#+ +(.+?) *$", flags=re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    names: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(_BLOCK.sub("", page.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = names.get(name, 0)
        names[name] = number + 1
        found.add(f"{name}-{number}" if number else name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _CODE.sub("``", _BLOCK.sub("", page.read_text()))
    for pair in _LINK.findall(text):
        target = "".join(pair)
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in sorted(ROOT.glob("docs/*.md")):
        assert f"](docs/{page.name}" in readme, page.name
