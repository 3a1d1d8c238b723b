"""Stores and qualities made up for the tests of reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phylotools.phylogeny.tree import parse_newick
from phylotools.report.divergence import fit_divergence
from phylotools.report.quality import AlignmentQuality, ContigQuality, SpeciesQuality
from phylotools.store import schema

#: Columns of each made-up species.
COLUMNS = 100_000


class MemoryStore:
    """What a report reads of a column store, from arrays."""

    def __init__(self, tree, contigs, reference_species=None, references=None, statistics=None):
        self.path = Path("memory.store")
        self.tree = tree
        self.species = tree.tips
        self.reference_species = reference_species or tree.tips[0]
        self.reference_index = self.species.index(self.reference_species)
        self.attributes = {"statistics": statistics or {}}
        self.fingerprint = "0" * 64
        self.contigs = {name: len(bases) for name, bases in contigs.items()}
        self._bases = contigs
        self._references = references or {}
        self.regions_read = []

    @classmethod
    def of(cls, store, species):
        """A copy of a store in memory, its species under other names: new -> old."""
        from phylotools.io.regions import Region

        tree = store.tree
        order = [store.species.index(species.get(name, name)) for name in tree.tips]
        contigs = {
            name: store.bases(Region(name, 0, length))[:, order]
            for name, length in store.contigs.items()
        }
        return cls(tree, contigs, store.reference_species)

    def bases(self, region):
        self.regions_read.append(region)
        return self._bases[region.contig][region.start : region.end]

    def reference(self, region):
        if region.contig in self._references:
            return self._references[region.contig][region.start : region.end]
        codes = self.bases(region)[:, self.reference_index].copy()
        codes[codes == schema.NO_BLOCK] = schema.N
        return codes

    def intervals(self, contig):
        covered = self._bases[contig][:, self.reference_index] != schema.NO_BLOCK
        edges = np.flatnonzero(np.diff(covered, prepend=False, append=False))
        return edges.reshape(-1, 2).astype(np.int64)


def comb(n_species, names=None):
    """A tree of species at even distances from the first, which is the reference."""
    names = names or ["reference", *(f"species{n}" for n in range(1, n_species))]
    tips = ",".join(
        f"{name}:{0 if n == 0 else 0.02 + 0.6 * n / n_species}" for n, name in enumerate(names)
    )
    return parse_newick(f"({tips});")


def identity_at(distance):
    """Identity that a made-up species has at a distance."""
    return 0.25 + 0.75 * np.exp(-distance / 0.75)


def made_quality(n_species=12, statistics=None, contigs=None, names=None, **changes):
    """A flawless alignment, but for the species whose fields `changes` gives."""
    tree = comb(n_species, names)
    rows = []
    for n, name in enumerate(tree.tips):
        distance = float(tree.branch_length[tree.tip_nodes[n]])
        identity = changes.get(name, {}).get("identity", identity_at(distance))
        fields = {
            "name": name,
            "distance": distance,
            "columns": COLUMNS,
            "bases": COLUMNS - 1000,
            "unknown": 0,
            "gaps": 1000,
            "masked": 30_000,
            "comparable": COLUMNS - 1000,
            "rows": 1000,
            "duplicate_rows": 0,
            "wrong_size_rows": 0,
        }
        fields |= {k: v for k, v in changes.get(name, {}).items() if k != "identity"}
        fields.setdefault("identical", round(identity * fields["comparable"]))
        rows.append(SpeciesQuality(**fields))
    others = rows[1:]
    depth = np.zeros(n_species + 1, dtype=np.int64)
    depth[n_species] = COLUMNS
    reference = np.array([COLUMNS // 4] * 4 + [0])
    return AlignmentQuality(
        path="made.store",
        reference_species=tree.tips[0],
        tree=tree,
        species=tuple(rows),
        contigs=contigs or (ContigQuality("chr1", COLUMNS, COLUMNS, 0, COLUMNS, n_species),),
        depth=depth,
        reference=reference,
        divergence=fit_divergence(
            np.array([row.distance for row in others]),
            np.array([row.identical for row in others]),
            np.array([row.comparable for row in others]),
            reference[:4],
        ),
        misplaced=(),
        statistics={} if statistics is None else statistics,
    )


ABSENT = {"bases": 0, "gaps": 0, "masked": 0, "comparable": 0, "identical": 0, "rows": 0}
