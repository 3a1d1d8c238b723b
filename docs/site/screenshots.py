"""Pictures of pages that phylotools writes, taken by headless Chromium from runs of the tutorials.

python docs/site/screenshots.py FOLDER    # needs the package installed, and Chromium
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("browser", "oracles")]

from chromium import Chromium, find_chromium  # noqa: E402
from documented_commands import install_program, shell, shell_blocks  # noqa: E402
from drawn import wait_until_drawn  # noqa: E402

#: Of all pictures, in pixels: what a page of the site shows without scaling.
WIDTH, HEIGHT = 1200, 640
#: File -> the page of docs/ whose commands make what it shows, and the word in the last of them.
MADE_BY = {
    "tracks_igv.png": ("tutorial-vcf.md", "phylotools tracks"),
    "tutorial_report.png": ("tutorial-alignment.md", "phylotools preprocess"),
}


@contextmanager
def browser() -> Iterator[Chromium]:
    with tempfile.TemporaryDirectory() as profile:
        opened = Chromium(Path(profile), WIDTH, HEIGHT)
        try:
            yield opened
        finally:
            opened.close()


def follow(page: str, last: str, folder: Path) -> None:
    """Run the commands of a tutorial, behind the installation, up to a block that is needed."""
    folder.mkdir()
    install_program(folder)
    blocks = [block for block in shell_blocks(ROOT / "docs" / page) if "pip install" not in block]
    needed = next(number for number, block in enumerate(blocks) if last in block)
    for block in blocks[: needed + 1]:
        done = shell(block, folder, timeout=600)
        if done.returncode:
            sys.exit(f"error: docs/{page}: {done.stderr}")


def photograph(folder: Path) -> None:
    """Save every picture of `MADE_BY` into a folder."""
    with tempfile.TemporaryDirectory() as place, browser() as page:
        for name, (tutorial, last) in MADE_BY.items():
            run = Path(place) / name
            follow(tutorial, last, run)
            if name == "tracks_igv.png":
                page.open((run / "tracks" / "igv.html").as_uri())
                page.wait_for("document.documentElement.dataset.state === 'ready'")
                page.evaluate(
                    "window.phylotoolsBrowser.search('chrM:3,300-3,380').then(() => null)"
                )
                wait_until_drawn(page, "Mean LLR", "Site rate", "Entropy", "Logo")
            else:
                page.open((run / "report" / "report.html").as_uri())
                page.wait_for("document.readyState === 'complete'")
            page.screenshot(folder / name)


def photograph_site(folder: Path, site: Path) -> None:
    """Save a picture of the first page of the site."""
    with browser() as page:
        page.open((site / "docs" / "index.html").as_uri())
        page.wait_for("document.readyState === 'complete'")
        page.screenshot(folder / "site.png")


if __name__ == "__main__":
    if find_chromium() is None:
        sys.exit(
            "error: the screenshots need Chromium: apt-get install chromium, or put Chrome on PATH"
        )
    pictures, *built = map(Path, sys.argv[1:])
    pictures.mkdir(parents=True, exist_ok=True)
    if built:
        photograph_site(pictures, built[0].absolute())
    else:
        photograph(pictures)
