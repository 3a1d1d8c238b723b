from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, find_chromium
from field_tools import require
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
