"""The session of IGV desktop against what IGV reads: its elements, attributes and their values."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from field_tools import require
from matplotlib.image import imread
from small_tracks import COLOURS, CONTIGS, VIEW, make_tracks, write_fasta

from phylotools.browser import Track, write_browser_files
from phylotools.browser.igv_session import session_text

#: Attribute -> its values, of IGV's IGVSessionReader, SessionAttribute and the tracks' own readers.
_ATTRIBUTES = {
    "Session": {"genome": r".+", "locus": r"\S+:\d+-\d+", "version": r"[3-8]"},
    "Resource": {"path": r"[^/].*", "type": r"bigwig|bed"},
    "Panel": {"name": r"\w+"},
    "Track": {
        "id": r"[^/].*", "attributeKey": r".+", "name": r".+", "visible": r"true|false",
        "color": r"\d+,\d+,\d+", "altColor": r"\d+,\d+,\d+", "height": r"\d+",
        "clazz": r"org\.broad\.igv\.track\.(DataSourceTrack|FeatureTrack|SequenceTrack)",
        "renderer": r"BAR_CHART|HEATMAP|LINE_PLOT|SCATTER_PLOT", "autoScale": r"true|false",
        "windowFunction": r"mean|none|max|min", "displayMode": r"EXPANDED|COLLAPSED|SQUISHED",
    },
    "DataRange": {
        "minimum": r"-?[\d.e-]+", "baseline": r"-?[\d.e-]+", "maximum": r"-?[\d.e-]+",
        "drawBaseline": r"true|false", "flipAxis": r"true|false", "type": r"LINEAR|LOG",
    },
}  # fmt: skip
_CHILDREN = {
    "Session": {"Resources", "Panel"},
    "Resources": {"Resource"},
    "Panel": {"Track"},
    "Track": {"DataRange"},
}


def check_session(path) -> ElementTree.Element:
    """The session of a folder, which keeps all of this; every file is there."""
    root = ElementTree.fromstring(path.read_bytes())
    assert root.tag == "Session"
    for element in root.iter():
        assert {child.tag for child in element} <= _CHILDREN.get(element.tag, set())
        allowed = _ATTRIBUTES.get(element.tag, {})
        for name, value in element.attrib.items():
            assert re.fullmatch(allowed[name], value), (element.tag, name, value)
    paths = [resource.get("path") for resource in root.iter("Resource")]
    assert len(set(paths)) == len(paths)
    assert all((path.parent / name).is_file() for name in paths)
    # A track is found by its resource.
    ids = [track.get("id") for track in root.iter("Track")]
    assert ids == [*paths, "Reference sequence"]
    for limits in root.iter("DataRange"):
        low, base, high = (float(limits.get(x)) for x in ("minimum", "baseline", "maximum"))
        assert low < high
        assert low <= base <= high
    return root


def test_the_session_shows_the_tracks(browser_folder):
    root = check_session(browser_folder / "igv_session.xml")
    assert root.get("genome") == "hg38"
    assert root.get("locus") == "chrA:1001-1080"
    tracks = {track.get("name"): track for track in root.iter("Track")}
    assert list(tracks) == [
        *("LLR", "Rate", "Empty", "log P A", "Logo A", "log P C", "Logo C"),
        *("log P G", "Logo G", "log P T", "Logo T", "Parts", "Reference sequence"),
    ]
    assert tracks["Rate"].get("color") == "84,39,136"
    assert tracks["Rate"][0].get("maximum") == "4"
    assert tracks["LLR"][0].attrib["baseline"] == "0"
    assert tracks["Parts"].get("displayMode") == "EXPANDED"


def test_an_assembly_that_igv_lacks_is_opened_from_the_folder(tmp_path):
    tracks = make_tracks(tmp_path)[:1]
    fasta = tmp_path / "genome.fa"
    fasta.write_text("".join(f">{name}\n{'A' * size}\n" for name, size in CONTIGS.items()))
    for given, expected in ((fasta, "reference.fa"), (None, "chrom.sizes")):
        write_browser_files(tmp_path, tracks, assembly="mine", contigs=CONTIGS, fasta=given)
        root = check_session(tmp_path / "igv_session.xml")
        assert root.get("genome") == expected
        assert (tmp_path / expected).is_file()


@pytest.mark.parametrize("name", ['<&"', "\N{LATIN SMALL LETTER E WITH ACUTE}\N{BLACK STAR}"])
def test_any_name_is_text(tmp_path, name):
    (tmp_path / "x.bw").touch()
    track = Track(name, "x.bw", "signal", "x", is_shown=True)
    hidden = Track("hidden", "x.bw", "signal", "x", is_shown=False)
    text = session_text([track, hidden], genome=name, view=VIEW)
    (tmp_path / "s.xml").write_text(text, encoding="ascii")
    root = check_session(tmp_path / "s.xml")
    entry, _ = root.iter("Track")
    assert entry.get("name") == root.get("genome") == name
    assert entry.get("autoScale") == "true"
    assert not list(root.iter("DataRange"))


def picture_of_igv(folder: Path, home: Path) -> Path:
    """What IGV desktop draws of the session of a folder, on a screen that nobody sees."""
    settings = home / "igv"
    settings.mkdir(parents=True)
    reference = folder / "reference.fa"
    # Else IGV fetches a list of genomes at its start, and ends if it cannot.
    (home / "genomes.txt").write_text(f"<Server-Side Genome List>\nmine\t{reference}\tmine\n")
    (settings / "prefs.properties").write_text(
        f"IGV.genome.sequence.dir={home / 'genomes.txt'}\n"
        f"DEFAULT_GENOME_KEY={reference}\nPROVISIONING_URL=\n"
    )
    (home / "batch.txt").write_text(
        f"new\nload {folder / 'igv_session.xml'}\nsnapshotDirectory {home}\n"
        "snapshot igv.png\nexit\n"
    )
    command = [
        *("xvfb-run", "-a", "-s", "-screen 0 1400x1000x24"),
        *("java", f"-Duser.home={home}", "-Xmx1g", "-cp", "/usr/share/java/igv.jar"),
        *("org.broad.igv.ui.Main", "-g", str(reference), "-b", str(home / "batch.txt")),
    ]
    with open(home / "log.txt", "wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, "HOME": str(home)}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            process.wait(timeout=600)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    assert (home / "igv.png").is_file(), (home / "log.txt").read_text()[-2000:]
    return home / "igv.png"


def test_igv_desktop_draws_the_session(tmp_path):
    require("igv", "xvfb-run")
    folder = tmp_path / "tracks"
    folder.mkdir()
    write_fasta(tmp_path / "genome.fa")
    write_browser_files(
        folder, make_tracks(folder), assembly="mine", contigs=CONTIGS,
        fasta=tmp_path / "genome.fa", regions=[VIEW],
    )  # fmt: skip
    # As on another machine: nothing of the session names this place.
    moved = Path(shutil.move(folder, tmp_path / "moved"))
    pixels = imread(picture_of_igv(moved, tmp_path / "home"))[..., :3]

    def rows(colour: tuple[int, int, int]) -> int:
        """Lines of the picture of which a tenth or more has the colour."""
        is_it = (abs(pixels * 255 - colour) < 2).all(-1)
        return int((is_it.mean(1) > 0.1).sum())

    # 2 on an axis from 0 to 4: half of 60 pixels, less the margin.
    assert 20 <= rows((84, 39, 136)) <= 32
    assert rows((200, 0, 0)) <= 2
    assert rows((31, 78, 121)) > 10
    assert rows((0, 90, 0)) > 3
    for colour in COLOURS.values():
        assert rows(colour) > 10
