"""A network's prediction as the centre of each site's prior."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.errors import InputError
from phylotools.io.contigs import log_other_names, resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.io.intervals import contains
from phylotools.io.regions import Region, RegionSet
from phylotools.model.folder import Model
from phylotools.scoring.scorer import Scorer
from phylotools.store import schema
from phylotools.store.columns import Columns
from phylotools.store.read import ColumnStore

logger = logging.getLogger("phylotools")

#: More differences between a store's reference bases and a FASTA mean another assembly.
_MISMATCH_LIMIT = 0.1


class NetworkPrior:
    """Theta of a model at the columns of a store.

    Parameters
    ----------
    model : Model
    genome : ReferenceGenome
        Of the store's reference species.
    store : ColumnStore
    neutral_scale : float
        Factor on the branch lengths that the model was trained with.
    threads : int, optional
        As for `Scorer`.
    targets : mapping of str to str, optional
        The genome's name of each of the store's contigs that it has, where that is known.

    Raises
    ------
    InputError
        If the genome has none of the store's contigs.
    """

    def __init__(
        self,
        model: Model,
        genome: ReferenceGenome,
        store: ColumnStore,
        *,
        neutral_scale: float = 1.0,
        threads: int | None = None,
        targets: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        self.n_outside_training = 0
        self._genome = genome
        self._scorer = Scorer(model.from_sequence_alone(), genome, threads=threads)
        self._log_scale = math.log(neutral_scale)
        found = resolve_contigs(store.contigs, genome.contigs) if targets is None else targets
        if targets is None:
            log_other_names({name: own for name, own in found.items() if name != own})
        self.targets = dict(found)
        if not self.targets:
            raise InputError(
                f"has none of the store's contigs ({', '.join(list(store.contigs)[:5])})",
                path=genome.path,
                remedy="give the assembly of the store's reference species",
            )

    @property
    def fasta(self) -> str:
        """File of the genome."""
        return str(self._genome.path)

    def has_contig(self, contig: str) -> bool:
        """Whether the genome has a contig of the store."""
        return contig in self.targets

    def require_contigs(self, contigs: Iterable[str]) -> None:
        """Refuse contigs of the store that the genome lacks.

        Raises
        ------
        InputError
        """
        missing = [contig for contig in contigs if contig not in self.targets]
        if missing:
            raise InputError(
                f"lacks {len(missing)} of the store's contigs ({', '.join(missing[:5])})",
                path=self._genome.path,
                remedy="give the whole assembly, or name the contigs wanted (-r)",
            )

    def unseen_species(self, store: ColumnStore) -> list[str]:
        """Species of the store that were held out of all of the model's training."""
        unseen = set(store.species) - {store.reference_species}
        trained = self.model.training_stores
        for entry in trained:
            unseen &= set(entry.get("held_out_species") or ())
        return sorted(unseen) if trained else []

    def warn_if_trained_on(self, store: ColumnStore, species: Iterable[str]) -> None:
        """Warn if the model's training saw species of this very store that are to judge it."""
        saw_store = any(
            e.get("fingerprint") == store.fingerprint for e in self.model.training_stores
        )
        if saw_store and not set(species) <= set(self.unseen_species(store)):
            logger.warning(
                "model %s was trained on the held-out species of this store: the widths of the "
                "prior will trust it too much; hold species out of its training",
                self.model.name,
            )

    def theta(self, columns: Columns) -> Tensor:
        """Theta at every column of a contig that the genome has, float32, shape (C, A).

        Raises
        ------
        InputError
            If the genome's contig is shorter.
        """
        contig = self.targets[columns.contig]
        theta = torch.from_numpy(self._scorer.theta_at(contig, columns.position))
        self.n_outside_training += self._outside(contig, columns.position)
        if not self._log_scale:
            return theta
        # Rates are per unit of branch length: the same site is slower on a longer tree.
        model = self.model.substitution
        with torch.no_grad():
            return model.with_log_rate(theta, model.log_rate(theta) - self._log_scale)

    def check_assembly(self, sample: list[Columns]) -> None:
        """Refuse a genome that is not that of the store's reference bases.

        Raises
        ------
        InputError
        """
        n_compared = n_different = 0
        for columns in sample:
            own = np.array([self._base(columns, position) for position in columns.position])
            known = (own < schema.N) & (columns.reference < schema.N)
            n_compared += int(known.sum())
            n_different += int((own != columns.reference)[known].sum())
        if n_different > _MISMATCH_LIMIT * max(n_compared, 1):
            raise InputError(
                f"differs from the store's reference at {n_different} of {n_compared} positions; "
                "this looks like the wrong assembly",
                path=self._genome.path,
                remedy="give the assembly of the store's reference species",
            )
        if n_different:
            logger.warning(
                "%s differs from the store's reference at %d of %d positions",
                self._genome.path, n_different, n_compared,
            )  # fmt: skip

    def _base(self, columns: Columns, position: np.int64) -> int:
        contig = self.targets[columns.contig]
        where = Region(contig, int(position), int(position) + 1)
        return int(self._genome.fetch(where)[0] & schema.CODE_MASK)

    @cached_property
    def _trained(self) -> RegionSet | None:
        trained = self.model.training_regions
        return None if trained is None else trained.spelled_as(self._genome.contigs)

    def _outside(self, contig: str, positions: NDArray[np.int64]) -> int:
        """How many positions lie outside the regions that the model is meant for."""
        if self._trained is None:
            return 0
        return int((~contains(self._trained.on(contig), positions)).sum())
