"""Man pages: every command has one, real roff programs set them, and they say what --help says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import click
import pytest
from field_tools import require

from phylotools.cli.main import VERBS, phylotools_command, run
from phylotools.cli.manual import page, write_pages
from phylotools.version import __version__


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    write_pages(folder, phylotools_command, "phylotools")
    return folder


def set_by_man(path) -> str:
    """A page as a reader sees it, in lines as long as they come and without overstriking."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=9999n", "-rHY=0", path.name],
        cwd=path.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_every_command_has_a_page(pages):
    names = {path.stem for path in pages.iterdir()}
    assert {f"phylotools-{verb}" for verb in VERBS} <= names
    assert {"phylotools", "phylotools-model-fetch", "phylotools-evaluate-prepare"} <= names
    # What the pages refer to is there.
    for path in pages.iterdir():
        _, _, see = path.read_text().partition(".SH SEE ALSO")
        told = {name.replace("\\-", "-") for name in re.findall(r"\\fB(.+?)\\fR\(1\)", see)}
        assert told
        assert told <= names, path.name


def test_roff_sets_every_page_without_a_warning(pages):
    require("groff", "mandoc")
    paths = sorted(pages.iterdir())
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", *paths], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *paths], capture_output=True)
    told = done.stdout.decode().splitlines()
    # Pages carry the version in the place of a date, which would differ in every build.
    assert [line for line in told if "missing date" not in line] == []
    # The check can fail.
    spoilt = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z"],
        input=b".SH A\n.nonsense\n\\[u]",
        capture_output=True,
    )
    assert spoilt.stderr


@pytest.mark.parametrize("verb", ["annotate", "evaluate", "tracks", "evaluate prepare"])
def test_a_page_says_what_the_help_says(pages, capsys, verb):
    require("groff")
    assert run([*verb.split(), "--help"]) == 0
    help_text = capsys.readouterr().out
    text = " ".join(set_by_man(pages / f"phylotools-{verb.replace(' ', '-')}.1").split())
    for switch in set(re.findall(r"(?<!\S)--?[A-Za-z@][\w-]*", help_text)):
        assert switch in text
    # All sentences of the body; how the lines are broken does not matter.
    body = help_text.partition("\n\n")[2].partition("\nOptions:\n")[0]
    sentences = re.findall(r"[A-Z][^.`]{30,}\.(?= )", " ".join(body.split()))
    assert sentences
    assert all(sentence in text for sentence in sentences)
    assert text.endswith(f"phylotools {__version__} PHYLOTOOLS-{verb.upper().replace(' ', '-')}(1)")
    assert "[default:" in text


def test_man_finds_them(pages, tmp_path):
    """`man` looks in share/man beside the bin folder of a program."""
    require("man", "groff")
    (tmp_path / "bin").mkdir()
    shutil.copytree(pages, tmp_path / "share" / "man" / "man1")
    done = subprocess.run(
        ["man", "-w", "phylotools-tracks"],
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "share/man/man1/phylotools-tracks.1"), done.stderr


def test_what_roff_would_take_for_its_own_is_text(tmp_path):
    require("groff")

    @click.command(help=".dot \\n[.x] 'quote' `code` -5 ~ ^\n\n\b\n.block\n'line  two\\\n\nÄ é “x”")
    @click.option("--dot", help=".dot of \\fIroff\\fR and 'x'")
    def odd() -> None:
        pass

    context = click.Context(odd, info_name="odd")
    (tmp_path / "odd.1").write_text(page(context, ".odd \\ 'one'"), encoding="ascii")
    text = set_by_man(tmp_path / "odd.1")
    for expected in (
        "odd - .odd \\ 'one'", ".dot \\n[.x] 'quote' code -5 ~ ^", "    .block\n", "'line  two\\\n",
        "Ä é “x”", ".dot of \\fIroff\\fR and 'x'",
    ):  # fmt: skip
        assert expected in text


def test_they_are_made_with_nothing_but_click(tmp_path):
    """As in the environment of a build, which has no library of ours (hatch_build.py)."""
    code = f"""
import sys, click
from pathlib import Path
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {{"phylotools", "click", *sys.stdlib_module_names}}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
from phylotools.cli.completion import script
from phylotools.cli.main import phylotools_command
from phylotools.cli.manual import write_pages
print(len(write_pages(Path({str(tmp_path)!r}), phylotools_command, "phylotools")))
assert script("zsh")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == len(list(tmp_path.iterdir()))


def test_pages_are_the_same_at_any_time(pages, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.setenv("COLUMNS", "40")
    for path in write_pages(tmp_path, phylotools_command, "phylotools"):
        assert path.read_bytes() == (pages / path.name).read_bytes()
