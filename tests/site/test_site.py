"""The site of the documentation: built from the pages, and opened from disk in a browser."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from field_tools import require

ROOT = Path(__file__).parents[2]
SITE_TOOLS = ROOT / "docs" / "site"
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(SITE_TOOLS)]

from chromium import Chromium, find_chromium  # noqa: E402

SECTIONS = tomllib.loads((SITE_TOOLS / "navigation.toml").read_text())["section"]
PAGES = [page for section in SECTIONS for page in section["pages"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that `make site` has just made ($PHYLOTOOLS_SITE), else one made here."""
    if made := os.environ.get("PHYLOTOOLS_SITE"):
        return Path(made)
    folder = tmp_path_factory.mktemp("build")
    done = subprocess.run(
        [sys.executable, SITE_TOOLS / "build.py", folder, "--no-screenshots"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if find_chromium() is None:
        require("chromium")
    opened = Chromium(tmp_path_factory.mktemp("profile"))
    opened.watch()
    yield opened
    opened.close()


@cache
def names_in(page: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', page.read_text()))


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    """Also those that the theme and pdoc wrote, which the builder does not check."""
    wrong = []
    for page in site.rglob("*.html"):
        for target in re.findall(r'\b(?:href|src)="([^"]*)"', page.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / unquote(path.partition("?")[0])).resolve() if path else page
            if not there.is_file() or (
                anchor and there.suffix == ".html" and unquote(anchor) not in names_in(there)
            ):
                wrong.append((str(page.relative_to(site)), target))
    assert not wrong


def test_pages_load_from_disk_without_network(site: Path, browser: Chromium) -> None:
    seen = set()
    for page in ["docs/index", "search", *PAGES, "api/phylotools"]:
        browser.requests.clear()
        browser.open((site / f"{page}.html").as_uri())
        browser.wait_for("document.readyState === 'complete' && document.title !== ''")
        seen |= set(browser.requests)
    assert len(seen) > len(PAGES)
    assert [url for url in seen if not url.startswith(("file:", "data:"))] == []
    assert browser.failures == []
    assert browser.log == []


def test_every_page_is_reached_from_the_first(site: Path, browser: Chromium) -> None:
    browser.open((site / "index.html").as_uri())
    links = browser.wait_for(
        "location.pathname.endsWith('docs/index.html') && document.readyState === 'complete' && "
        "JSON.stringify([...document.querySelectorAll('.sidebar-tree a')].map(a => a.href))"
    )
    found = [unquote(link.partition("#")[0]) for link in json.loads(links)]
    assert found == [(site / f"{page}.html").resolve().as_uri() for page in PAGES]


def test_search_finds_pages(site: Path, browser: Chromium) -> None:
    browser.open((site / "search.html").as_uri() + "?q=annotate")
    links = browser.wait_for(
        "document.querySelectorAll('#search-results li a').length > 5 && "
        "JSON.stringify([...document.querySelectorAll('#search-results li a')].map(a => a.href))"
    )
    found = [Path(link.partition("#")[0].partition("?")[0]).name for link in json.loads(links)]
    assert "annotate.html" in found


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A\n\n[b](other.md#nowhere) [c](../gone.py)\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## Here\n\n[a](index.md)\n")
    pages = "include_patterns=docs/index.md,docs/other.md"
    options = ("-q", "-W", "--keep-going", "-c", SITE_TOOLS, "-D", pages)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, tmp_path, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    for wrong in ("nowhere", "gone.py"):
        assert wrong in done.stderr


def test_screenshots_without_a_browser_say_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SITE_TOOLS / "screenshots.py", tmp_path / "pictures"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the screenshots need Chromium")
    assert not (tmp_path / "pictures").exists()


def test_screenshots_of_the_checkout_have_the_size_of_those_that_are_made() -> None:
    """`make screenshots` was run for every picture that the build takes."""
    import screenshots

    for name in (*screenshots.MADE_BY, "site.png"):
        header = (ROOT / "docs" / "images" / name).read_bytes()[16:24]
        assert struct.unpack(">II", header) == (screenshots.WIDTH, screenshots.HEIGHT), name
