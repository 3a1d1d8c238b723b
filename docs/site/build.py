"""Build the documentation site into a folder: pages, API reference, screenshots.

    python docs/site/build.py build [--no-screenshots]

writes ``build/site``, which is read from disk or from any web server and loads nothing from
elsewhere, and ``build/screenshots``. Every warning is an error.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIRST_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>phylotools</title>
<meta http-equiv="refresh" content="0; url=docs/index.html">
<a href="docs/index.html">The documentation of phylotools</a>
"""


def run(*arguments: str | Path) -> None:
    """Run a module of this interpreter, from the checkout; its end is ours where it fails."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def build(folder: Path, *, screenshots: bool) -> None:
    """Make ``site`` in a folder, from nothing."""
    site, pictures = folder / "site", folder / "screenshots"
    shutil.rmtree(site, ignore_errors=True)
    if screenshots:
        run(HERE / "screenshots.py", pictures)
    options = ("-q", "-W", "--keep-going", "-j", "auto", "-c", HERE, "-d", folder / "doctrees")
    run("-m", "sphinx", *options, ROOT, site)
    run("-W", "error", "-m", "pdoc", "--docformat", "numpy", "phylotools", "-o", site / "api")
    (site / "index.html").write_text(FIRST_PAGE)
    if screenshots:
        # Those of this build, in the place of those in the checkout.
        for picture in pictures.glob("*.png"):
            shutil.copy(picture, site / "_images")
        run(HERE / "screenshots.py", pictures, site)


if __name__ == "__main__":
    build(Path(sys.argv[1]).absolute(), screenshots="--no-screenshots" not in sys.argv)
