"""The commands of docs/design.md, with fewer sweeps and edits than there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from documented_commands import install_program, shell, shell_blocks

PAGE = Path(__file__).parents[2] / "docs" / "design.md"
#: Protein-coding genes, and ribosomal RNA.
CODING, RNA = (3306, 4262), (1671, 3229)


def test_the_commands_of_the_page(tmp_path):
    install_program(tmp_path)
    rows = [
        f"chrM\t{start}\t{start + 90}\tw\t0\t.\t{label}\tg{start // 300}\n"
        for label, (first, last) in (("CDS", CODING), ("RNA", RNA))
        for start in range(first, last - 90, 90)
    ]
    (tmp_path / "windows.bed").write_text("".join(rows))
    commands = "\n".join(shell_blocks(PAGE))
    assert "design sample" in commands
    assert "--head" in commands
    for long, short in (
        ("-n 10 --burn-in 20", "-n 1 --burn-in 1"),
        ("--edits 10", "--edits 1"),
        ("--edits 8", "--edits 1"),
        ("--group-by 8", "--group-by 8 --bootstrap 0"),
    ):
        assert long in commands
        commands = commands.replace(long, short)
    done = shell(commands, tmp_path)
    assert done.returncode == 0, done.stderr
    for folder in ("sampled", "motif", "likelier", "coding"):
        assert (tmp_path / folder / "designed.fa").is_file()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    code = "\n".join(blocks).replace("max_iter=150", "max_iter=5")
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout
