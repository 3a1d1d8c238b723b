"""Signals: save at the end of the step, and go on or end; resumed to the same bits."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from small_runs import CPU, HOLDS_OUT, same_run

from phylotools.cli.main import run
from phylotools.errors import PhylotoolsError
from phylotools.training.checkpoint import read_checkpoint
from phylotools.training.config_file import read_config
from phylotools.training.interruption import Interruption, StoppedBySignal, Wish
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT
from phylotools.training.workers import Workers

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config(config_of, mammals_store):
    run = HOLDS_OUT["run"] | {"site_fits": False}
    return config_of(mammals_store, **HOLDS_OUT | {"run": run})


@pytest.fixture
def handlers():
    """Whatever a test does, the signals are as they were."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    assert {number: signal.getsignal(number) for number in numbers} == before


def train_with_signals(config, folder, sent: dict[int, int], *, resume: bool = False) -> Trainer:
    """Train; when so many steps are done and the next has begun, a signal comes."""
    trainer = Trainer(config, folder, CPU, resume=resume)
    take = trainer._step

    def step(*arguments):
        for number in [sent[at] for at in sent if at == trainer.progress.step]:
            os.kill(os.getpid(), number)
        return take(*arguments)

    trainer._step = step
    interruption = Interruption()
    with interruption.listening():
        trainer.run(interruption=interruption)
    return trainer


@pytest.mark.parametrize(
    ("number", "name", "code"), [(signal.SIGTERM, "SIGTERM", 143), (signal.SIGINT, "SIGINT", 130)]
)
def test_a_run_saves_and_ends(config, tmp_path, handlers, number, name, code):
    with pytest.raises(StoppedBySignal) as caught:
        train_with_signals(config, tmp_path / "parts", {8: number})
    assert str(caught.value) == f"stopped by {name} after step 9; go on with --resume"
    assert caught.value.exit_code == code
    assert read_checkpoint(tmp_path / "parts" / CHECKPOINT).progress.step == 9
    Trainer(config, tmp_path / "whole", CPU).run()
    Trainer(config, tmp_path / "parts", CPU, resume=True).run()
    same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_run_saves_and_goes_on(config, tmp_path, handlers, monkeypatch):
    saved = []
    import phylotools.training.loop as loop

    real = loop.save_checkpoint

    def remember(folder, checkpoint, keep):
        saved.append(checkpoint.progress.step)
        real(folder, checkpoint, keep)

    monkeypatch.setattr(loop, "save_checkpoint", remember)
    train_with_signals(config, tmp_path / "parts", {2: signal.SIGUSR1, 7: signal.SIGUSR1})
    assert saved == [3, 6, 8, 12, 18, 20]
    Trainer(config, tmp_path / "whole", CPU).run()
    same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_second_sigterm_says_nothing_new(config, tmp_path, handlers):
    """A launcher sends on what its processes got already."""

    def twice(trainer):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    interruption = Interruption()
    with interruption.listening(), interruption.patience():
        twice(None)
        assert interruption.wanted is Wish.STOP


def test_a_second_interruption_ends_at_once(handlers):
    interruption = Interruption()
    with interruption.listening(), interruption.patience():
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.wanted is Wish.STOP
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_before_the_first_step_a_run_ends_at_once(handlers):
    interruption = Interruption()
    with interruption.listening():
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.code == 143
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        # What asks to save is kept for the first step, and ends nothing.
        os.kill(os.getpid(), signal.SIGUSR1)
        assert interruption.wanted is Wish.SAVE
        interruption.saved()
        assert interruption.wanted is Wish.NOTHING


def test_of_several_wishes_the_largest_counts():
    assert max(Wish.NOTHING, Wish.SAVE, Wish.STOP) is Wish.STOP
    assert Wish(max([0, 2, 1])) is Wish.STOP
    # A process that got no signal itself says what another's usually was.
    assert Interruption().stopped(3).exit_code == 143


def test_the_command_ends_with_one_line(config_file, tmp_path, capfd, handlers, monkeypatch):
    path = config_file(run={"site_fits": False})
    take = Trainer._step

    def step(trainer, *arguments):
        if trainer.progress.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(trainer, *arguments)

    line = ["train", str(path), "-o", str(tmp_path / "parts"), "-q", "--resume"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step)
        assert run(line) == 143
    assert capfd.readouterr().err == (
        "error: stopped by SIGTERM after step 5; go on with --resume\n"
    )
    # The same line again, as a requeued job has it.
    assert run(line) == 0
    Trainer(read_config(path), tmp_path / "whole", CPU).run()
    same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_reader_that_the_signal_killed_is_no_error(config, tmp_path, handlers):
    """A batch system sends it to every process of a job."""
    trainer = Trainer(config, tmp_path / "parts", CPU)
    stream = trainer.data.stream

    def dying(*arguments, **options):
        for number, item in enumerate(stream(*arguments, **options)):
            if number == 7:
                os.kill(os.getpid(), signal.SIGTERM)
                raise PhylotoolsError("a process that reads the stores was killed")
            yield item

    trainer.data.stream = dying
    interruption = Interruption()
    with interruption.listening(), pytest.raises(StoppedBySignal, match="after step 7"):
        trainer.run(interruption=interruption)
    assert read_checkpoint(tmp_path / "parts" / CHECKPOINT).progress.step == 7


def test_a_step_tells_what_is_asked_of_any_worker(config, tmp_path, monkeypatch):
    """So that all of them end together, also those that got no signal themselves."""
    trainer = Trainer(config, tmp_path / "run", CPU)
    own = next(trainer.data.stream(0, range(1)))
    assert trainer.update(own, 1.0, Wish.SAVE)["wish"] == Wish.SAVE
    gather = Workers.gather

    def with_another(workers, rows, parts):
        rows = gather(workers, rows, parts)
        if rows.dtype == torch.float64:
            rows = torch.cat([rows, torch.tensor([[0.0, 0.0, float(Wish.STOP)]])])
        return rows

    monkeypatch.setattr(Workers, "gather", with_another)
    assert trainer.update(own, 1.0, Wish.SAVE)["wish"] == Wish.STOP
