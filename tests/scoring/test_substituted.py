"""Numbers around single substitutions, against sequences that are changed and scored whole."""

from __future__ import annotations

import numpy as np
import pytest
from published_layouts import imported
from toy_models import write_toy_model

from phylotools.errors import InputError, UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.registry import load_model
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.substituted import substituted_sites

pytestmark = pytest.mark.usefixtures("one_thread")
LETTERS = "ACGTTGCAACCGGTTTACGNacgttacatTAGCATCCATGAGGATTTACCCNNGATCA"


def genome_of(text: str) -> ReferenceGenome:
    return ReferenceGenome.from_sequences({"one": text.encode()}, path="<tests>")


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "masked"])
def model(request, tmp_path_factory):
    """A network that sees 25 bases."""
    folder = write_toy_model(
        tmp_path_factory.mktemp("toy") / "model", reference=None, masks_site=request.param
    )
    return load_model(str(folder))


def brute_force(model, position: int, base: str) -> np.ndarray:
    """Theta of the whole contig with one base replaced, [L, 4]."""
    text = LETTERS[:position] + base + LETTERS[position + 1 :]
    return Scorer(model, genome_of(text), threads=1).theta(Region("one", 0, len(text)))


@pytest.mark.parametrize(("start", "end"), [(0, len(LETTERS)), (17, 22), (50, 58), (0, 1)])
def test_every_substitution_is_the_changed_sequence_scored(model, start: int, end: int) -> None:
    scorer = Scorer(model, genome_of(LETTERS), threads=1)
    whole = scorer.theta(Region("one", 0, len(LETTERS)))
    found = list(substituted_sites(scorer, Region("one", start, end)))
    assert [site.position for site in found] == list(range(start, end))
    for site in found:
        letter = LETTERS[site.position].upper()
        others = [base for base in "ACGT" if base != letter]
        assert ["ACGT"[base] for base in site.alternatives] == others
        assert "ACGTN"[site.reference] == letter
        low, high = max(site.position - 12, 0), min(site.position + 13, len(LETTERS))
        assert (site.start, site.start + len(site.before)) == (low, high)
        assert site.own == site.position - low
        np.testing.assert_array_equal(site.before, whole[low:high])
        for base, theta in zip(others, site.after, strict=True):
            expected = brute_force(model, site.position, base)
            np.testing.assert_array_equal(theta, expected[low:high])
            # And what lies beyond does not change.
            np.testing.assert_array_equal(expected[:low], whole[:low])
            np.testing.assert_array_equal(expected[high:], whole[high:])


def test_sites_within_a_region_alone(model) -> None:
    scorer = Scorer(model, genome_of(LETTERS), threads=1)
    region = Region("one", 20, 30)
    all_sites = {site.position: site for site in substituted_sites(scorer, region)}
    for site in substituted_sites(scorer, region, within=region):
        whole = all_sites[site.position]
        assert (site.start, len(site.before)) == (20, 10)
        here = slice(20 - whole.start, 30 - whole.start)
        np.testing.assert_array_equal(site.after, whole.after[:, here])
    # A region that none of them reaches.
    assert not list(substituted_sites(scorer, Region("one", 0, 5), Region("one", 40, 50)))


def test_blocks_do_not_show(model, monkeypatch) -> None:
    scorer = Scorer(model, genome_of(LETTERS), threads=1)
    region = Region("one", 3, 50)
    together = list(substituted_sites(scorer, region))
    monkeypatch.setattr("phylotools.scoring.substituted._TOKENS_A_THREAD", 1)
    for one, other in zip(together, substituted_sites(scorer, region), strict=True):
        np.testing.assert_array_equal(one.before, other.before)
        np.testing.assert_array_equal(one.after, other.after)


def test_what_cannot_be_is_refused(model, tmp_path) -> None:
    scorer = Scorer(model, genome_of(LETTERS), threads=1)
    with pytest.raises(InputError, match="outside contig"):
        list(substituted_sites(scorer, Region("one", 50, 90)))
    group = load_model(str(imported("github_groupnorm", tmp_path / "group")))
    scorer = Scorer(group, genome_of(LETTERS), threads=1)
    with pytest.raises(UsageError, match="its norm runs over positions"):
        list(substituted_sites(scorer, Region("one", 0, 5)))
