from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from phylotools.io.regions import RegionSet
from phylotools.phylogeny.tree import parse_newick
from phylotools.store.read import open_store
from phylotools.tree_fit.report import (
    BRANCH_COLUMNS,
    branch_names,
    branch_table,
    describe_fit,
    moved_most,
    report_lines,
    warnings_of,
)
from phylotools.tree_fit.run import TreeFitSettings, fit_tree, judgement_of

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = TreeFitSettings(substitution="f81", n_classes=2)


@pytest.fixture(scope="module")
def fitted(mammals_store):
    return fit_tree(open_store(mammals_store), QUICK)


def test_branches_are_named_by_what_is_below():
    tree = parse_newick("((a:1,b:1)x:1,(c:1,(d:1,e:1):1):1);")
    assert branch_names(tree) == [
        "MRCA(a,e)", "MRCA(a,b)", "a", "b", "MRCA(c,e)", "c", "MRCA(d,e)", "d", "e",
    ]  # fmt: skip


def test_the_table_has_every_branch(fitted):
    rows = [dict(zip(BRANCH_COLUMNS, row, strict=True)) for row in branch_table(fitted)]
    assert len(rows) == len(fitted.tree.names) - 1
    assert len({row["branch"] for row in rows}) == len(rows)
    assert sum(row["fitted"] for row in rows) == pytest.approx(fitted.tree.total_length)
    assert sum(row["n_tips"] == 1 for row in rows) == fitted.tree.n_tips
    for row in rows:
        assert row["ratio"] == pytest.approx(row["fitted"] / row["given"])
        assert row["ratio_to_factor"] * fitted.factor == pytest.approx(row["ratio"], rel=1e-4)


def test_the_description_is_json_and_the_lines_say_the_same(fitted):
    told = json.loads(json.dumps(describe_fit(fitted), allow_nan=False))
    assert told["columns"] == fitted.n_columns == 973
    assert told["tree_length"]["fitted"] == pytest.approx(fitted.tree.total_length)
    text = "\n".join(report_lines(fitted))
    assert f"tree length {fitted.tree.total_length:.4g} substitutions" in text
    assert f"{told['held_out_log_likelihood']['lengths']['mean']:.3f}" in text
    assert np.mean(told["rates"]) == pytest.approx(1)


def test_what_moved_most_moved_and_is_no_noise(fitted):
    moved = moved_most(fitted)
    ratios = [abs(np.log(after / scaled)) for _, _, after, scaled in moved]
    assert ratios == sorted(ratios, reverse=True)
    table = {row[0]: row for row in branch_table(fitted)}
    for name, _, after, scaled in moved:
        substitutions = table[name][-1]
        assert max(substitutions, substitutions * scaled / after) >= 10


def test_the_error_of_a_gain_is_that_over_runs():
    rng = np.random.default_rng(1)
    of_run = rng.normal(0.3, 1.0, 400)
    runs = np.repeat(np.arange(400), 5)
    judged = judgement_of(np.repeat(of_run, 5) - 7, np.full(2000, -7.0), runs)
    assert judged.gain == pytest.approx(of_run.mean())
    assert judged.gain_sd == pytest.approx(of_run.std(ddof=1) / 20)
    assert judged.log_likelihood == pytest.approx(of_run.mean() - 7)


def test_too_few_columns_for_all_lengths_are_told(mammals_store):
    """60 columns, of which 30 judge 58 branches."""
    store = open_store(mammals_store)
    few = RegionSet({"chrM": np.array([[10_470, 10_530]])})
    found = fit_tree(store, dataclasses.replace(QUICK, held_out_fraction=0.5), None, few)
    warnings = "\n".join(warnings_of(found))
    assert "fitted to 60 columns only" in warnings
    worse = found.judged["lengths"].gain < found.judged["factor"].gain
    assert ("one factor tells columns that were not used better" in warnings) == worse
    assert found.one_factor == worse


def test_species_without_a_base_and_lengths_of_zero_are_told(mammals_store, monkeypatch):
    store = open_store(mammals_store)
    tree = store.tree
    length = tree.branch_length.copy()
    length[5:9] = 0
    bases = store.bases
    monkeypatch.setattr(store, "bases", lambda region, **_: _without_tip(bases(region), 4))
    found = fit_tree(store, QUICK, dataclasses.replace(tree, branch_length=length))
    assert found.species_without_data == (tree.tips[4],)
    warnings = "\n".join(warnings_of(found))
    assert f"1 species without a base in the sample ({tree.tips[4]})" in warnings
    assert "4 branches of 58 had no length or length 0" in warnings
    assert describe_fit(found)["branches_without_data"] == 1


def _without_tip(bases, tip):
    bases = bases.copy()
    bases[:, tip] = 5
    return bases
