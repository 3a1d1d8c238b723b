"""Trees that differ along the genome, and clades, in training."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from column_oracle import digest
from slow_likelihood import pruning
from slow_substitution import frequencies, rate_matrix
from small_runs import CPU, random_store, resumes_to_the_same, train_until
from small_stores import Block, write_store

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.model.presets import PAD_TOKEN
from phylotools.phylogeny.likelihood import ColumnPlans
from phylotools.phylogeny.tree import parse_newick
from phylotools.store import schema
from phylotools.store.read import open_store
from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.config_file import parse_config
from phylotools.training.dataset import TrainingData
from phylotools.training.evaluation import evaluate_model
from phylotools.training.loop import Trainer, new_model
from phylotools.training.null_models import null_models
from phylotools.training.objectives import PhylogeneticObjective, column_theta
from phylotools.training.resuming import facts_of_worker
from phylotools.training.run_folder import CHECKPOINT

pytestmark = pytest.mark.usefixtures("one_thread")

#: For the contigs of `many_segments`: other topologies, other orders of tips, species left out.
OTHER = "((e:0.4,c:0.1):0.3,((d:0.2,a:0.2):0.1,b:0.5):0.2);"
FEWER = "((d:0.2,a:0.1):0.2,c:0.1);"
TABLE = (
    f"one\t1000\t1300\t{OTHER}\none\t1300\t9000\t{FEWER}\ntwo\t{OTHER}\nthree\t0\t12000\t{OTHER}\n"
)


@pytest.fixture
def table(many_segments):
    path = many_segments.parent / "trees.tsv"
    path.write_text(TABLE)
    return str(path)


def tree_at(store, contig: str, position: int):
    """The tree of a position, read from the table again."""
    for line in TABLE.splitlines():
        name, *bounds, newick = line.split("\t")
        start, end = map(int, bounds or (0, 1 << 40))
        if name == contig and start <= position < end:
            return parse_newick(newick)
    return store.tree


def brute_force(tree, species, column, theta, model) -> float:
    """Log-likelihood of one column given its reference base, species a."""
    place = dict(zip(species, column.tolist(), strict=True))
    states = {int(node): place[tree.names[node]] for node in tree.tip_nodes}
    pi = frequencies(model.name, model.settings(), theta)
    value = pruning(
        tree.parent.tolist(), tree.branch_length.tolist(), states,
        rate_matrix(model.name, model.settings(), theta), pi,
    )  # fmt: skip
    return value - np.log(pi[place["a"]])


def columns_by_position(source):
    """Where each column of a table lies, by the sequence around it."""
    half, found = source.maker.half_window, {}
    for region in source.regions():
        length = source.store.contigs[region.contig]
        for position in range(region.start, region.end):
            around = np.full(2 * half + 1, PAD_TOKEN, dtype=np.int64)
            span = Region(region.contig, max(position - half, 0), min(position + half + 1, length))
            offset = span.start - position + half
            codes = source.store.reference(span) & schema.CODE_MASK
            around[offset : offset + len(span)] = codes
            found.setdefault(around.tobytes(), []).append((region.contig, position))
    return found


@pytest.mark.parametrize("buffer", [40_000, 1 << 30])
def test_a_batch_is_each_column_alone_with_its_tree(small, many_segments, table, buffer):
    config = small(many_segments, trees=table, buffer_bytes=buffer)
    data = TrainingData(config)
    (source,) = data.stores
    places = columns_by_position(source)
    torch.manual_seed(3)
    model = new_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    species, width = source.store.species, source.width
    seen = collections.Counter()
    for batch in itertools.islice(data.epoch(0), 0, None, 4):
        shown, _ = PhylogeneticObjective().evaluate(model, batch)
        theta = column_theta(model, batch).detach().double().numpy()
        assert (np.diff(batch.plan.of_column) >= 0).all()
        for column in range(0, len(batch.site), 17):
            row, offset = divmod(int(batch.site[column]), width)
            around = batch.tokens[row, offset : offset + 2 * source.maker.half_window + 1]
            at = places[around.numpy().tobytes()]
            if len(at) > 1:
                continue
            tree = tree_at(source.store, *at[0]).with_minimum_branch_length(1e-6)
            expected = brute_force(
                tree, species, batch.states[column], theta[column], model.substitution
            )
            assert float(shown[column]) == pytest.approx(expected, rel=1e-4, abs=1e-4)
            seen[tree.to_newick()] += 1
    assert len(seen) == 3


def test_each_column_is_trained_on_once(small, many_segments, table):
    data = TrainingData(small(many_segments, trees=table))
    (source,) = data.stores
    total = sum(len(batch.site) for batch in data.epoch(0))
    assert total == source.training.n_columns
    # Where d and c are all that is left beside the reference, fewer columns are deep enough.
    assert total < TrainingData(small(many_segments)).stores[0].training.n_columns


def test_another_species_row_has_the_columns_own_tree(small, many_segments, table):
    data = TrainingData(small(many_segments, trees=table, any_row_weight=1.0))
    (source,) = data.stores
    known = collections.defaultdict(set)
    for region in source.regions():
        bases = source.store.bases(region) & schema.CODE_MASK
        plans = source.plans.index(region.contig, np.arange(region.start, region.end))
        for column, plan in zip(bases, plans.tolist(), strict=True):
            known[column.tobytes()].add(plan)
    told = 0
    for batch in data.epoch(0):
        for column, plan in zip(batch.states.numpy(), batch.plan.of_column.tolist(), strict=True):
            assert plan in known[column.tobytes()]
            told += len(known[column.tobytes()]) == 1
    assert told > 100


def everywhere(store_path, folder) -> str:
    """A table with the store's own tree on all contigs, one of them in two parts."""
    store = open_store(store_path)
    text = store.tree.to_newick()
    lines = [f"{name}\t{text}\n" for name in store.contigs]
    name, length = next(iter(store.contigs.items()))
    lines[0] = f"{name}\t0\t{length // 2}\t{text}\n{name}\t{length // 2}\t{length}\t{text}\n"
    (folder / "same.tsv").write_text("".join(lines))
    return str(folder / "same.tsv")


def end_of(config, folder):
    Trainer(config, folder, CPU).run()
    return read_checkpoint(folder / CHECKPOINT)


def test_the_stores_tree_everywhere_is_no_table_bit_for_bit(config_of, birds_store, tmp_path):
    changes = {
        "data": {"held_out_fraction": 0.1, "held_out_species_fraction": 0.2},
        "rate": {"learn": True},
    }
    plain = end_of(config_of(birds_store, **changes), tmp_path / "plain")
    changes["data"]["trees"] = everywhere(birds_store, tmp_path)
    same = end_of(config_of(birds_store, **changes), tmp_path / "same")
    assert plain.progress == same.progress
    assert plain.tensors.keys() == same.tensors.keys()
    assert all(torch.equal(plain.tensors[name], same.tensors[name]) for name in plain.tensors)
    assert same.facts["training_stores"][0]["region_trees"] == 3
    fits = [(tmp_path / name / "site_fits.safetensors") for name in ("plain", "same")]
    assert fits[0].read_bytes() == fits[1].read_bytes()


@pytest.fixture
def gene_trees(birds_store, tmp_path):
    """Twofold lengths on one of the birds' contigs, and no galGal6-nearest species on a part."""
    store = open_store(birds_store)
    first, second = list(store.contigs)[:2]
    long = store.tree.scaled(2.0).to_newick()
    fewer = store.tree.prune([s for s in store.species if s != store.species[1]]).to_newick()
    half = store.contigs[second] // 2
    path = tmp_path / "genes.tsv"
    path.write_text(f"{first}\t{long}\n{second}\t0\t{half}\t{fewer}\n")
    return str(path)


def test_runs_with_trees_resume_to_the_same(config_of, birds_store, tmp_path, gene_trees):
    changes = {"data": {"trees": gene_trees, "held_out_fraction": 0.1}, "rate": {"learn": True}}
    resumes_to_the_same(config_of(birds_store, **changes), tmp_path, [7, 15])


def test_a_changed_table_is_another_run(config_of, birds_store, tmp_path, gene_trees):
    config = config_of(birds_store, data={"trees": gene_trees})
    train_until(config, tmp_path / "run", 7)
    with open(gene_trees, "a") as handle:
        handle.write("# another day\n")
    with pytest.raises(InputError, match=r"had other trees: a file of data.trees has changed"):
        Trainer(config, tmp_path / "run", CPU, resume=True)


def test_workers_with_another_table_are_noticed(config_of, birds_store, gene_trees):
    """One path may lead to another file on another machine, whose columns are as many."""
    config = config_of(birds_store, data={"trees": gene_trees})
    facts = facts_of_worker(config, TrainingData(config), {}, None)
    table = Path(gene_trees)
    table.write_text(table.read_text().replace(":0.1", ":0.2"))
    again = facts_of_worker(config, TrainingData(config), {}, None)
    assert {name for name in facts if facts[name] != again[name]} == {"table of trees"}
    other = facts_of_worker(config, TrainingData(config), {}, {"sha256": "0"})
    assert {name for name in again if again[name] != other[name]} == {"model of run.init_from"}


def evolved(tree, number: int, rng) -> np.ndarray:
    """Columns under Jukes and Cantor, uint8 [S, C]."""
    states = np.empty((len(tree.names), number), dtype=np.uint8)
    states[0] = rng.integers(0, 4, number)
    for node, above in enumerate(tree.parent.tolist()):
        if above >= 0:
            changed = rng.random(number) > np.exp(-tree.branch_length[node] * 4 / 3)
            states[node] = np.where(changed, rng.integers(0, 4, number), states[above])
    return states[tree.tip_nodes]


def test_a_recombinant_is_told_better_by_its_two_trees(config_of, tmp_path):
    """The second half of a genome has another topology: what a tree for each is worth."""
    one = parse_newick("(((a:0.1,b:0.1):0.3,(c:0.1,d:0.1):0.3):0.1,(e:0.1,f:0.1):0.3);")
    two = parse_newick("(((a:0.1,c:0.1):0.3,(e:0.1,d:0.1):0.3):0.1,(b:0.1,f:0.1):0.3);")
    rng, length = np.random.default_rng(1), 4000
    order = [two.tips.index(name) for name in one.tips]
    bases = np.concatenate(
        [evolved(one, length // 2, rng), evolved(two, length // 2, rng)[order]], axis=1
    )
    write_store(
        tmp_path / "store", one, "a", [Block(Region("virus", 0, length), one.tips, bases, length)]
    )
    (tmp_path / "right.tsv").write_text(f"virus\t2000\t4000\t{two.to_newick()}\n")
    (tmp_path / "wrong.tsv").write_text(f"virus\t0\t2000\t{two.to_newick()}\n")
    held_out = {"held_out_regions": ["virus:500-700", "virus:3000-3200"]}
    found = {}
    for table in ("", "right.tsv", "wrong.tsv"):
        config = config_of(tmp_path / "store", data={"trees": table, **held_out})
        data = TrainingData(config)
        model = new_model(config)
        nulls = null_models(data, model, config, CPU)
        figures = evaluate_model(model, data, config, CPU)
        found[table] = [nulls.tree, nulls.constants, figures.held_out_columns, figures.training]
    gain = np.array(found["right.tsv"]) - np.array(found[""])
    assert (gain > 0.2).all()
    assert (np.array(found["wrong.tsv"]) < np.array(found[""]) - 0.2).all()


@pytest.mark.parametrize("buffer", [40_000, 1 << 30])
def test_a_clade_is_the_store_made_of_it(small, config_of, tmp_path, buffer):
    """The same batches, and the same weights at the end."""
    whole = random_store(tmp_path / "whole", 4)
    store = open_store(whole)
    kept = store.tree.prune(["a", "b", "e"])
    rows = [store.species.index(name) for name in kept.tips]
    made = [
        Block(Region(name, 0, length), kept.tips, _masked(store, name, length)[:, rows].T, length)
        for name, length in store.contigs.items()
    ]
    write_store(tmp_path / "made", kept, "a", made)
    data = {"minimum_species": 3, "buffer_bytes": buffer}
    clade = config_of(whole, data=data | {"clade": ["a", "e", "b"]})
    pruned = config_of(tmp_path / "made", data=data)
    one, other = TrainingData(clade), TrainingData(pruned)
    assert one.stores[0].training.n_columns == other.stores[0].training.n_columns > 1000
    assert digest(one.epoch(0)) == digest(other.epoch(0))
    if buffer > 40_000:
        ends = [end_of(clade, tmp_path / "a"), end_of(pruned, tmp_path / "b")]
        assert all(torch.equal(ends[0].tensors[k], ends[1].tensors[k]) for k in ends[0].tensors)
        facts = ends[0].facts["training_stores"][0]
        assert facts["species"] == 3
        assert facts["tree_sha256"] == ends[1].facts["training_stores"][0]["tree_sha256"]


def _masked(store, contig, length):
    return store.bases(Region(contig, 0, length))


def test_a_clade_in_worker_processes(small, many_segments, table):
    """What is sent to them is the view, not the store."""
    config = small(many_segments, trees=table, clade=["a", "b", "c"])
    other = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=1))
    assert digest(TrainingData(config).epoch(0)) == digest(TrainingData(other).epoch(0))


def test_trees_of_several_stores(config_of, many_segments, birds_store, table, gene_trees):
    stores = [str(many_segments), str(birds_store)]
    config = config_of(many_segments, data={"stores": stores, "trees": [table, gene_trees]})
    assert [source.plans.vary for source in TrainingData(config).stores] == [True, True]
    config = config_of(many_segments, data={"stores": stores, "trees": ["", gene_trees]})
    data = TrainingData(config)
    assert [source.plans.vary for source in data.stores] == [False, True]
    kinds = {isinstance(batch.plan, ColumnPlans) for batch in data.epoch(0)}
    assert kinds == {True, False}


def test_held_out_species_by_each_columns_tree(config_of, birds_store, gene_trees):
    """log P(hidden | shown) of a column is a difference of two likelihoods under one tree."""
    from phylotools.phylogeny.likelihood import column_log_likelihood

    config = config_of(birds_store, data={"trees": gene_trees, "held_out_species_fraction": 0.3})
    data = TrainingData(config)
    model = new_model(config)
    for batch in data.epoch(0):
        _, hidden = PhylogeneticObjective().evaluate(model, batch)
        theta = column_theta(model, batch)
        for number in np.unique(batch.plan.of_column).tolist():
            rows = torch.from_numpy(np.flatnonzero(batch.plan.of_column == number))
            plan = batch.plan.plans[number]
            everything, shown = (
                column_log_likelihood(states[rows], theta[rows], plan, model.substitution)
                for states in (batch.held_out_states, batch.states)
            )
            assert torch.allclose(hidden[rows], everything - shown, atol=1e-4)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"trees": "none.tsv"}, "data.trees: there is no "),
        ({"trees": ["a.tsv", "b.tsv"]}, "data.trees must be one table, or one for each"),
        ({"trees": 3}, "data.trees must be a text, not 3"),
        ({"clade": "Primates"}, "data.clade must be a list of texts, not 'Primates'"),
    ],
)
def test_bad_configurations(many_segments, data, problem):
    _, errors = parse_config(
        {"data": {"stores": [str(many_segments)], **data}}, many_segments.parent
    )
    assert any(problem in error for error in errors), errors


def test_bad_clades_and_tables(small, many_segments, tmp_path):
    with pytest.raises(InputError, match=r"the clade: the tree has no inner node 'apes'"):
        TrainingData(small(many_segments, clade=["apes"]))
    with pytest.raises(InputError, match=r"the clade: that of c, d lacks the reference, a"):
        TrainingData(small(many_segments, clade=["c", "d"]))
    (tmp_path / "bad.tsv").write_text("one\t(a:1,x:1);\n")
    with pytest.raises(InputError, match=r"bad.tsv:1: the tree has x, the store has not"):
        TrainingData(small(many_segments, trees=str(tmp_path / "bad.tsv")))
