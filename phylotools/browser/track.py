"""Name, file, colours and limits of one browser track."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from phylotools.io.bases import BASES

Kind = Literal["signal", "annotation", "table"]
KINDS: tuple[Kind, ...] = ("signal", "annotation", "table")


@dataclass(frozen=True)
class Track:
    """A file of a folder, and how browsers show it.

    Attributes
    ----------
    name : str
        Short: what browsers write beside the track.
    file : str
        Name of the file in the folder.
    kind : {'signal', 'annotation', 'table'}
        ``signal``: bigWig. ``annotation``: bgzip BED with its ``.tbi`` or ``.csi``. ``table``:
        anything else, which no browser draws; the page links to it.
    description : str
        One line, with the unit.
    colour : (int, int, int)
        Red, green and blue, 0 to 255.
    limits : (float, float), optional
        Lowest and highest value shown of a signal; without, browsers scale by what is in view.
    letters : bool
        Near by, draw the reference base as a letter as high as the signal ("dynseq").
    base : {'A', 'C', 'G', 'T'}, optional
        The base that the values are of.
    group : str
        Title of the tracks by base that belong together. Values of 0 or more are heights in a
        sequence logo; others are shown in one row a base.
    is_shown : bool
        Whether the track is on at first.

    Raises
    ------
    ValueError
        If a value is none of these.
    """

    name: str
    file: str
    kind: Kind
    description: str
    colour: tuple[int, int, int] = (68, 68, 68)
    limits: tuple[float, float] | None = None
    letters: bool = False
    base: str | None = None
    group: str = "A, C, G and T"
    is_shown: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        if len(self.colour) != 3 or not all(0 <= part <= 255 for part in self.colour):
            raise ValueError(f"{self.name}: colour {self.colour} is not three of 0 to 255")
        if self.base is not None and (self.base not in tuple(BASES) or self.kind != "signal"):
            raise ValueError(f"{self.name}: base {self.base!r} is none of A, C, G and T")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError(f"{self.name}: limits {self.limits} are no rising pair")
        if not self.name.strip() or "/" in self.file or self.file in ("", ".", ".."):
            raise ValueError(f"{self.name!r}: {self.file!r} is no file of the folder")

    @property
    def rgb(self) -> str:
        """``red,green,blue``."""
        return ",".join(map(str, self.colour))

    @property
    def css_colour(self) -> str:
        """``rgb(red,green,blue)``."""
        return f"rgb({self.rgb})"

    @property
    def is_height(self) -> bool:
        """Whether the values can be stacked as heights of letters."""
        return self.limits is not None and self.limits[0] >= 0


def by_group(tracks: Iterable[Track]) -> dict[str, list[Track]]:
    """Tracks by base that belong together; a lone one is a track as any other."""
    groups: dict[str, list[Track]] = {}
    for track in tracks:
        if track.base is not None:
            groups.setdefault(track.group, []).append(track)
    return {title: members for title, members in groups.items() if len(members) > 1}
