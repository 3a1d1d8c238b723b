"""Trees of contigs and regions: what simulated genes say, and what is written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_stores import Block, write_store

from phylotools.cli.main import run
from phylotools.errors import InputError
from phylotools.io.regions import Region, RegionSet
from phylotools.phylogeny.tree import parse_newick
from phylotools.store.read import open_store
from phylotools.store.region_trees import OWN_TREE, read_region_trees
from phylotools.tree_fit.regions import bed_regions, fit_region_trees, whole_contigs
from phylotools.tree_fit.run import TreeFitSettings

pytestmark = pytest.mark.usefixtures("one_thread")

TREE = parse_newick("(((a:0.1,b:0.1):0.1,(c:0.2,d:0.1):0.1):0.05,(e:0.3,f:0.1):0.2,g:0.2);")
SETTINGS = TreeFitSettings(n_classes=1, substitution="f81", sample=3000)
LENGTH = 700
#: Of genes: the factor of all their lengths, or a branch with another length than the genome's.
FACTORS = (0.3, 1.0, 3.0, 1.0, 0.5, 2.0)


def evolved(tree, number: int, rng) -> np.ndarray:
    """Columns under Jukes and Cantor, uint8 [S, C]."""
    states = np.empty((len(tree.names), number), dtype=np.uint8)
    states[0] = rng.integers(0, 4, number)
    for node, above in enumerate(tree.parent.tolist()):
        if above >= 0:
            changed = rng.random(number) > np.exp(-tree.branch_length[node] * 4 / 3)
            states[node] = np.where(changed, rng.integers(0, 4, number), states[above])
    return states[tree.tip_nodes]


def store_of(folder, trees, lengths=None):
    """A store with a gene for each tree."""
    rng = np.random.default_rng(3)
    blocks = []
    for number, tree in enumerate(trees):
        length = LENGTH if lengths is None else lengths[number]
        region = Region(f"gene{number}", 0, length)
        blocks.append(Block(region, TREE.tips, evolved(tree, length, rng), length))
    return write_store(folder, TREE, "a", blocks)


@pytest.fixture(scope="module")
def fast_and_slow(tmp_path_factory):
    """Genes whose trees differ by a factor alone."""
    return store_of(tmp_path_factory.mktemp("factors") / "s", [TREE.scaled(f) for f in FACTORS])


@pytest.fixture(scope="module")
def long_branches(tmp_path_factory):
    """Genes each with a branch of its own that is much longer than in the others."""
    trees = []
    for number in range(6):
        tree = TREE.scaled(1.0)
        tree.branch_length[tree.tip_nodes[number + 1]] = 0.9
        trees.append(tree)
    return store_of(tmp_path_factory.mktemp("branches") / "s", trees)


def test_a_factor_for_each_where_that_is_the_truth(fast_and_slow):
    found = fit_region_trees(fast_and_slow, whole_contigs(fast_and_slow), SETTINGS)
    assert found.kind == "factor"
    assert found.judged["factor"].gain > 5 * found.judged["factor"].gain_sd > 0
    totals = [region.tree.total_length for region in found.regions]
    assert totals == pytest.approx([f * TREE.total_length for f in FACTORS], rel=0.15)
    genome = found.genome.tree.branch_length[1:]
    for region in found.regions:
        assert region.tree.tips == TREE.tips
        assert region.tree.branch_length[1:] / genome == pytest.approx(region.factor, rel=1e-4)
        assert region.n_columns == LENGTH


def test_lengths_of_its_own_where_that_is_the_truth(long_branches):
    found = fit_region_trees(long_branches, whole_contigs(long_branches), SETTINGS)
    assert found.kind == "lengths"
    assert found.judged["lengths"].log_likelihood > found.judged["factor"].log_likelihood
    for number, region in enumerate(found.regions):
        tips = region.tree.branch_length[region.tree.tip_nodes]
        ratio = tips / TREE.branch_length[TREE.tip_nodes]
        assert int(ratio.argmax()) == number + 1
        assert tips[number + 1] == pytest.approx(0.9, rel=0.35)


def test_no_trees_of_their_own_where_genes_are_alike(tmp_path):
    """The genome's tree may be a hair better or worse, but never far from what is chosen."""
    store = store_of(tmp_path / "s", [TREE] * 6)
    found = fit_region_trees(store, whole_contigs(store), SETTINGS)
    gains = found.judged["factor"].gain, found.judged["lengths"].gain
    assert max(gains) < 0.01
    for region in found.regions:
        assert region.tree.total_length == pytest.approx(TREE.total_length, rel=0.15)


@pytest.mark.parametrize("one_factor", [True, False])
def test_what_is_asked_for_is_done(fast_and_slow, one_factor):
    settings = TreeFitSettings(**{**vars(SETTINGS), "one_factor": one_factor})
    found = fit_region_trees(fast_and_slow, whole_contigs(fast_and_slow), settings)
    assert found.kind == ("factor" if one_factor else "lengths")
    unjudged = TreeFitSettings(**{**vars(settings), "held_out_fraction": 0.0})
    again = fit_region_trees(fast_and_slow, whole_contigs(fast_and_slow), unjudged)
    assert again.kind == found.kind
    assert not again.judged


def test_columns_come_from_the_regions_alone(fast_and_slow):
    """A gene whose columns are all left out keeps the genome's tree; others do not see them."""
    chosen = RegionSet({f"gene{n}": np.array([[0, 300]]) for n in (0, 2, 4, 5)})
    found = fit_region_trees(fast_and_slow, whole_contigs(fast_and_slow), SETTINGS, regions=chosen)
    assert [region.n_columns for region in found.regions] == [300, 0, 300, 0, 300, 300]
    assert found.regions[1].tree.to_newick() == found.genome.tree.to_newick()
    places = [Region("gene1", 0, 700)]
    with pytest.raises(InputError, match="no region has 30 columns with two species"):
        fit_region_trees(fast_and_slow, places, SETTINGS, regions=chosen)


def fit(store, *arguments: str) -> list[str]:
    return [
        "tree", "fit", str(store.path), "-@", "1", "--rate-classes", "1", "--substitution", "f81",
        *arguments,
    ]  # fmt: skip


def test_a_table_for_training(fast_and_slow, tmp_path, capsys):
    table, into = str(tmp_path / "trees.tsv"), str(tmp_path / "fitted.store")
    arguments = ["--by-contig", "-o", table, "--into", into, "--summary-json", f"{table}.json"]
    assert run(fit(fast_and_slow, *arguments)) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "a factor each" in printed.err
    assert "trees.tsv: 6 trees in " in printed.err
    summary = json.loads(Path(f"{table}.json").read_text())
    assert summary["given"] == "factor"
    assert summary["regions"] == summary["regions_fitted"] == 6
    assert summary["region_held_out_log_likelihood"]["factor"]["gain"] > 0.05
    trees = read_region_trees(table, open_store(into))
    assert [trees.index(f"gene{n}", np.array([9])).tolist() for n in range(6)] == [
        [n] for n in range(6)
    ]
    assert run(fit(fast_and_slow, "--by-contig")) == 0
    assert capsys.readouterr().out == Path(table).read_text()


def test_regions_of_a_bed_file(fast_and_slow, tmp_path, capsys):
    bed, table = tmp_path / "places.bed", tmp_path / "trees.tsv"
    bed.write_text("gene2\t300\t700\tfast\ngene2\t0\t300\ngene0\t10\t600\nother\t1\t2\n")
    assert run(fit(fast_and_slow, "--by-regions", str(bed), "--scale", "-o", str(table))) == 0
    assert "1 region left out, on contigs that" in capsys.readouterr().err
    rows = [line.split("\t")[:3] for line in table.read_text().splitlines()]
    assert rows == [
        ["contig", "start", "end"], ["gene0", "10", "600"], ["gene2", "0", "300"],
        ["gene2", "300", "700"],
    ]  # fmt: skip
    trees = read_region_trees(table, fast_and_slow)
    assert trees.index("gene0", np.array([9, 10])).tolist() == [OWN_TREE, 0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gene0\t0\t10\ngene0\t9\t20\n", "places.bed:2: its region of gene0 overlaps that of"),
        ("gene0\t0\t701\n", "places.bed:1: gene0:1-701 does not lie within its contig"),
        ("other\t0\t1\n", "none of its contigs is one of "),
        ("gene0\t5\tx\n", "places.bed:1: "),
    ],
)
def test_regions_that_cannot_be(fast_and_slow, tmp_path, text, problem):
    (tmp_path / "places.bed").write_text(text)
    with pytest.raises(InputError, match=problem):
        bed_regions(str(tmp_path / "places.bed"), fast_and_slow)


def test_one_or_the_other(fast_and_slow, capsys):
    assert run(fit(fast_and_slow, "--by-contig", "--by-regions", "x.bed")) == 2
    assert "give --by-contig or --by-regions, not both" in capsys.readouterr().err


def test_trees_of_others(fast_and_slow, tmp_path):
    """The recipe of docs/tree.md for IQ-TREE's files, by the page's own lines."""
    page = (Path(__file__).parents[2] / "docs" / "tree.md").read_text()
    section = page[page.index("## A tree for each contig or region") :]
    recipe = section[section.index("```sh\nfor ") + 6 :]
    recipe = recipe[: recipe.index("```")]
    (tmp_path / "loci").mkdir()
    for number in range(6):
        text = TREE.scaled(number + 1.0).to_newick()
        (tmp_path / "loci" / f"gene{number}.fa.treefile").write_text(text + "\n")
    subprocess.run(["bash", "-euo", "pipefail", "-c", recipe], cwd=tmp_path, check=True)
    trees = read_region_trees(tmp_path / "trees.tsv", fast_and_slow)
    assert len(trees) == 6
    totals = [
        trees.trees[int(trees.index(f"gene{number}", np.array([5]))[0])].total_length
        for number in range(6)
    ]
    assert totals == pytest.approx([(n + 1) * TREE.total_length for n in range(6)])
