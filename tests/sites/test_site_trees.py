"""`fit-sites` with trees of contigs, and of a clade: as of the store that has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_stores import Block, write_store

from phylotools.cli.main import run
from phylotools.io.regions import Region
from phylotools.store import schema
from phylotools.store.read import open_store
from phylotools.store.retree import write_with_tree

pytestmark = pytest.mark.usefixtures("one_thread")


def sites(store, *arguments: str) -> list[str]:
    """The lines of the table, without its header."""
    output = Path(arguments[-1])
    assert run(["fit-sites", str(store), "-@", "1", "-q", *arguments[:-1], "-o", str(output)]) == 0
    return [line for line in output.read_text().splitlines() if not line.startswith("##")]


def values(lines: list[str], contig: str) -> np.ndarray:
    """Position and numbers of a contig's lines."""
    cells = [line.split("\t") for line in lines]
    return np.array([
        [float("nan" if cell == "." else cell) for cell in (row[1], *row[3:])]
        for row in cells
        if row[0] == contig
    ])  # fmt: skip


def test_a_contig_with_its_own_tree(birds_store, tmp_path):
    store = open_store(birds_store)
    first, second = list(store.contigs)[:2]
    (tmp_path / "t.tsv").write_text(f"{second}\t{store.tree.scaled(3.0).to_newick()}\n")
    write_with_tree(store, store.tree.scaled(3.0), tmp_path / "other")
    own = sites(birds_store, str(tmp_path / "own.tsv"))
    other = sites(tmp_path / "other", str(tmp_path / "other.tsv"))
    both = sites(birds_store, "--trees", str(tmp_path / "t.tsv"), str(tmp_path / "both.tsv"))
    assert own != other
    for contig, expected in ((first, own), (second, other)):
        rows, others = (values(lines, contig) for lines in (both, expected))
        # The last digit may depend on which columns stand beside a column.
        assert np.allclose(rows, others, rtol=2e-3, atol=2e-3, equal_nan=True)
        assert len(rows) > 100
    header = (tmp_path / "both.tsv").read_text()
    assert f"##trees={tmp_path / 't.tsv'} " in header


def test_a_clade_is_the_store_made_of_it(birds_store, tmp_path):
    store = open_store(birds_store)
    kept = store.tree.prune([store.reference_species, *store.species[:6]])
    rows = [store.species.index(name) for name in kept.tips]
    blocks = [
        Block(region, kept.tips, (store.bases(region) & schema.CODE_MASK)[:, rows].T, length)
        for name, length in store.contigs.items()
        for start, end in store.intervals(name).tolist()
        for region in [Region(name, start, end)]
    ]
    write_store(tmp_path / "made", kept, store.reference_species, blocks)
    found = sites(birds_store, "--clade", ",".join(kept.tips), str(tmp_path / "clade.tsv"))
    assert found == sites(tmp_path / "made", str(tmp_path / "made.tsv"))
    assert f"##species={','.join(kept.tips)}\n" in (tmp_path / "clade.tsv").read_text()


def test_what_is_refused(birds_store, tmp_path, capsys):
    assert run(["fit-sites", str(birds_store), "--clade", "apes", "-o", "x.tsv"]) == 1
    assert (
        "the clade: the tree has no inner node 'apes'; name two species" in capsys.readouterr().err
    )
    (tmp_path / "t.tsv").write_text("chr22\tapes.nh\n")
    arguments = ["fit-sites", str(birds_store), "--trees", str(tmp_path / "t.tsv"), "-o", "x.tsv"]
    assert run(arguments) == 1
    assert "t.tsv:1: Newick: neither parentheses nor" in capsys.readouterr().err
