"""Links between the pages of the documentation lead somewhere."""

from __future__ import annotations

import re
import tomllib
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


def test_every_page_of_docs_stands_in_the_navigation_once() -> None:
    """`make site` has the pages that docs/site/navigation.toml names, and no others."""
    sections = tomllib.loads((ROOT / "docs" / "site" / "navigation.toml").read_text())["section"]
    named = [page for section in sections for page in section["pages"]]
    there = sorted(f"docs/{page.stem}" for page in ROOT.glob("docs/*.md"))
    assert sorted(page for page in named if page.startswith("docs/")) == [
        page for page in there if page != "docs/index"
    ]
    assert len(set(named)) == len(named)


def test_the_readme_points_to_the_three_paths() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in ("index", "tutorial-vcf", "tutorial-alignment", "tutorial-models"):
        assert f"](docs/{page}.md" in readme, page


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.stem)
def test_a_page_opens_with_what_its_reader_can_do(page: Path) -> None:
    """So that whoever came by a search knows whether to read on."""
    title, _, rest = page.read_text().partition("\n\n")
    assert title.startswith("# ")
    assert rest.startswith("From here" if page.stem == "index" else "After this page"), page.name
