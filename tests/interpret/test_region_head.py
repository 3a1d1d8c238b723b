"""A head's score under substitutions: as if the changed genome were scored anew."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from brute_force import LETTERS

from phylotools.errors import UsageError
from phylotools.finetuning.applying import score_regions
from phylotools.finetuning.variants import NetworkSettings
from phylotools.interpret.changes import sequence_scorer
from phylotools.interpret.mutagenesis import TUNED, site_effects
from phylotools.interpret.region_head import RegionHead
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.tuned_head import LinearHead, TunedHead, n_features

pytestmark = pytest.mark.usefixtures("one_thread")
REGION = Region("one", 20, 45)


def with_head(model, of: str):
    """The model with a head of random weights."""
    draw = np.random.default_rng(4)
    width = n_features(model, of)
    head = LinearHead(
        draw.normal(size=width), 0.3, draw.normal(size=width), draw.uniform(0.5, 2, size=width)
    )
    tuned = dataclasses.replace(model)
    tuned.__dict__["tuned"] = TunedHead(head, of, "numbers", model.sha256, False, "tests")
    return tuned


def head_of(model, text: str) -> RegionHead:
    genome = ReferenceGenome.from_sequences({"one": text.encode()})
    return RegionHead(model, sequence_scorer(model, genome, threads=1))


def test_the_reference_is_scored_as_apply_does(toy, tmp_path) -> None:
    model = with_head(toy, "regions")
    (tmp_path / "one.fa").write_text(f">one\n{LETTERS}\n")
    (tmp_path / "one.bed").write_text(f"one\t{REGION.start}\t{REGION.end}\n")
    fasta, output = str(tmp_path / "one.fa"), str(tmp_path / "scores.tsv")
    settings = NetworkSettings(fasta=fasta, threads=1, output=output)
    score_regions(model, str(tmp_path / "one.bed"), output, settings)
    row = (tmp_path / "scores.tsv").read_text().splitlines()[1].split("\t")
    assert head_of(model, LETTERS).score(REGION) == pytest.approx(float(row[4]), abs=1e-4)


def test_effects_are_those_of_changed_genomes(toy) -> None:
    model = with_head(toy, "regions")
    head = head_of(model, LETTERS)
    before = head.score(REGION)
    effects = list(head.effects(REGION))
    assert len(effects) == len(REGION)
    for offset in range(0, len(REGION), 4):
        at = REGION.start + offset
        for base, letter in enumerate("ACGT"):
            changed = LETTERS[:at] + letter + LETTERS[at + 1 :]
            expected = head_of(model, changed).score(REGION) - before
            if LETTERS[at] == letter:
                expected = 0.0
            assert effects[offset][base] == pytest.approx(expected, abs=1e-5)


def test_it_stands_beside_the_other_effects(toy) -> None:
    model = with_head(toy, "regions")
    genome = ReferenceGenome.from_sequences({"one": LETTERS.encode()})
    scorer = sequence_scorer(model, genome, threads=1)
    head = RegionHead(model, scorer)
    region = Region("one", 15, 30)
    alone = list(head.effects(region))
    for site in site_effects(scorer, [region], head=head):
        np.testing.assert_array_equal(site.values[:, -1], alone[site.position - 15])
    assert TUNED == "tuned"


def test_other_heads_are_refused(toy) -> None:
    with pytest.raises(UsageError, match="has no head"):
        head_of(toy, LETTERS)
    with pytest.raises(UsageError, match="a head for variants: annotate writes its scores"):
        head_of(with_head(toy, "variants"), LETTERS)
