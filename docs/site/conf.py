"""Sphinx makes the site of the pages as they lie in the checkout: `make site`.

The source folder is the root of the checkout, so that links between docs/ and other folders are the
same in the site as where the repository is read on the web. Sphinx warns of links and anchors
that lead nowhere, and the build takes warnings as errors.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from phylotools.version import __version__  # noqa: E402

SECTIONS = tomllib.loads((HERE / "navigation.toml").read_text())["section"]
PAGES = [page for section in SECTIONS for page in section["pages"]]

project = "phylotools"
version = release = __version__
author = "The phylotools authors"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [f"{page}.md" for page in [root_doc, *PAGES]]
# Folders without a page are not walked.
_FOLDERS = {page.split("/")[0] for page in PAGES if "/" in page}
exclude_patterns = [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in _FOLDERS
]

# Names of headings as GitHub makes them.
myst_heading_anchors = 6
# Text stays as it is written.
smartquotes = False
pygments_style = "default"
highlight_language = "none"

# Furo asks for no font and no script from elsewhere.
html_theme = "furo"
html_title = f"phylotools {__version__}"
html_copy_source = False
html_show_sphinx = False
# Extracts of what was found would be fetched, which browsers refuse to pages on disk.
html_show_search_summary = False
html_static_path = ["static"]
html_css_files = ["site.css"]

# pdoc's pages lie beside those of Sphinx, which does not know them.
_REFERENCE = '<p><a href="../api/phylotools.html">All classes and functions</a></p>'


def add_navigation(_app, name: str, text: list[str]) -> None:
    """Give pages what would be no Markdown where the repository is read on the web."""
    if name == "docs/api":
        text[0] = text[0].replace("<!-- reference -->", _REFERENCE)
    if name == root_doc:
        for section in SECTIONS:
            pages = "\n".join(f"{title} </{page}>" for page, title in section["pages"].items())
            text[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {section['title']}\n\n{pages}\n```\n"


def setup(app) -> dict[str, bool]:
    app.connect("source-read", add_navigation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
