"""All files that browsers open, for the tracks of one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phylotools.browser.hub import OwnAssembly, hub_text, own_genome, ucsc_genome
from phylotools.browser.igv import igv_library, igv_page, write_embedded
from phylotools.browser.igv_session import session_text
from phylotools.browser.jbrowse import config_text
from phylotools.browser.track import Track
from phylotools.errors import InputError
from phylotools.io.bases import LETTER_OF_CODE
from phylotools.io.genome import ReferenceGenome
from phylotools.io.indexes import POSITION_INDEXES
from phylotools.io.regions import Region, RegionSet
from phylotools.io.two_bit import LONGEST_NAME, write_two_bit

TWO_BIT = "reference.2bit"
#: Every name that `write_browser_files` may write.
FILE_NAMES = (
    "hub.txt",
    "igv.html",
    "igv.min.js",
    "igv_data.js",
    "config.json",
    "igv_session.xml",
    "chrom.sizes",
    TWO_BIT,
    "reference.fa",
    "reference.fa.fai",
)
#: A larger reference is not copied into the folder: browsers then show lengths alone.
LARGEST_COPY = 32_000_000
_LINE = 60
#: Files of more bytes in all are not copied into ``igv_data.js``.
LARGEST_EMBEDDED = 64 << 20
#: Bases in the first view: more than a screen has pixels for, few enough to load at once.
_WIDEST_VIEW = 20_000


@dataclass(frozen=True)
class BrowserFiles:
    """Names of the browser files written, and notes on those left out.

    Attributes
    ----------
    files : tuple of str
        Names in the folder.
    notes : tuple of str
        What was left out, and why; one clause each.
    """

    files: tuple[str, ...]
    notes: tuple[str, ...]


def write_browser_files(
    folder: str | os.PathLike[str],
    tracks: Sequence[Track],
    *,
    assembly: str,
    contigs: Mapping[str, int],
    fasta: str | os.PathLike[str] | None = None,
    regions: RegionSet | None = None,
    title: str | None = None,
) -> BrowserFiles:
    """Write ``hub.txt``, ``igv.html``, ``config.json`` and a session beside the tracks of a folder.

    All addresses are relative, so that the folder can be moved and put on any web server. Files of
    these names are replaced; call it on a folder that is still being made.

    Parameters
    ----------
    folder : str or PathLike
        Holds the tracks, complete, with their indexes.
    tracks : sequence of Track
        In the order in which they are shown.
    assembly : str
        Free text with the assembly's name, such as ``hg38`` or ``GRCh38.p14``.
    contigs : mapping of str to int
        Name -> length in bases, in the order of the reference.
    fasta : str or PathLike, optional
        The reference; copied if it has at most `LARGEST_COPY` bases.
    regions : RegionSet, optional
        Where the tracks hold values; the first one is shown first. Default: the first contig.
    title : str, optional
        Default: the assembly.

    Returns
    -------
    BrowserFiles

    Raises
    ------
    InputError
        If a track or its index is not there, or the FASTA does not hold the contigs.
    ValueError
        If there is no track or no contig.
    """
    if not tracks or not contigs:
        raise ValueError("browsers need at least one track and one contig")
    folder = Path(folder)
    indexes = _indexes(folder, tracks)
    title = title or assembly or "phylotools"
    genome = ucsc_genome(assembly)
    view = _first_view(contigs, regions)
    notes = []

    has_sequence = fasta is not None and sum(contigs.values()) <= LARGEST_COPY
    if fasta is not None and has_sequence:
        _write_reference(folder, Path(fasta), contigs)
        written = ["reference.fa", "reference.fa.fai"]
        reference = {"fastaURL": "reference.fa", "indexURL": "reference.fa.fai"}
    else:
        written = ["chrom.sizes"]
        reference = {"fastaURL": "chrom.sizes", "format": "chromsizes"}
        notes.append("the browser pages have no sequence: the reference is large or not given")
    _write_sizes(folder / "chrom.sizes", contigs)
    shown = [track.file for track in tracks if track.kind != "table" and track.is_shown]
    needed = [*written, *shown, *(indexes[file] for file in shown if file in indexes)]

    hub_genome = genome or _own_assembly(folder, assembly, fasta, contigs, view)
    if not isinstance(hub_genome, OwnAssembly):
        (folder / TWO_BIT).unlink(missing_ok=True)
    if hub_genome is not None:
        (folder / "hub.txt").write_text(hub_text(tracks, hub_genome, title), encoding="ascii")
    else:
        (folder / "hub.txt").unlink(missing_ok=True)
        notes.append(f"no hub.txt: UCSC has no known assembly {assembly!r}; see --assembly")
    data = _embed(folder, needed)
    if data is None:
        notes.append("the files are large: igv.html needs a web server or asks for the files")
    (folder / "igv.min.js").write_bytes(igv_library())
    page = igv_page(
        tracks,
        title=title,
        reference={"id": genome or assembly or "reference", **reference},
        genome=genome,
        view=view,
        indexes=indexes,
        needed=needed,
        data=data,
    )
    (folder / "igv.html").write_text(page, encoding="ascii")
    config = config_text(
        tracks,
        assembly=genome or assembly or "reference",
        has_sequence=has_sequence,
        indexes=indexes,
        view=view,
    )
    (folder / "config.json").write_text(config, encoding="ascii")
    # Where IGV has no such assembly the sequence is opened, or, for want of one, its lengths.
    session = session_text(tracks, genome=genome or written[0], view=view)
    (folder / "igv_session.xml").write_text(session, encoding="ascii")
    return BrowserFiles(
        tuple(name for name in FILE_NAMES if (folder / name).exists()), tuple(notes)
    )


def _own_assembly(
    folder: Path,
    assembly: str,
    fasta: str | os.PathLike[str] | None,
    contigs: Mapping[str, int],
    view: Region,
) -> OwnAssembly | None:
    """An assembly of which UCSC has nothing, with its sequence in the folder.

    None without a FASTA, or with names of contigs that 2bit has no room for.
    """
    if fasta is None or any(len(name.encode()) > LONGEST_NAME for name in contigs):
        return None
    with ReferenceGenome.open(fasta) as genome:
        write_two_bit(folder / TWO_BIT, genome, contigs)
    organism = assembly or "reference"
    return OwnAssembly(own_genome(assembly), TWO_BIT, "chrom.sizes", organism, view)


def _indexes(folder: Path, tracks: Sequence[Track]) -> dict[str, str]:
    """Tabix index of every annotation; every file is there."""
    indexes = {}
    for track in tracks:
        if not (folder / track.file).is_file():
            raise InputError("the track is not there", path=folder / track.file)
        if track.kind != "annotation":
            continue
        found = [s for s in POSITION_INDEXES if (folder / (track.file + s)).is_file()]
        if not found:
            raise InputError(
                "has no index", path=folder / track.file, remedy="make it with `tabix -p bed`"
            )
        indexes[track.file] = track.file + found[0]
    return indexes


def _first_view(contigs: Mapping[str, int], regions: RegionSet | None) -> Region:
    if regions:
        first = next(iter(regions))
        return Region(first.contig, first.start, min(first.end, first.start + _WIDEST_VIEW))
    contig, length = next(iter(contigs.items()))
    return Region(contig, 0, length)


def _embed(folder: Path, needed: Sequence[str]) -> str | None:
    """Name of the script that holds the files, or None where they are too large for one."""
    path = folder / "igv_data.js"
    if sum((folder / name).stat().st_size for name in needed) > LARGEST_EMBEDDED:
        path.unlink(missing_ok=True)
        return None
    write_embedded(path, folder, needed)
    return path.name


def _write_sizes(path: Path, contigs: Mapping[str, int]) -> None:
    """Write ``chrom.sizes``: name and length, separated by a tab."""
    lines = (f"{name}\t{length}\n" for name, length in contigs.items())
    path.write_text("".join(lines), encoding="utf-8")


def _write_reference(folder: Path, fasta: Path, contigs: Mapping[str, int]) -> None:
    """Write ``reference.fa`` and its ``.fai``: the contigs, in lines of equal length.

    Letters other than A, C, G and T become N. `InputError` if the FASTA lacks a contig.
    """
    with (
        ReferenceGenome.open(fasta) as genome,
        open(folder / "reference.fa", "wb") as sequence,
        open(folder / "reference.fa.fai", "w", encoding="utf-8") as index,
    ):
        for contig, length in contigs.items():
            if genome.contigs.get(contig) != length:
                raise InputError(
                    f"contig {contig!r} is not there with {length} bases",
                    path=fasta,
                    remedy="give the FASTA that the tracks were made from",
                )
            sequence.write(f">{contig}\n".encode())
            index.write(f"{contig}\t{length}\t{sequence.tell()}\t{_LINE}\t{_LINE + 1}\n")
            letters = LETTER_OF_CODE[genome.bases(Region(contig, 0, length))].tobytes()
            for start in range(0, length, _LINE):
                sequence.write(letters[start : start + _LINE] + b"\n")
