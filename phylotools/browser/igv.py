"""An igv.js page that shows the tracks of its folder, from a web server or from disk."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from phylotools.browser.track import Track, by_group
from phylotools.io.regions import Region

IGV_VERSION = "3.8.10"
_HERE = resources.files("phylotools.browser")
_SIGNAL_HEIGHT = 60
_ROW_HEIGHT = 18
_CHUNK = 3 << 20


def igv_library() -> bytes:
    """The library as its authors publish it, below its licence, which goes with every copy."""
    vendor = _HERE / "vendor"
    licence = (vendor / "igv.LICENSE.txt").read_bytes()
    return b"/*\n" + licence + b"*/\n" + (vendor / "igv.min.js").read_bytes()


def igv_page(
    tracks: Sequence[Track],
    *,
    title: str,
    reference: dict[str, str],
    genome: str | None,
    view: Region,
    indexes: dict[str, str],
    needed: Sequence[str],
    data: str | None,
) -> str:
    """Text of ``igv.html``.

    Parameters
    ----------
    tracks : sequence of Track
        Tables are listed, not drawn.
    title : str
    reference : dict of str to str
        igv.js reference; its addresses are names of files in the folder.
    genome : str, optional
        An assembly that igv.js may load from its own hosts if the reader asks for it.
    view : Region
        What is shown at first.
    indexes : dict of str to str
        File of an annotation -> its tabix index.
    needed : sequence of str
        Files that the page reads.
    data : str, optional
        Script that holds those files for a page that is opened from disk.

    Returns
    -------
    str
        HTML in ASCII.
    """
    drawn = [track for track in tracks if track.kind != "table"]
    colours = {track.base: track.css_colour for track in tracks if track.base is not None}
    page: dict[str, Any] = {
        "title": title,
        "reference": reference,
        "genome": genome,
        "locus": f"{view.contig}:{view.start + 1}-{view.end}",
        "tracks": list(_entries(drawn, indexes)),
        "files": [(track.file, f"{track.name}: {track.description}") for track in tracks],
        "needed": list(needed),
        "data": data,
    }
    if len(colours) == 4:
        page["nucleotideColors"] = colours
    template = (_HERE / "igv_page.html").read_text(encoding="utf-8")
    # '<' would let a name close the script that holds it.
    text = json.dumps(page, indent=1).replace("<", "\\u003c")
    return template.replace("__IGV_VERSION__", IGV_VERSION).replace("__PAGE__", text)


def write_embedded(path: Path, folder: Path, files: Iterable[str]) -> None:
    """Write a script that holds files in base64, for pages that may not read what is beside them.

    Parameters
    ----------
    path : Path
        Script to be written.
    folder : Path
    files : iterable of str
        Names in the folder.
    """
    with open(path, "w", encoding="ascii") as script:
        script.write("window.phylotoolsFiles = {\n")
        for name in files:
            script.write(json.dumps(name).replace("<", "\\u003c") + ': "')
            with open(folder / name, "rb") as handle:
                # Chunks of whole triplets: their encodings join to the encoding of the whole.
                while chunk := handle.read(_CHUNK):
                    script.write(base64.b64encode(chunk).decode())
            script.write('",\n')
        script.write("};\n")


def _entries(tracks: Sequence[Track], indexes: dict[str, str]) -> Iterator[dict[str, Any]]:
    groups = by_group(tracks)
    for order, track in enumerate(tracks, start=1):
        if not track.is_shown:
            continue
        members = groups.get(track.group, []) if track.base is not None else []
        if members and track.is_height:
            if track is members[0]:
                yield {"order": order, **_logo(members)}
            continue
        entry: dict[str, Any] = {"name": track.name, "url": track.file, "order": order}
        if track.kind == "annotation":
            entry |= {
                "type": "annotation",
                "format": "bed",
                "color": track.css_colour,
                "indexURL": indexes[track.file],
                "displayMode": "EXPANDED",
            }
        else:
            entry |= _signal(track)
        yield entry


def _logo(members: Sequence[Track]) -> dict[str, Any]:
    """One track that the page draws as a sequence logo."""
    low, high = members[0].limits or (0.0, 1.0)
    parts = [
        {**_signal(track), "name": track.name, "url": track.file, "base": track.base}
        for track in members
    ]
    return {
        "type": "merged",
        "name": members[0].group,
        "height": _SIGNAL_HEIGHT,
        "min": low,
        "max": high,
        "tracks": parts,
    }


def _signal(track: Track) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "wig",
        "format": "bigwig",
        "height": _SIGNAL_HEIGHT,
        "color": track.css_colour,
        "altColor": track.css_colour,
        "graphType": "dynseq" if track.letters else "bar",
    }
    if track.limits is None:
        return entry | {"autoscale": True}
    low, high = track.limits
    entry |= {"min": low, "max": high}
    if track.base is None or track.is_height:
        return entry
    scale = {
        "type": "gradient",
        "min": low,
        "max": high,
        "minColor": "rgb(255,255,255)",
        "maxColor": track.css_colour,
    }
    return entry | {"graphType": "heatmap", "height": _ROW_HEIGHT, "colorScale": scale}
