"""Edits towards a target: the best are found, and a head's value is what `finetune` says."""

from __future__ import annotations

import itertools

import ledidi
import numpy as np
import pytest
import torch
from toy_designs import Chain, codes_of, conditionals_of, problem_of
from toy_models import CHRM, write_toy_model

import phylotools
from phylotools.cli.main import run
from phylotools.design.conditionals import SiteConditionals
from phylotools.design.constraints import put, single_edits
from phylotools.design.problem import Limits, make_problems
from phylotools.design.search import Objective, Penalties, SearchSettings, anneal, greedy
from phylotools.design.starts import alone, region_starts
from phylotools.design.targets import Aim, HeadTarget, MotifTarget, parse_aim
from phylotools.errors import UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.motifs import consensus_motif
from phylotools.model.registry import load_model
from phylotools.scoring.scorer import Scorer


def objective_of(problem, target=None, aim=None, penalties=None, conditionals=None) -> Objective:
    conditionals = conditionals or conditionals_of(Chain())
    return Objective(problem, conditionals, target, aim or Aim(), penalties or Penalties())


def test_greedy_is_the_best_of_all_single_edits_each_time():
    problem = problem_of("ACGTAC", most_edits=3)
    objective = objective_of(problem, MotifTarget(consensus_motif("GGR")))
    found = greedy(objective, SearchSettings(), most_steps=6)
    codes = problem.codes[0].copy()
    for row in found.trace[1:]:
        options = []
        for position, base in itertools.product(range(6), range(4)):
            changed = codes.copy()
            changed[position] = base
            if base != codes[position] and (changed != problem.codes[0]).sum() <= 3:
                (total,) = objective.standing(changed[None]).totals
                options.append((-round(total, 9), position, base))
        best = min(options)
        assert (row.position, row.base) == best[1:]
        codes[row.position] = row.base
    assert found.codes.tolist() == codes.tolist()
    assert "".join("ACGT"[code] for code in codes) == "ACGGAC"
    assert found.standing.values[0] > found.at_start.values[0]
    assert found.why == "no edit is better"


def test_the_likelihood_of_a_joint_distribution_rises_to_its_top():
    problem = problem_of("ACAGAT", most_edits=5)
    for beam in (1, 4):
        found = greedy(objective_of(problem), SearchSettings(beam=beam), most_steps=20)
        assert found.standing.log_ratios[0] == pytest.approx(5 * 0.8, abs=1e-5)
        assert len(set(found.codes.tolist())) == 1
    fallen = greedy(objective_of(problem_of("AAAAAA")), SearchSettings(), most_steps=0)
    assert fallen.why == "the limit of steps"
    assert fallen.standing.edits[0] == 0


def test_penalties():
    problem = problem_of("AAAAAA")
    motif = MotifTarget(consensus_motif("CC"))
    free = greedy(objective_of(problem, motif), SearchSettings(), most_steps=9)
    assert free.standing.edits[0] == 2
    gain = free.standing.values[0] - free.at_start.values[0]
    for penalties in (Penalties(edit=gain), Penalties(likelihood=gain * 2)):
        held = greedy(objective_of(problem, motif, None, penalties), SearchSettings(), most_steps=9)
        assert held.standing.edits[0] == 0
    # At the end of the sequence two bases lose one neighbour each, not two.
    cheap = greedy(
        objective_of(problem, motif, None, Penalties(likelihood=0.01)), SearchSettings(),
        most_steps=9,
    )  # fmt: skip
    assert np.flatnonzero(cheap.codes).tolist() in ([0, 1], [4, 5])
    assert cheap.standing.log_ratios[0] == pytest.approx(-0.8, abs=1e-5)


def test_a_number_is_come_near_to():
    problem = problem_of("AAAAAA")
    motif = MotifTarget(consensus_motif("CCC"))
    values = [float(motif.values(None, codes_of(text)[None])[0]) for text in ("AAA", "CAA", "CCA")]
    found = greedy(objective_of(problem, motif, Aim("x", 1, values[1])), SearchSettings(),
                   most_steps=9)  # fmt: skip
    assert found.standing.values[0] == pytest.approx(values[1])
    assert found.standing.edits[0] == 1
    lowered = objective_of(problem_of("CCCAAA"), motif, Aim("low", -1))
    low = greedy(lowered, SearchSettings(), most_steps=9)
    assert low.standing.values[0] == pytest.approx(values[0])


def test_annealing(one_thread):
    problem = problem_of("ACGTACGT", most_edits=8)
    objective = objective_of(problem)
    settings = SearchSettings(steps=150, chains=3, seed=3)
    found = anneal(objective, settings)
    assert max(each.standing.log_ratios[0] for each in found) == pytest.approx(5.6, abs=1e-5)
    for each in found:
        assert each.standing.totals[0] == max(row.value for row in each.trace)
    again = anneal(objective, settings)
    more = anneal(objective, SearchSettings(steps=150, chains=5, seed=3))
    for k in range(3):
        assert found[k].trace == again[k].trace == more[k].trace
    other = anneal(objective, SearchSettings(steps=150, chains=3, seed=4))
    assert other[0].trace != found[0].trace


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, one_thread):
    """A toy model with a head that tells windows with much of A and C from others."""
    folder = tmp_path_factory.mktemp("tuned")
    base = str(write_toy_model(folder / "toy"))
    sequence = "".join(CHRM.read_text().split("\n")[1:]).upper()
    rows = []
    for k, start in enumerate(range(600, 6600, 60)):
        part = sequence[start : start + 60]
        label = "rich" if part.count("G") > 8 else "poor"
        rows.append(f"chrM\t{start}\t{start + 60}\tw{k}\t0\t+\t{label}\tg{k // 10}\n")
    (folder / "windows.bed").write_text("".join(rows))
    command = ["finetune", str(folder / "windows.bed"), "-m", base, "--label-column", "7"]
    command += ["--positive", "rich", "--negative", "poor", "--group-by", "8"]
    command += ["--bootstrap", "0", "-@", "1", "-q", "-o", str(folder / "tuned")]
    assert run(command) == 0
    return folder / "tuned"


def test_a_heads_value_is_that_of_finetune(tuned, tmp_path):
    model = load_model(str(tuned))
    scorer = Scorer(model, threads=1)
    target = HeadTarget(scorer)
    (tmp_path / "x.bed").write_text("chrM\t700\t760\nchrM\t16500\t16569\n")
    apply = ["finetune", "--apply", str(tuned), str(tmp_path / "x.bed"), "-q", "-@", "1"]
    assert run([*apply, "-o", str(tmp_path / "x.tsv")]) == 0
    theirs = [float(line.split("\t")[4]) for line in (tmp_path / "x.tsv").open().readlines()[1:]]
    with ReferenceGenome.open(CHRM) as genome:
        starts = region_starts(genome, ["chrM:701-760", "chrM:16501-16569"], scorer.half_window)
    # Printed to four digits, of features that agree to a float32's rounding: a toy's hardly differ
    # between regions, so that its head weighs them by a thousand.
    head = target.tuned.head
    tolerance = 5e-5 + 1e-7 * np.abs(head.weights / head.scale).sum()
    for start, value in zip(starts, theirs, strict=True):
        (problem,) = make_problems([start], Limits())
        tokens = problem.tokens(problem.codes, np.zeros(1, int))
        assert target.values(tokens, problem.codes)[0] == pytest.approx(value, abs=tolerance)
        # And of its single edits, of which only a part is computed.
        change = [part[::7] for part in single_edits(problem.constraint, problem.codes)]
        edited = target.edited(tokens, problem.codes, *change)
        changed = put(problem.codes, *change)
        whole = target.values(problem.tokens(changed, np.zeros(len(changed), int)), changed)
        assert edited == pytest.approx(whole, abs=1e-4)


def test_a_head_is_followed_to_its_classes(tuned):
    model = load_model(str(tuned))
    scorer = Scorer(model, threads=1)
    target, conditionals = HeadTarget(scorer), SiteConditionals(scorer)
    with ReferenceGenome.open(CHRM) as genome:
        (start,) = region_starts(genome, ["chrM:701-740"], scorer.half_window)
    (problem,) = make_problems([start], Limits(most_edits=3))
    values = {}
    for name in ("rich", "poor", "high", "low"):
        aim = parse_aim(name, model.tuned)
        objective = Objective(problem, conditionals, target, aim, Penalties())
        found = greedy(objective, SearchSettings(), most_steps=6)
        values[name] = found.standing.values[0]
        assert 1 <= found.standing.edits[0] <= 3
    assert values["rich"] == values["high"] > objective.at_start.values[0] > values["poor"]
    assert values["poor"] == values["low"]
    with pytest.raises(UsageError, match=r"is none of high, low, a number, rich, poor"):
        parse_aim("absent", model.tuned)
    with pytest.raises(UsageError, match="is none of high, low, a number"):
        parse_aim("nan", None)


def test_a_model_without_a_head_is_refused(tmp_path):
    model = load_model(str(write_toy_model(tmp_path / "toy")))
    with pytest.raises(UsageError, match="has no head"):
        HeadTarget(Scorer(model, threads=1))


def one_hot(codes: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(codes).long(), 4).transpose(1, 2).float()


def test_a_head_as_a_module_has_the_same_value(tuned):
    model = load_model(str(tuned))
    codes = np.random.default_rng(8).integers(0, 4, (3, 50)).astype(np.uint8)
    module = phylotools.one_hot_module(model, "head")
    target = HeadTarget(Scorer(model, threads=1))
    starts = [alone(f"s{k}", row, model.receptive_field // 2) for k, row in enumerate(codes)]
    tokens = np.stack([np.concatenate([s.left, s.codes, s.right]) for s in starts])
    values = target.values(tokens, codes)
    assert module(one_hot(codes))[:, 0].numpy() == pytest.approx(values, abs=1e-3)
    x = one_hot(codes).requires_grad_()
    module(x).sum().backward()
    assert (x.grad != 0).any(dim=1).all()
    with pytest.raises(UsageError, match="no head"):
        phylotools.one_hot_module(load_model(str(tuned.parent / "toy")), "head")


def test_ledidi_edits_towards_the_same_head(tuned):
    """Greedy search needs fewer edits than ledidi for the same value, here."""
    model = load_model(str(tuned))
    codes = np.random.default_rng(9).integers(0, 4, (1, 40)).astype(np.uint8)
    module = phylotools.one_hot_module(model, "head")
    start = float(module(one_hot(codes))[0, 0])
    wanted = torch.tensor([[start + 2.0]])
    theirs = ledidi.ledidi(
        module, one_hot(codes), wanted, device="cpu", random_state=1, max_iter=80, batch_size=8,
        l=0.05, lr=1.0, verbose=False,
    )  # fmt: skip
    found = theirs.argmax(dim=1).numpy().astype(np.uint8)
    their_values = module(one_hot(found))[:, 0].numpy()
    letters = "".join("ACGT"[code] for code in codes[0])
    ours = phylotools.edit_sequence(
        model, letters, head=model, target=start + 2.0, edits=10, threads=1
    )
    assert abs(ours.value - start - 2.0) <= np.abs(their_values - start - 2.0).min() + 0.05
    assert len(ours.edits) <= (found != codes).sum(axis=1).min() + 1


def test_from_python(tuned):
    model = load_model(str(tuned))
    found = phylotools.sample_sequences(
        model, "ACGTACGTACGT", number=3, burn_in=2, fixed=["1-4"], edits=2, threads=1
    )
    assert len(found) == 3
    for design in found:
        assert design.letters.startswith("ACGT")
        assert len(design.edits) <= 2
    again = phylotools.sample_sequences(model, length=20, number=2, burn_in=1, threads=1)
    assert [len(design.letters) for design in again] == [20, 20]
    edited = phylotools.edit_sequence(model, "ACGTACGTACGT", motif="GGG", edits=3, threads=1)
    assert "GGG" in edited.letters or "CCC" in edited.letters
    for wrong in ({"start": ["ACGT", "ACGT"]}, {"start": "ACNT"}, {"length": 0},
                  {"length": 9, "own_base": "guessed"}):  # fmt: skip
        with pytest.raises(UsageError):
            phylotools.sample_sequences(model, **wrong)


def test_a_head_with_adapters(tuned, tmp_path):
    """Embeddings of the adapted network, log rates of the other: two passes, the same value."""
    command = ["finetune", str(tuned.parent / "windows.bed"), "-m", str(tuned.parent / "toy")]
    command += [
        "--label-column",
        "7",
        "--positive",
        "rich",
        "--negative",
        "poor",
        "--group-by",
        "8",
    ]
    command += ["--bootstrap", "0", "-@", "1", "-q", "--adapters", "2", "--epochs", "1"]
    assert (
        run([*command, "--folds", "2", "--inner-folds", "2", "-o", str(tmp_path / "adapted")]) == 0
    )
    model = load_model(str(tmp_path / "adapted"))
    target = HeadTarget(Scorer(model, threads=1))
    codes = np.random.default_rng(8).integers(0, 4, (2, 30)).astype(np.uint8)
    starts = [alone(f"s{k}", row, model.receptive_field // 2) for k, row in enumerate(codes)]
    tokens = np.stack([np.concatenate([s.left, s.codes, s.right]) for s in starts])
    module = phylotools.one_hot_module(model, "head")
    assert module(one_hot(codes))[:, 0].numpy() == pytest.approx(
        target.values(tokens, codes), abs=1e-3
    )
