"""A command that has subcommands too."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from phylotools.cli.evaluate import PARTS, evaluate_command
from phylotools.cli.groups import CommandWithParts


@pytest.fixture
def command(monkeypatch):
    """`judge FILES [--by X]`, with the part `judge two-fold`."""

    @click.command(name="judge")
    @click.argument("files", nargs=-1, required=True)
    @click.option("--by")
    def judge(files, by):
        """Judge files."""
        click.echo(f"judged {' '.join(files)} by {by}")

    @click.command(name="two-fold")
    @click.argument("files", nargs=-1)
    def two_fold_command(files):
        """Judge them twice."""
        click.echo(f"twice {' '.join(files)}")

    module = ModuleType("phylotools.cli.judge_two_fold")
    module.two_fold_command = two_fold_command
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return CommandWithParts(judge, {"two-fold": "Judge them twice."})


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["a", "b"], "judged a b by None\n"),
        (["--by", "two-fold", "a"], "judged a by two-fold\n"),
        (["a", "two-fold"], "judged a two-fold by None\n"),
        (["./two-fold"], "judged ./two-fold by None\n"),
        (["--", "a"], "judged a by None\n"),
        (["two-fold", "a"], "twice a\n"),
        (["two-fold"], "twice \n"),
    ],
)
def test_the_first_argument_decides(command, arguments, output):
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, done.output) == (0, output)


def test_help_is_of_the_command_and_lists_its_parts(command):
    for arguments in (["--help"], ["a", "--help"]):
        done = CliRunner().invoke(command, arguments, prog_name="x judge")
        assert done.output.startswith("Usage: x judge [OPTIONS] FILES...")
        assert "Subcommands (`x judge NAME --help`):\n  two-fold  Judge them twice." in done.output
    done = CliRunner().invoke(command, ["two-fold", "--help"], prog_name="x judge")
    assert done.output.startswith("Usage: x judge two-fold [OPTIONS] [FILES]...")


def test_a_mistake_names_the_command_that_was_meant(command):
    done = CliRunner().invoke(command, [], prog_name="x judge")
    assert done.exit_code == 2
    assert "x judge --help" in done.output
    done = CliRunner().invoke(command, ["two-fold", "--no"], prog_name="x judge")
    assert "x judge two-fold --help" in done.output


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_of_evaluate_are_there_and_say_so(part):
    context = click.Context(evaluate_command)
    assert evaluate_command.get_command(context, part).name == part


def test_help_imports_neither_torch_nor_numba():
    calls = [[], *([part] for part in PARTS)]
    code = (
        "import sys\nfrom phylotools.cli.main import run\n"
        f"codes = [run(['evaluate', *part, '-h']) for part in {calls}]\n"
        "print(codes, sorted({'torch', 'numba', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{[0] * len(calls)} []"
