"""hub.txt against the documented rules of UCSC track hubs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hub_rules import HubError, check_hub
from hypothesis import given
from hypothesis import strategies as st

from phylotools.browser import Track
from phylotools.browser.hub import hub_text, track_names, ucsc_genome


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
