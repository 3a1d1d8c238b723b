"""Release notes: a well-formed, dated section, or one line that says what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "packaging" / "release_notes.py"
GOOD = """# Changelog

## 0.3.0 (unreleased)

### New
- Not yet.

## 0.2.0 (2027-02-28)

### New
- A verb
  in two lines.

### Fixed
- A fault.

## 0.1.0 (2026-12-01)

### New
- All.
"""


def notes(folder: Path, text: str, version: str = "0.2.0") -> subprocess.CompletedProcess[str]:
    (folder / "CHANGELOG.md").write_text(text)
    command = [sys.executable, str(SCRIPT), version, str(folder / "CHANGELOG.md")]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_notes_are_the_section(tmp_path):
    done = notes(tmp_path, GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "### New\n- A verb\n  in two lines.\n\n### Fixed\n- A fault.\n"
    assert notes(tmp_path, GOOD, "0.1.0").stdout == "### New\n- All.\n"


@pytest.mark.parametrize(
    ("version", "old", "new", "expected"),
    [
        ("0.3.0", "", "", ":3: 0.3.0 is not released; write its date"),
        ("0.4.0", "", "", ": 0 sections `## 0.4.0 "),
        ("0.2", "", "", ": 0 sections"),
        ("0.2.0", "0.1.0 (", "0.2.0 (", ": 2 sections"),
        ("0.2.0", "2027-02-28", "2027-02-29", ":8: '2027-02-29' is no date"),
        ("0.2.0", "2027-02-28", "20270228", ":8: '20270228' is no date"),
        ("0.2.0", "(2027-02-28)", "2027-02-28", ": 0 sections"),
        ("0.2.0", "### Fixed", "### Mended", ":14: no section 'Mended'"),
        ("0.2.0", "### Fixed", "### New", ":14: New comes twice"),
        ("0.2.0", "### New\n- A verb", "### Fixed\n- A verb", ":14: Fixed comes twice"),
        ("0.2.0", "- A fault.\n", "", ": the section has no items"),
        ("0.2.0", "- A fault.\n", "A fault.\n", ":15: neither an item"),
        ("0.2.0", "  in two lines", "in two lines", ":12: neither an item"),
        ("0.2.0", "### New\n- A verb", "- A verb", ":10: an item below no section"),
        ("0.2.0", "- A verb\n  in two lines.\n", "", ":12: New has no item"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(tmp_path, version, old, new, expected):
    assert old in GOOD
    done = notes(tmp_path, GOOD.replace(old, new, 1) if old else GOOD, version)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: CHANGELOG.md")
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


def test_our_own_changelog_has_the_form(tmp_path):
    """What is unreleased today can be released by writing a date."""
    text = (ROOT / "CHANGELOG.md").read_text()
    version, date = re.search(r"^## (\S+) \((.+)\)$", text, re.MULTILINE).groups()
    from phylotools.version import __version__

    assert version == __version__
    done = notes(tmp_path, text.replace(f"({date})", "(2026-12-01)", 1), version)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("### New\n- ")


def test_without_a_changelog(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "1", str(tmp_path / "none")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / 'none'}: No such file or directory\n"
    assert subprocess.run([sys.executable, str(SCRIPT)], capture_output=True).returncode == 2
