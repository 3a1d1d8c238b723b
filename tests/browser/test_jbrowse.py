"""config.json in JBrowse 2: every track is drawn, nothing fails, no other host is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import served
from jbrowse_bundle import jbrowse_bundle
from small_tracks import COLOURS

#: Counts of colours of all canvases of a track, as {"r,g,b": pixels}; transparent ones left out.
_PIXELS = """(() => {
    const [box] = [...document.querySelectorAll('[data-testid^="trackRenderingContainer"]')]
        .filter((box) => box.dataset.testid.endsWith('-' + NAME));
    const counts = {};
    let area = 0;
    for (const canvas of box ? box.querySelectorAll('canvas') : []) {
        if (!(canvas.dataset.testid || '').endsWith('_done')) continue;
        area += canvas.width * canvas.height;
        const data = canvas.getContext('2d')
            .getImageData(0, 0, canvas.width, canvas.height).data;
        for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] < 200) continue;
            const key = data.slice(i, i + 3).join(',');
            counts[key] = (counts[key] || 0) + 1;
        }
    }
    return {counts, area};
})()"""


@pytest.fixture(scope="module")
def site(browser_folder, tmp_path_factory) -> Path:
    """What a web server has: JBrowse, a page, and our folder."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "tracks").symlink_to(browser_folder)
    (folder / "jbrowse.js").symlink_to(jbrowse_bundle())
    (folder / "index.html").symlink_to(Path(__file__).with_name("jbrowse_page.html"))
    return folder


def share(browser, track: str, colour: tuple[int, int, int]) -> float:
    """Of the area of a track, named by its id; several of one group have that of the first."""
    found = browser.evaluate(_PIXELS.replace("NAME", repr(track)))
    return found["counts"].get(",".join(map(str, colour)), 0) / max(found["area"], 1)


def test_every_track_is_drawn(browser, site):
    with served(site) as (address, requests):
        browser.open(f"{address}/index.html")
        # Three blocks of each of six tracks; the reference is no canvas.
        drawn = "document.querySelectorAll('canvas[data-testid$=_done]').length"
        browser.wait_for(f"faults.length > 0 || {drawn} === 18")
        assert browser.evaluate("faults") == []
        # 2 on an axis from 0 to 4: half the height, less what the axis is inset by.
        assert share(browser, "Rate", (84, 39, 136)) == pytest.approx(0.5, abs=0.07)
        assert share(browser, "Empty", (200, 0, 0)) == 0
        assert share(browser, "LLR", (31, 78, 121)) > 0.05
        # A row each base, in its colour.
        for colour in COLOURS.values():
            assert share(browser, "log_P_A", colour) > 0.02
            assert share(browser, "Logo_A", colour) > 0.02
        text = browser.evaluate("document.body.innerText")
        for name in ("Reference sequence (hg38)", "LLR", "Rate", "Empty", "Logo", "Parts"):
            assert name in text
        assert browser.evaluate("viewState.session.views[0].displayedRegions[0].refName") == "chrA"
        assert browser.evaluate("faults") == []
        assert browser.log == []
    hosts = browser.evaluate(
        "performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)"
    )
    assert set(hosts) == {address.removeprefix("http://")}
    asked = dict(requests)
    assert ("/tracks/rate.bw", 206) in requests
    assert {"/tracks/reference.fa", "/tracks/parts.bed.gz.tbi", "/tracks/log%20A.bw"} <= set(asked)
    assert [path for path, status in requests if status == 404] in ([], ["/favicon.ico"])


def test_what_is_lost_is_seen_by_the_test(browser, site, browser_folder, tmp_path):
    """The check above can fail: without the reference's index JBrowse draws nothing and says so."""
    (tmp_path / "tracks").mkdir()
    for path in browser_folder.iterdir():
        if path.name != "reference.fa.fai":
            (tmp_path / "tracks" / path.name).symlink_to(path)
    for name in ("jbrowse.js", "index.html"):
        (tmp_path / name).symlink_to(site / name)
    with served(tmp_path) as (address, _):
        browser.open(f"{address}/index.html")
        browser.wait_for("document.body.innerText.includes('404')")
