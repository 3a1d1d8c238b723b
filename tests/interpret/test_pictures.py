"""Pictures of regions of every length: letters where they can be read, colours elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from phylotools.drawing import picture_style
from phylotools.interpret.dependencies import DependencyMap
from phylotools.interpret.map_picture import draw_map
from phylotools.interpret.mutagenesis_picture import (
    LABELS,
    MutagenesisPicture,
    draw_mutagenesis,
)
from phylotools.io.features import Feature
from phylotools.io.regions import Region


def region(length: int) -> Region:
    return Region("chr$1", 1000, 1000 + length)


def feature(length: int) -> Feature:
    return Feature(Region("chr$1", 1002, 1000 + length), "a_$gene", "gene", "+")


def picture(length: int, effect: str = "llr") -> MutagenesisPicture:
    draw = np.random.default_rng(length)
    reference = draw.integers(0, 5, length).astype(np.uint8)
    values = draw.normal(size=(length, 4))
    known = np.flatnonzero(reference < 4)
    values[known, reference[known]] = 0
    values[reference == 4] = np.nan
    return MutagenesisPicture(region(length), reference, effect, values, [feature(length)], "foot")


@pytest.mark.parametrize("length", [1, 150, 401, 4000])
def test_mutagenesis_of_every_length(length: int) -> None:
    with picture_style():
        figure = draw_mutagenesis(picture(length))
        figure.canvas.draw()
    letters = [axes for axes in figure.axes if axes.get_ylabel() == "Worth of the base"]
    assert len(letters) == {1: 1, 150: 2, 401: 0, 4000: 0}[length]


def test_a_base_is_worth_what_replacing_it_costs() -> None:
    found = picture(30)
    heights = found.heights("llr")
    for row, code in enumerate(found.reference.tolist()):
        if code == 4:
            assert (heights[row] == 0).all()
            continue
        others = np.delete(found.values[row], code)
        assert heights[row, code] == pytest.approx(-others.mean())
        assert np.count_nonzero(heights[row]) == 1
    assert set(LABELS) >= {"log_likelihood", "tuned"}


@pytest.mark.parametrize("length", [2, 60, 200])
def test_maps_of_every_length(length: int) -> None:
    values = np.random.default_rng(1).random((length, length)).astype(np.float32)
    values[0] = np.nan
    found = DependencyMap(
        region(length), np.zeros(length, dtype=np.uint8), values, None, 12, "log-odds", True
    )
    with picture_style():
        figure = draw_map(found, [feature(length)], "foot")
        figure.canvas.draw()
    bases = [text for axes in figure.axes for text in axes.texts if text.get_text() == "A"]
    assert len(bases) == (length if length <= 130 else 0)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert any("log odds" in label for label in labels)
    assert draw_map(found, None, "foot") is not None


def test_a_map_of_unknown_bases_alone_is_drawn() -> None:
    values = np.full((3, 3), np.nan, dtype=np.float32)
    codes = np.full(3, 4, dtype=np.uint8)
    found = DependencyMap(region(3), codes, values, None, 12, "log-probability", False)
    assert draw_map(found, [], "foot") is not None
