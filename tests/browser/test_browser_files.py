"""The files as a whole: what is written, what is left out, what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pysam
import pytest
from small_tracks import CONTIGS, LENGTH, make_tracks, write_fasta

from phylotools.browser import FILE_NAMES, Track, write, write_browser_files
from phylotools.browser.igv import IGV_VERSION
from phylotools.errors import InputError
from phylotools.io.regions import Region


def page_of(folder: Path) -> dict:
    text = (folder / "igv.html").read_text(encoding="ascii")
    (block,) = re.findall(r'<script type="application/json" id="page">(.*?)</script>', text, re.S)
    return json.loads(block)


def embedded(folder: Path) -> dict[str, bytes]:
    text = (folder / "igv_data.js").read_text()
    files = re.findall(r'^"(.*)": "(.*)",$', text, re.M)
    return {name: base64.b64decode(data) for name, data in files}


def test_the_reference_is_copied_with_its_index(browser_folder, tmp_path):
    write_fasta(tmp_path / "genome.fa")
    with (
        pysam.FastaFile(str(tmp_path / "genome.fa")) as expected,
        pysam.FastaFile(str(browser_folder / "reference.fa")) as copy,
    ):
        assert list(copy.references) == list(CONTIGS)
        for name in CONTIGS:
            assert copy.fetch(name) == expected.fetch(name).upper()
    # As samtools indexes it.
    index = (browser_folder / "reference.fa.fai").read_text()
    (tmp_path / "again.fa").write_bytes((browser_folder / "reference.fa").read_bytes())
    pysam.faidx(str(tmp_path / "again.fa"))
    assert index == (tmp_path / "again.fa.fai").read_text()


def test_the_page_embeds_the_files_that_it_needs(browser_folder):
    page = page_of(browser_folder)
    files = embedded(browser_folder)
    assert sorted(files) == sorted(page["needed"])
    assert all((browser_folder / name).read_bytes() == data for name, data in files.items())
    assert "parts.bed.gz.tbi" in files
    assert "table.tsv.gz" not in files
    assert page["locus"] == "chrA:1001-1080"


def test_the_library_is_the_published_one_and_carries_its_licence(browser_folder):
    vendor = Path(write.__file__).parent / "vendor"
    library = (vendor / "igv.min.js").read_bytes()
    about = (vendor / "README.md").read_text()
    assert hashlib.sha256(library).hexdigest() in about
    assert f"igv {IGV_VERSION}" in about
    assert f'"{IGV_VERSION}"'.encode() in library
    copy = (browser_folder / "igv.min.js").read_bytes()
    assert copy.endswith(library)
    assert b"The MIT License" in copy[:200]
    assert (vendor / "igv.LICENSE.txt").read_bytes().count(b"*/") == 0


def test_texts_cannot_leave_the_page(browser_folder):
    text = (browser_folder / "igv.html").read_text()
    # Its own four scripts end; the description of a track ends none.
    assert text.count("</script>") == 3
    assert "parts </script><b>" in dict(page_of(browser_folder)["files"])["parts.bed.gz"]


def locations(entry: object) -> list[str]:
    if isinstance(entry, list):
        return [uri for part in entry for uri in locations(part)]
    if not isinstance(entry, dict):
        return []
    found = [entry["uri"]] if entry.get("locationType") == "UriLocation" else []
    return found + [uri for part in entry.values() for uri in locations(part)]


def test_jbrowse_finds_every_file(browser_folder):
    config = json.loads((browser_folder / "config.json").read_text())
    assert set(config) == {"assemblies", "tracks", "defaultSession"}
    names = locations(config)
    assert all((browser_folder / unquote(name)).is_file() for name in names)
    assert {"reference.fa", "log%20A.bw", "parts.bed.gz.tbi"} <= set(names)
    tracks = {track["trackId"]: track for track in config["tracks"]}
    assert len(tracks) == len(config["tracks"])
    kinds = {track["name"]: (track["type"], track["adapter"]["type"]) for track in tracks.values()}
    assert kinds == {
        "LLR": ("QuantitativeTrack", "BigWigAdapter"),
        "Rate": ("QuantitativeTrack", "BigWigAdapter"),
        "Empty": ("QuantitativeTrack", "BigWigAdapter"),
        "P": ("MultiQuantitativeTrack", "MultiWiggleAdapter"),
        "Logo": ("MultiQuantitativeTrack", "MultiWiggleAdapter"),
        "Parts": ("FeatureTrack", "BedTabixAdapter"),
    }
    assert all(track["assemblyNames"] == ["hg38"] for track in tracks.values())
    (view,) = config["defaultSession"]["views"]
    assert view["init"]["loc"] == "chrA:1001..1080"
    assert set(view["init"]["tracks"]) == {*tracks, "reference_sequence"}


def test_large_references_and_tracks_are_left_beside_the_page(tmp_path, monkeypatch):
    tracks = make_tracks(tmp_path)
    write_fasta(tmp_path / "genome.fa")
    monkeypatch.setattr(write, "LARGEST_EMBEDDED", 1000)
    monkeypatch.setattr(write, "LARGEST_COPY", LENGTH)
    written = write_browser_files(
        tmp_path, tracks, assembly="mine", contigs=CONTIGS, fasta=tmp_path / "genome.fa"
    )
    assert set(written.files) == {
        *("igv.html", "igv.min.js", "igv_session.xml", "config.json", "chrom.sizes"),
        *("hub.txt", "reference.2bit"),
    }
    assert all(name in FILE_NAMES for name in written.files)
    notes = "; ".join(written.notes)
    assert "no sequence" in notes
    assert "web server" in notes
    assert (tmp_path / "chrom.sizes").read_text() == "chrA\t3000\nchrB\t500\n"
    page = page_of(tmp_path)
    assert page["data"] is None
    assert page["reference"]["format"] == "chromsizes"
    assert page["locus"] == "chrA:1-3000"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["assemblies"][0]["sequence"]["adapter"]["type"] == "ChromSizesAdapter"


def test_files_of_an_earlier_run_do_not_stay(tmp_path, monkeypatch):
    tracks = make_tracks(tmp_path)
    write_browser_files(tmp_path, tracks, assembly="hg38", contigs=CONTIGS)
    assert (tmp_path / "hub.txt").exists()
    monkeypatch.setattr(write, "LARGEST_EMBEDDED", 1000)
    written = write_browser_files(tmp_path, tracks, assembly="other", contigs=CONTIGS)
    assert not {"hub.txt", "igv_data.js"} & {path.name for path in tmp_path.iterdir()}
    assert not {"hub.txt", "igv_data.js"} & set(written.files)


def test_what_is_not_there_is_refused(tmp_path):
    tracks = make_tracks(tmp_path)
    options = {"assembly": "hg38", "contigs": CONTIGS}
    (tmp_path / "parts.bed.gz.tbi").unlink()
    with pytest.raises(InputError, match="has no index"):
        write_browser_files(tmp_path, tracks, **options)
    (tmp_path / "rate.bw").unlink()
    with pytest.raises(InputError, match=r"rate\.bw: the track is not there"):
        write_browser_files(tmp_path, tracks, **options)
    with pytest.raises(ValueError, match="at least one"):
        write_browser_files(tmp_path, [], **options)
    write_fasta(tmp_path / "genome.fa")
    options["contigs"] = {**CONTIGS, "chrB": 501}
    with pytest.raises(InputError, match="'chrB' is not there with 501 bases"):
        write_browser_files(tmp_path, tracks[:1], **options, fasta=tmp_path / "genome.fa")


def test_long_regions_are_not_shown_whole(tmp_path):
    tracks = make_tracks(tmp_path)[:1]
    regions = [Region("chr1", 10_000_000, 90_000_000)]
    contigs = {"chr1": 248_956_422}
    write_browser_files(tmp_path, tracks, assembly="hg38", contigs=contigs, regions=regions)
    assert page_of(tmp_path)["locus"] == "chr1:10000001-10020000"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"kind": "wig"},
        {"colour": (0, 0, 256)},
        {"base": "N"},
        {"base": "A", "kind": "annotation"},
        {"limits": (1.0, 1.0)},
        {"file": "../x.bw"},
        {"file": ""},
        {"name": " "},
    ],
)
def test_tracks_that_no_browser_could_show_are_refused(spoilt):
    values = {"name": "x", "file": "x.bw", "kind": "signal", "description": "x"}
    Track(**values)
    with pytest.raises(ValueError, match=r"."):
        Track(**(values | spoilt))
