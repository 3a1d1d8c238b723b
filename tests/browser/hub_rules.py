"""The rules of UCSC track hubs, written down apart from what writes hubs.

From https://genome.ucsc.edu/goldenPath/help/trackDb/trackDbHub.html (version 3) and what the
program `hubCheck` refuses: a missing setting, two tracks of one name, a parent that is none or
comes later, a container with one subtrack or with data of its own, an unknown setting or type.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import py2bit

Stanza = dict[str, str]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_RGB = re.compile(r"[0-9]{1,3},[0-9]{1,3},[0-9]{1,3}")
_SWITCH = re.compile(r"on|off")
#: Setting -> what it may say. Settings of other kinds of tracks are left out: ours have none.
_SETTINGS = {
    "track": _NAME,
    "type": re.compile(rf"bigWig ({_NUMBER}) ({_NUMBER})"),
    "shortLabel": re.compile(r"[ -~]{1,17}"),
    "longLabel": re.compile(r"[ -~]{1,76}"),
    "bigDataUrl": re.compile(r"[A-Za-z0-9._~%-]+"),
    "color": _RGB,
    "altColor": _RGB,
    "priority": re.compile(_NUMBER),
    "visibility": re.compile("hide|dense|squish|pack|full"),
    "maxHeightPixels": re.compile(r"(\d+):(\d+):(\d+)"),
    "autoScale": re.compile("on|off|group"),
    "alwaysZero": _SWITCH,
    "viewLimits": re.compile(rf"({_NUMBER}):({_NUMBER})"),
    "windowingFunction": re.compile(r"mean|mean\+whiskers|maximum|minimum"),
    "logo": re.compile("on"),
    "container": re.compile("multiWig"),
    "noInherit": _SWITCH,
    "aggregate": re.compile("transparentOverlay|stacked|solidOverlay|none"),
    "showSubtrackColorOnUi": _SWITCH,
    "parent": re.compile(r"[A-Za-z][A-Za-z0-9_-]*( on| off)?"),
}

#: Settings of a genome in an assembly hub.
_OF_GENOMES = {
    *("genome", "twoBitPath", "chromSizes", "organism", "scientificName", "description"),
    *("defaultPos", "orderKey", "groups", "htmlPath", "chromAlias"),
}


class HubError(Exception):
    """A rule that a hub breaks."""


def stanzas_of(text: str) -> list[Stanza]:
    """Blocks of lines between empty lines; a line is a setting, a blank and a value."""
    blocks: list[Stanza] = [{}]
    for line in text.splitlines():
        if not line.strip():
            blocks.append({})
        elif not line.lstrip().startswith("#"):
            name, _, value = line.strip().partition(" ")
            if not value.strip() or line.endswith("\\"):
                raise HubError(f"no value: {line!r}")
            if name in blocks[-1]:
                raise HubError(f"{name} twice in one stanza")
            blocks[-1][name] = value.strip()
    return [block for block in blocks if block]


def check_hub(path: Path) -> list[Stanza]:
    """Stanzas of the tracks of a hub in one file that keeps all rules."""
    text = path.read_text(encoding="ascii")
    hub, genome, *tracks = stanzas_of(text)
    missing = {"hub", "shortLabel", "longLabel", "email", "useOneFile"} - set(hub)
    if missing or next(iter(hub)) != "hub" or hub["useOneFile"] != "on":
        raise HubError(f"the first stanza is no hub in one file; {missing} missing")
    if not re.fullmatch(r"\S+", hub["hub"]) or "@" not in hub["email"]:
        raise HubError("hub and email are one word each")
    _check_genome(genome, path.parent)
    if not tracks:
        raise HubError("no track")
    by_name: dict[str, Stanza] = {}
    for track in tracks:
        _check_track(track, path.parent)
        if track["track"] in by_name:
            raise HubError(f"two tracks {track['track']}")
        if "parent" in track:
            parent = by_name.get(track["parent"].split()[0])
            if parent is None or "container" not in parent:
                raise HubError(f"{track['track']}: its parent is no container before it")
        by_name[track["track"]] = track
    for track in tracks:
        children = [t for t in tracks if t.get("parent", "").split()[:1] == [track["track"]]]
        if "container" in track and len(children) < 2:
            raise HubError(f"{track['track']}: a multiWig has more than one subtrack")
    return tracks


def _check_genome(genome: Stanza, folder: Path) -> None:
    """One that UCSC has is its name; one of an assembly hub brings its sequence.

    From https://genome.ucsc.edu/goldenPath/help/assemblyHubHelp.html, with the sequence read by
    another's reader.
    """
    if next(iter(genome)) != "genome":
        raise HubError("the second stanza names no genome")
    if list(genome) == ["genome"]:
        if not re.fullmatch(r"\w+(\.\d+)?", genome["genome"]):
            raise HubError("the genome's name is none of UCSC's")
        return
    missing = {"twoBitPath", "organism", "defaultPos", "scientificName", "description"} - set(
        genome
    )
    unknown = set(genome) - _OF_GENOMES
    if missing or unknown:
        raise HubError(f"the genome lacks {missing}, or has {unknown}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", genome["genome"]):
        raise HubError("the genome's name has letters that an address cannot hold")
    if not genome.get("orderKey", "0").isdigit():
        raise HubError("orderKey is a number")
    sequence = folder / unquote(genome["twoBitPath"])
    if not sequence.is_file():
        raise HubError(f"no file {genome['twoBitPath']}")
    handle = py2bit.open(str(sequence))
    lengths = handle.chroms()
    handle.close()
    place = re.fullmatch(r"(\S+):(\d+)-(\d+)", genome["defaultPos"])
    if place is None or not 1 <= int(place[2]) <= int(place[3]) <= lengths.get(place[1], 0):
        raise HubError(f"defaultPos {genome['defaultPos']} is not in the sequence")
    if "chromSizes" in genome:
        lines = (folder / unquote(genome["chromSizes"])).read_text().splitlines()
        if {name: int(size) for name, size in (line.split("\t") for line in lines)} != lengths:
            raise HubError("chromSizes and twoBitPath do not agree")


def _check_track(track: Stanza, folder: Path) -> None:
    if next(iter(track)) != "track":
        raise HubError(f"a stanza begins with {next(iter(track))}")
    is_container = "container" in track
    needed = {"type", "shortLabel", "longLabel"} | (set() if is_container else {"bigDataUrl"})
    if needed - set(track):
        raise HubError(f"{track['track']}: {needed - set(track)} missing")
    if is_container and "bigDataUrl" in track:
        raise HubError(f"{track['track']}: a container with data of its own")
    for name, value in track.items():
        if name not in _SETTINGS or not _SETTINGS[name].fullmatch(value):
            raise HubError(f"{track['track']}: {name} {value!r}")
    for name in ("type", "viewLimits"):
        match = _SETTINGS[name].fullmatch(track.get(name, ""))
        if match and not float(match[1]) < float(match[2]):
            raise HubError(f"{track['track']}: {name} does not rise")
    for name in ("color", "altColor"):
        if any(int(part) > 255 for part in track.get(name, "0").split(",")):
            raise HubError(f"{track['track']}: {name} above 255")
    heights = [int(part) for part in track.get("maxHeightPixels", "3:2:1").split(":")]
    if heights != sorted(heights, reverse=True):
        raise HubError(f"{track['track']}: maxHeightPixels is maximum:default:minimum")
    if not is_container and not (folder / unquote(track["bigDataUrl"])).is_file():
        raise HubError(f"{track['track']}: no file {track['bigDataUrl']}")
