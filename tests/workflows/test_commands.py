"""Every command of phylotools in workflows and examples: its verb and its options exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from phylotools.cli.main import phylotools_command

ROOT = Path(__file__).parents[2]
#: What may hold commands, and in how many files of it there are some at least.
PLACES = {
    "workflows/snakemake": ("*.smk", 5),
    "workflows/nextflow": ("*.nf", 5),
    "workflows/skypilot": ("*.yaml", 2),
    "workflows/galaxy": ("*.xml", 1),
    "examples": ("*.sh", 7),
    "examples/train_cluster": ("*.sbatch", 1),
    "docs": ("workflows.md", 1),
}
#: A verb that a template fills in.
VERBS_IN_PARTS = ("annotate", "tracks")
_COMMAND = re.compile(r"(?<![\w./#-])phylotools +(?=[a-z$-])((?:[^|;<>&\n`)]|\$\([^)]*\))*)")
_FENCE = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands_in(path: Path) -> list[str]:
    """What follows `phylotools` in the commands of a file."""
    text = path.read_text()
    if path.suffix == ".md":
        text = "\n".join(_FENCE.findall(text))
    if path.suffix == ".smk":
        # Strings that stand one after the other are one.
        text = re.sub(r'"\s*\n\s*"', "", text)
    if path.suffix == ".xml":
        text = re.search(r"<command.*?<!\[CDATA\[(.*?)\]\]>", text, re.DOTALL)[1]  # type: ignore[index]
        text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).replace("\n", " ")
    text = re.sub(r"\\+\n", " ", text)
    lines = [line for line in text.splitlines() if not re.match(r"\s*(#|//)", line)]
    found = _COMMAND.findall("\n".join(lines))
    return [each for command in found for each in filled_in(command)]


def filled_in(command: str) -> Iterator[str]:
    """A command of a template, with each of the verbs that it is for."""
    if "${verb}" not in command:
        yield command
        return
    yield from (command.replace("${verb}", verb) for verb in VERBS_IN_PARTS)


def problems_of(command: str) -> list[str]:
    """What of a command does not exist."""
    words = command.replace('"', " ").replace("'", " ").split()
    found: click.Command = phylotools_command
    context = click.Context(phylotools_command)
    while isinstance(found, click.Group):
        part = found.get_command(context, words[0]) if words else None
        default = getattr(found, "default", None)
        if part is None and default is None:
            return [] if words and words[0] in ("--version", "-V") else [f"no verb: {command!r}"]
        if part is not None:
            words = words[1:]
        found = part or default
    there = {
        name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)
    }
    given = (word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z@]", word))
    return [f"no {name} in {command!r}" for name in given if name not in there | {"--help", "-h"}]


@pytest.mark.parametrize("place", PLACES)
def test_every_verb_and_option_exists(place: str) -> None:
    pattern, at_least = PLACES[place]
    by_file = {path: commands_in(path) for path in sorted((ROOT / place).rglob(pattern))}
    assert sum(map(bool, by_file.values())) >= at_least
    problems = {
        str(path.relative_to(ROOT)): found
        for path, commands in by_file.items()
        if (found := [problem for command in commands for problem in problems_of(command)])
    }
    assert problems == {}


def test_what_does_not_exist_is_found() -> None:
    assert problems_of("annotate in.vcf -m model --verbosely") != []
    assert problems_of("tracks-partitions work 0") != []
    assert problems_of("model exports run") != []
    assert problems_of('annotate in.vcf.gz -@ "$threads" --on-ref-mismatch=skip -o out.vcf') == []
    assert problems_of("evaluate scored.vcf --label-column L --positive a --negative b") == []
