from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, Page, find_chromium
from field_tools import require
from firefox import Firefox, find_firefox
from small_tracks import CONTIGS, VIEW, make_tracks, write_fasta

from phylotools.browser import write_browser_files


@pytest.fixture(scope="session")
def browser_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of track and all files for browsers."""
    folder = tmp_path_factory.mktemp("tracks")
    fasta = tmp_path_factory.mktemp("reference") / "genome.fa"
    write_fasta(fasta)
    tracks = make_tracks(folder)
    written = write_browser_files(
        folder,
        tracks,
        assembly="GRCh38.p14",
        contigs=CONTIGS,
        fasta=fasta,
        regions=[VIEW],
        title="A <model> & its tracks",
    )
    assert written.notes == ()
    return folder


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    if find_chromium() is None:
        require("chromium")
    opened = Chromium(tmp_path / "profile")
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def any_browser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """Chromium, then Firefox; each is started once for the tests of a file."""
    find, kind = {"chromium": (find_chromium, Chromium), "firefox": (find_firefox, Firefox)}[
        request.param
    ]
    if find() is None:
        require("chromium" if request.param == "chromium" else "firefox-esr")
    opened = kind(tmp_path_factory.mktemp(request.param) / "profile")
    yield opened
    opened.close()
