"""The panel of scores by consequence: what it counts, and how it compares."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from phylotools.evaluate.csq import csq_factors

FOLDER = Path(__file__).parents[2] / "examples" / "review_figure"


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import figure_2b

    return figure_2b


def test_consequences_of_every_coding_snv(figure, tmp_path):
    variants, labels = figure.coding_snvs()
    assert Counter(labels.tolist())["pathogenic"] == 136
    gff = figure.genes_as_gff(tmp_path / "genes.gff3")
    found = csq_factors(variants, str(gff), str(figure.DATA / "chrM.fa"))[0]
    by_place = dict(
        zip(zip(variants.positions.tolist(), variants.alts, strict=True), found.texts, strict=True)
    )
    # ND1 begins ATA CCC (3307): its first codon lost, CCC to CCT synonymous, to CAC missense.
    assert by_place[3307, "A"] == "start_lost"
    assert by_place[3311, "T"] == "synonymous"
    assert by_place[3310, "A"] == "missense"
    assert Counter(found.texts)["stop_gained"] > 1000


def test_low_scores_point_to_the_positives(figure):
    names = np.array(["bad"] * 10 + ["good"] * 10)
    score = np.concatenate([np.arange(10), np.arange(5, 15)]).astype(float)
    row = figure.compared("bad", "good", score, names, np.arange(20))
    # Pairs with the bad one lower: 50 and those of 5..9 in both, of which ties count one half.
    lower = sum((b < g) + 0.5 * (b == g) for b in score[:10] for g in score[10:])
    assert row[:4] == ("bad against good", 10, 10, f"{lower / 100:.3f}")
