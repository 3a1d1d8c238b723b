"""`phylotools completion`, and the answers that its scripts ask for at each TAB.

A TAB starts this program with `VARIABLE` set, so nothing heavy is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    shell_complete,
)

from phylotools.cli import options
from phylotools.cli.groups import CommandWithParts, completions

PROGRAM = "phylotools"
#: Set by the scripts: which shell asks.
VARIABLE = "_PHYLOTOOLS_COMPLETE"


class _Answers(ShellComplete):
    """Click's completion, with names of files where it knows of nothing better.

    Click would offer none for our paths, which are plain text to it; and a shell that has a
    completion for a program does not fall back to its own.
    """

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        # bash cuts words at "=": `--score`, `=`, `llr`.
        args = [word for word in args if word != "="]
        found = super().get_completions(args, incomplete)
        command = _command_of(self.cli, args)
        if isinstance(command, CommandWithParts) and args[-1] == command.name:
            found = [*completions(command.parts, incomplete), *found]
        is_command = isinstance(command, click.Group) and not isinstance(command, CommandWithParts)
        if is_command or incomplete.startswith("-") or any(x.type == "plain" for x in found):
            return found
        return [CompletionItem(incomplete, type="file")]


class _Bash(_Answers, BashComplete):
    @staticmethod
    def _check_version() -> None:
        """Not by starting bash: the script may be made where there is none."""


class _Zsh(_Answers, ZshComplete):
    pass


class _Fish(_Answers, FishComplete):
    # Click's own script cuts texts of help at their first comma.
    source_template = FishComplete.source_template.replace("split ", "split --max 1 ")


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def _command_of(command: click.Command, words: Sequence[str]) -> click.Command:
    """The command that words on the command line name, as far as they do."""
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            break
        command = found
    return command


def script(shell: str) -> str:
    """What a shell reads to complete our command line.

    Parameters
    ----------
    shell : {'bash', 'zsh', 'fish'}

    Returns
    -------
    str
    """
    from phylotools.cli.main import phylotools_command

    return SHELLS[shell](phylotools_command, {}, PROGRAM, VARIABLE).source()


def answer() -> int:
    """Print what may stand at the cursor, as the script that asks expects it.

    Returns
    -------
    int
        Exit code: 1 if no script of ours has asked.
    """
    from click.shell_completion import add_completion_class

    from phylotools.cli.main import phylotools_command

    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
    try:
        return shell_complete(phylotools_command, {}, PROGRAM, VARIABLE, os.environ[VARIABLE])
    except (KeyError, ValueError):  # COMP_WORDS or COMP_CWORD are not a shell's
        return 1


@click.command(name="completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@options.logging_options
def completion_command(shell: str) -> None:
    """Print the script by which SHELL completes verbs, options and their values.

    \b
    eval "$(phylotools completion bash)"      # in ~/.bashrc
    eval "$(phylotools completion zsh)"       # in ~/.zshrc, after compinit
    phylotools completion fish > ~/.config/fish/completions/phylotools.fish
    """
    click.echo(script(shell), nl=False)
