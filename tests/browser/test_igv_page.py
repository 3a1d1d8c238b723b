"""igv.html in a real browser: the tracks are drawn, from a web server and from disk."""

from __future__ import annotations

import pytest
from chromium import Page, served
from drawn import STATE, height, pixels, share, wait_until_drawn
from small_tracks import COLOURS, CONTIGS, VIEW, make_tracks

from phylotools.browser import write, write_browser_files


def check_drawn(browser: Page) -> None:
    """Every track shows what its file holds."""
    wait_until_drawn(browser, "LLR", "Rate", "Logo", "Parts", "log P A")
    # 2 on an axis from 0 to 4, everywhere.
    assert share(browser, "Rate", (84, 39, 136)) == pytest.approx(0.5, abs=0.05)
    # The empty track has the same settings, and shows nothing.
    assert share(browser, "Empty", (200, 0, 0)) == 0
    assert share(browser, "Rate", (200, 0, 0)) == 0
    # Letters of 1.2 and three times 0.2, one on the other, on an axis from 0 to 2.
    assert height(browser, "Logo") == pytest.approx(0.9, abs=0.06)
    assert height(browser, "Rate") == pytest.approx(0.5, abs=0.06)
    for base, colour in COLOURS.items():
        assert 0.02 < share(browser, "Logo", colour) < 0.3
        # A row is darkest where its base is probable: every fourth position.
        row, area = pixels(browser, f"log P {base}")
        assert len(row) >= 2
        assert sum(row.values()) > 0.8 * area
    # Letters of the reference, in the four colours.
    assert sum(share(browser, "LLR", colour) for colour in COLOURS.values()) > 0.03
    # The interval ends in the middle of the view: [1000, 1040) of [1000, 1080).
    assert share(browser, "Parts", (0, 90, 0)) > 0.01


def test_the_tracks_are_drawn_from_a_web_server(any_browser, browser_folder, tmp_path):
    browser = any_browser
    with served(browser_folder) as (address, requests):
        browser.open(f"{address}/igv.html")
        check_drawn(browser)
        browser.screenshot(tmp_path / "screenshot.png")
    assert (tmp_path / "screenshot.png").stat().st_size > 10_000
    assert ("/rate.bw", 206) in requests
    # Files that hold the data once more are for pages on disk.
    assert "/igv_data.js" not in dict(requests)
    assert [path for path, status in requests if status == 404] in ([], ["/favicon.ico"])
    # Nothing is asked of any other host.
    hosts = browser.evaluate(
        "performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)"
    )
    assert set(hosts) == {address.removeprefix("http://")}
    assert browser.log == []


def test_the_tracks_are_drawn_from_disk(any_browser, browser_folder):
    browser = any_browser
    browser.open((browser_folder / "igv.html").as_uri())
    check_drawn(browser)
    assert browser.evaluate("document.getElementById('title').textContent") == (
        "A <model> & its tracks"
    )
    assert browser.log == []


def test_large_tracks_on_disk_are_chosen_by_the_reader(browser, tmp_path, monkeypatch):
    folder = tmp_path / "tracks"
    folder.mkdir()
    tracks = [track for track in make_tracks(folder) if track.name in ("Rate", "Parts")]
    monkeypatch.setattr(write, "LARGEST_EMBEDDED", 0)
    # No sequence either: lengths are all that a browser needs.
    write_browser_files(folder, tracks, assembly="mine", contigs=CONTIGS, regions=[VIEW])
    browser.open((folder / "igv.html").as_uri())
    browser.wait_for(f"{STATE} === 'choose'")
    browser.choose_files("input[type=file]", [folder / "rate.bw"])
    text = "document.getElementById('message').innerText"
    browser.wait_for(f"{text}.includes('Not among them: chrom.sizes, parts.bed.gz')")
    browser.choose_files("input[type=file]", sorted(folder.iterdir()))
    wait_until_drawn(browser, "Rate", "Parts")
    assert share(browser, "Rate", (84, 39, 136)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("lost", ["rate.bw", "igv.min.js", "reference.fa.fai"])
def test_what_is_lost_is_said(browser, browser_folder, tmp_path, lost):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in browser_folder.iterdir():
        if path.name != lost:
            (folder / path.name).symlink_to(path)
    with served(folder) as (address, _):
        browser.open(f"{address}/igv.html")
        browser.wait_for(f"{STATE} === 'error'")
    message = browser.evaluate("document.getElementById('message').innerText")
    assert {"rate.bw": "Rate", "igv.min.js": "igv.min.js"}.get(lost, "reference.fa.fai") in message
