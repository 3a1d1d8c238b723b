"""The probe of examples/embeddings, on what is quick in it."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import phylotools

EXAMPLE = Path(__file__).parents[2] / "examples" / "embeddings"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("codon_position", EXAMPLE / "codon_position.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def regions(example) -> list:
    rows = [line.split("\t") for line in example.GENES.read_text().splitlines()]
    return [(g[0], int(g[1]), int(g[2]), g[3], g[5]) for g in rows]


def test_features_are_in_reading_direction(example, regions) -> None:
    model = phylotools.load_model()
    nd6 = [region for region in regions if region[3] == "ND6"]
    half = model.receptive_field // 2
    hot = example.one_hot(model, nd6)[0].reshape(-1, 4, 2 * half + 1)
    site = phylotools.predict_sites(model, regions=nd6)[0]
    # ND6 is on the other strand: its first base is the complement of the region's last.
    assert hot[0, :, half].argmax() == 3 - site.codes[-1]
    np.testing.assert_allclose(
        example.predicted(model, nd6)[0][0, :4], np.log(site.frequencies[-1, ::-1]), rtol=1e-5
    )
    # ATG, the start codon.
    assert [hot[k, :, half].argmax() for k in range(3)] == [0, 3, 2]


def test_five_numbers_tell_codon_positions_of_held_out_genes(example, regions) -> None:
    model = phylotools.load_model()
    some = [region for region in regions if region[3] in ("ND1", "ND3", "COX2", "ND6")]
    labels = [np.arange(end - start) % 3 for _, start, end, *_ in some]
    right = example.held_out_genes(example.predicted(model, some), labels)
    assert min(gene.mean() for gene in right) > 0.6
    mixed = [np.random.default_rng(1).permutation(part) for part in labels]
    assert (
        np.concatenate(example.held_out_genes(example.predicted(model, some), mixed)).mean() < 0.4
    )


def test_the_table_of_the_page_is_the_one_written() -> None:
    with (EXAMPLE / "codon_position.tsv").open() as handle:
        rows = {row["features"]: row for row in csv.DictReader(handle, delimiter="\t")}
    page = (EXAMPLE / "README.md").read_text()
    for name, shown in (("embedding, last", "embedding, `last`"),
                        ("bases of the receptive field", "the 97 bases")):  # fmt: skip
        line = next(line for line in page.splitlines() if line.startswith(f"| {shown}"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[2:] == [rows[name][key] for key in ("accuracy", "ND6", "ATP8")]
