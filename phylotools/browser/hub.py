"""A track hub of the UCSC Genome Browser in one file.

The settings follow the hub track database definition, version 3:
https://genome.ucsc.edu/goldenPath/help/trackDb/trackDbHub.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from phylotools.browser.track import Track, by_group
from phylotools.io.assemblies import ASSEMBLY_ALIASES, assembly_names
from phylotools.io.regions import Region

#: Assemblies that UCSC serves under its own names.
_KNOWN = frozenset(ASSEMBLY_ALIASES.values()) | {
    *("bosTau8", "bosTau9", "canFam3", "canFam4", "canFam5", "canFam6", "dm3", "equCab3"),
    *("felCat9", "galGal5", "gorGor4", "gorGor6", "macFas5", "monDom5", "ornAna2", "oryCun2"),
    *("oviAri4", "panPan2", "panPan3", "panTro5", "panTro6", "ponAbe3", "rheMac8", "rheMac10"),
    *("rn6", "susScr11", "taeGut2", "wuhCor1", "xenTro9", "xenTro10"),
}
#: UCSC serves assemblies of GenBank and RefSeq under their accessions (GenArk).
_ACCESSION = re.compile(r"GC[AF]_[0-9]{9}\.[0-9]+")
_LONGEST_SHORT_LABEL = 17
_LONGEST_LONG_LABEL = 76
#: The address is required, and nobody's: who puts a hub on the web writes their own.
_EMAIL = "nobody@example.org"


def ucsc_genome(assembly: str) -> str | None:
    """The UCSC Genome Browser's name of an assembly.

    Parameters
    ----------
    assembly : str
        Free text that holds a name, such as ``hg38 chrM (rCRS)`` or ``GRCh38.p14``.

    Returns
    -------
    str or None
        None where UCSC is not known to have it.
    """
    for name in assembly_names(assembly):
        if name in _KNOWN or _ACCESSION.fullmatch(name):
            return name
    return None


@dataclass(frozen=True)
class OwnAssembly:
    """An assembly that UCSC does not have, whose sequence comes with the hub.

    Attributes
    ----------
    name : str
        As `own_genome` gives it.
    sequence, sizes : str
        Files of the folder: 2bit, and lengths.
    organism : str
        What the browser calls it.
    view : Region
        What is shown at first.
    """

    name: str
    sequence: str
    sizes: str
    organism: str
    view: Region

    def settings(self) -> list[tuple[str, str]]:
        """The genome's stanza."""
        organism = _label(self.organism, _LONGEST_LONG_LABEL)
        return [
            ("genome", self.name),
            ("twoBitPath", quote(self.sequence)),
            ("chromSizes", quote(self.sizes)),
            ("organism", organism),
            ("scientificName", organism),
            ("description", _label(self.name, _LONGEST_LONG_LABEL)),
            # 1-based, as a reader writes it.
            ("defaultPos", f"{self.view.contig}:{self.view.start + 1}-{self.view.end}"),
            ("orderKey", "1"),
        ]


def own_genome(assembly: str) -> str:
    """Name of an assembly that UCSC does not have: a letter, then letters, digits, ``_.-``."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", assembly).strip("_.-")[:60] or "reference"
    return plain if plain[0].isalpha() else f"genome_{plain}"


def hub_text(tracks: Sequence[Track], genome: str | OwnAssembly, title: str) -> str:
    """Text of ``hub.txt``: hub, genome and tracks in one file, with relative addresses.

    Parameters
    ----------
    tracks : sequence of Track
        Only signals are shown: hubs take no bgzip BED.
    genome : str or OwnAssembly
        As `ucsc_genome` gives it; or one that comes with the hub, which is then an assembly hub.
    title : str
        What the tracks are of.

    Returns
    -------
    str
        ASCII. Tracks by base stand in one multiWig a group: stacked letters where the values are
        heights, else one row each.
    """
    signals = [track for track in tracks if track.kind == "signal"]
    groups = by_group(signals)
    names = track_names([*groups, *(track.name for track in signals)])
    parents = dict(zip(groups, names, strict=False))
    hub = [
        ("hub", "phylotools"),
        ("shortLabel", "phylotools"),
        ("longLabel", _label(title, _LONGEST_LONG_LABEL)),
        ("useOneFile", "on"),
        ("email", _EMAIL),
    ]
    settings = [("genome", genome)] if isinstance(genome, str) else genome.settings()
    stanzas = [_lines(hub), _lines(settings)]
    named = zip(signals, names[len(groups) :], strict=True)
    for priority, (track, name) in enumerate(named, start=1):
        members = groups.get(track.group, []) if track.base is not None else []
        parent = parents[track.group] if members else None
        if members and track is members[0]:
            stanzas.append(_lines(_container(members, str(parent), priority)))
        shown = _signal(track, name, priority, parent)
        stanzas.append(_lines(shown, indent="    " if parent else ""))
    note = "# Write your own address after 'email' before others load this hub.\n"
    return note + "\n".join(stanzas)


def track_names(names: Iterable[str]) -> list[str]:
    """Identifiers for UCSC and JBrowse: a letter, then letters, digits, ``_`` and ``-``.

    Returns
    -------
    list of str
        One for each name, no two the same.
    """
    taken: set[str] = set()
    chosen = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "track"
        if not plain[0].isalpha():
            plain = f"track_{plain}"
        unique, number = plain, 1
        while unique in taken:
            number += 1
            unique = f"{plain}_{number}"
        taken.add(unique)
        chosen.append(unique)
    return chosen


def _signal(track: Track, name: str, priority: int, parent: str | None) -> list[tuple[str, str]]:
    low, high = track.limits or (0.0, 1.0)
    settings = [
        ("track", name),
        ("type", f"bigWig {low:g} {high:g}"),
        ("bigDataUrl", quote(track.file)),
        ("shortLabel", _label(track.name, _LONGEST_SHORT_LABEL)),
        ("longLabel", _label(track.description, _LONGEST_LONG_LABEL)),
        ("color", track.rgb),
        # Else values below zero are drawn in a colour of their own.
        ("altColor", track.rgb),
        ("priority", str(priority)),
    ]
    if parent is not None:
        return [*settings, ("parent", f"{parent} on")]
    settings += [
        ("visibility", "full" if track.is_shown else "hide"),
        ("maxHeightPixels", "128:48:16"),
        *_scale(track),
        ("windowingFunction", "mean"),
    ]
    return [*settings, ("logo", "on")] if track.letters else settings


def _container(bases: Sequence[Track], name: str, priority: int) -> list[tuple[str, str]]:
    # Negative values have no height to stack.
    is_stacked = all(track.is_height for track in bases)
    letters = [str(track.base) for track in bases]
    low, high = bases[0].limits or (0.0, 1.0)
    settings = [
        ("track", name),
        ("container", "multiWig"),
        ("noInherit", "on"),
        ("type", f"bigWig {low:g} {high:g}"),
        ("shortLabel", _label(bases[0].group, _LONGEST_SHORT_LABEL)),
        ("longLabel", _label(f"{bases[0].group}: {', '.join(letters)}", _LONGEST_LONG_LABEL)),
        ("visibility", "full" if bases[0].is_shown else "hide"),
        ("aggregate", "stacked" if is_stacked else "none"),
        ("showSubtrackColorOnUi", "on"),
        ("maxHeightPixels", "128:64:16" if is_stacked else "64:24:8"),
        *_scale(bases[0]),
        ("windowingFunction", "mean"),
        ("priority", str(priority)),
    ]
    return [*settings, ("logo", "on")] if is_stacked else settings


def _scale(track: Track) -> list[tuple[str, str]]:
    if track.limits is None:
        return [("autoScale", "on"), ("alwaysZero", "on")]
    return [("autoScale", "off"), ("viewLimits", f"{track.limits[0]:g}:{track.limits[1]:g}")]


def _label(text: str, longest: int) -> str:
    """A label within its limits; whatever would end a line or continue it is gone."""
    plain = "".join(c if " " <= c <= "~" and c != "\\" else " " for c in text)
    plain = " ".join(plain.split()) or "track"
    return plain if len(plain) <= longest else plain[: longest - 3].rstrip() + "..."


def _lines(settings: Iterable[tuple[str, str]], indent: str = "") -> str:
    return "".join(f"{indent}{name} {value}\n" for name, value in settings)
