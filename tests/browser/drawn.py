"""What the page igv.html has drawn, read off its canvases."""

from __future__ import annotations

from chromium import Page

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


def pixels(browser: Page, name: str) -> tuple[dict[str, int], int]:
    found = browser.evaluate(_PIXELS.replace("NAME", repr(name)))
    # A track without values in view has no canvas.
    return (found["counts"], found["area"]) if found else ({}, 1)


def share(browser: Page, name: str, colour: tuple[int, int, int]) -> float:
    """Share of a track's pixels that have a colour, but for the rounding of transparent ones."""
    counts, area = pixels(browser, name)
    near = [
        count
        for text, count in counts.items()
        if all(abs(int(a) - b) <= 3 for a, b in zip(text.split(","), colour, strict=True))
    ]
    return sum(near) / area


def height(browser: Page, name: str) -> float:
    """Share of a track's height that holds anything."""
    return browser.evaluate(_PIXELS.replace("NAME", repr(name)))["height"]


def wait_until_drawn(browser: Page, *names: str) -> None:
    browser.wait_for(f"{STATE} === 'ready'")
    for name in names:
        expression = _PIXELS.replace("NAME", repr(name))
        browser.wait_for(f"Object.keys(({expression} || {{counts: {{}}}}).counts).length > 0")
    # The logo is drawn anew when its letters are known; two frames later all of it stands.
    browser.evaluate("new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")
