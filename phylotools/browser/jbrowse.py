"""``config.json`` of JBrowse 2 (https://jbrowse.org/jb2/docs/config_guide)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from phylotools.browser.hub import track_names
from phylotools.browser.track import Track, by_group
from phylotools.io.indexes import CSI
from phylotools.io.regions import Region


def config_text(
    tracks: Sequence[Track],
    *,
    assembly: str,
    has_sequence: bool,
    indexes: dict[str, str],
    view: Region,
) -> str:
    """Text of ``config.json``, with addresses relative to it.

    Parameters
    ----------
    tracks : sequence of Track
        Tables are left out.
    assembly : str
        Its name.
    has_sequence : bool
        Whether ``reference.fa`` with its index stands in the folder; else ``chrom.sizes`` does.
    indexes : dict of str to str
        File of an annotation -> its tabix index.
    view : Region
        What is shown at first.

    Returns
    -------
    str
    """
    drawn = [track for track in tracks if track.kind != "table"]
    groups = by_group(drawn)
    names = track_names(track.name for track in drawn)
    configured: list[tuple[str, bool, dict[str, Any]]] = []
    for track, name in zip(drawn, names, strict=True):
        members = groups.get(track.group, []) if track.base is not None else []
        if not members:
            entry = _signal(track) if track.kind == "signal" else _annotation(track, indexes)
            configured.append((name, track.is_shown, {"name": track.name, **entry}))
        elif track is members[0]:
            configured.append((name, track.is_shown, _by_base(members)))
    entries = [
        {"trackId": name, "assemblyNames": [assembly], **entry} for name, _, entry in configured
    ]
    config = {
        "assemblies": [_assembly(assembly, has_sequence)],
        "tracks": entries,
        "defaultSession": _session(assembly, view, configured, has_sequence),
    }
    return json.dumps(config, indent=1) + "\n"


def _location(file: str) -> dict[str, str]:
    return {"uri": quote(file), "locationType": "UriLocation"}


def _assembly(assembly: str, has_sequence: bool) -> dict[str, Any]:
    adapter: dict[str, Any] = {
        "type": "ChromSizesAdapter",
        "chromSizesLocation": _location("chrom.sizes"),
    }
    if has_sequence:
        adapter = {
            "type": "IndexedFastaAdapter",
            "fastaLocation": _location("reference.fa"),
            "faiLocation": _location("reference.fa.fai"),
        }
    sequence = {
        "type": "ReferenceSequenceTrack",
        "trackId": "reference_sequence",
        "adapter": adapter,
    }
    return {"name": assembly, "sequence": sequence}


def _bigwig(track: Track) -> dict[str, Any]:
    return {"type": "BigWigAdapter", "bigWigLocation": _location(track.file)}


def _limits(track: Track) -> dict[str, float]:
    if track.limits is None:
        return {}
    return {"minScore": track.limits[0], "maxScore": track.limits[1]}


def _signal(track: Track) -> dict[str, Any]:
    display = {
        "type": "LinearWiggleDisplay",
        "displayId": f"{track.file}-LinearWiggleDisplay",
        "defaultRendering": "xyplot",
        **_limits(track),
        "renderers": {
            "XYPlotRenderer": {
                "type": "XYPlotRenderer",
                "posColor": track.css_colour,
                "negColor": track.css_colour,
            }
        },
    }
    return {
        "type": "QuantitativeTrack",
        "description": track.description,
        "adapter": _bigwig(track),
        "displays": [display],
    }


def _by_base(bases: Sequence[Track]) -> dict[str, Any]:
    adapters = [
        {**_bigwig(track), "source": track.base, "color": track.css_colour} for track in bases
    ]
    display = {
        "type": "MultiLinearWiggleDisplay",
        "displayId": f"{bases[0].file}-MultiLinearWiggleDisplay",
        "defaultRendering": "multirowxy",
        **_limits(bases[0]),
    }
    return {
        "type": "MultiQuantitativeTrack",
        "name": bases[0].group,
        "description": "; ".join(track.description for track in bases),
        "adapter": {"type": "MultiWiggleAdapter", "subadapters": adapters},
        "displays": [display],
    }


def _annotation(track: Track, indexes: dict[str, str]) -> dict[str, Any]:
    index = indexes[track.file]
    adapter = {
        "type": "BedTabixAdapter",
        "bedGzLocation": _location(track.file),
        "index": {
            "indexType": "CSI" if index.endswith(CSI) else "TBI",
            "location": _location(index),
        },
    }
    return {"type": "FeatureTrack", "description": track.description, "adapter": adapter}


def _session(
    assembly: str,
    view: Region,
    configured: Sequence[tuple[str, bool, dict[str, Any]]],
    has_sequence: bool,
) -> dict[str, Any]:
    """The first view, as an `init` that JBrowse resolves itself when it has read the assembly."""
    opened = [name for name, is_shown, _ in configured if is_shown]
    if has_sequence:
        opened.insert(0, "reference_sequence")
    init = {"assembly": assembly, "loc": f"{view.contig}:{view.start + 1}..{view.end}"}
    return {
        "name": "phylotools",
        "views": [
            {
                "id": "phylotools_view",
                "type": "LinearGenomeView",
                "init": {**init, "tracks": opened},
            }
        ],
    }
