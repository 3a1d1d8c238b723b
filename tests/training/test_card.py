"""The card says what the curves show at the step that was kept, and at the last."""

from __future__ import annotations

import numpy as np

from phylotools.training.card import plain_card
from phylotools.training.curves import LearningCurves

FACTS = {
    "steps": 300,
    "selected_step": 200,
    "training_stores": [
        {"species": 53, "training_columns": 8_000, "reference_species": "galGal6"},
        {"species": 9, "training_columns": 70, "reference_species": "hg38"},
    ],
}


def curves(**figures):
    step = np.array([100, 200, 250, 300], dtype=np.int64)
    return LearningCurves(
        "run", step, {name: np.array(values) for name, values in figures.items()}, 200, True
    )


def test_figures_of_the_kept_and_the_last_step():
    nan = np.nan
    found = curves(
        evaluation_training=[-9.0, -8.0, nan, -7.0],
        evaluation_held_out_columns=[-9.5, -8.5, -8.75, nan],
        null_constants=[-8.9, -8.9, -8.9, -8.9],
        null_tree=[nan, nan, nan, -9.9],
    )
    card = plain_card("birds", FACTS, found)
    table = card[card.index("| nats") : card.index("\n\nMean")].splitlines()
    assert table == [
        "| nats a column | step 200 | step 300 |",
        "| --- | --- | --- |",
        "| training columns | -8.0000 | -7.0000 |",
        # As last measured.
        "| held-out columns | -8.5000 | -8.7500 |",
        "| null model: constants of the reference base | -8.9000 | -8.9000 |",
    ]
    assert "- 9 species, 70 columns, reference hg38" in card
    assert "Warnings" not in card


def test_warnings_and_a_run_without_curves():
    card = plain_card("birds", FACTS | {"warnings": ["it fell", "it drifted"]}, None)
    assert "## Warnings of the run\n\n- it fell\n- it drifted\n" in card
    assert "Learning curves" not in card
