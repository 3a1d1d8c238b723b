"""Files that genome browsers open, beside the tracks: UCSC hub, igv.js page, JBrowse 2 config.

`write_browser_files` writes all of them for the tracks of one folder.
"""

from phylotools.browser.track import Track
from phylotools.browser.write import FILE_NAMES, BrowserFiles, write_browser_files

__all__ = ["FILE_NAMES", "BrowserFiles", "Track", "write_browser_files"]
