"""Whether calibration helped, in numbers and words."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from phylotools.evaluate.calibration_verdict import calibration_table, calibration_verdicts
from phylotools.evaluate.labelled import Factor, LabelKind, LabelledScores
from phylotools.evaluate.selection import ScoreColumn

NAMES = ("PHYLOGPN_LLR", "PHYLOGPN_CALIBRATED")


def data_of(llr, calibrated, labels, types, names=NAMES):
    columns = tuple(ScoreColumn(name, True) for name in names)
    return LabelledScores(
        columns,
        np.array([llr, calibrated]),
        LabelKind.CLASSES,
        np.asarray(labels, dtype=float),
        np.arange(len(labels)),
        types=Factor.of("mutation type", types),
    )


@pytest.fixture(scope="module")
def rows():
    """Labels, types, and a score that knows the labels within types but is off by type."""
    draw = np.random.default_rng(0)
    n = 3000
    labels = (draw.random(n) < 0.4).astype(float)
    is_transition = draw.random(n) < np.where(labels == 1, 0.3, 0.8)
    types = np.where(is_transition, "A>G", "A>C")
    signal = -labels + draw.normal(0, 1, n)
    return labels, types, is_transition, signal


def test_a_gain_between_types_alone_is_told_apart(rows):
    labels, types, is_transition, signal = rows
    data = data_of(signal, signal + 3 * is_transition, labels, types)
    (found,) = calibration_verdicts(data, replicates=200, seed=1)
    overall, within = found.rows
    assert (overall.within, within.within) == ("all", "mutation type")
    assert overall.difference.low > 0
    assert within.difference.value == pytest.approx(0, abs=1e-12)
    assert found.helped is None
    assert "is higher than PHYLOGPN_LLR by" in found.finding.text
    assert "how types of mutation stand to each other" in found.finding.text
    assert not found.finding.is_warning


def test_it_helped(rows):
    labels, types, _, signal = rows
    (found,) = calibration_verdicts(
        data_of(signal, signal - labels, labels, types), replicates=200, seed=1
    )
    assert found.helped
    assert "stand to each other" not in found.finding.text


def test_it_hurt(rows):
    labels, types, _, signal = rows
    (found,) = calibration_verdicts(
        data_of(signal - labels, signal, labels, types), replicates=200, seed=1
    )
    assert found.helped is False
    assert found.finding.is_warning
    assert "is lower than PHYLOGPN_LLR by" in found.finding.text


def test_it_made_no_difference(rows):
    labels, types, _, signal = rows
    (found,) = calibration_verdicts(data_of(signal, signal, labels, types), replicates=50, seed=1)
    assert found.helped is None
    assert "no reason to prefer either" in found.finding.text


def test_the_table_has_the_figures(rows):
    labels, types, is_transition, signal = rows
    data = data_of(signal, signal + 3 * is_transition, labels, types)
    table = calibration_table(calibration_verdicts(data, replicates=50, seed=1))
    first = dict(zip(table.header, table.rows[0], strict=True))
    assert first["of_llr"] == pytest.approx(roc_auc_score(labels, -signal))
    assert first["of_difference"] == pytest.approx(first["of_calibrated"] - first["of_llr"])
    assert [row[2] for row in table.rows] == ["all", "mutation type"]


@pytest.mark.parametrize(
    ("names", "n"),
    [
        (("llr", "calibrated"), 1),
        (("MINE_LLR", "MINE_CALIBRATED"), 1),
        (("MINE_LLR", "OTHER_CALIBRATED"), 0),
        (("PHYLOGPN_LLR", "PHYLOGPN_FIXATION"), 0),
        (("UNLLR", "UNCALIBRATED"), 0),
    ],
)
def test_scores_of_one_model_are_known_by_their_names(rows, names, n):
    labels, types, _, signal = rows
    data = data_of(signal, signal, labels, types, names)
    assert len(calibration_verdicts(data, replicates=0, seed=1)) == n
