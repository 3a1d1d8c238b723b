"""Choices follow what was seen, and say it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from phylotools.phylogeny.strand_symmetry import StrandTest
from phylotools.proposal.choices import choose
from phylotools.proposal.survey import survey_store
from phylotools.training.config import DEFAULT_BUFFER

pytestmark = pytest.mark.usefixtures("one_thread")
RATIOS = dict.fromkeys(("A>C", "A>G", "A>T", "C>A", "C>G", "C>T"), 1.0) | {"C>T": 0.5}


@pytest.fixture(scope="module")
def birds(birds_store):
    return survey_store(birds_store)


def strands(gain, substitutions=10_000.0):
    return StrandTest(2000, substitutions, gain, RATIOS)


def chosen(*surveys):
    return {
        f"{choice.table}.{choice.key}": choice
        for choice in choose(surveys, [survey.path.name for survey in surveys], "a part")
    }


@pytest.mark.parametrize(
    ("columns", "preset"),
    [(500, "small"), (10_000, "small"), (3_000_000, "small"), (3_000_000_000, "medium")],
)
def test_the_network_grows_with_the_columns(birds, columns, preset):
    survey = replace(birds, contig_columns={"c": columns}, trainable=1.0)
    survey.store.contigs.setdefault("c", columns)
    choice = chosen(survey)["network.preset"]
    assert choice.value == preset
    assert f"{columns:,} columns" in choice.reasons[0]


def test_strands_follow_the_test(birds):
    choice = chosen(replace(birds, strands=strands(1000.0)))["substitution.strand_symmetric"]
    assert choice.value is False
    assert "strands differ" in choice.reasons[0]
    assert "0.1000 nats" in choice.reasons[0]
    assert "G>A is 2.0 times as fast as C>T" in choice.reasons[0]
    choice = chosen(replace(birds, strands=strands(100.0)))["substitution.strand_symmetric"]
    assert choice.value is True
    assert "strands are alike" in choice.reasons[0]


@pytest.mark.parametrize(("length", "is_symmetric"), [(30_000, False), (5_000_000, True)])
def test_few_substitutions_leave_it_to_the_length_of_the_genome(birds, length, is_symmetric):
    store = birds.store
    survey = replace(birds, contig_columns={"q": 100}, strands=strands(9.0, 50.0))
    store.contigs["q"] = length
    choice = chosen(survey)["substitution.strand_symmetric"]
    assert choice.value is is_symmetric
    assert "too few" in choice.reasons[0]
    assert f"{length:,} bases" in choice.reasons[0]


def test_stores_that_disagree_about_strands(birds):
    choice = chosen(
        replace(birds, strands=strands(1000.0), path=Path("x/virus.store")),
        replace(birds, strands=strands(1.0)),
    )["substitution.strand_symmetric"]
    assert choice.value is False
    assert choice.reasons[0].startswith("virus.store: the strands differ")
    assert any("disagree" in reason for reason in choice.reasons)


def test_repeats_and_memory_are_spoken_of_where_there_are_any(birds):
    quiet = chosen(replace(birds, masked=0.0))
    assert "data.soft_mask_weight" not in quiet
    assert "data.buffer_bytes" not in quiet
    masked = chosen(replace(birds, masked=0.4))["data.soft_mask_weight"]
    assert "40%" in masked.reasons[0]
    n_columns = DEFAULT_BUFFER // len(birds.store.species)
    assert "data.buffer_bytes" not in chosen(replace(birds, contig_columns={"c": n_columns}))
    large = chosen(replace(birds, contig_columns={"c": 1000 * n_columns}))["data.buffer_bytes"]
    assert large.value == DEFAULT_BUFFER
    assert "2.15 TB" in large.reasons[0]
