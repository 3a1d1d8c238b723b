"""What `tracks` and `tracks-init` both ask for: model, reference, regions, which files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options

if TYPE_CHECKING:
    from phylotools.tracks.plan import TrackSettings

#: Named here so that --help imports no numba; a test compares them with the catalogue.
TRACKS = ("llr_mean", "llr_min", "rate", "entropy", "log_probability", "logo")

_OPTIONS = (
    options.model_option(help="Model [default: the one that ships with phylotools]."),
    options.fasta_option,
    options.regions_option(
        help="Only contig or contig:begin-end (1-based); may be given again "
        "[default: the whole reference]."
    ),
    options.regions_file_option(help="Only these regions."),
    click.option(
        "--tracks",
        metavar="NAME[,NAME]",
        help=f"Which bigWigs: {', '.join(TRACKS)}, none [default: all].",
    ),
    click.option(
        "--snv-table/--no-snv-table",
        default=True,
        show_default=True,
        help="Make the table of all single-nucleotide variants.",
    ),
    click.option(
        "--trained-only",
        is_flag=True,
        help="Leave out positions outside the regions that the model was trained on.",
    ),
    options.precision_option,
)


def track_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is computed."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_settings(given: dict[str, Any]) -> TrackSettings:
    """Settings from the values of `track_options` but model and reference.

    Raises
    ------
    UsageError
        If there is no such track.
    """
    from phylotools.tracks.plan import TrackSettings

    named = given.pop("tracks")
    if named is None:
        tracks = TRACKS
    else:
        names = [name.strip() for name in named.split(",")]
        tracks = () if names == ["none"] else tuple(dict.fromkeys(names))
    return TrackSettings(tracks=tracks, **given)
