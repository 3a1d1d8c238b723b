"""Completion in real shells: verbs, options, values and names of files."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from field_tools import require
from test_main import HEAVY
from waiting import PATIENCE

from phylotools.cli.completion import SHELLS, VARIABLE, script
from phylotools.cli.main import VERBS, phylotools_command, run

BIN = Path(sys.executable).parent


def offered(line: str) -> list[str]:
    """What is answered to bash for a line; `type,value`."""
    words = line.split()
    at = len(words) - (not line.endswith(" "))
    shell = SHELLS["bash"](phylotools_command, {}, "phylotools", VARIABLE)
    found = shell.get_completions(words[1:at], words[at] if at < len(words) else "")
    return [f"{item.type},{item.value}" for item in found]


def commands(command: click.Command, words: tuple[str, ...] = ()):
    """The words of every command, and the command; of one with parts its own, too."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield words, command
        return
    if hasattr(command, "default"):
        yield words, command.default
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*words, name))


def test_every_option_of_every_command_is_offered():
    n_commands = 0
    for words, command in commands(phylotools_command):
        found = offered(f"phylotools {' '.join(words)} --")
        long = {
            f"plain,{name}"
            for parameter in command.params
            for name in parameter.opts
            if name.startswith("--")
        }
        assert long <= set(found), words
        assert "plain,--help" in found
        n_commands += 1
    assert n_commands > 40


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("phylotools ann", ["plain,annotate"]),
        ("phylotools annotate-p", ["plain,annotate-partition"]),
        ("phylotools evaluate pr", ["plain,protocols", "plain,prepare"]),
        ("phylotools evaluate prepare --pro", ["plain,--protocol"]),
        ("phylotools evaluate scored.vcf pr", ["file,pr"]),
        ("phylotools model set", ["plain,set-reference"]),
        ("phylotools annotate -m mammals6", ["plain,mammals671-mtdna"]),
        ("phylotools annotate -m my/", ["file,my/"]),
        ("phylotools model info den", ["plain,dengue1509"]),
        ("phylotools annotate in", ["file,in"]),
        ("phylotools annotate ", ["file,"]),
        ("phylotools annotate in.vcf -f h", ["file,h"]),
        # bash cuts words at "=".
        ("phylotools annotate --precision = fl", ["plain,float32", "plain,float16"]),
        ("phylotools annotate --precision=fl", ["plain,float32", "plain,float16"]),
        ("phylotools completion z", ["plain,zsh"]),
        ("phylotools nothing x", []),
        ("phylotools annotate --nothing", []),
    ],
)
def test_what_may_stand_at_the_cursor(line, expected):
    assert offered(line) == expected


def test_models_of_the_user_are_offered(tmp_path, monkeypatch):
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path))
    for name in ("mine", "no_model"):
        (tmp_path / "models" / name).mkdir(parents=True)
    (tmp_path / "models" / "mine" / "manifest.json").touch()
    assert offered("phylotools annotate -m m")[-1] == "plain,mine"
    assert "plain,no_model" not in offered("phylotools annotate -m ")


def test_an_answer_imports_nothing_heavy():
    code = (
        "import atexit, sys\nfrom phylotools.cli.main import main\n"
        f"atexit.register(lambda: print(sorted(set({HEAVY!r}) & set(sys.modules))))\n"
        "main()\n"
    )
    environment = {**os.environ, VARIABLE: "bash_complete", "COMP_CWORD": "3"}
    environment["COMP_WORDS"] = "phylotools annotate -m mammals671"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "plain,mammals671-mtdna\n[]\n"


@pytest.mark.parametrize(
    "environment",
    [
        {VARIABLE: "bash_complete"},
        {VARIABLE: "bash_complete", "COMP_WORDS": "phylotools ", "COMP_CWORD": "x"},
        {VARIABLE: "tcsh_complete"},
        {VARIABLE: ""},
    ],
)
def test_an_environment_that_no_shell_made_is_answered_by_nothing(environment):
    done = subprocess.run(
        [BIN / "phylotools"], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_the_verb_prints_the_scripts(capsys):
    for shell in SHELLS:
        assert run(["completion", shell]) == 0
        assert capsys.readouterr().out == script(shell)
    assert run(["completion", "tcsh"]) == 2


class Terminal:
    """A shell at a terminal."""

    def __init__(self, command: list[str], folder: Path, setup: str) -> None:
        environment = {
            "PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb", "PS1": "ready>",
            "PHYLOTOOLS_CACHE": str(folder / "cache"), "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        pid, self._end = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execve(command[0], command, environment)
        self._pid = pid
        self._seen = ""
        self.type(f"{setup}; echo DO'NE'\n")
        self.wait_for("DONE")

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait_for(self, pattern: str) -> str:
        """What has been shown, from the last match of an earlier call to this one's."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self._seen)) is None:
            ready, _, _ = select.select([self._end], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern} never came: {self._seen!r}"
            self._seen += os.read(self._end, 1 << 16).decode()
        shown, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return shown

    def close(self) -> None:
        os.close(self._end)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)


@pytest.mark.parametrize(
    ("shell", "arguments", "setup"),
    [
        ("bash", ["--norc", "--noprofile", "-i"], 'eval "$(phylotools completion bash)"'),
        (
            "zsh",
            ["-f", "-i"],
            'autoload -Uz compinit; compinit -D; eval "$(phylotools completion zsh)"',
        ),
    ],
)
def test_a_shell_at_a_terminal(tmp_path, shell, arguments, setup):
    require(shell)
    (tmp_path / "exomes.vcf.gz").touch()
    terminal = Terminal([f"/bin/{shell}", *arguments], tmp_path, setup)
    try:
        terminal.type("phylotools annot\t")
        terminal.wait_for("phylotools annotate")
        terminal.type("exo\t")
        terminal.wait_for(r"exomes\.vcf\.gz")
        terminal.type("-m mammals671\t")
        terminal.wait_for("mammals671-mtdna")
        terminal.type("--on-ref\t")
        terminal.wait_for("--on-ref-mismatch")
        terminal.type("sk\t")
        terminal.wait_for("skip")
    finally:
        terminal.close()


def test_fish(tmp_path):
    require("fish")
    (tmp_path / "exomes.vcf.gz").touch()
    (tmp_path / "ours.fish").write_text(script("fish"))
    lines = ["ann", "annotate exo", "annotate --on-ref", "annotate -m mammals671"]
    asked = "; ".join(f"complete -C 'phylotools {line}'" for line in lines)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source ours.fish; {asked}"], cwd=tmp_path,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [
        "annotate", "exomes.vcf.gz", "--on-ref-mismatch", "mammals671-mtdna",
    ], done.stderr  # fmt: skip
    # With the help, commas and all.
    assert VERBS["annotate"] in done.stdout
    assert "not the reference base: stop, leave" in done.stdout
