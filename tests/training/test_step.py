"""One step: parts of a batch, and averaged weights."""

from __future__ import annotations

import pytest
import torch
from small_runs import CPU, HOLDS_OUT, resumes_to_the_same

from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT
from phylotools.training.step import Average

pytestmark = pytest.mark.usefixtures("one_thread")


def test_parts_have_the_gradient_of_the_whole(config_of, mammals_store, tmp_path):
    gradients = []
    for parts in (1, 2, 4):
        config = config_of(mammals_store, optimiser={"parts": parts, "gradient_clip": 1e9})
        trainer = Trainer(config, tmp_path / str(parts), CPU)
        row = trainer._step(next(trainer.data.stream()))
        gradient = torch.cat([p.grad.flatten() for p in trainer.model.network.parameters()])
        gradients.append((gradient, row["loss"], row["columns"]))
    for gradient, loss, columns in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0][0], rtol=1e-4, atol=1e-6)
        assert loss == pytest.approx(gradients[0][1], rel=1e-5)
        assert columns == gradients[0][2]
    assert not torch.equal(gradients[1][0], gradients[2][0])


def test_an_average_forgets_at_its_rate(config_of, mammals_store, tmp_path):
    model = Trainer(config_of(mammals_store), tmp_path / "run", CPU).model
    average = Average(model, 0.75)
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    for step in (1, 2, 40, 50):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        decay = min(0.75, step / (step + 9))
        for name, value in model.state_dict().items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value
        average.follow(model, step)
    torch.testing.assert_close(average.weights, wanted)
    raw = {name: value.clone() for name, value in model.state_dict().items()}
    with average.standing_in(model):
        torch.testing.assert_close(dict(model.state_dict()), wanted)
    assert all(torch.equal(model.state_dict()[name], raw[name]) for name in raw)


@pytest.mark.parametrize("changes", [HOLDS_OUT, {}])
def test_the_average_is_kept_and_resumed(config_of, mammals_store, tmp_path, changes):
    config = config_of(mammals_store, optimiser={"average": 0.9}, **changes)
    if changes:
        resumes_to_the_same(config, tmp_path, [7, 13])
    trainer = Trainer(config, tmp_path / "run", CPU)
    trainer.run()
    checkpoint = read_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert checkpoint.part("average.").keys() == checkpoint.part("model.").keys()
    kept = checkpoint.selected_model(tmp_path).state_dict()
    if checkpoint.progress.best_step in (0, checkpoint.progress.step):
        assert all(torch.equal(kept[k], v) for k, v in trainer.average.weights.items())
    assert any(not torch.equal(kept[k], v) for k, v in trainer.model.state_dict().items())
