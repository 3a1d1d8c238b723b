"""What `phylotools tracks` writes opens in browsers as it is."""

from __future__ import annotations

import subprocess
import sys

import pytest
from drawn import height, pixels, share, wait_until_drawn
from hub_rules import check_hub


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "tracks"
    command = [sys.executable, "-m", "phylotools", "tracks", "-r", "chrM:3270-3350"]
    subprocess.run([*command, "-o", str(folder)], check=True, capture_output=True)
    return folder


def test_the_hub_keeps_the_rules(tracks):
    stanzas = check_hub(tracks / "hub.txt")
    files = {stanza["bigDataUrl"] for stanza in stanzas if "bigDataUrl" in stanza}
    assert files == {path.name for path in tracks.glob("*.bw")}


def test_the_page_draws_every_track(tracks, browser):
    browser.open((tracks / "igv.html").as_uri())
    wait_until_drawn(browser, "Mean LLR", "Lowest LLR", "Site rate", "Entropy", "Logo")
    assert browser.log == []
    # Its bars are of one colour, but for a pixel at an edge; letters of four.
    counts, area = pixels(browser, "Entropy")
    colour = tuple(map(int, max(counts, key=counts.__getitem__).split(",")))
    assert share(browser, "Entropy", colour) == pytest.approx(sum(counts.values()) / area, rel=1e-3)
    assert len(pixels(browser, "Logo")[0]) >= 4
    # Here are sites that are the same in all mammals: 2 bits, the whole height.
    assert height(browser, "Logo") > 0.9
