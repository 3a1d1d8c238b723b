"""A session of IGV desktop: the tracks of a folder with their colours and limits.

Attributes and elements are those that IGV itself saves (sessions of version 8). Paths are relative
to the session's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from phylotools.browser.track import Track
from phylotools.io.regions import Region

_VERSION = "8"
_SIGNAL_HEIGHT = 60
_BASE_HEIGHT = 24


def session_text(tracks: Sequence[Track], *, genome: str, view: Region) -> str:
    """Text of ``igv_session.xml``.

    Parameters
    ----------
    tracks : sequence of Track
        Tables are left out, and so are tracks that are not shown at first.
    genome : str
        An assembly that IGV has, by its name, or the file of the sequence.
    view : Region
        What is shown at first.

    Returns
    -------
    str
        XML in ASCII.
    """
    shown = [track for track in tracks if track.kind != "table" and track.is_shown]
    session = ElementTree.Element(
        "Session",
        genome=genome,
        locus=f"{view.contig}:{view.start + 1}-{view.end}",
        version=_VERSION,
    )
    resources = ElementTree.SubElement(session, "Resources")
    panel = ElementTree.SubElement(session, "Panel", name="DataPanel")
    for track in shown:
        kind = "bigwig" if track.kind == "signal" else "bed"
        ElementTree.SubElement(resources, "Resource", path=track.file, type=kind)
        _add_track(panel, track)
    # Without its own line here IGV leaves the sequence out.
    below = ElementTree.SubElement(session, "Panel", name="FeaturePanel")
    sequence = "Reference sequence"
    clazz = "org.broad.igv.track.SequenceTrack"
    ElementTree.SubElement(
        below,
        "Track",
        id=sequence,
        attributeKey=sequence,
        name=sequence,
        clazz=clazz,
        visible="true",
    )
    ElementTree.indent(session, "  ")
    text = ElementTree.tostring(session, encoding="us-ascii", xml_declaration=True)
    return text.decode("ascii") + "\n"


def _add_track(panel: ElementTree.Element, track: Track) -> None:
    common = {
        "id": track.file,
        "attributeKey": track.file,
        "name": track.name,
        "color": track.rgb,
        "altColor": track.rgb,
        "visible": "true",
    }
    if track.kind == "annotation":
        clazz = "org.broad.igv.track.FeatureTrack"
        ElementTree.SubElement(panel, "Track", common, clazz=clazz, displayMode="EXPANDED")
        return
    entry = ElementTree.SubElement(
        panel,
        "Track",
        common,
        clazz="org.broad.igv.track.DataSourceTrack",
        height=str(_SIGNAL_HEIGHT if track.base is None else _BASE_HEIGHT),
        renderer="BAR_CHART",
        windowFunction="mean",
        autoScale="true" if track.limits is None else "false",
    )
    if track.limits is not None:
        low, high = track.limits
        ElementTree.SubElement(
            entry,
            "DataRange",
            minimum=f"{low:g}",
            baseline=f"{min(max(0.0, low), high):g}",
            maximum=f"{high:g}",
            drawBaseline="true",
            flipAxis="false",
            type="LINEAR",
        )
