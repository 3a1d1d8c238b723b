"""The commands of docs/interpret.md, run as a reader would."""

from __future__ import annotations

from pathlib import Path

from documented_commands import install_program, shell, shell_blocks

ROOT = Path(__file__).parents[2]


def test_the_commands_of_the_page_run(tmp_path) -> None:
    install_program(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    blocks = shell_blocks(ROOT / "docs" / "interpret.md")
    assert len(blocks) == 5
    printed = ""
    for block in blocks:
        done = shell(block, tmp_path)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    # The means by distance that the page prints.
    assert printed.split()[:6] == ["1", "1.04", "2", "0.51", "3", "0.31"]
    assert (tmp_path / "influence" / "igv.html").is_file()
    assert (tmp_path / "worth" / "sequences.npz").is_file()
