"""A training configuration with its reasons, as TOML."""

from __future__ import annotations

import os
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import tomli_w

from phylotools.errors import InputError, UsageError, counted
from phylotools.proposal.choices import Choice, choose
from phylotools.proposal.survey import StoreSurvey, survey_store
from phylotools.training.column_weights import column_weights
from phylotools.training.config import TrainingConfig
from phylotools.training.config_file import parse_config
from phylotools.training.held_out_draw import held_out_columns
from phylotools.version import __version__

_WIDTH = 96
_NAMED_CONTIGS = 3


def propose_configuration(stores: Sequence[str], folder: Path) -> str:
    """The text of a configuration for stores, to be put into a folder.

    Parameters
    ----------
    stores : sequence of str
        Paths of column stores.
    folder : Path
        Where the file will lie: relative paths are written as they are from there.

    Returns
    -------
    str
        TOML, which `read_config` takes.

    Raises
    ------
    UsageError
        If a store is given twice.
    InputError
        If one is no store, damaged, or has no column to train on.
    """
    real = [os.path.realpath(store) for store in stores]
    for store, path in zip(stores, real, strict=True):
        if real.count(path) > 1:
            raise UsageError(f"{store} is given more than once")
    names = [_path_from(store, folder) for store in stores]
    surveys = [survey_store(Path(store)) for store in stores]
    draft = _config_of(choose(surveys, names, ""), folder)
    chosen = choose(surveys, names, _held_out_words(draft, surveys))
    text = "\n".join([*_head(surveys), *_tables(chosen)]) + "\n"
    _config_of(chosen, folder)
    return text


def _path_from(store: str, folder: Path) -> str:
    """A store's path as a file in the folder names it."""
    path = store if os.path.isabs(store) else os.path.relpath(store, folder)
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that are no text
        raise InputError(
            "the name is not UTF-8, and TOML cannot hold it", path=store, remedy="rename it"
        ) from None
    return path


def _config_of(choices: Sequence[Choice], folder: Path) -> TrainingConfig:
    """The configuration as training reads it."""
    values = tomllib.loads("\n".join(_tables(choices)))
    config, errors = parse_config(values, folder)
    if config is None:
        raise InputError("; ".join(errors))
    return config


def _held_out_words(config: TrainingConfig, surveys: Sequence[StoreSurvey]) -> str:
    """What the configuration holds out."""
    stores = [survey.store for survey in surveys]
    regions = held_out_columns(config, stores, column_weights(config, stores)).listed
    whole = [
        region
        for region in regions
        if any(len(region) == survey.store.contigs.get(region.contig) for survey in surveys)
    ]
    n_contigs = sum(len(survey.contig_columns) for survey in surveys)
    n_parts = len(regions) - len(whole)
    words = []
    if whole:
        words.append(f"{len(whole):,} of {counted(n_contigs, 'contig')}")
    if n_parts:
        words.append(f"{counted(n_parts, 'stretch', 'stretches')} of neighbouring columns")
    return " and ".join(words) + f", {config.data.drawn_fraction:.0%} of the columns"


def _head(surveys: Sequence[StoreSurvey]) -> Iterator[str]:
    """Comments on the whole: what the file is, the stores, what to look at."""
    yield f"# A training configuration, written by phylotools {__version__} (train --init)."
    yield "# Each choice has its reason above it: change what you know better."
    yield "# All keys: docs/training.md"
    yield "# Next: phylotools train THIS_FILE --check, then phylotools train THIS_FILE -o run/"
    for survey in surveys:
        yield "#"
        for text in _facts(survey):
            yield from _comment(text)
    yield ""


def _facts(survey: StoreSurvey) -> Iterator[str]:
    """What a store holds, and what is odd about it."""
    store = survey.store
    names = list(survey.contig_columns)
    more = ", ..." if len(names) > _NAMED_CONTIGS else ""
    yield (
        f"{survey.path.name}: {counted(len(store.species), 'species', 'species')}, of which "
        f"{store.reference_species} is the reference that the network reads; {survey.columns:,} "
        f"columns on {counted(len(names), 'contig')} ({', '.join(names[:_NAMED_CONTIGS])}{more}), "
        f"each with {survey.depth:.1f} species on average; {store.tree.total_length:.3g} "
        "substitutions a site on the whole tree."
    )
    if survey.scale is not None:
        yield (
            f"CHECK THE TREE: {survey.scale.problem}. Likely cause: {survey.scale.cause}. "
            "`phylotools tree fit` gives a tree that fits."
        )
    if survey.trainable < 0.9:
        yield (
            f"Only {survey.trainable:.0%} of the columns have two species or more and can be "
            "trained on."
        )
    if survey.unknown > 0.01:
        yield f"In {survey.unknown:.0%} of the columns the reference is not A, C, G or T."
    if survey.second_rows is not None and survey.second_rows > 0.01:
        yield (
            f"{survey.second_rows:.0%} of the alignment's rows were a second row of a species in "
            "one block (docs/duplicates.md)."
        )


def _tables(choices: Sequence[Choice]) -> Iterator[str]:
    """The lines of all tables."""
    for table, own in groupby(choices, key=lambda choice: choice.table):
        yield f"[{table}]"
        for choice in own:
            for text in choice.reasons:
                yield from _comment(text)
            yield tomli_w.dumps({choice.key: choice.value}).rstrip("\n")
        yield ""


def _comment(text: str) -> list[str]:
    """Lines of a comment; what a file's names hold cannot end it."""
    safe = "".join(letter if letter.isprintable() else "?" for letter in text)
    return [f"# {line}" for line in textwrap.wrap(safe, _WIDTH, break_on_hyphens=False)]
