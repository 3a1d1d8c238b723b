"""Alignments whose rows are taken for the orthologues: simulated ones, and real ones."""

from __future__ import annotations

import dataclasses
import lzma
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.io.regions import Region
from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.simulation import SiteDistribution, evolve_along, make_walk, stream_key
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.store.read import open_store

Codes = NDArray[np.uint8]
#: Codes of a cell: 0..3 are A, C, G, T.
UNKNOWN, GAP, ABSENT = 4, 5, 6

_MAMMALS = Path(__file__).parents[1] / "likelihood_study" / "data" / "447-mammalian-2022v1.nh"
_HUMAN = "hg38"
#: Species of an alignment at most, drawn at random.
SPECIES = 60
#: Sites of a real alignment below this rate, relative to neutral, count as conserved.
CONSERVED_RATE = 0.2


@dataclass(frozen=True, eq=False)
class Alignment:
    """Columns without duplicates.

    Attributes
    ----------
    tree : Tree
    reference : int
        Index of the reference among the tips.
    model : SubstitutionModel
    rows : uint8[S, C]
        Codes, species as in the tree.
    theta : Tensor of float64 [C, A]
        The sites that the rows evolved at, or that were fitted to them.
    neutral : Tensor of float64 [A]
        A site without selection.
    is_conserved : bool[C]
    halfway : uint8[S, C]
        Bases in the middle of the branch of each species; of real alignments, the species' own.
    root : uint8[C]
        Bases at the root; of real alignments, the commonest ones.
    """

    tree: Tree
    reference: int
    model: SubstitutionModel
    rows: Codes
    theta: Tensor
    neutral: Tensor
    is_conserved: NDArray[np.bool_]
    halfway: Codes
    root: Codes


def simulated_alignment(length: int, model: SubstitutionModel, seed: int) -> Alignment:
    """Mammals, without gaps.

    Every fourth stretch of about 100 positions is conserved as exons are: 80 % of its sites, by 5
    nats. All other sites are neutral but for small differences.
    """
    tree = _some_species(parse_newick(_MAMMALS.read_text()), _HUMAN, seed)
    rng, key = np.random.default_rng(seed), stream_key(seed)
    bounds = np.cumsum(1 + rng.geometric(1 / 100, size=length // 20))
    element = np.searchsorted(bounds, np.arange(length), side="right") % 4 == 3
    is_conserved = element & (rng.random(length) < 0.8)
    other, conserved = (
        SiteDistribution(rate_sd=0.3, frequency_sd=0.3, conserved_fraction=share)
        for share in (0.0, 1.0)
    )
    theta = torch.where(
        torch.from_numpy(is_conserved)[:, None],
        conserved.draw(model, key, 0, length),
        other.draw(model, key, 0, length),
    )
    walk = make_walk(_with_ancestors(tree))
    unknown = np.full(length, UNKNOWN, dtype=np.uint8)
    drawn = evolve_along(walk, theta, model, key=key, start=0, start_states=unknown).states.T
    place = {name: row for row, name in enumerate(walk.species)}
    return Alignment(
        tree,
        tree.tips.index(_HUMAN),
        model,
        drawn[[place[name] for name in tree.tips]],
        theta,
        _neutral_site(model),
        is_conserved,
        drawn[[place[f"{name}/half"] for name in tree.tips]],
        drawn[place["/root"]],
    )


def seen_from_afar(alignment: Alignment) -> Alignment:
    """The same with the species farthest from the root as the reference."""
    tree = alignment.tree
    height = np.zeros(len(tree.names))
    for node in tree.postorder[::-1][1:].tolist():
        height[node] = height[tree.parent[node]] + tree.branch_length[node]
    return dataclasses.replace(alignment, reference=int(height[tree.tip_nodes].argmax()))


def real_alignment(
    maf: Path, tree: Path, length: int, model: SubstitutionModel, seed: int
) -> Alignment:
    """A real alignment without duplicates: its first covered positions in one piece."""
    with tempfile.TemporaryDirectory() as folder:
        if maf.suffix == ".xz":
            plain = Path(folder, maf.stem)
            plain.write_bytes(lzma.decompress(maf.read_bytes()))
            maf = plain
        command = [sys.executable, "-m", "phylotools", "preprocess", maf, "--tree", tree, "-q"]
        subprocess.run([*command, "-o", Path(folder, "columns.store")], check=True)
        store = open_store(Path(folder, "columns.store"))
        bases = np.concatenate(
            [
                store.bases(Region(contig, int(start), int(end)))
                for contig in store.contigs
                for start, end in store.intervals(contig)
            ]
        )
        species = list(store.species)
        chosen = _some_species(store.tree, store.reference_species, seed)
        reference = chosen.tips.index(store.reference_species)
    codes = bases[:, [species.index(name) for name in chosen.tips]].T & 7
    rows = np.ascontiguousarray(codes[:, codes[reference] < 4][:, :length])
    states = torch.from_numpy(np.ascontiguousarray(rows.T))
    theta = fit_sites(states, states[:, reference], make_plan(chosen), SitePrior(), model).double()
    counts = np.stack([(rows == base).sum(axis=0) for base in range(4)])
    return Alignment(
        chosen,
        reference,
        model,
        rows,
        theta,
        _neutral_site(model),
        model.site_rate(theta).numpy() < CONSERVED_RATE,
        rows,
        counts.argmax(axis=0).astype(np.uint8),
    )


def _neutral_site(model: SubstitutionModel) -> Tensor:
    return SiteDistribution(0.0, 0.0, 0.0, 0.0).draw(model, stream_key(1), 0, 1)[0]


def _some_species(tree: Tree, reference: str, seed: int) -> Tree:
    """The reference and others at random."""
    others = np.random.default_rng(seed).permutation([x for x in tree.tips if x != reference])
    kept = tree.prune([reference, *others[: SPECIES - 1].tolist()])
    # Different bases on branches of length zero would be impossible.
    return kept.with_minimum_branch_length(1e-4)


def _with_ancestors(tree: Tree) -> Tree:
    """The tree with tips on branches of length 0: halfway to each species, and at the root."""

    def text(node: int) -> str:
        length = float(tree.branch_length[node])
        if not tree.children[node]:
            name = tree.names[node]
            return f"({name}:{length / 2!r},{name}/half:0):{length / 2!r}"
        inside = ",".join(text(child) for child in tree.children[node])
        return f"({inside},/root:0);" if node == 0 else f"({inside}):{length!r}"

    return parse_newick(text(0))
