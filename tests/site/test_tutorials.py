"""The three tutorials, run from their first block to their last in an empty folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from documented_commands import differs, install_program, run_page, write_program

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def folder(tmp_path: Path, one_thread: None) -> Path:
    """The folder of someone to whom nothing is left but to install phylotools."""
    install_program(tmp_path)
    write_program(tmp_path, "python", f'exec {sys.executable} "$@"')
    # tests/plain_install.sh installs as the page says.
    write_program(tmp_path, "python3", 'mkdir -p "$3/bin" && touch "$3/bin/activate"')
    write_program(tmp_path, "pip", 'echo "$@" >> pip.txt')
    return tmp_path


def test_a_vcf_is_scored(folder: Path) -> None:
    run_page(DOCS / "tutorial-vcf.md", folder)
    assert (folder / "pip.txt").read_text() == "install phylotools-*-py3-none-any.whl\n"
    assert (folder / "scored.vcf.gz.tbi").is_file()
    assert (folder / "tracks" / "igv.html").is_file()


def test_an_alignment_becomes_a_model(folder: Path) -> None:
    run_page(DOCS / "tutorial-alignment.md", folder)
    for name in ("report/report.html", "curves.png", "my-model/card.md", "scored.vcf"):
        assert (folder / name).is_file()


def test_a_network_is_built_and_trained(folder: Path) -> None:
    run_page(DOCS / "tutorial-models.md", folder)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a 1.23\n", "a  1.22\n"),
        ("-1.2,-3.4567\n", "-1.3,-3.4568\n"),
        ("1,000 rows\nb\n", "1,000 rows\nb\n"),
        ("x\ny\nz\n", "x\n...\n"),
        ("x\ny\nz\n", "...\nz\n"),
    ],
)
def test_what_is_printed_may_be_what_is_shown(printed: str, shown: str) -> None:
    assert differs(printed, shown) is None


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a 1.23\n", "a 1.21\n"),
        ("a 12\n", "a 11\n"),
        ("a\nb\n", "a\n"),
        ("a\n", "a\nb\n"),
        ("", "a\n"),
        ("b 1.2\n", "a 1.2\n"),
        ("x\ny\n", "...\nz\n"),
        ("nan\n", "1.0\n"),
    ],
)
def test_what_is_printed_is_not_what_is_shown(printed: str, shown: str) -> None:
    assert differs(printed, shown) is not None
