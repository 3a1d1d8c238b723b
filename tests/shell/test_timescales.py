"""Three score sets from one store, by the commands of docs/training.md."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
from pathlib import Path

from documented_commands import shell

from phylotools.cli.main import run

ROOT = Path(__file__).parents[2]


def test_three_timescales(tmp_path, monkeypatch, data, one_thread):
    """As they stand there, but for a tiny network, two steps and a tenth of the columns."""
    page = (ROOT / "docs" / "training.md").read_text()
    section = page[page.index("**Three timescales from one store**") :]
    toml, commands = re.search(r"```toml\n(.*?)```.*?```sh\n(.*?)```", section, re.DOTALL).groups()
    toml = toml.replace("steps = 150", "steps = 2") + '[network]\npreset = "tiny"\n'
    assert "steps = 2" in toml
    shutil.copytree(ROOT / "examples" / "human_mtdna" / "data", tmp_path / "data")
    shutil.copy(
        data / "mammals671" / "mtCDS_cut.maf.gz",
        tmp_path / "data" / "mammals671_mtCDS_hg38_chrM.maf.gz",
    )
    (tmp_path / "mammals.toml").write_text(toml)
    monkeypatch.chdir(tmp_path)
    for line in commands.strip().splitlines():
        program, *arguments = shlex.split(line)
        if program == "phylotools":
            assert run([*arguments, "-q"]) == 0, line
        else:
            done = shell(line, tmp_path)
            assert done.returncode == 0, done.stderr
    species = {}
    for name in ("primates", "glires", "mammals"):
        manifest = json.loads((tmp_path / f"{name}-mtdna" / "manifest.json").read_text())
        (store,) = manifest["training_stores"]
        species[name] = store["species"]
    assert species == {"primates": 111, "glires": 209, "mammals": 671}
    tags = ("PRIMATES_LLR", "EUARCHONTOGLIRES_LLR", "MAMMALS_LLR")
    scores = []
    with gzip.open("scored.vcf.gz", "rt") as handle:
        for record in handle:
            if not record.startswith("#"):
                info = dict(part.partition("=")[::2] for part in record.split("\t")[7].split(";"))
                scores.append([info.get(tag) for tag in tags])
    whole = [row for row in scores if None not in row]
    assert len(whole) > 1000
    assert sum(len(set(row)) == 3 for row in whole) > len(whole) / 2
