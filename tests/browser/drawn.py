"""What the page igv.html has drawn, read off its canvases.

The picture of the documentation is made from a folder of `phylotools tracks` by this file:

    python tests/browser/drawn.py FOLDER [LOCUS] docs/images/tracks_igv.png
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from chromium import Chromium

STATE = "document.documentElement.dataset.state"
#: Counts of the colours of a track's canvas, as {"r,g,b": pixels}. Pixels at the edge of two bars
#: are partly transparent; those that are so for the greater part are left out.
_PIXELS = """(() => {
    const [track] = window.phylotoolsBrowser.findTracks('name', NAME);
    const canvas = track && track.trackView.viewports[0].canvas;
    if (!canvas || !canvas.width) return null;
    const context = canvas.getContext('2d');
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const counts = {};
    const rows = new Set();
    for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] < 100) continue;
        rows.add(Math.floor(i / 4 / canvas.width));
        const key = data.slice(i, i + 3).join(',');
        counts[key] = (counts[key] || 0) + 1;
    }
    return {counts, area: canvas.width * canvas.height, height: rows.size / canvas.height};
})()"""


def pixels(browser: Chromium, name: str) -> tuple[dict[str, int], int]:
    found = browser.evaluate(_PIXELS.replace("NAME", repr(name)))
    # A track without values in view has no canvas.
    return (found["counts"], found["area"]) if found else ({}, 1)


def share(browser: Chromium, name: str, colour: tuple[int, int, int]) -> float:
    """Share of a track's pixels that have a colour, but for the rounding of transparent ones."""
    counts, area = pixels(browser, name)
    near = [
        count
        for text, count in counts.items()
        if all(abs(int(a) - b) <= 3 for a, b in zip(text.split(","), colour, strict=True))
    ]
    return sum(near) / area


def height(browser: Chromium, name: str) -> float:
    """Share of a track's height that holds anything."""
    return browser.evaluate(_PIXELS.replace("NAME", repr(name)))["height"]


def wait_until_drawn(browser: Chromium, *names: str) -> None:
    browser.wait_for(f"{STATE} === 'ready'")
    for name in names:
        expression = _PIXELS.replace("NAME", repr(name))
        browser.wait_for(f"Object.keys(({expression} || {{counts: {{}}}}).counts).length > 0")
    # The logo is drawn anew when its letters are known; two frames later all of it stands.
    browser.evaluate("new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")


def draw(folder: Path, picture: Path, locus: str | None) -> None:
    """Save a picture of the page of a folder."""
    with tempfile.TemporaryDirectory() as profile:
        browser = Chromium(Path(profile))
        try:
            browser.open((folder / "igv.html").absolute().as_uri())
            browser.wait_for(f"{STATE} === 'ready'")
            if locus is not None:
                browser.evaluate(f"window.phylotoolsBrowser.search({locus!r}).then(() => null)")
            time.sleep(2)
            height = "document.documentElement.scrollHeight"
            size = {"width": 1200, "height": int(browser.evaluate(height)) + 10}
            browser.call(
                "Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False
            )
            time.sleep(1)
            browser.screenshot(picture)
        finally:
            browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[-1]), sys.argv[2] if len(sys.argv) > 3 else None)
