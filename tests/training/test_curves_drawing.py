"""The picture of learning curves: what is drawn, where, and that any figures can be."""

from __future__ import annotations

import io
import math
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from phylotools.drawing import picture_style, save_picture
from phylotools.errors import UsageError
from phylotools.training.curves import LearningCurves
from phylotools.training.curves_drawing import MOST_RUNS, draw_learning_curves

SVG = "{http://www.w3.org/2000/svg}"
COLUMNS = "evaluation_held_out_columns"


def curves_of(name="run", kept=40, is_complete=True, **figures):
    n = len(next(iter(figures.values())))
    step = np.arange(1, n + 1, dtype=np.int64) * 10
    values = {key: np.array(value, dtype=float) for key, value in figures.items()}
    return LearningCurves(name, step, values, kept, is_complete)


def everything(n=10, **changes):
    step = np.arange(1, n + 1)
    rising = 1 - np.exp(-step / 3)
    figures = {
        "loss": 8 - rising, "log_likelihood": rising - 8 + np.sin(step),
        "gradient_norm": step**-0.5, "learning_rate": 1e-3 * step / n, "epoch": step / 4,
        "evaluation_training": rising - 8, COLUMNS: rising - 9,
        "evaluation_held_out_species": rising - 2, "null_constants": np.full(n, -8.9),
        "null_tree": np.full(n, -60.0),
    }  # fmt: skip
    return curves_of(**(figures | changes))


def drawn(runs):
    """The figure, its panels by the figure that they show, and the texts of its SVG."""
    picture = io.BytesIO()
    with picture_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_learning_curves(runs, "made by x")
        save_picture(figure, picture, "svg")
        save_picture(figure, io.BytesIO(), "png", dpi=50)
    root = ElementTree.fromstring(picture.getvalue())
    texts = ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]
    panels = {}
    for axes in figure.axes:
        for line in axes.lines:
            panels.setdefault(line.get_gid(), (axes, line))
    return figure, panels, texts, len(picture.getvalue())


def test_every_figure_has_its_panel():
    run = everything()
    figure, panels, texts, _ = drawn([run])
    assert len(figure.axes) == 5
    for name in (COLUMNS, "evaluation_training", "gradient_norm", "learning_rate"):
        np.testing.assert_array_equal(panels[name][1].get_xdata(), run.step)
        np.testing.assert_array_equal(panels[name][1].get_ydata(), run.figures[name])
    assert "log_likelihood" not in panels
    assert {"Step", "Epoch", "step kept", "made by x"} <= set(texts)
    assert any("step kept: 40" in text for text in texts)
    mark = panels["kept"][1]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([40], [run.figures[COLUMNS][3]])


def test_null_models_above_are_always_seen_and_those_far_below_named():
    axes, constants = drawn([everything()])[1]["null_constants"]
    low, high = axes.get_ylim()
    assert low < constants.get_ydata()[0] < high
    assert low > -60
    texts = drawn([everything()])[2]
    assert any("a null model lies below the axis, at -60.000" in text for text in texts)
    axes, above = drawn([everything(null_constants=np.full(10, -1.0))])[1]["null_constants"]
    assert above.get_ydata()[0] < axes.get_ylim()[1]


def test_a_fall_is_shown_to_its_end_and_a_first_rise_is_not():
    axes, _ = drawn([everything(**{COLUMNS: -7 - np.arange(10.0)})])[1][COLUMNS]
    assert axes.get_ylim()[0] < -16
    late = -9 - np.r_[1000.0, np.linspace(0.1, 0, 9)]
    axes, _ = drawn([everything(**{COLUMNS: late})])[1][COLUMNS]
    assert -11 < axes.get_ylim()[0] < -9.1


def test_several_runs_differ_in_colour_and_share_null_models():
    runs = [everything(n, name=f"seed {n}") for n in (8, 12)]
    figure, _, texts, _ = drawn(runs)
    assert {"seed 8", "seed 12"} <= set(texts)
    lines = [line for line in figure.axes[0].lines if line.get_gid() == COLUMNS]
    assert [len(line.get_xdata()) for line in lines] == [8, 12]
    assert len({line.get_color() for line in lines}) == 2
    for pair, n_lines in ((runs, 1), ([runs[0], everything(null_tree=np.full(10, -59.0))], 2)):
        first = drawn(pair)[0].axes[0]
        assert sum(line.get_gid() == "null_tree" for line in first.lines) == n_lines


def test_epochs_of_different_lengths_have_no_common_axis():
    runs = [everything(name="a"), everything(name="b", epoch=np.arange(10) / 9)]
    assert "Epoch" not in drawn(runs)[2]
    assert "Epoch" not in drawn([everything(epoch=np.zeros(10))])[2]


@pytest.mark.parametrize(
    "run",
    [
        curves_of(loss=[1.0], log_likelihood=[-3.0], kept=None, is_complete=False),
        curves_of(gradient_norm=[0.0, 0.0], learning_rate=[0.0, 0.0]),
        curves_of(evaluation_training=[-5.0], null_tree=[-5.0]),
        curves_of(evaluation_training=[math.nan, -5.0, math.nan], null_tree=[1.0, math.nan, 1.0]),
        everything(name="$x^$ <b>&\"' \t\x1b[31m \udc80" + "long" * 30),
        curves_of(evaluation_training=[-1e30, 1e30], gradient_norm=[1e-30, 1e30]),
        curves_of(evaluation_held_out_columns=[-5.0] * 5, kept=10),
    ],
)
def test_any_figures_can_be_drawn(run):
    _, _, texts, _ = drawn([run])
    assert "Step" in texts
    drawn([run, everything()])


def test_the_batches_stand_in_until_the_first_evaluation():
    run = curves_of(log_likelihood=[-3.0, -2.0], kept=None, is_complete=False)
    _, panels, texts, _ = drawn([run])
    assert list(panels["log_likelihood"][1].get_ydata()) == [-3, -2]
    assert any("is at step 20 and not complete" in text for text in texts)


def test_long_runs_are_thinned_and_keep_their_means():
    n = 20_000
    run = everything(n, kept=None)
    _, panels, _, size = drawn([run])
    line = panels["gradient_norm"][1]
    assert len(line.get_xdata()) <= 400
    assert np.mean(line.get_ydata()) == pytest.approx(np.mean(run.figures["gradient_norm"]))
    assert size < 150_000


def test_more_runs_than_colours_are_refused():
    runs = [everything(name=str(k)) for k in range(MOST_RUNS + 1)]
    drawn(runs[:-1])
    with pytest.raises(UsageError, match=f"give at most {MOST_RUNS}"):
        draw_learning_curves(runs, "")


def test_figures_that_nothing_shows_are_refused():
    with pytest.raises(UsageError, match="no figure that can be drawn"):
        draw_learning_curves([curves_of(loss=[1.0])], "")
