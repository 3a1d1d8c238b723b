"""hub.txt against the documented rules of UCSC track hubs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import py2bit
import pysam
import pytest
from hub_rules import HubError, check_hub
from hypothesis import given
from hypothesis import strategies as st
from small_tracks import CONTIGS, VIEW, make_tracks, write_fasta

from phylotools.browser import Track, write_browser_files
from phylotools.browser.hub import hub_text, own_genome, track_names, ucsc_genome


def test_a_hub_keeps_the_rules(browser_folder):
    tracks = check_hub(browser_folder / "hub.txt")
    by_name = {track["track"]: track for track in tracks}
    assert (browser_folder / "hub.txt").read_text().count("genome hg38\n") == 1
    assert by_name["LLR"]["logo"] == "on"
    assert by_name["LLR"]["viewLimits"] == "-10:2"
    assert "logo" not in by_name["Rate"]
    # Letters are stacked where they have a height; logarithms have none.
    assert by_name["Logo"]["aggregate"] == "stacked"
    assert by_name["Logo"]["logo"] == "on"
    assert by_name["P"]["aggregate"] == "none"
    assert "logo" not in by_name["P"]
    children = [track for track in tracks if track.get("parent") == "Logo on"]
    assert [track["bigDataUrl"] for track in children] == [f"logo_{b}.bw" for b in "ACGT"]
    assert by_name["log_P_A"]["bigDataUrl"] == "log%20A.bw"
    # Neither bgzip BED nor tables can be shown.
    assert not {"Parts", "Table"} & set(by_name)


def spoil(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("email nobody@example.org\n", ""),
        ("useOneFile on\n", ""),
        ("genome hg38\n", ""),
        ("track Rate\n", "track LLR\n"),
        ("track Rate\n", "track 2Rate\n"),
        ("track Rate\n", "track Ra.te\n"),
        ("shortLabel Rate\n", ""),
        ("shortLabel Rate\n", "shortLabel Rate of all the sites\n"),
        ("bigDataUrl rate.bw\n", ""),
        ("bigDataUrl rate.bw\n", "bigDataUrl gone.bw\n"),
        ("type bigWig 0 4\n", "type bigWig 4 0\n"),
        ("type bigWig 0 4\n", "type bigWig\n"),
        ("parent Logo on", "parent Other on"),
        ("container multiWig\n", "container multiWig\nbigDataUrl rate.bw\n"),
        ("container multiWig\n", ""),
        ("visibility full\n", "visibility open\n"),
        ("autoScale off\n", "autoscale off\n"),
    ],
)
def test_the_rules_refuse_spoilt_hubs(browser_folder, tmp_path, old, new):
    for file in browser_folder.glob("*.bw"):
        (tmp_path / file.name).symlink_to(file)
    hub = tmp_path / "hub.txt"
    hub.write_text((browser_folder / "hub.txt").read_text())
    check_hub(hub)
    hub.write_text(spoil(hub.read_text(), old, new))
    with pytest.raises(HubError):
        check_hub(hub)


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.text(), st.sampled_from([None, *"ACGT"]), st.text()),
        min_size=1,
        max_size=8,
    ),
    st.text(),
)
def test_any_name_gives_a_hub_that_keeps_the_rules(tmp_path_factory, texts, title):
    folder = tmp_path_factory.getbasetemp() / "hub_names"
    folder.mkdir(exist_ok=True)
    (folder / "a.bw").touch()
    tracks = [
        Track(name, "a.bw", "signal", text, limits=(-1.5, 1e-7), base=base, group=group)
        for name, text, base, group in texts
        if name.strip()
    ]
    if not tracks:
        return
    hub = folder / "hub.txt"
    hub.write_text(hub_text(tracks, "hg38", title), encoding="ascii")
    shown = [track for track in check_hub(hub) if "container" not in track]
    assert len(shown) == len(tracks)


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    """Tracks on an assembly of which UCSC has nothing."""
    folder = tmp_path_factory.mktemp("own")
    fasta = tmp_path_factory.mktemp("genome") / "genome.fa"
    write_fasta(fasta)
    written = write_browser_files(
        folder, make_tracks(folder), assembly="Mus \u00e9 minor v1.2", contigs=CONTIGS, fasta=fasta,
        regions=[VIEW],
    )  # fmt: skip
    assert written.notes == ()
    assert {"hub.txt", "reference.2bit"} <= set(written.files)
    return folder


def test_an_assembly_that_ucsc_lacks_comes_with_its_sequence(own_folder):
    text = (own_folder / "hub.txt").read_text()
    check_hub(own_folder / "hub.txt")
    assert "genome Mus_minor_v1.2\n" in text
    assert "twoBitPath reference.2bit\n" in text
    assert "organism Mus minor v1.2\n" in text
    assert "defaultPos chrA:1001-1080\n" in text
    handle = py2bit.open(str(own_folder / "reference.2bit"), True)
    with pysam.FastaFile(str(own_folder / "reference.fa")) as plain:
        for contig, length in CONTIGS.items():
            assert handle.sequence(contig, 0, length).upper() == plain.fetch(contig)
    # What the user has in lower case is masked; the plain copy has lost it.
    assert handle.softMaskedBlocks("chrA")
    handle.close()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("twoBitPath reference.2bit\n", ""),
        ("twoBitPath reference.2bit\n", "twoBitPath gone.2bit\n"),
        ("organism Mus minor v1.2\n", ""),
        ("defaultPos chrA:1001-1080\n", "defaultPos chrA:1001-3001\n"),
        ("defaultPos chrA:1001-1080\n", "defaultPos chrC:1-2\n"),
        ("genome Mus_minor_v1.2\n", "genome Mus minor\n"),
        ("orderKey 1\n", "orderKey first\n"),
        ("orderKey 1\n", "orderkey 1\n"),
    ],
)
def test_the_rules_refuse_spoilt_assemblies(own_folder, tmp_path, old, new):
    for file in own_folder.iterdir():
        if file.name != "hub.txt":
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "hub.txt").write_text(spoil((own_folder / "hub.txt").read_text(), old, new))
    with pytest.raises(HubError):
        check_hub(tmp_path / "hub.txt")


def test_names_of_own_assemblies():
    assert own_genome("Mus minor v1.2") == "Mus_minor_v1.2"
    assert own_genome("../3 x") == "genome_3_x"
    assert own_genome("\u00e9\u00e9") == "reference"
    assert own_genome("") == "reference"


def test_without_a_sequence_or_room_for_a_name_there_is_no_hub(tmp_path):
    track = make_tracks(tmp_path)[:1]
    write_fasta(tmp_path / "genome.fa")
    (tmp_path / "genome.fa").write_text(
        (tmp_path / "genome.fa").read_text() + f">{'x' * 256}\nACGT\n"
    )
    options = {"assembly": "mine", "contigs": CONTIGS}
    first = write_browser_files(tmp_path, track, **options, fasta=tmp_path / "genome.fa")
    assert "reference.2bit" in first.files
    # Of an earlier run nothing stays.
    second = write_browser_files(tmp_path, track, **options)
    assert not {"reference.2bit", "hub.txt"} & set(second.files)
    assert any("no hub.txt" in note for note in second.notes)
    options["contigs"] = {**CONTIGS, "x" * 256: 4}
    third = write_browser_files(tmp_path, track, **options, fasta=tmp_path / "genome.fa")
    assert not {"reference.2bit", "hub.txt"} & set(third.files)
    # UCSC's own assemblies bring their own sequence.
    options |= {"assembly": "hg38"}
    assert "reference.2bit" not in write_browser_files(tmp_path, track, **options).files


def test_names_of_tracks_are_unique():
    assert track_names(["a b", "a_b", "a-b", "a b", "1", "é"]) == [
        "a_b", "a_b_2", "a-b", "a_b_3", "track_1", "track",
    ]  # fmt: skip
    # A name that a number was added to is taken as well.
    assert track_names(["x", "x", "x_2"]) == ["x", "x_2", "x_2_2"]


@pytest.mark.parametrize(
    ("assembly", "genome"),
    [
        ("hg38", "hg38"),
        ("hg38 chrM (rCRS, NC_012920.1)", "hg38"),
        ("GRCh38.p14", "hg38"),
        ("Homo sapiens (T2T-CHM13v2.0)", "hs1"),
        ("mm39", "mm39"),
        ("GRCm38", "mm10"),
        ("GCF_000001735.4", "GCF_000001735.4"),
        ("reference.fa", None),
        ("hg3", None),
        ("", None),
    ],
)
def test_assemblies_are_known_by_their_usual_names(assembly, genome):
    assert ucsc_genome(assembly) == genome


def test_signals_without_limits_are_scaled_by_the_browser(tmp_path: Path):
    (tmp_path / "x.bw").touch()
    track = Track("x", "x.bw", "signal", "x", is_shown=False)
    (tmp_path / "hub.txt").write_text(hub_text([track], "hg38", "x"))
    (stanza,) = check_hub(tmp_path / "hub.txt")
    assert stanza["autoScale"] == "on"
    assert stanza["visibility"] == "hide"
    shown = dataclasses.replace(track, base="A")
    (tmp_path / "hub.txt").write_text(hub_text([shown], "hg38", "x"))
    # A lone base has no container: a multiWig of one is refused.
    (stanza,) = check_hub(tmp_path / "hub.txt")
    assert "parent" not in stanza
