"""What `preprocess` and `preprocess-init` both ask for: the alignment, and what is wanted of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from phylotools.cli import options

if TYPE_CHECKING:
    from phylotools.preprocess.plan import Settings

#: Named here so that --help imports no numba; a test compares them with the policies.
DUPLICATES = ("best-identity", "first", "consensus", "drop")

_OPTIONS = (
    click.option("--tree", required=True, metavar="TREE.nh", help="Newick tree with lengths."),
    options.fasta_option,
    click.option(
        "--reference",
        metavar="SPECIES",
        help="Species whose coordinates are used [default: that of the first row].",
    ),
    click.option(
        "--species",
        metavar="A,B,...|FILE",
        help="Keep these species only: names with commas between, or a file with one a line.",
    ),
    click.option(
        "--unknown-species",
        type=click.Choice(["error", "drop"]),
        default="error",
        show_default=True,
        help="What to do with rows of species that are not in the tree.",
    ),
    click.option(
        "--duplicates",
        type=click.Choice(DUPLICATES),
        default=DUPLICATES[0],
        show_default=True,
        help="Which of several rows of a species in a block stays.",
    ),
    click.option(
        "-r",
        "--regions",
        metavar="REGION[,...]",
        help="Store these positions only: contig, contig:begin-end (1-based).",
    ),
    click.option("-R", "--regions-file", metavar="BED", help="Store these positions only."),
    click.option("--exclude", metavar="BED", help="Leave these positions out."),
    click.option(
        "--weights",
        metavar="BED",
        help="Weight of positions in training (column 4) [default: 1].",
    ),
    click.option(
        "--minimum-species",
        type=click.IntRange(0),
        default=0,
        metavar="N",
        help="Leave out columns with fewer species with A, C, G or T, the reference counted.",
    ),
)


def alignment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is read and stored."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_settings(given: dict[str, Any]) -> Settings:
    """Settings from the values of `alignment_options`.

    Raises
    ------
    InputError
        If a file of species names cannot be read.
    """
    from phylotools.preprocess.plan import Settings

    regions, species = given.pop("regions"), given.pop("species")
    return Settings(
        **{key: value for key, value in given.items() if key != "unknown_species"},
        drop_unknown=given["unknown_species"] == "drop",
        regions=tuple(regions.split(",")) if regions else (),
        species=_species(species) if species else (),
    )


def _species(text: str) -> tuple[str, ...]:
    from phylotools.errors import InputError
    from phylotools.io.files import read_small_text

    if not os.path.exists(text):
        return tuple(name.strip() for name in text.split(",") if name.strip())
    lines = (line.strip() for line in read_small_text(text).splitlines())
    names = tuple(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise InputError("holds no species", path=text, remedy="write one name a line")
    return names
