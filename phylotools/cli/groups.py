"""Groups of commands whose modules load only when one of theirs is called."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem


def completions(parts: Mapping[str, str], incomplete: str) -> list[CompletionItem[str]]:
    """The commands that begin so, with their lines of help, for a shell."""
    return [
        CompletionItem(name, help=line)
        for name, line in parts.items()
        if name.startswith(incomplete)
    ]


class LazyGroup(click.Group):
    """A group whose subcommands are imported on demand.

    Attributes
    ----------
    parts : mapping of str to str
        Name of each subcommand -> one line of help.
    """

    parts: Mapping[str, str]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.parts)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, whose suggestions for a name that is none know only what is loaded."""
        name = args[0]
        if name not in self.parts and name[:1] != "-" and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, self.parts, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


class CommandWithParts(LazyGroup):
    """A command that has subcommands too: what names none of them is the command's own.

    ``evaluate scored.vcf`` is the command, ``evaluate prepare ...`` the part ``prepare``, which
    lies in the module ``phylotools.cli.evaluate_prepare`` as ``prepare_command``. Only the first
    argument is looked at; a file of such a name is written ``./prepare``.

    Parameters
    ----------
    default : click.Command
        The command itself.
    parts : mapping of str to str
        Name of each subcommand -> one line of help.
    """

    def __init__(self, default: click.Command, parts: Mapping[str, str], **settings: Any) -> None:
        super().__init__(name=default.name, help=default.help, **settings)
        self.default = _listing_parts(default, parts)
        self.parts = dict(parts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.parts:
            return None
        part = cmd_name.replace("-", "_")
        module = importlib.import_module(f"phylotools.cli.{self.default.name}_{part}")
        return getattr(module, f"{part}_command")

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if args and args[0] in self.parts:
            return super().make_context(info_name, args, parent, **extra)
        return self.default.make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


class Parts(LazyGroup):
    """A verb that is its subcommands: ``interpret mutagenesis ...``.

    Each lies in a module of its own, ``phylotools.cli.interpret_mutagenesis``, as
    ``mutagenesis_command``.

    Parameters
    ----------
    parts : mapping of str to str
        Name of each subcommand -> one line of help.
    """

    def __init__(self, parts: Mapping[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self.parts = dict(parts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.parts:
            return None
        part = cmd_name.replace("-", "_")
        module = importlib.import_module(f"phylotools.cli.{self.name}_{part}")
        return getattr(module, f"{part}_command")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.parts.items()))


def _listing_parts(command: click.Command, parts: Mapping[str, str]) -> click.Command:
    """The command, with its subcommands at the end of its help."""

    def format_epilog(ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if parts:
            with formatter.section(f"Subcommands (`{ctx.command_path} NAME --help`)"):
                formatter.write_dl(list(parts.items()))

    command.format_epilog = format_epilog  # type: ignore[method-assign]
    return command
